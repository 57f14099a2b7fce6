"""The lock that backups share with deployments and migrations, so that none runs into another.

It is Postgres' advisory lock `hashtext('moorage:deployment')` in the maintenance database of the plan (`postgres` unless
the plan says otherwise), held by a session: it is free as soon as its holder is gone, however that came. From a shell:

    PGAPPNAME='moorage up' psql --dbname=postgres
    SELECT pg_advisory_lock(hashtext('moorage:deployment'));  -- hold it as long as this session is open

Not in the app's own database: a restore renames that one, which no session may be connected to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from moorage.backups.failures import Busy

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

_KEY = "pg_catalog.hashtext('moorage:deployment')"
_HOLDER = f"""
SELECT holder.application_name, holder.pid, to_char(holder.backend_start, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM pg_locks AS held JOIN pg_stat_activity AS holder USING (pid)
WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (held.classid::bigint << 32 | held.objid::bigint) = {_KEY}::bigint
"""  # noqa: S608


@contextmanager
def deployment_lock(connection: Connection, wait_seconds: int) -> Iterator[None]:
    """Hold the lock by a connection to the maintenance database. Raises Busy naming the holder after `wait_seconds`."""
    _take(connection, wait_seconds)
    try:
        yield
    finally:
        # The session's end frees it as well; a lost connection has freed it already.
        with suppress(Exception):
            connection.execute(f"SELECT pg_catalog.pg_advisory_unlock({_KEY})")


def _take(connection: Connection, wait_seconds: int) -> None:
    import psycopg

    try:
        with connection.transaction():
            # 0 would mean to wait for ever.
            connection.execute(
                "SELECT pg_catalog.set_config('lock_timeout', %s, true)", [str(max(1, wait_seconds * 1000))]
            )
            connection.execute(f"SELECT pg_catalog.pg_advisory_lock({_KEY})")
    except psycopg.errors.LockNotAvailable:
        raise Busy(
            f"{_holder(connection)} holds the deployment's lock; waited {wait_seconds} s",
            "let it finish, then run the same command again",
        ) from None


def _holder(connection: Connection) -> str:
    row = connection.execute(_HOLDER).fetchone()
    if row is None:
        return "another deployment, migration or backup"
    application, process, since = row
    return f"`{application or 'a session without a name'}` (process {process} of the server, since {since})"
