"""The databases as they were at a moment: the cluster is recovered in the job, and what is in it then is dumped.

Nothing of the live cluster is replaced: what comes out is restored beside the live databases and compared, like a backup.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from moorage import __version__
from moorage.backups.failures import BackupError, NoSuchBackup, RestoreFailed
from moorage.backups.job_context import Job
from moorage.backups.manifest import DatabaseFacts, Manifest, ServerFacts
from moorage.backups.moments import NEWEST, shown, spans_text
from moorage.backups.physical.engine import Restored
from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.physical.recovery import Recovered, recovered_server
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.databases import with_unnamed
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.server import server_facts
from moorage.backups.records import timestamp


def dumped_at(job: Job, identifier: str, moment: datetime, folder: Path, *, on_new_machine: bool = False) -> Manifest:
    """Write the databases as they were at `moment` into `folder/dump`; gives the facts as the recovered server has them.

    On a new machine the live server's log is not the store's. Raises BackupError, with the spans that can be reached where the moment is
    outside of them.
    """
    plan, database = job.plan.physical, job.plan.database
    if plan is None or database is None:
        raise BackupError(
            "there is no log to go back by: point-in-time recovery is off",
            "leave `--at` out to restore a night; `backups.point_in_time: on` and `moorage up` for the time to come",
        )
    engine, store, began = PgBackRest(job.plan), plan.stores[0], timestamp(job.now())
    if not on_new_machine:
        _hand_over_newest_log(job, engine, store, database)
    _let_postgres_in(job, folder)
    job.report.step(f"restoring the cluster as it was at {shown(moment)} from {store}")
    try:
        restored = _restored(job, engine, store, folder / "cluster", moment)
        with recovered_server(restored, database, is_drill=True, parameters=_needed_settings(database)) as recovered:
            job.report.done(f"recovered in {recovered.seconds:.1f} s: {recovered.stopped or 'to its end'}")
            facts, server = _dumped(job, recovered, database, folder / "dump")
    except (NoSuchBackup, RestoreFailed) as error:
        error.hint = _reach_text(engine, store) or error.hint
        raise
    finally:
        shutil.rmtree(folder / "cluster", ignore_errors=True)
    return Manifest(
        id=identifier,
        project=job.plan.project,
        deployment_id=job.plan.deployment_id,
        environment=job.plan.environment,
        target=job.plan.target,
        moorage=__version__,
        started=began,
        finished=timestamp(job.now()),
        databases=facts,
        server=server,
    )


def _hand_over_newest_log(job: Job, engine: PgBackRest, store: str, database: DatabasePlan) -> None:
    """Without this the last minute could not be reached. A live server that is gone or in trouble is no reason to stop."""
    try:
        with connect(database, database.maintenance) as connection:
            engine.mark(store, connection)
    except BackupError as error:
        job.report.warning(f"the newest log could not be handed over: {error.message}")


def _let_postgres_in(job: Job, folder: Path) -> None:
    """pgBackRest and the recovered server run as `postgres`, which owns nothing here but its cluster."""
    shutil.rmtree(folder / "cluster", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder, folder.parent):
        place.chmod(0o711)
    job.workplace.let_through(folder.parent)


def _restored(job: Job, engine: PgBackRest, store: str, folder: Path, moment: datetime) -> Restored:
    restored = engine.restore(store, folder, None if moment == NEWEST else moment)
    for text in restored.warnings:
        job.report.warning(text)
    return restored


def _needed_settings(database: DatabasePlan) -> dict[str, str]:
    """What the live server is started with and its data can't be read without; none when it does not answer."""
    try:
        with connect(database, database.maintenance) as connection:
            return dict(server_facts(connection).settings)
    except BackupError:
        return {}


def _dumped(
    job: Job, recovered: Recovered, database: DatabasePlan, folder: Path
) -> tuple[tuple[DatabaseFacts, ...], ServerFacts]:
    with connect(recovered.server, database.maintenance) as connection:
        there = {str(row[0]) for row in connection.execute("SELECT datname::text FROM pg_database")}
        server = server_facts(connection)
    named = replace(recovered.server, names=tuple(name for name in database.names if name in there))
    if not named.names:
        raise RestoreFailed(f"at that moment there was no database {' or '.join(database.names)}")
    shutil.rmtree(folder, ignore_errors=True)
    found = dump(
        # All that the cluster had then, whether the configuration names it or not.
        with_unnamed(named, lambda _: None),
        folder,
        parallel=job.plan.parallel,
        lock_wait_seconds=job.plan.lock_wait_seconds,
        progress=job.report.progress,
    )
    return found, server


def _reach_text(engine: PgBackRest, store: str) -> str:
    try:
        found = engine.reach(store)
    except BackupError:
        return ""
    if not found:
        return "`moorage backup run` takes the first physical backup; what was before it can't be reached"
    return f"what can be reached is {spans_text((shown(reach.first), shown(reach.last)) for reach in found)}"
