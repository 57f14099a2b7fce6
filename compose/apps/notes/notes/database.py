"""How the processes reach Postgres, and which errors mean that it is away."""

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

CONNECT_TIMEOUT_SECONDS = 3
# Also raised before the first migration and while a standby is read-only: both pass by themselves.
UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.ReadOnlySqlTransaction,
)

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]


def make_pool(database_url: str) -> Pool:
    """Return a pool, not yet open, that outlives restarts of the database.

    A connection is tried before it is lent, so that a restart costs a moment, not a failed request.
    Reconnecting gives up soon, because the next request starts it anew: with the long back-off that
    is the default, a database that was away for minutes would be missed for minutes more.
    """
    return AsyncConnectionPool(
        database_url,
        kwargs={"connect_timeout": CONNECT_TIMEOUT_SECONDS, "application_name": "notes-web"},
        connection_class=Connection,
        min_size=1,
        max_size=8,
        timeout=3,
        reconnect_timeout=2,
        check=AsyncConnectionPool.check_connection,
        open=False,
        name="postgres",
    )


def connect(database_url: str, application_name: str) -> psycopg.Connection[TupleRow]:
    """Return a single connection in autocommit mode, or raise psycopg.OperationalError."""
    return psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        application_name=application_name,
    )
