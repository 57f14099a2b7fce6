"""Which databases a backup has: those of the configuration, and on a server of our own whatever else somebody made there."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.beside import COPY_MARK
from moorage.backups.postgres.connections import connect

# What a restore keeps beside the live ones is no part of a backup.
_KEPT_ASIDE = re.compile(r"__(incoming|before)_\d{8}T\d{6}Z-[0-9a-f]{6}$")
_FIRST_OWN_OBJECT = 16384
_OTHERS = """
SELECT datname::text, datallowconn, coalesce(starts_with(shobj_description(oid, 'pg_database'), %s), false) FROM pg_database
WHERE NOT datistemplate AND NOT datname = ANY(%s) ORDER BY datname
"""


def with_unnamed(server: DatabasePlan, tell: Callable[[str], object]) -> DatabasePlan:
    """The plan with every database of the server: one that a person made by hand must not be missing on the bad day.

    The database for maintenance counts when somebody has put something into it. `tell` gets a sentence for each that the
    configuration does not name, and for each that can't be connected to and is therefore in no backup. Asks on any
    server: leave one alone that is not the deployment's own. Raises DatabaseUnreachable.
    """
    found = list(server.names)
    with closing(connect(server, server.maintenance)) as connection:
        others = connection.execute(_OTHERS, [COPY_MARK, list(server.names)]).fetchall()
    for name, is_open, is_copy in others:
        if _KEPT_ASIDE.search(name):
            continue
        if is_copy:
            tell(f"the database `{name}` is a copy that a restore has made: it is in no backup")
        elif not is_open:
            tell(f"the database `{name}` lets nobody connect: it is in no backup")
        elif name != server.maintenance or _has_own_tables(server, name):
            tell(f"the database `{name}` is not in moorage.yaml; it is in the backup all the same")
            found.append(name)
    return replace(server, names=tuple(found))


def _has_own_tables(server: DatabasePlan, name: str) -> bool:
    with closing(connect(server, name)) as connection:
        query = "SELECT EXISTS (SELECT FROM pg_class WHERE oid >= %s AND relkind IN ('r', 'p', 'm', 'v', 'S', 'f'))"
        row = connection.execute(query, [_FIRST_OWN_OBJECT]).fetchone()
    return bool(row and row[0])
