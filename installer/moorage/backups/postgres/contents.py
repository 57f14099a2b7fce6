"""What a database holds beside the rows of its tables: sequences, extensions, large objects, indexes and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moorage.backups.postgres.connections import is_superuser
from moorage.backups.postgres.tables import DUMPED, SAMPLED_BYTES

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

# Of a large object its first MiB goes into the check.
_LARGE_OBJECT_BYTES = 1 << 20
_SEQUENCES = f"""
SELECT format('%I.%I', n.nspname, c.relname), pg_sequence_last_value(c.oid) {DUMPED} AND c.relkind = 'S' ORDER BY 1
"""
_INVALID_INDEXES = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND n.nspname !~ '^pg_' ORDER BY 1
"""
_LARGE_OBJECTS = """
SELECT coalesce(sum(hashtextextended(concat(oid, ' ', md5(lo_get(oid, 0, %s))), 0)), 0)
FROM pg_largeobject_metadata WHERE hashint8extended(oid::bigint, 1) %% %s = 0
"""
# An index that is not valid is not dumped; what an extension brings comes with it.
_OBJECTS = """
WITH plain AS (
    SELECT c.oid, c.relkind FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
)
SELECT 'views', count(*) FROM plain WHERE relkind = 'v'
UNION ALL SELECT 'materialized views', count(*) FROM plain WHERE relkind = 'm'
UNION ALL SELECT 'partitioned tables', count(*) FROM plain WHERE relkind = 'p'
UNION ALL SELECT 'foreign tables', count(*) FROM plain WHERE relkind = 'f'
UNION ALL SELECT 'indexes', count(*) FROM pg_index JOIN plain ON plain.oid = indrelid WHERE indisvalid
UNION ALL SELECT 'constraints', count(*) FROM pg_constraint JOIN plain ON plain.oid = conrelid
    WHERE contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL SELECT 'triggers', count(*) FROM pg_trigger JOIN plain ON plain.oid = tgrelid WHERE NOT tgisinternal
UNION ALL SELECT 'policies', count(*) FROM pg_policy JOIN plain ON plain.oid = polrelid
UNION ALL SELECT 'functions', count(*) FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
"""


def sequences(connection: Connection) -> dict[str, int | None]:
    """Every dumped sequence and the last value that it gave out, whatever the snapshot; None when it was never used."""
    return _map(connection, _SEQUENCES)


def extensions(connection: Connection) -> dict[str, str]:
    """Every extension and its version."""
    return _map(connection, "SELECT extname::text, extversion FROM pg_extension ORDER BY 1")


def invalid_indexes(connection: Connection) -> tuple[str, ...]:
    """Indexes that are not finished or broken."""
    return tuple(row[0] for row in connection.execute(_INVALID_INDEXES))


def objects(connection: Connection) -> dict[str, int]:
    """How many there are of each kind of object that is no plain table and of no extension."""
    return _map(connection, _OBJECTS)


def large_objects(connection: Connection) -> tuple[int, int]:
    """How many large objects there are, and one of how many a check should look at."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM pg_largeobject_metadata), pg_table_size('pg_largeobject')"
    ).fetchone()
    assert row is not None
    return row[0], max(1, row[1] // SAMPLED_BYTES)


def large_objects_check(connection: Connection, step: int) -> str:
    """A check over one of `step` large objects; "" where this role may not read those of others."""
    if not is_superuser(connection):
        return ""
    found = connection.execute(_LARGE_OBJECTS, [_LARGE_OBJECT_BYTES, step]).fetchone()
    assert found is not None
    return f"{step}:{int(found[0]) % (1 << 64):016x}"


def _map(connection: Connection, query: str) -> dict[str, Any]:
    return {name: value for name, value in connection.execute(query)}  # noqa: C416
