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

from moorage import __version__
from moorage.backups import putting_back, room
from moorage.backups.failures import BackupError, RestoreFailed
from moorage.backups.job_context import Job, now_utc
from moorage.backups.manifest import MANIFEST_FILE, Manifest, read_manifest
from moorage.backups.plan import BackupPlan, DatabasePlan
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.scratch import scratch_server
from moorage.backups.records import new_id, timestamp
from moorage.backups.report import Report
from moorage.durable import replace_file

_DRILL_USER = 999
_MISSING_ROLE = re.compile(r'role "((?:[^"]|"")+)" does not exist')
_MAGIC = {b"\x1f\x8b": ("gzip", "-dc"), b"\x28\xb5\x2f\xfd": ("zstd", "-dc"), b"\xfd7zXZ": ("xz", "-dc")}
# Roles that a dump names as owners are made as they are missed; a dump that names more is something else.
_MOST_ROLES = 50


def begin(job: Job) -> str:
    """Make room for an import, owned by the container that will carry the dump out; gives its name."""
    with job.workplace.only_one():
        room.check(job)
        identifier = new_id(job.now())
        folder = putting_back.folder_of(job, identifier)
        folder.mkdir(mode=0o700, parents=True)
        if os.geteuid() == 0:
            os.chown(folder, _DRILL_USER, _DRILL_USER)
        job.workplace.let_through(folder)
        return identifier


def digest(plan: BackupPlan, report: Report, identifier: str, source: Path, database: str) -> None:
    """Carry the dump out in a throw-away server, and dump what came of it. Raises RestoreFailed with its first error."""
    if plan.database is None:
        raise BackupError("this deployment has no Postgres of its own to import into")
    folder = Path(plan.work) / "restore" / identifier
    name = database or plan.database.names[0]
    began = timestamp(now_utc())
    with scratch_server(folder / "scratch", forbidden_identifier="") as server:
        report.step(f"carrying {source.name} out in a throw-away server")
        _load(server, source, name)
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


def _load(server: DatabasePlan, source: Path, name: str) -> None:
    roles: list[str] = []
    while True:
        _recreate(server, name, roles)
        errors = _carried_out(server, source, name)
        if not errors:
            return
        missing = _MISSING_ROLE.search(errors)
        if missing is None or missing[1] in roles or len(roles) >= _MOST_ROLES:
            raise RestoreFailed(f"the dump can't be carried out: {_first_error(errors)}", "nothing was changed")
        roles.append(missing[1])


def _carried_out(server: DatabasePlan, source: Path, name: str) -> str:
    """What the client complained about, "" when all went well."""
    with _opened(source) as (stream, is_archive):
        program = ["pg_restore", "--exit-on-error"] if is_archive else ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            [*program, "--dbname", name],
            stdin=stream,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(server),
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


def _recreate(server: DatabasePlan, name: str, roles: list[str]) -> None:
    from psycopg import sql

    from moorage.backups.postgres.connections import connect

    with connect(server, "postgres") as connection:
        connection.autocommit = True
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
        for role in roles:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))


def _environment(server: DatabasePlan) -> dict[str, str]:
    return {**os.environ, "PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": server.user}


def _first_error(errors: str) -> str:
    lines = [line for line in errors.splitlines() if "ERROR" in line or "error" in line]
    return (lines or errors.splitlines() or ["no reason given"])[0][:300]
