"""Roles of a dumped server, made again where a restore needs them: without passwords, which are in no backup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.backups.failures import RestoreFailed
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.archive import GLOBALS_FILE
from moorage.backups.postgres.connections import connect, reason_of

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

_CREATE = re.compile(r'^CREATE ROLE ("(?:[^"]|"")+"|[^\s";]+);\n', re.MULTILINE)
# psql's own commands; we are not psql, so nothing in the file can make us run one.
_META_COMMAND = re.compile(r"^\\(un)?restrict \w+\n", re.MULTILINE)


def recreate_roles(server: DatabasePlan, folder: Path) -> None:
    """Run `globals.sql` on a server that nobody uses yet: roles with their rights, memberships and settings.

    Those that are there already stay. Raises RestoreFailed.
    """
    import psycopg

    text = _META_COMMAND.sub("", _read(folder))
    with connect(server, server.maintenance) as connection:
        known = _known(connection)
        script = _CREATE.sub(lambda found: "" if plain_name(found[1]) in known else found[0], text)
        try:
            with connection.transaction():
                connection.execute(script.encode())
        except psycopg.Error as error:
            raise RestoreFailed(f"the roles of {GLOBALS_FILE} can't be made: {reason_of(error)}") from None


def add_missing_roles(connection: Connection, folder: Path) -> tuple[str, ...]:
    """Make those roles of the dump that the server lacks, as mere owners: they can't log in and have no rights.

    For a server in use: who was removed there on purpose must not come back with rights. Gives their names.
    """
    from psycopg import sql

    known = _known(connection)
    missing = tuple(name for name in _names(_read(folder)) if name not in known)
    for name in missing:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
    return missing


def _read(folder: Path) -> str:
    return (folder / GLOBALS_FILE).read_text(encoding="utf-8")


def _names(text: str) -> Iterator[str]:
    return (plain_name(found[1]) for found in _CREATE.finditer(text))


def plain_name(identifier: str) -> str:
    """A name as it is, of one that stands in a statement."""
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def _known(connection: Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT rolname::text FROM pg_roles")}
