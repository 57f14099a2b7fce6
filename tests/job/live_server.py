"""A real Postgres server that plays production, for the tests inside of the job's image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect

NASTY = (Path(__file__).parent / "nasty.sql").read_text(encoding="utf-8")
SUPERUSER = "boss"


@contextmanager
def live_server(folder: Path, *settings: str) -> Iterator[DatabasePlan]:
    """Started in `folder`, stopped at the end; the socket lets everybody in, TCP wants a password."""
    data, version = folder / "data", int(os.environ["PG_MAJOR"])
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    auth = ["--auth-local=trust", "--auth-host=scram-sha-256"]
    subprocess.run(["initdb", "--no-sync", *auth, f"--username={SUPERUSER}", f"--pgdata={data}"], **quiet)
    own = [
        "fsync=off",
        "listen_addresses=127.0.0.1",
        f"unix_socket_directories={folder}",
        "wal_level=logical",
        *settings,
    ]
    lines = [f"{name} = '{value}'\n" for name, value in (setting.split("=", 1) for setting in own)]
    with (data / "postgresql.conf").open("a") as stream:
        stream.writelines(lines)
    subprocess.run(["pg_ctl", "start", "--wait", f"--pgdata={data}", f"--log={folder / 'log'}"], **quiet)
    try:
        yield DatabasePlan(host=str(folder), port=5432, user=SUPERUSER, names=(), major=version)
    finally:
        subprocess.run(["pg_ctl", "stop", "--mode=immediate", f"--pgdata={data}"], **quiet)


def make_database(server: DatabasePlan, name: str, script: str = "", options: str = "") -> DatabasePlan:
    """An empty database with the script run in it, and the plan that names just this one."""
    execute(server, "postgres", f"CREATE DATABASE {quoted(name)} {options}")
    if script:
        execute(server, name, script)
    return replace(server, names=(name,))


def execute(server: DatabasePlan, name: str, script: str) -> None:
    """Statements as a superuser types them, with the server's own settings."""
    with connect(server, name, with_its_settings=True) as connection:
        connection.execute(script.encode())


def value(server: DatabasePlan, name: str, query: str) -> object:
    """The one value that a query gives."""
    with connect(server, name) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
