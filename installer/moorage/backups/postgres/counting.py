"""All that is known of a database in one moment: taken while it is dumped, and again after it was restored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from moorage.backups.manifest import DatabaseFacts, SequenceFacts
from moorage.backups.postgres import contents
from moorage.backups.postgres.archive import folder_name
from moorage.backups.postgres.properties import identity, properties
from moorage.backups.postgres.tables import Table, counted

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection


def database_facts(
    connection: Connection, counter: Connection, name: str, snapshot: str, tables: Iterable[Table]
) -> DatabaseFacts:
    """Count rows by the `counter`, who has no power, and read the rest by the other, both in the same snapshot.

    Sequences are left to the caller, they know no snapshots.
    """
    owner, encoding, collation = identity(connection)
    count, step = contents.large_objects(connection)
    return DatabaseFacts(
        name=name,
        folder=folder_name(name),
        owner=owner,
        encoding=encoding,
        collation=collation,
        bytes=database_bytes(connection),
        snapshot=snapshot,
        tables=tuple(counted(counter, table, table.step) for table in tables),
        extensions=tuple(contents.extensions(connection).items()),
        invalid_indexes=contents.invalid_indexes(connection),
        large_objects=count,
        large_objects_check=contents.large_objects_check(connection, step) if count else "",
        objects=tuple(contents.objects(connection).items()),
        properties=properties(connection),
    )


def database_bytes(connection: Connection) -> int:
    """The size of the connection's database on disk."""
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


def sequence_facts(before: dict[str, int | None], after: dict[str, int | None]) -> tuple[SequenceFacts, ...]:
    """The window in which the dump found each sequence."""
    return tuple(SequenceFacts(name, value, after.get(name)) for name, value in before.items())
