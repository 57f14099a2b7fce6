"""The physical path's part of a night: a backup in each of its stores, and what the drill needs to prove one."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from moorage.backups.job_context import Job
from moorage.backups.physical.commands import give_to_owner
from moorage.backups.physical.engine import PhysicalBackup, RecoveryMark
from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.physical.recovery import Recovered, recovered_server
from moorage.backups.plan import DatabasePlan, PhysicalPlan
from moorage.backups.postgres.connections import connect
from moorage.backups.workplace import Night, failure_of
from moorage.durable import named_failure

FOLDER = "physical"
LABEL_FILE = "label"


@dataclass(frozen=True)
class FetchedCluster:
    """What `fetch` left for the drill."""

    data: Path
    wal: Path


def prepare(job: Job) -> None:
    """Make the stores ready for the log and prove that it arrives; until then archiving fails, and nothing else.

    Raises BackupError; ForeignStore when the log there is another cluster's and nobody said that this one is new.
    """
    plan, database = job.plan.physical, job.plan.database
    if plan is None or database is None:
        return
    job.prepare_runtime()
    for store in plan.stores:
        job.claimed(job.plan.store(store))
    _give_to_postgres(job, plan)
    with connect(database, database.maintenance) as connection:
        PgBackRest(job.plan).check(connection, is_new_cluster=job.takes_over)


def _give_to_postgres(job: Job, plan: PhysicalPlan) -> None:
    """The folder of the log in a directory store: Docker made it for root, Postgres itself writes to it."""
    if not plan.folder:
        return
    folder = Path(plan.folder)
    with named_failure(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o750)
        give_to_owner(folder)
    # Docker made the store's own folder too, and for all to look into.
    with suppress(OSError):
        (Path(job.plan.store(plan.stores[0]).directory) / job.plan.project).chmod(0o700)


def take(job: Job, night: Night) -> Night:
    """Back the cluster up into every store of the physical path.

    A failure is told and stands in the journal: the night ends with it, and the dump is good all the same.
    """
    plan, database = job.plan.physical, job.plan.database
    if plan is None or database is None:
        return night
    try:
        return _taken(job, night, plan, database)
    # Whatever it is: the dump is there, and its drill must not miss its turn.
    except Exception as error:
        return _failed(job, night, error)


def _failed(job: Job, night: Night, error: Exception) -> Night:
    failure = failure_of(error)
    job.report.warning(f"point-in-time recovery: {failure.reason}")
    return job.workplace.write(replace(night, physical_failure=failure))


def _taken(job: Job, night: Night, plan: PhysicalPlan, database: DatabasePlan) -> Night:
    engine = PgBackRest(job.plan)
    prepare(job)
    with connect(database, database.maintenance) as connection:
        made = []
        for store in plan.stores:
            job.report.step(f"backing the cluster up into {store}")
            made.append(engine.backup(store, job.now()))
            job.report.done(f"{made[-1].kind} backup {made[-1].label}: {made[-1].added_bytes} bytes new")
        mark = engine.mark(plan.stores[0], connection)
    return job.workplace.write(
        replace(
            night,
            physical=tuple((backup.store, backup.label) for backup in made),
            mark_at=mark.at.isoformat(),
            mark_wal=mark.wal,
            mark_segment_bytes=mark.segment_bytes,
        )
    )


def fetch(job: Job, night: Night, folder: Path) -> Night:
    """The physical backup and its log out of its first store, for the drill; a failure keeps no dump from being proven."""
    if not night.physical:
        return night
    store, label = night.physical[0]
    job.report.step(f"fetching the cluster back from {store}")
    mark = RecoveryMark(datetime.fromisoformat(night.mark_at), night.mark_wal, night.mark_segment_bytes)
    try:
        PgBackRest(job.plan).fetch(store, folder / FOLDER, label, mark)
        (folder / LABEL_FILE).write_text(f"{label}\n", encoding="utf-8")
    except Exception as error:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        return _failed(job, night, error)
    return night


def recovered(folder: Path, database: DatabasePlan, parameters: Mapping[str, str]) -> AbstractContextManager[Recovered]:
    """The fetched cluster as a server that nobody else reaches; the drill needs neither the store nor a secret."""
    data, wal = folder / FOLDER / "data", folder / FOLDER / "wal"
    return recovered_server(FetchedCluster(data, wal), database, is_drill=True, parameters=parameters)


def expire(job: Job) -> None:
    """Let go what the physical path's retention does not ask for, in every store that this key may delete in."""
    if job.plan.physical is None:
        return
    engine = PgBackRest(job.plan)
    for store in job.plan.physical.stores:
        if job.plan.store(store).may_delete:
            removed = engine.expire(store, _bad(engine.backups(store))).removed
            if removed:
                job.report.done(f"store {store}: {len(removed)} physical backups given up")


def _bad(backups: tuple[PhysicalBackup, ...]) -> list[str]:
    return [backup.label for backup in backups if backup.is_corrupt]
