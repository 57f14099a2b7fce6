"""A dump that something else made (`pg_dump | gzip`, `pg_dump -Fc`, `pg_dumpall`), on its way into this deployment.

A dump is a program: it is carried out in a throw-away server first, by a container without network and secrets. What comes
out of that server is dumped, counted and then restored and compared like any backup.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from moorage import __version__
from moorage.backups import preparing, putting_back, restore_room, room
from moorage.backups.carrying_out import carry_out
from moorage.backups.dump_files import DumpFile, examine
from moorage.backups.failures import BackupError, RestoreFailed, Tampered
from moorage.backups.job_context import Job, now_utc
from moorage.backups.manifest import MANIFEST_FILE, DatabaseFacts, Manifest, TableFacts, read_manifest
from moorage.backups.plan import BackupPlan, DatabasePlan
from moorage.backups.postgres.archive import folder_name
from moorage.backups.postgres.connections import connect, reason_of
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.properties import identity, properties
from moorage.backups.postgres.scratch import scratch_server
from moorage.backups.postgres.server import server_facts
from moorage.backups.postgres.tables import Table, dumped_tables
from moorage.backups.records import new_id, timestamp
from moorage.backups.report import Report
from moorage.durable import replace_file
from moorage.words import plural

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

_DRILL_USER = 999
# The manifest of the import as far as the live database tells it; the container that carries the dump out can't ask.
_LIVE = "live.json"
# A copy of a dump that others may not read.
GIVEN = "given"


@dataclass(frozen=True)
class TableChange:
    """A table and its rows, now and in the dump; None where it isn't."""

    name: str
    rows_now: int | None
    rows_then: int | None


def begin(job: Job, database: str, source: Path | None = None) -> str:
    """Make room for an import into `database` ("" for the app's first), owned by the container that will carry it out.

    What it must know of the live database is written there, and a copy of `source`, a dump that only its owner may read.
    Gives the import's name.
    """
    with job.workplace.only_one():
        server = _server(job.plan)
        live = _live(job, server, database or server.names[0])
        _require_room(job, source)
        preparing.begin_import(job, live.id, live.databases[0].name)
        folder = putting_back.folder_of(job, live.id)
        folder.mkdir(mode=0o700, parents=True)
        _write(live, folder / _LIVE)
        if source is not None:
            shutil.copyfile(source, folder / GIVEN)
            (folder / GIVEN).chmod(0o400)
        if os.geteuid() == 0:
            for place in (*folder.iterdir(), folder):
                os.chown(place, _DRILL_USER, _DRILL_USER)
        job.workplace.let_through(folder)
        return live.id


def _require_room(job: Job, source: Path | None) -> None:
    """As for a night; what a packed dump unpacks to is known only afterwards."""
    room.check(job)
    if source is not None:
        restore_room.check([(job.workplace.folder, source.stat().st_size)])


def digest(plan: BackupPlan, report: Report, identifier: str, source: Path, database: str = "") -> None:
    """Carry the dump out in a throw-away server, and dump what came of it.

    `database` is the one that is meant of a cluster's dump, "" for that of the same name. Raises RestoreFailed.
    """
    folder = Path(plan.work) / "restore" / identifier
    manifest = _read(folder / _LIVE)
    (live,) = manifest.databases
    report.step(f"reading {source.name} to its end")
    found = examine(source)
    wanted = _wanted(found, database, live.name)
    target = folder / "input" / "dump"
    forbidden = manifest.server.system_identifier if manifest.server else ""
    with scratch_server(folder / "scratch", forbidden_identifier=forbidden, like=manifest.server) as scratch:
        report.step(f"carrying {source.name} out in a throw-away server")
        server = carry_out(scratch, found, wanted, live)
        target.mkdir(parents=True)
        (facts,) = dump(
            server,
            target,
            parallel=plan.parallel,
            lock_wait_seconds=plan.lock_wait_seconds,
            progress=report.progress,
        )
    _write(replace(manifest, databases=(facts,), finished=timestamp(now_utc())), target / MANIFEST_FILE)
    report.done(f"{live.name}: {plural(facts.rows, 'row')} in {plural(len(facts.tables), 'table')}")


def restore(plan: BackupPlan, report: Report, identifier: str, database: str = "") -> tuple[TableChange, ...]:
    """Restore what was digested beside the live `database` and compare; gives what that would change, table by table.

    A dump may have made anything of the archive and of its manifest, so this is for a process that may read no secret and
    write to nothing else: it checks what it is told, and takes names and owner from the live server.
    """
    server = _server(plan)
    live = _live_facts(server, database or server.names[0])
    folder = Path(plan.work) / "restore" / identifier / "input" / "dump"
    facts = _without_power(server, _as_told(folder, live), live)
    preparing.restore_beside(plan, report, facts, folder, identifier)
    return _changes(server, facts)


