"""Folders that a cluster is restored into: always new, never one that has anything in it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from moorage.backups.failures import NoRoom, RestoreFailed
from moorage.backups.physical.commands import give_to_owner
from moorage.durable import named_failure
from moorage.quantities import human_size


def free_bytes(place: Path) -> int | None:
    """Room on the file system of a folder, None where the folder is not there (a bucket)."""
    with suppress(OSError):
        return shutil.disk_usage(place).free
    return None


def make_new(folder: Path, needed_bytes: int) -> None:
    """Make `folder` with an empty `data` in it. Raises RestoreFailed when it holds anything, NoRoom before it is full."""
    if folder.is_symlink() or (folder.exists() and any(folder.iterdir())):
        raise RestoreFailed(f"{folder} is not empty", "restore into a folder that does not exist yet")
    with named_failure(folder):
        folder.mkdir(parents=True, exist_ok=True)
    free = free_bytes(folder) or 0
    if free < needed_bytes:
        raise NoRoom(
            f"restoring needs {human_size(needed_bytes)} below {folder}, there are {human_size(free)}",
            "free some room, or name a folder on another disk",
        )
    give_to_owner(folder)
    make_owned(folder / "data")
    make_owned(folder / "tablespaces")


def make_owned(folder: Path) -> None:
    """A folder of `postgres` that nobody else looks into: its server refuses another mode."""
    with named_failure(folder):
        folder.mkdir()
        folder.chmod(0o700)
        give_to_owner(folder)
