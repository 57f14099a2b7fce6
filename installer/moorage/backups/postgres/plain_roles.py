"""Roles without power, made for a piece of work and dropped after it: whatever an app has defined runs with their rights.

To count rows the planner computes index expressions; to write rows the server runs CHECK constraints, domains and casts;
to make a table it computes what is constant in its expressions. All of these may be functions of the app, and they run with the
rights of whoever is connected. A role of the app's that owns a database would be superuser after one night.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect, is_superuser
from moorage.errors import MoorageError
from moorage.sensitive import Sensitive

if TYPE_CHECKING:
    from psycopg import sql

    from moorage.backups.postgres.connections import Connection

# No role of an operator's is called so; what is granted to one is no property of a database.
PREFIX = "moorage_plain_"
READS = ("pg_read_all_data",)
WRITES = ("pg_read_all_data", "pg_write_all_data")
_UNUSED = """
SELECT rolname::text FROM pg_roles
WHERE starts_with(rolname, %s) AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usesysid = pg_roles.oid)
"""
_CLOSED_SCHEMAS = """
SELECT n.nspname::text, r.rolname::text FROM pg_namespace AS n, pg_roles AS r
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND r.rolname = ANY(%s)
AND NOT has_schema_privilege(r.oid, n.oid, 'CREATE')
"""
_TABLES_OF_SUPERUSERS = """
SELECT n.nspname::text, c.relname::text
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_roles AS r ON r.oid = c.relowner
WHERE c.relkind IN ('r', 'p') AND r.rolsuper AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT has_table_privilege(%s, c.oid, 'REFERENCES')
"""
_FOREIGN_SERVERS = "SELECT srvname::text FROM pg_foreign_server WHERE NOT has_server_privilege(%s, oid, 'USAGE')"
# The first with roles that may read and write everything; older ones get no fixes of any kind.
_FIRST_VERSION = 140000


@contextmanager
def plain_role(server: DatabasePlan, name: str, member_of: Sequence[str] = READS) -> Iterator[DatabasePlan]:
    """The server as a new role that may connect to `name` and has the rights of `member_of`, gone at the end.

    Where the plan's own role is no superuser, that is the plain one. Raises DatabaseUnreachable.
    """
    with connect(server, server.maintenance) as connection:
        if not is_superuser(connection) or connection.info.server_version < _FIRST_VERSION:
            yield server
            return
        _drop_left_over(connection)
        role, password = f"{PREFIX}{secrets.token_hex(8)}", Sensitive(secrets.token_hex(32))
        try:
            _create(connection, role, password, name, member_of)
            with _password_file(role, password) as file:
                yield replace(server, user=role, password_file=file)
        finally:
            _drop_from(server, name, role)
            _drop(connection, role)


def _create(connection: Connection, role: str, password: Sensitive, name: str, member_of: Sequence[str]) -> None:
    from psycopg import sql

    # What the server may write into its log is not the password.
    verifier = connection.pgconn.encrypt_password(password.reveal().encode(), role.encode(), b"scram-sha-256").decode()
    create = sql.SQL("CREATE ROLE {} LOGIN BYPASSRLS PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
    connection.execute(create)
    for other in member_of:
        connection.execute(_statement("GRANT {} TO {}", other, role))
    row = connection.execute("SELECT has_database_privilege(%s::name, %s, 'CONNECT')", [role, name]).fetchone()
    if not row or not row[0]:
        connection.execute(_statement("GRANT CONNECT ON DATABASE {} TO {}", name, role))


@contextmanager
def making_allowed(inside: Connection, role: str, owners: Sequence[str]) -> Iterator[Callable[[], None]]:
    """What has to be allowed while `role` makes what `owners` will own in a new database; it is taken back at the end.

    Gives what is to be called whenever new schemas or tables may be there. An object is given only to who may make one where
    it is, and not every owner still may; what is granted to the role itself goes with it.
    """
    from psycopg import sql

    given: set[tuple[str, str]] = set()

    def allow() -> None:
        for schema, owner in inside.execute(_CLOSED_SCHEMAS, [list(owners)]).fetchall():
            inside.execute(_statement("GRANT USAGE, CREATE ON SCHEMA {} TO {}", schema, owner))
            given.add((schema, owner))
        for schema, table in inside.execute(_TABLES_OF_SUPERUSERS, [role]).fetchall():
            name = sql.Identifier(schema, table)
            inside.execute(sql.SQL("GRANT REFERENCES ON {} TO {}").format(name, sql.Identifier(role)))
        for (foreign,) in inside.execute(_FOREIGN_SERVERS, [role]).fetchall():
            inside.execute(_statement("GRANT USAGE ON FOREIGN SERVER {} TO {}", foreign, role))

    # After a failure there is nothing to take back: the database is removed.
    yield allow
    for schema, owner in given:
        inside.execute(_statement("REVOKE USAGE, CREATE ON SCHEMA {} FROM {}", schema, owner))


@contextmanager
def _password_file(role: str, password: Sensitive) -> Iterator[str]:
    """A pgpass file in memory, for the server's rules that want a password from every role."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of mode 0700 is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        file = Path(folder) / "pgpass"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
            stream.write(f"*:*:*:{role}:{password.reveal()}\n")
        yield str(file)


def _drop_left_over(connection: Connection) -> None:
    """Those of jobs that were killed. One that half a restored database knows goes after that database."""
    for row in connection.execute(_UNUSED, [PREFIX]).fetchall():
        _drop(connection, row[0])


def _drop_from(server: DatabasePlan, name: str, role: str) -> None:
    """Take back what was granted inside of a database; one that was removed has nothing to take back."""
    import psycopg

    with suppress(MoorageError, psycopg.Error), connect(server, name, wait_seconds=0) as connection:
        connection.execute(_statement("DROP OWNED BY {}", role))


def _drop(connection: Connection, role: str) -> None:
    import psycopg

    with suppress(psycopg.Error):
        connection.execute(_statement("DROP OWNED BY {}", role))
        connection.execute(_statement("DROP ROLE {}", role))


def _statement(text: str, *names: str) -> sql.Composed:
    from psycopg import sql

    return sql.SQL(text).format(*(sql.Identifier(name) for name in names))
