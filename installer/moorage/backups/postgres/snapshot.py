"""The moment of a dump: one transaction that sees it, keeps the tables as they are, and lets `pg_dump` see the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.backups.failures import Busy, DumpFailed
from moorage.backups.postgres.connections import reason_of
from moorage.backups.postgres.tables import Table, dumped_tables

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

_ATTEMPTS = 5
_AFTER_MIGRATION = "let the migration finish, then run the same command again"
# The catalogue of the snapshot against the one of now: TRUNCATE and ALTER TABLE empty a table for older snapshots, too.
_REWRITTEN = """
SELECT count(*) FROM pg_class AS c
WHERE c.oid = ANY(%s::oid[]) AND pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode
"""
_HOLDERS = """
SELECT DISTINCT coalesce(nullif(a.application_name, ''), 'a session without a name'), a.pid, l.relation::regclass::text
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND a.pid <> pg_backend_pid() LIMIT 3
"""


@dataclass(frozen=True)
class Snapshot:
    """The name under which other sessions see the same, and the tables of that moment, which nobody can change now."""

    name: str
    tables: tuple[Table, ...]


@contextmanager
def snapshot(connection: Connection, lock_wait_seconds: int) -> Iterator[Snapshot]:
    """A read-only transaction with all tables locked against change of their shape, rows may change as they like.

    Raises Busy when a migration holds one of them longer than `lock_wait_seconds`.
    """
    import psycopg

    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    for _ in range(_ATTEMPTS):
        with connection.transaction():
            moment = _moment(connection, lock_wait_seconds)
            if moment is not None:
                yield moment
                return
    raise Busy(
        "tables were dropped or rewritten again and again while the dump was to begin",
        _AFTER_MIGRATION,
    )


@contextmanager
def same_moment(connection: Connection, moment: Snapshot, lock_wait_seconds: int) -> Iterator[None]:
    """The same by another connection, its tables locked as well. Raises Busy when a migration is about to hold one."""
    import psycopg
    from psycopg import sql

    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    with connection.transaction():
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(moment.name)))
        try:
            _wait_at_most(connection, lock_wait_seconds)
            _lock(connection, moment.tables)
        except psycopg.errors.LockNotAvailable:
            raise Busy(
                f"a migration waits for a table; waited {lock_wait_seconds} s, nothing was dumped", _AFTER_MIGRATION
            ) from None
        yield


def holders(connection: Connection) -> str:
    """Who keeps tables of this database for itself, in words; "" when nobody does."""
    rows = connection.execute(_HOLDERS).fetchall()
    return ", ".join(f"`{name}` (process {pid} of the server) holds {table}" for name, pid, table in rows)


def _moment(connection: Connection, lock_wait_seconds: int) -> Snapshot | None:
    """The snapshot with its tables locked; None when one has gone or was rewritten since it was taken."""
    import psycopg

    try:
        with connection.transaction():
            # First of all: even to ask for the size of a table waits for its lock.
            _wait_at_most(connection, lock_wait_seconds)
            tables = dumped_tables(connection)
            _lock(connection, tables)
            was_rewritten = connection.execute(_REWRITTEN, [[table.oid for table in tables]]).fetchone()
    except psycopg.errors.LockNotAvailable:
        raise Busy(
            f"{holders(connection) or 'a session holds a table'}; waited {lock_wait_seconds} s, nothing was dumped",
            _AFTER_MIGRATION,
        ) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    except psycopg.Error as error:
        raise DumpFailed(f"tables can't be locked for the dump: {reason_of(error)}", hint_of(error)) from None
    if was_rewritten is None or was_rewritten[0]:
        return None
    exported = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert exported is not None
    return Snapshot(exported[0], tables)


def _wait_at_most(connection: Connection, lock_wait_seconds: int) -> None:
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [str(max(1, lock_wait_seconds * 1000))])


def _lock(connection: Connection, tables: Sequence[Table]) -> None:
    from psycopg import sql

    if tables:
        names = sql.SQL(", ").join(sql.Identifier(table.schema, table.relation) for table in tables)
        connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS SHARE MODE").format(names))


def hint_of(error: BaseException) -> str:
    """The next step after what the server refused, where it is known."""
    import psycopg

    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return "the backup's role must read every table: GRANT pg_read_all_data, or make it the owner"
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return "on a standby no role can be made to count with: give the backup one that is no superuser"
    if isinstance(error, psycopg.errors.OutOfMemory):
        return "raise max_locks_per_transaction on the server: a dump locks every table"
    return ""
