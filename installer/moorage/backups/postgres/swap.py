"""A restored database in the place of the live one, which stays under another name until somebody removes it.

Both renames are one transaction: a server that dies, or we, in the middle leaves all as it was, or all as it is to be.
While the renames wait for the app's sessions to end, Postgres lets no new one in, so an app that connects again and again
can't hold them off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import TYPE_CHECKING, Literal

from moorage.backups.failures import Busy, RestoreFailed
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect, reason_of

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

SwapState = Literal["restored", "swapped", "neither"]
# The longest name of a database.
NAME_BYTES = 63
_ATTEMPTS = 3


def incoming_name(name: str, id: str) -> str:  # noqa: A002
    """Where a backup is restored before it takes the place of the database `name`."""
    return _with_suffix(name, f"__incoming_{id}")


def before_name(name: str, id: str) -> str:  # noqa: A002
    """What the live database is called after the backup `id` took its place."""
    return _with_suffix(name, f"__before_{id}")


def swap_state(server: DatabasePlan, name: str, id: str) -> SwapState:  # noqa: A002
    """Whether the backup `id` waits beside the live database, has taken its place, or neither."""
    with closing(_aside(server, name)) as connection:
        there = _existing(connection, (name, incoming_name(name, id), before_name(name, id)))
    if before_name(name, id) in there:
        return "swapped"
    return "restored" if incoming_name(name, id) in there else "neither"


def swap(server: DatabasePlan, name: str, id: str, *, is_new: bool = False) -> None:  # noqa: A002
    """Put the restored database in the place of the live one, ending all sessions of both; done already is fine.

    One that `is_new` had no live one when it began: it just gets its name. Raises RestoreFailed when nothing was restored,
    Busy when sessions can't be ended.
    """
    if is_new:
        move(server, name, incoming_name(name, id), name)
    else:
        _exchange(server, name, incoming_name(name, id), before_name(name, id))


def undo_swap(server: DatabasePlan, name: str, id: str, *, is_new: bool = False) -> None:  # noqa: A002
    """The other way round: the database from before is live again, the restored one waits beside it."""
    if is_new:
        move(server, name, name, incoming_name(name, id))
    else:
        _exchange(server, name, before_name(name, id), incoming_name(name, id))


def missing(server: DatabasePlan, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the databases that the server does not have."""
    with closing(connect(server, server.maintenance if server.maintenance not in names else "template1")) as connection:
        there = _existing(connection, names)
    return tuple(name for name in names if name not in there)


def move(server: DatabasePlan, live: str, old: str, new: str) -> None:
    """Rename a database of the restore of `live`, ending its sessions; done already is fine. Raises RestoreFailed, Busy."""
    with closing(_aside(server, live)) as connection, closing(_aside(server, live)) as ender:
        there = _existing(connection, (old, new))
        if new in there and old not in there:
            return
        if new in there or old not in there:
            raise RestoreFailed(f"`{old}` can't be called `{new}`: there are {', '.join(sorted(there)) or 'neither'}")
        _rename(connection, ender, [(old, new)])


def _exchange(server: DatabasePlan, live: str, coming: str, going: str) -> None:
    with closing(_aside(server, live)) as connection, closing(_aside(server, live)) as ender:
        there = _existing(connection, (live, coming, going))
        if coming not in there:
            if {live, going} <= there:
                return
            raise RestoreFailed(f"there is no database `{coming}` to take the place of `{live}`")
        renames = [(live, going)] if live in there else []
        if renames and going in there:
            raise RestoreFailed(f"the database `{going}` is there already", "remove or rename it first")
        _rename(connection, ender, [*renames, (coming, live)])


def _rename(connection: Connection, ender: Connection, renames: Sequence[tuple[str, str]]) -> None:
    import psycopg

    names = [old for old, _ in renames]
    for attempt in range(_ATTEMPTS):
        with ThreadPoolExecutor(1) as pool:
            renaming = pool.submit(_renamed, connection, renames)
            _end_sessions_until(renaming, ender, names)
        try:
            return renaming.result()
        except psycopg.errors.ObjectInUse as error:
            # A prepared transaction or somebody else's session that we may not end.
            if attempt == _ATTEMPTS - 1:
                detail = error.diag.message_detail or ""
                raise Busy(
                    f"{reason_of(error)}; {detail}", "end what still uses it, then the same command again"
                ) from None
        except psycopg.Error as error:
            raise RestoreFailed(
                f"`{names[0]}` can't be renamed: {reason_of(error)}", "run the same command again"
            ) from None
    return None


def _renamed(connection: Connection, renames: Sequence[tuple[str, str]]) -> None:
    from psycopg import sql

    with connection.transaction():
        for old, new in renames:
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new))
            )


def _end_sessions_until(renaming: Future[None], ender: Connection, names: Sequence[str]) -> None:
    """End the sessions of these databases again and again, while the other connection waits to be alone."""
    while not renaming.done():
        ender.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s) AND pid <> pg_backend_pid()"
            " AND backend_type <> 'autovacuum worker'",
            [list(names)],
        )
        wait([renaming], timeout=0.1)


def _aside(server: DatabasePlan, name: str) -> Connection:
    """A connection to a database that is not renamed: an app may well live in `postgres` itself."""
    return connect(server, server.maintenance if server.maintenance != name else "template1")


def _existing(connection: Connection, names: Sequence[str]) -> set[str]:
    rows = connection.execute("SELECT datname::text FROM pg_database WHERE datname = ANY(%s)", [list(names)])
    return {row[0] for row in rows}


def _with_suffix(name: str, suffix: str) -> str:
    """A name of at most 63 bytes: a long one is cut, and a hash of all of it keeps it apart from others."""
    whole = name + suffix
    if len(whole.encode()) <= NAME_BYTES:
        return whole
    mark = f"_{hashlib.sha256(name.encode()).hexdigest()[:8]}{suffix}"
    return name.encode()[: NAME_BYTES - len(mark)].decode(errors="ignore") + mark
