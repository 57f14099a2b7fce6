"""Backups: what would keep the next night from running, and what a broken disk would take along."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage.checks import backups
from moorage.checks.asking import Answer
from moorage.checks.backups import BackupCheckFacts
from moorage.checks.base import BackupNeed
from tests.unit.checks.samples import ScriptedEngine, lines, needs

IMAGE = "moorage-job/acme:postgres-17-0.1.0"
TWO = BackupNeed(IMAGE, 2, ("/mnt/a",))
OWN = BackupNeed(IMAGE, 1, has_default_store=True)


@pytest.mark.parametrize(
    ("need", "facts", "level", "text"),
    [
        (None, BackupCheckFacts(), "warning", "are off: nothing of this deployment is saved"),
        (TWO, BackupCheckFacts({"/mnt/a": True}, (), True, True), "ok", "2 stores, the job's image is here"),
        (TWO, BackupCheckFacts({"/mnt/a": True}, (), False), "ok", "2 stores; `moorage up` builds the job's image"),
        (TWO, BackupCheckFacts({"/mnt/a": True}), "ok", "2 stores"),
        (TWO, BackupCheckFacts({"/mnt/a": True}, ("/mnt/a",), True, True), "ok", "2 stores, the job's image is here"),
        (
            TWO,
            BackupCheckFacts({"/mnt/a": True}, (), False, True),
            "failure",
            f"no backups are made: the image {IMAGE} is not here",
        ),
        (
            TWO,
            BackupCheckFacts({"/mnt/a": False}, (), True, True),
            "failure",
            "the store's folder /mnt/a does not exist",
        ),
        (
            OWN,
            BackupCheckFacts({}, (), True, True),
            "warning",
            "are kept on the disk that holds the data (a folder beside moorage.yaml): who loses the disk loses both",
        ),
        (
            BackupNeed(IMAGE, 1, ("/mnt/a",)),
            BackupCheckFacts({"/mnt/a": True}, ("/mnt/a",), True, True),
            "warning",
            "are kept on the disk that holds the data (/mnt/a): who loses the disk loses both",
        ),
    ],
)
def test_what_was_found_is_said(need: BackupNeed | None, facts: BackupCheckFacts, level: str, text: str) -> None:
    assert [item[:2] for item in lines(backups.judge(facts, needs(backups=need)))] == [(level, text)]


def test_folders_and_image_are_looked_at(tmp_path: Path) -> None:
    words = f"image inspect --format {{{{.Id}}}} {IMAGE}"
    engine = ScriptedEngine(
        {"DockerRootDir": str(tmp_path)},
        {words: Answer("sha256:1"), "volume inspect acme_edge-routes acme_postgres-data": Answer("[]")},
    )
    need = BackupNeed(IMAGE, 2, (str(tmp_path), str(tmp_path / "not-mounted")))
    found = backups.gather(needs(backups=need), engine)
    assert found == BackupCheckFacts(
        {str(tmp_path): True, str(tmp_path / "not-mounted"): False}, (str(tmp_path),), True, False
    )


def test_an_engine_that_is_silent_says_nothing_of_the_image() -> None:
    found = backups.gather(needs(backups=OWN), ScriptedEngine(error="no engine"))
    assert found.image_is_here is None
    assert backups.gather(needs(), ScriptedEngine(error="no engine")) == BackupCheckFacts()
