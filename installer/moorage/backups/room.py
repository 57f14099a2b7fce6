"""Room for a night before it begins: a disk that fills half way helps nobody, and nothing is deleted to make some."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from moorage.backups.failures import NoRoom, StoreFull
from moorage.backups.job_context import Job
from moorage.backups.plan import StorePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.server import Room, needed_room
from moorage.quantities import MEBIBYTE, human_size

_SPARE = 64 * MEBIBYTE


def check(job: Job) -> Room:
    """What tonight may need. Raises NoRoom with the numbers when the work volume has less."""
    room = _needed(job)
    needed = room.dumps + room.scratch + _SPARE
    free = _free(job.plan.work)
    if free < needed:
        raise NoRoom(
            f"dumping and proving may need {human_size(needed)}, {human_size(free)} are free",
            "free some room (`docker system df`, `moorage check`), or keep fewer backups: `backups.retention`",
        )
    return room


def check_store(store: StorePlan, room: Room) -> None:
    """Raises StoreFull when a directory store has less room than a dump that shares nothing with the last one takes."""
    if not store.directory or not Path(store.directory).is_dir():
        return
    needed, free = room.dumps + _SPARE, _free(store.directory)
    if free < needed:
        raise StoreFull(
            f"store {store.name} may need {human_size(needed)}, {human_size(free)} are free",
            "make room there, or keep fewer backups: `backups.retention`",
        )


def _free(folder: str) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _needed(job: Job) -> Room:
    plan = job.plan.database
    if plan is None:
        return Room(0, 0, 0)
    with contextlib.ExitStack() as stack:
        return needed_room([stack.enter_context(connect(plan, name)) for name in plan.names])
