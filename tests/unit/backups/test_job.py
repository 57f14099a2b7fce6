"""The entry of the job: what nobody expected ends in a sentence, and no value of a row or an address stands in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moorage.backups import job
from moorage.backups.plan import BackupPlan
from moorage.backups.workplace import failure_of


class CheckViolation(Exception):
    """As the database's driver has them: with the row."""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    found = BackupPlan("notes", "0123456789ab", "compose", "compose", "0", str(tmp_path), "", stores=())
    (tmp_path / "plan.json").write_text(found.as_json(), encoding="utf-8")
    return str(tmp_path / "plan.json")


@pytest.mark.parametrize("words", [[], ["--json"]])
@pytest.mark.parametrize("debug", ["", "1"])
def test_the_last_resort_says_where_and_no_value(
    plan: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    debug: str,
) -> None:
    def fail(*_: object) -> int:
        try:
            raise CheckViolation("violates\nDETAIL:  Failing row contains (hunter2).")
        except CheckViolation as error:
            raise ValueError("https://user:hunter2@s3.example.com") from error

    monkeypatch.setitem(job._VERBS, "list", fail)
    monkeypatch.setenv("MOORAGE_JOB_DEBUG", debug)
    assert job.main(["list", "--plan", plan, *words]) == 40
    said = "".join(capsys.readouterr())
    assert "ValueError at " in said
    assert "hunter2" not in said
    assert "DETAIL" not in said
    assert ("CheckViolation" in said) == bool(debug)
    if words:
        assert json.loads(said.splitlines()[0])["exit_status"] == 40


def test_what_is_written_down_of_it_has_no_value_either() -> None:
    failure = failure_of(ValueError("hunter2"))
    assert (failure.exit_status, "hunter2" in failure.reason, "ValueError" in failure.reason) == (40, False, True)
    assert failure_of(KeyboardInterrupt()).exit_status == 38
