"""Room for a night before it begins: a disk that fills half way helps nobody, and nothing is deleted to make some."""

from __future__ import annotations

import os
from pathlib import Path

from moorage.backups.failures import NoRoom
from moorage.backups.job_context import Job
from moorage.backups.postgres.serving import connect, database_sizes
from moorage.quantities import human_size

# The dump of a night, before its size is known: zstd gives a third to a fifth of the tables, indexes take nothing.
_DUMP_PART = 0.5
# The drill restores all of it, indexes included, and keeps the dump beside it.
_DRILL_PART = 1.2


def check(job: Job) -> int:
    """The bytes that tonight may need in the work volume. Raises NoRoom with the numbers."""
    plan = job.plan.database
    size = 0
    if plan is not None:
        with connect(plan, plan.names[0]) as connection:
            size = sum(database_sizes(connection, plan.names).values())
    needed = int(size * (_DUMP_PART + _DRILL_PART)) + 64 * 1024 * 1024
    _require(job.plan.work, needed, "dumping and proving")
    for store in job.plan.stores:
        if store.directory and Path(store.directory).is_dir():
            _require(store.directory, int(size * _DUMP_PART), f"store {store.name}")
    return needed


def _require(folder: str, needed: int, purpose: str) -> None:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise NoRoom(
            f"{purpose} may need {human_size(needed)}, {human_size(free)} are free",
            "free some room (`docker system df`, `moorage check`), or keep fewer backups: `backups.retention`",
        )
