"""How backups are told to people: what was proven, where, and which moments can be restored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from moorage.backups.health import Health, LogHealth, StoreHealth
from moorage.console import Console
from moorage.operations import backing_up, backup_health
from moorage.operations.backup_health import BackupHealth

GOOD = StoreHealth("remote", good=3, last_good="2026-11-22T03:30:00Z", restore_seconds=12.0, proven_in="remote")
FIRST, SECOND = ("2026-11-01T00:00:00Z", "2026-11-09T00:00:00Z"), ("2026-11-10T00:00:00Z", "2026-11-22T00:00:00Z")


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Any:
    def tell(store: StoreHealth, *logs: LogHealth) -> str:
        health = Health("2026-11-22T03:34:00Z", "x", 0, "", (store,), logs)
        backup_health.show(BackupHealth(health, ()), Console())
        said = capsys.readouterr()
        return said.out + said.err

    return tell


def test_status_tells_which_store_was_read_back(told: Any) -> None:
    assert "restored and compared in 12 s (3 good ones)" in told(GOOD)
    elsewhere = replace(GOOD, proven_in="disk")
    assert "in 12 s from store disk; not yet read back itself (3 good ones)" in told(elsewhere)
    read = replace(elsewhere, last_read_back="2026-11-20T03:33:00Z")
    assert "from store disk; last read back itself 2026-11-20T03:33:00Z" in told(read)


def test_status_tells_spans_and_healed_gaps(told: Any) -> None:
    whole = told(GOOD, LogHealth("remote", spans=(FIRST,)))
    assert "any moment since 2026-11-01T00:00:00Z can be restored" in whole
    assert "misses" not in whole
    apart = told(GOOD, LogHealth("remote", spans=(FIRST, SECOND), healed_gaps=("2 segments from A to B",)))
    assert "any moment from 2026-11-01T00:00:00Z to 2026-11-09T00:00:00Z or since 2026-11-10T00:00:00Z can" in apart
    assert "store remote misses 2 segments from A to B of the log; a later backup healed that" in apart
    assert "any moment" not in told(GOOD, LogHealth("remote"))


def test_list_tells_where_good_was_proven() -> None:
    assert backing_up._state("good", "disk", "disk") == "good"
    assert backing_up._state("good", "remote", "disk") == "good (proven in store disk)"
    assert backing_up._state("bad", "remote", "disk") == "bad"


def test_list_tells_spans() -> None:
    row = {"store": "remote", "reaches_from": FIRST[0], "reaches_to": SECOND[1], "spans": [list(FIRST), list(SECOND)]}
    text = f"any moment from {FIRST[0]} to {FIRST[1]} or from {SECOND[0]} to {SECOND[1]} can be restored"
    assert backing_up._reach(row).startswith(text)


def test_verify_tells_what_it_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = {
        "store": "disk",
        "backups": 2,
        "physical": None,
        "read_percent": 10,
        "problems": [],
        "bad": [],
    }
    backing_up._show_verification(found, Console())
    said = capsys.readouterr()
    assert "store disk: 2 backups: signatures of records" in said.out + said.err
    assert "10 % of its bytes were read" in said.out + said.err
    problem = {"reason": "pack abc is damaged", "hint": "", "exit_status": 32}
    backing_up._show_verification({**found, "problems": [problem], "bad": ["one"]}, Console())
    said = capsys.readouterr()
    assert "pack abc is damaged" in said.out + said.err
    assert "one counts as good no longer in store disk" in said.out + said.err
    assert "whole" not in said.out + said.err
