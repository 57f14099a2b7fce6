"""The server as a whole: what it is, whether our client programs fit it, how much room its databases need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.backups.failures import Busy, WrongVersion
from moorage.backups.manifest import ServerFacts
from moorage.process import run

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

# Below these minors a hostile dump runs code in the client (CVE-2026-116314 for pg_restore, CVE-2026-18408 for psql).
_FLOORS = {14: 25, 15: 20, 16: 16, 17: 12, 18: 7}
_SCRATCH_FACTOR = 1.2
_SCRATCH_BYTES = 256 << 20
# Extensions that must be loaded at the start can't be restored into a server without them.
_NEEDED_SETTINGS = ("shared_preload_libraries", "cron.database_name")

_SIZES = """
SELECT pg_database_size(current_database()), coalesce(sum(pg_table_size(oid)), 0)::bigint
FROM pg_class WHERE relkind = 'r' AND relpersistence <> 't'
"""


@dataclass(frozen=True)
class Room:
    """Bytes: the databases on disk, what their dumps take at most, and what a scratch server takes to restore them."""

    databases: int
    dumps: int
    scratch: int


def server_facts(connection: Connection) -> ServerFacts:
    """What the server says of itself; what this role may not ask stays empty."""
    row = connection.execute(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
        " current_setting('data_checksums') = 'on', pg_get_userbyid(10),"
        " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
    ).fetchone()
    assert row is not None
    version, number, checksums, superuser, lsn = row
    return ServerFacts(
        version=str(version).partition(" ")[0],
        version_number=number,
        system_identifier=system_identifier(connection),
        data_checksums=checksums,
        lsn=lsn or "",
        superuser=superuser,
        settings=_settings(connection),
    )


def system_identifier(connection: Connection) -> str:
    """The number that tells clusters apart, "" where the role may not ask for it."""
    import psycopg

    try:
        row = connection.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return ""
    return str(row[0]) if row else ""


def client_version(program: str = "pg_dump") -> tuple[int, int]:
    """Major and minor version of a client program. Raises WrongVersion when it tells none."""
    said = run([program, "--version"]).output
    found = re.search(r"\(PostgreSQL\) (\d+)\.(\d+)", said)
    if found is None:
        raise WrongVersion(f"`{program} --version` says {said.strip()[:80]!r}, which is no released version")
    return int(found[1]), int(found[2])


def refuse_other_client(server: ServerFacts, client: tuple[int, int]) -> None:
    """Raise WrongVersion unless the client programs are of the server's major version.

    A known hole in them is no reason to go without backups of one's own data: `known_hole` gives what to warn of.
    """
    major, minor = client
    if major != server.version_number // 10000:
        raise WrongVersion(
            f"pg_dump is of version {major}.{minor}, the server of {server.version}",
            "build the job's image again: `moorage up` makes it from the server's own image",
        )


def known_hole(client: tuple[int, int]) -> str:
    """What is wrong with client programs of this version, "" where nothing is known; old majors get no fixes at all."""
    major, minor = client
    floor = _FLOORS.get(major)
    if floor is not None and minor < floor:
        return f"the Postgres programs {major}.{minor} have a known hole, closed in {major}.{floor}"
    if major < min(_FLOORS):
        return f"Postgres {major} is no longer maintained; the oldest that is is {min(_FLOORS)}"
    return ""


def needed_room(connections: list[Connection]) -> Room:
    """The room that dump and drill of these databases need; indexes are not dumped, so tables are the upper bound.

    Raises Busy when a migration holds a table too long.
    """
    sizes = [_sizes(connection) for connection in connections]
    databases, dumps = sum(size for size, _ in sizes), sum(size for _, size in sizes)
    return Room(databases, dumps, int(databases * _SCRATCH_FACTOR) + _SCRATCH_BYTES)


def _sizes(connection: Connection) -> tuple[int, int]:
    import psycopg

    try:
        row = connection.execute(_SIZES).fetchone()
    except psycopg.errors.LockNotAvailable:
        raise Busy(
            "a session holds a table for itself, so its size can't be asked for",
            "let the migration finish, then run the same command again",
        ) from None
    assert row is not None
    return row[0], row[1]


def _settings(connection: Connection) -> tuple[tuple[str, str], ...]:
    rows = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) AND setting <> '' ORDER BY name",
        [list(_NEEDED_SETTINGS)],
    )
    return tuple((name, value) for name, value in rows)
