"""The lock that keeps a dump and a migration apart: Postgres' advisory lock, held by a session of `psql` meanwhile.

The backup job takes the same one (see `backups/postgres/lock.py`). A session's end frees it, whatever ended it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import StackFacts

_WAIT_SECONDS = 1800
_HELD = "moorage holds the lock"
_STATEMENTS = (
    f"SET lock_timeout = '{_WAIT_SECONDS}s';\n"
    "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtext('moorage:deployment'));\n"
    f"\\echo {_HELD}\n"
)


@contextmanager
def migration_lock(docker: Docker, facts: StackFacts, console: Console) -> Iterator[None]:
    """Hold the lock while jobs change the database; without a database of ours there is nothing to hold.

    Raises DeployError when a backup is still being dumped after half an hour.
    """
    if not facts.postgres_service:
        yield
        return
    with docker.session("exec", "-T", "-e", "PGAPPNAME=moorage up", facts.postgres_service, *_client(facts)) as session:
        _take(session, console)
        yield


def _client(facts: StackFacts) -> tuple[str, ...]:
    options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
    return ("psql", *options, f"--username={facts.postgres_superuser}", "--dbname=postgres")


def _take(session: subprocess.Popen[str], console: Console) -> None:
    assert session.stdin is not None
    assert session.stdout is not None
    with console.waiting("no backup is being dumped", _WAIT_SECONDS):
        try:
            session.stdin.write(_STATEMENTS)
            session.stdin.flush()
        except BrokenPipeError:
            pass
        lines = iter(session.stdout.readline, "")
        if not any(line.strip() == _HELD for line in lines):
            raise DeployError(
                "the database is locked by a backup, or does not answer",
                "`moorage backup list`, `moorage logs postgres`",
            )