def finish(job: Job, identifier: str) -> None:
    """It lies beside the live database, compared: now it can be swapped in like a backup."""
    with job.workplace.only_one():
        preparing.finish_import(job, identifier)


def _as_told(folder: Path, live: DatabaseFacts) -> DatabaseFacts:
    """What the manifest says is in the dump, as far as it may be believed. Raises Tampered."""
    for place in (folder, *folder.rglob("*")):
        kind = place.lstat().st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise Tampered(f"{place.name} in what came of the dump is no file", "is the dump from somebody you trust?")
    found = _read(folder / MANIFEST_FILE).databases
    if len(found) != 1 or (found[0].name, found[0].folder) != (live.name, folder_name(live.name)):
        raise Tampered("what came of the dump is not one database", "is the dump from somebody you trust?")
    return found[0]


def _without_power(server: DatabasePlan, facts: DatabaseFacts, live: DatabaseFacts) -> DatabaseFacts:
    """No dump gives a database to a superuser: it stays its owner's, with the rights that it has."""
    with closing(connect(server, server.maintenance)) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", [facts.owner]).fetchone()
    if facts.owner == live.owner or not (row and row[0]):
        return facts
    return replace(facts, owner=live.owner, properties=replace(facts.properties, privileges=live.properties.privileges))


def _server(plan: BackupPlan) -> DatabasePlan:
    if plan.database is None:
        raise BackupError("this deployment has no Postgres to import into")
    return plan.database


def _live(job: Job, server: DatabasePlan, name: str) -> Manifest:
    """What the live database is: its owner, its collation, its settings, who may connect; not what is in it."""
    database = _live_facts(server, name)
    with closing(connect(server, server.maintenance)) as connection:
        facts = server_facts(connection)
    now = timestamp(job.now())
    return Manifest(
        id=new_id(job.now()),
        project=job.plan.project,
        deployment_id=job.plan.deployment_id,
        environment=job.plan.environment,
        target=job.plan.target,
        moorage=__version__,
        started=now,
        finished=now,
        databases=(database,),
        server=facts,
    )


def _live_facts(server: DatabasePlan, name: str) -> DatabaseFacts:
    with closing(connect(server, server.maintenance)) as connection:
        known = {str(row[0]) for row in connection.execute("SELECT datname::text FROM pg_database")}
    if name not in known:
        raise BackupError(f"there is no database `{name}` here", f"one of: {', '.join(server.names)}")
    with closing(connect(server, name)) as connection:
        return _identity(connection, name)


def _identity(connection: Connection, name: str) -> DatabaseFacts:
    owner, encoding, collation = identity(connection)
    known = properties(connection)
    return DatabaseFacts(name, "", owner, encoding, collation, bytes=0, snapshot="", tables=(), properties=known)


def _wanted(found: DumpFile, database: str, live: str) -> str:
    """Which database of a cluster's dump: that of the given or the live name, or its only one. "" for other dumps."""
    if found.kind != "cluster":
        if database:
            raise BackupError(f"{found.path.name} is of one database, so none can be chosen", "leave --from out")
        return ""
    own = [name for name in found.databases if name not in ("postgres", "template1")]
    if (database or live) in found.databases:
        return database or live
    if len(own) == 1 and not database:
        return own[0]
    raise BackupError(
        f"{found.path.name} has no database `{database or live}`", f"say which: --from {' or '.join(found.databases)}"
    )


def _changes(server: DatabasePlan, facts: DatabaseFacts) -> tuple[TableChange, ...]:
    """The tables with the most rows first."""
    import psycopg

    try:
        with closing(connect(server, facts.name)) as connection:
            now = {table.name: _rows(connection, table) for table in dumped_tables(connection)}
    except psycopg.Error as error:
        raise RestoreFailed(f"the rows of `{facts.name}` can't be counted: {reason_of(error)}") from None
    then: dict[str, TableFacts] = {table.name: table for table in facts.tables}
    found = [
        TableChange(name, now.get(name), then[name].rows if name in then else None)
        for name in sorted(now.keys() | then.keys())
    ]
    return tuple(sorted(found, key=lambda item: -max(item.rows_now or 0, item.rows_then or 0)))


def _rows(connection: Connection, table: Table) -> int:
    from psycopg import sql

    query = sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(table.schema, table.relation))
    row = connection.execute(query).fetchone()
    return row[0] if row else 0


def _write(manifest: Manifest, path: Path) -> None:
    replace_file(path, json.dumps(manifest.as_data(), sort_keys=True).encode(), 0o600)


def _read(path: Path) -> Manifest:
    return read_manifest(json.loads(path.read_text(encoding="utf-8")))
