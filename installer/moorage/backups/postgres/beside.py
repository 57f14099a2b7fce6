"""A restored database that stays beside the live one under a name of its own, to look into it.

Its comment says what made it: only a database with that comment is ever dropped as a copy, or left out of a backup.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from moorage.backups.failures import RestoreFailed
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.restore import drop_database
from moorage.backups.postgres.swap import NAME_BYTES, incoming_name, missing, move

# What stands before the restore's name in the comment.
COPY_MARK = "a copy, made by the moorage restore "


def own_names(into: str, databases: Sequence[str]) -> dict[str, str]:
    """What each database of a restore `into` a name is called there: one alone has just that name.

    Raises RestoreFailed for what Postgres would cut off: 63 bytes are the longest name.
    """
    found = {name: into if len(databases) == 1 else f"{into}_{name}" for name in databases}
    for own in found.values():
        if len(own.encode()) > NAME_BYTES:
            raise RestoreFailed(f"`{own}` is too long for the name of a database", "take a shorter one: 63 bytes")
    return found


def require_free(server: DatabasePlan, names: Sequence[str]) -> None:
    """Raise RestoreFailed when the server has one of these databases already."""
    free = missing(server, names)
    taken = [name for name in names if name not in free]
    if taken:
        raise RestoreFailed(
            f"there is a database `{taken[0]}` already; a restore writes into a new one only",
            "take another name; `moorage backup restores` shows the copies that restores have made",
        )


def keep_beside(server: DatabasePlan, name: str, identifier: str, own: str) -> None:
    """Call what was restored for the database `name` by its own name; done already is fine. Raises RestoreFailed."""
    from psycopg import sql

    incoming = incoming_name(name, identifier)
    with closing(connect(server, server.maintenance)) as connection:
        if incoming not in missing(server, (incoming,)):
            # First, so that a copy that has its name is known for one at any moment.
            connection.execute(
                sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(incoming), COPY_MARK + identifier)
            )
    move(server, name, incoming, own)


def drop_copy(server: DatabasePlan, own: str, identifier: str) -> None:
    """Remove the copy of that name that this restore has made; what is no such copy, and nothing at all, is left alone."""
    with closing(connect(server, server.maintenance)) as connection:
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [own]
        ).fetchone()
        if row and row[0] == COPY_MARK + identifier:
            drop_database(connection, own)
