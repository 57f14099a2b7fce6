"""Somebody's dump, carried out in a throw-away server until one database there holds what it makes.

A dump says by itself where it goes: one that was made with `--create` makes its own database and goes there, and a
cluster's makes several. So nothing is guessed: it is looked up afterwards where the tables are.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING

from moorage.backups.dump_files import MAKE_IT_AGAIN, DumpFile, section, unpacked
from moorage.backups.failures import RestoreFailed
from moorage.backups.manifest import DatabaseFacts
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect, program_environment, reason_of, without_values
from moorage.backups.postgres.properties import apply_properties, create_statement
from moorage.backups.postgres.restore import drop_database
from moorage.backups.postgres.tables import dumped_tables

if TYPE_CHECKING:
    from psycopg import sql

    from moorage.backups.postgres.connections import Connection

_MISSING_ROLE = re.compile(r'role "(.+)" does not exist')
# Roles that a dump names as owners are made as they are missed; a dump that names more is something else.
_MOST_ROLES = 50
# Who carries the dump out, and where it goes when it does not say so itself. What it names no owner for becomes this
# role's first, then the live owner's.
_LOADER = _PLACE = "moorage_import"
_MAINTENANCE = "postgres"
_PIECE_BYTES = 1 << 20
_HINTS = (
    ("locale", "make it without --create: then it gets the live database's collation"),
    ("tablespace", "make it with --no-tablespaces"),
    ("restrict", "the programs here are older than those that made it: take a newer image of Postgres"),
    ("unrecognized configuration parameter", "a newer Postgres made it: make it with the `pg_dump` of this version"),
)


def carry_out(scratch: DatabasePlan, dump: DumpFile, source: str, live: DatabaseFacts) -> DatabasePlan:
    """Load a dump (of a cluster's the database `source`) into a database of the scratch server that is named as `live` is.

    Where it brings no properties of its own the database has those of `live`. Raises RestoreFailed with the first error,
    or when nothing or more than one database comes of it.
    """
    import psycopg

    server = replace(scratch, maintenance="template1", names=(live.name,))
    try:
        _load(server, dump, source, live)
        found = _landed(server)
        with closing(connect(server, found)) as connection:
            connection.execute(_statement("REASSIGN OWNED BY {} TO {}", _LOADER, live.owner))
        with closing(connect(server, server.maintenance)) as connection:
            _rename(connection, found, live.name)
            if found == _PLACE:
                apply_properties(connection, live, live.name, may_all=True)
    except psycopg.Error as error:
        raise RestoreFailed(f"what came of the dump can't be used: {reason_of(error)}", MAKE_IT_AGAIN) from None
    return server


def _load(server: DatabasePlan, dump: DumpFile, source: str, live: DatabaseFacts) -> None:
    """Again and again, with one more of the roles that the dump names, until it goes through."""
    known = live.properties
    named = [item[0] for item in known.settings] + [item[0] for item in known.privileges]
    roles = [role for role in dict.fromkeys([live.owner, *named]) if role]
    most = len(roles) + _MOST_ROLES
    while True:
        _begin_anew(server, dump, roles, live)
        errors = _carried_out(server, dump, source)
        if not errors:
            return
        missing = _MISSING_ROLE.search(errors)
        if missing is None or missing[1] in roles or len(roles) >= most:
            raise _refused(errors)
        roles.append(missing[1])


def _begin_anew(server: DatabasePlan, dump: DumpFile, roles: list[str], live: DatabaseFacts) -> None:
    """No database but the empty one that the dump goes to, and the roles."""
    with closing(connect(server, server.maintenance)) as connection:
        for (name,) in connection.execute("SELECT datname::text FROM pg_database WHERE NOT datistemplate").fetchall():
            drop_database(connection, name)
        known = {str(row[0]) for row in connection.execute("SELECT rolname::text FROM pg_roles")}
        for role in roles:
            if role not in known:
                connection.execute(_statement("CREATE ROLE {}", role))
        if _LOADER not in known:
            connection.execute(_statement("CREATE ROLE {} LOGIN SUPERUSER", _LOADER))
        connection.execute(create_statement(live, _PLACE, connection.info.server_version))
        connection.execute(_statement("ALTER DATABASE {} OWNER TO {}", _PLACE, live.owner))
        if dump.kind == "cluster":
            # `pg_dumpall` makes every database but this one.
            connection.execute(_statement("CREATE DATABASE {} TEMPLATE template0", _MAINTENANCE))


def _carried_out(server: DatabasePlan, dump: DumpFile, source: str) -> str:
    """What the client complained about, "" when all went well."""
    is_archive = dump.kind == "archive"
    program = ["pg_restore", "--exit-on-error"] if is_archive else ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
    with unpacked(dump.path) as stream, tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            [*program, "--dbname", _PLACE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**program_environment(server, _PLACE), "PGUSER": _LOADER},
        ) as client:
            assert client.stdin is not None
            # One that ends before its input says why.
            with suppress(BrokenPipeError), client.stdin as sink:
                for piece in section(stream, source) if dump.kind == "cluster" else _pieces(stream):
                    sink.write(piece)
        said.seek(0)
        errors = said.read().decode("utf-8", "replace")
    return (errors or f"status {client.returncode}") if client.returncode else ""


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    while piece := stream.read(_PIECE_BYTES):
        yield piece


def _landed(server: DatabasePlan) -> str:
    """The one database that has tables now."""
    with closing(connect(server, server.maintenance)) as connection:
        rows = connection.execute("SELECT datname::text FROM pg_database WHERE NOT datistemplate ORDER BY 1").fetchall()
    found = [str(name) for (name,) in rows if _has_tables(server, name)]
    if len(found) == 1:
        return found[0]
    what = f"fills more than one database: {', '.join(found)}" if found else "makes no table"
    raise RestoreFailed(f"the dump {what}", MAKE_IT_AGAIN)


def _has_tables(server: DatabasePlan, name: str) -> bool:
    with closing(connect(server, name)) as connection:
        return bool(dumped_tables(connection))


def _rename(connection: Connection, found: str, name: str) -> None:
    if found != name:
        drop_database(connection, name)
        connection.execute(_statement("ALTER DATABASE {} RENAME TO {}", found, name))


def _statement(text: str, *names: str) -> sql.Composed:
    """A statement with names in it, each quoted as an identifier."""
    from psycopg import sql

    return sql.SQL(text).format(*(sql.Identifier(name) for name in names))


def _refused(errors: str) -> RestoreFailed:
    lines = errors.splitlines() or ["no reason given"]
    first = without_values(next((line for line in lines if "error" in line.lower()), lines[0]))[:300]
    hint = next((hint for word, hint in _HINTS if word in first), "nothing was changed")
    return RestoreFailed(f"the dump can't be carried out: {first}", hint)
