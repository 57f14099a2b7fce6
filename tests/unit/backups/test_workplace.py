"""The job's own volume: what a kill leaves goes, what somebody still needs stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

from moorage.backups.workplace import Workplace

IDS = [f"20261120T03300{number}Z-7f3a91" for number in range(5)]
HOUR = 3600


def left(work: Path, identifier: str, hours: float) -> Path:
    """A folder with a dump in the clear, as a killed restore leaves it."""
    folder = work / "restore" / identifier
    (folder / "input" / "dump").mkdir(parents=True)
    (folder / "input" / "dump" / "data").write_text("in the clear")
    for place in (folder / "input", folder):
        os.utime(place, (time.time() - hours * HOUR,) * 2)
    return folder


def test_what_killed_restores_have_left_goes_after_a_day(tmp_path: Path) -> None:
    old, of_the_future = left(tmp_path, IDS[0], 25), left(tmp_path, IDS[1], -48)
    young, journaled, foreign = left(tmp_path, IDS[2], 23), left(tmp_path, IDS[3], 900), left(tmp_path, "mine", 900)
    at_work = left(tmp_path, IDS[4], 25)
    (at_work / "scratch").mkdir()
    os.utime(at_work, (time.time() - 25 * HOUR,) * 2)
    (tmp_path / "restore" / "journal").mkdir()
    (tmp_path / "restore" / "journal" / f"{journaled.name}.json").write_text("{}")
    Workplace(tmp_path).clean()
    assert not old.exists()
    assert not of_the_future.exists()
    assert all(place.is_dir() for place in (young, journaled, foreign, at_work, tmp_path / "restore" / "journal"))


def test_nothing_to_clean_is_fine(tmp_path: Path) -> None:
    Workplace(tmp_path / "none").clean()


def test_snapshots_without_a_record_are_noted_per_store(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    workplace.begin_record("a", IDS[0])
    workplace.begin_record("a", IDS[1])
    workplace.begin_record("b", IDS[1])
    workplace.end_record("a", IDS[1], IDS[2])
    assert (workplace.unrecorded("a"), workplace.unrecorded("b")) == ((IDS[0],), (IDS[1],))
    assert workplace.unrecorded("c") == ()
