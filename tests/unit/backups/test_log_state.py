"""Whether the log reaches its store: what the server's answer means."""

from __future__ import annotations

import json

import pytest

from moorage.backups.log_state import LogState, client, judge_log, read_log_state

GOOD = {"is_failing": False, "silent_seconds": 30.5, "waiting": 0, "bytes": 67108864}


def test_an_answer_is_read_and_anything_else_is_none() -> None:
    assert read_log_state(json.dumps(GOOD)) == LogState(False, 30.5, 0, 67108864)
    for text in ("", "psql: error", "{}", "[]", "null"):
        assert read_log_state(text) is None
    assert "--username=app" in client("app")


@pytest.mark.parametrize("state", [None, LogState(**GOOD), LogState(False, 90000, 3, 1)])  # type: ignore[arg-type]
def test_a_quiet_server_is_no_trouble(state: LogState | None) -> None:
    assert judge_log(state, "disk") == ()


def test_a_store_that_takes_nothing_is_a_failure_with_its_numbers() -> None:
    (found,) = judge_log(LogState(True, 600, 7, 128 * 1024**2), "disk")
    assert found.is_failure
    assert found.text == (
        "store disk has not taken the write-ahead log for 10 minutes: 7 pieces wait, 128 MiB on the database's disk"
    )
