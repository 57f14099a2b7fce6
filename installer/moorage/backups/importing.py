"""A dump that something else made (`pg_dump | gzip`, `pg_dump -Fc`), on its way into this deployment.

A dump is a program: it is carried out in a throw-away server first, by a container without network and secrets. What comes
out of that server is dumped, counted and then restored and compared like any backup.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from moorage import __version__
from moorage.backups import putting_back, room
from moorage.backups.failures import BackupError, RestoreFailed
from moorage.backups.job_context import Job, now_utc
from moorage.backups.manifest import MANIFEST_FILE, Manifest, read_manifest
from moorage.backups.plan import BackupPlan, DatabasePlan
from moorage.backups.postgres.connections import connect, program_environment
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.scratch import making_room_for, scratch_server
from moorage.backups.records import new_id, timestamp
from moorage.backups.report import Report
from moorage.durable import replace_file

if TYPE_CHECKING:
    from psycopg import sql

_DRILL_USER = 999
_MISSING_ROLE = re.compile(r'role "((?:[^"]|"")+)" does not exist')
_MAGIC = {b"\x1f\x8b": ("gzip", "-dc"), b"\x28\xb5\x2f\xfd": ("zstd", "-dc"), b"\xfd7zXZ": ("xz", "-dc")}
# Roles that a dump names as owners are made as they are missed; a dump that names more is something else.
_MOST_ROLES = 50
_OWNERS = "owners.json"
# What a dump names no owner for becomes this role's first, then the live owner's.
_LOADER = "moorage_import"


def begin(job: Job) -> str:
    """Make room for an import, owned by the container that will carry the dump out; gives its name."""
    with job.workplace.only_one():
        room.check(job)
        identifier = new_id(job.now())
        folder = putting_back.folder_of(job, identifier)
        folder.mkdir(mode=0o700, parents=True)
        replace_file(folder / _OWNERS, json.dumps(_owners(job)).encode(), 0o600)
        if os.geteuid() == 0:
            os.chown(folder, _DRILL_USER, _DRILL_USER)
            os.chown(folder / _OWNERS, _DRILL_USER, _DRILL_USER)
        job.workplace.let_through(folder)
        return identifier


def _owners(job: Job) -> dict[str, str]:
    """Database → its owner, on the live server: who owns what a dump names nobody for."""
    if job.plan.database is None:
        raise BackupError("this deployment has no Postgres to import into")
    with connect(job.plan.database, job.plan.database.maintenance) as connection:
        rows = connection.execute("SELECT datname::text, pg_get_userbyid(datdba)::text FROM pg_database")
        return {str(name): str(owner) for name, owner in rows}


def digest(plan: BackupPlan, report: Report, identifier: str, source: Path, database: str) -> None:
    """Carry the dump out in a throw-away server, and dump what came of it. Raises RestoreFailed with its first error."""
    if plan.database is None:
        raise BackupError("this deployment has no Postgres to import into")
    folder = Path(plan.work) / "restore" / identifier
    name = database or plan.database.names[0]
    began = timestamp(now_utc())
    with scratch_server(folder / "scratch", forbidden_identifier="") as scratch:
        server = making_room_for(scratch, [name])
        report.step(f"carrying {source.name} out in a throw-away server")
        owners = json.loads((folder / _OWNERS).read_text(encoding="utf-8"))
        if name not in owners:
            raise BackupError(f"there is no database `{name}` here", f"one of: {', '.join(plan.database.names)}")
        _load(server, source, name, owners[name])
        target = folder / "input" / "dump"
        target.mkdir(parents=True)
        found = dump(
            DatabasePlan(server.host, server.port, server.user, (name,), server.major),
            target,
            parallel=plan.parallel,
            lock_wait_seconds=plan.lock_wait_seconds,
            progress=report.progress,
        )
    manifest = Manifest(
        id=identifier,
        project=plan.project,
        deployment_id=plan.deployment_id,
        environment=plan.environment,
        target=plan.target,
        moorage=__version__,
        started=began,
        finished=timestamp(now_utc()),
        databases=found,
    )
    replace_file(target / MANIFEST_FILE, json.dumps(manifest.as_data(), sort_keys=True).encode(), 0o600)
    rows = sum(item.rows for item in found)
    report.done(f"{name}: {rows} rows in {sum(len(item.tables) for item in found)} tables")


def prepare(job: Job, identifier: str) -> None:
    """Restore what was digested beside the live database and compare; then it can be swapped in like a backup."""
    dumped = putting_back.folder_of(job, identifier) / "input" / "dump"
    manifest = read_manifest(json.loads((dumped / MANIFEST_FILE).read_text(encoding="utf-8")))
    with job.workplace.only_one():
        putting_back.prepare_databases_only(job, manifest, dumped)
        shutil.rmtree(dumped.parent)


def _load(server: DatabasePlan, source: Path, name: str, owner: str) -> None:
    """Again and again, with one more of the roles that the dump names, until it goes through."""
    roles = [owner]
    while True:
        _recreate(server, name, roles, owner)
        errors = _carried_out(server, source, name)
        if not errors:
            break
        missing = _MISSING_ROLE.search(errors)
        if missing is None or missing[1] in roles or len(roles) >= _MOST_ROLES:
            raise RestoreFailed(f"the dump can't be carried out: {_first_error(errors)}", "nothing was changed")
        roles.append(missing[1])
    _execute(server, name, _statement("REASSIGN OWNED BY {} TO {}", _LOADER, owner))


def _carried_out(server: DatabasePlan, source: Path, name: str) -> str:
    """What the client complained about, "" when all went well."""
    with _opened(source) as (stream, is_archive):
        program = ["pg_restore", "--exit-on-error"] if is_archive else ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*program, "--dbname", name],
            stdin=stream,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**program_environment(server, name), "PGUSER": _LOADER},
            check=False,
        )
    errors = done.stderr.decode("utf-8", "replace")
    return (errors or f"status {done.returncode}") if done.returncode else ""


@contextmanager
def _opened(source: Path) -> Iterator[tuple[int, bool]]:
    """The dump's own bytes as a file descriptor, unpacked on the way, and whether it is pg_dump's archive format.

    Raises RestoreFailed when it can't be unpacked to its end: a cut file must not look like a short one.
    """
    with source.open("rb") as stream:
        head = stream.read(8)
    packer = next((command for magic, command in _MAGIC.items() if head.startswith(magic)), None)
    if packer is None:
        with source.open("rb") as stream:
            yield stream.fileno(), head.startswith(b"PGDMP")
        return
    with subprocess.Popen([*packer, str(source)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        yield program.stdout.fileno(), False
        program.stdout.close()
        said = program.stderr.read().decode("utf-8", "replace") if program.stderr else ""
    if program.returncode:
        raise RestoreFailed(f"{source.name} is damaged or cut: {said.strip().splitlines()[-1:] or program.returncode}")


def _recreate(server: DatabasePlan, name: str, roles: list[str], owner: str) -> None:
    maintenance = server.maintenance
    _execute(server, maintenance, _statement("DROP DATABASE IF EXISTS {}", name))
    with connect(server, maintenance) as connection:
        known = {str(row[0]) for row in connection.execute("SELECT rolname::text FROM pg_roles")}
    for role in roles:
        if role not in known:
            _execute(server, maintenance, _statement("CREATE ROLE {}", role))
    if _LOADER not in known:
        _execute(server, maintenance, _statement("CREATE ROLE {} LOGIN SUPERUSER", _LOADER))
    _execute(server, maintenance, _statement("CREATE DATABASE {} OWNER {} TEMPLATE template0", name, owner))


def _execute(server: DatabasePlan, name: str, statement: sql.Composed) -> None:
    with connect(server, name) as connection:
        connection.execute(statement)


def _statement(text: str, *names: str) -> sql.Composed:
    """A statement with names in it, each quoted as an identifier."""
    from psycopg import sql

    return sql.SQL(text).format(*(sql.Identifier(name) for name in names))


def _first_error(errors: str) -> str:
    lines = [line for line in errors.splitlines() if "ERROR" in line or "error" in line]
    return (lines or errors.splitlines() or ["no reason given"])[0][:300]
