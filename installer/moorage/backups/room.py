"""Room for a night before it begins: a disk that fills half way helps nobody, and nothing is deleted to make some."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from moorage.backups.failures import NoRoom
from moorage.backups.job_context import Job
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.server import Room, needed_room
from moorage.quantities import MEBIBYTE, human_size

_SPARE = 64 * MEBIBYTE


def check(job: Job) -> int:
    """The bytes that tonight may need in the work volume. Raises NoRoom with the numbers."""
    room = _needed(job)
    needed = room.dumps + room.scratch + _SPARE
    _require(job.plan.work, needed, "dumping and proving")
    for store in job.plan.stores:
        if store.directory and Path(store.directory).is_dir():
            _require(store.directory, room.dumps + _SPARE, f"store {store.name}")
    return needed


def _needed(job: Job) -> Room:
    plan = job.plan.database
    if plan is None:
        return Room(0, 0, 0)
    with contextlib.ExitStack() as stack:
        return needed_room([stack.enter_context(connect(plan, name)) for name in plan.names])


def _require(folder: str, needed: int, purpose: str) -> None:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise NoRoom(
            f"{purpose} may need {human_size(needed)}, {human_size(free)} are free",
            "free some room (`docker system df`, `moorage check`), or keep fewer backups: `backups.retention`",
        )
