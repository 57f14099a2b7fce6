"""The tables whose rows a dump holds, counted, with a check over what stands in them.

Counted is what `pg_dump` writes as data: tables with their partitions and unlogged ones, the rows of an extension's own
tables that it declares as configuration; not temporary ones, not foreign ones, not materialized views (they are computed
again). Each table by its own, without those that inherit from it.

The check is the sum of a 64-bit hash over the text of every row, so order does not matter and a value that moved to
another row does. Columns go by name, because a restore may order them otherwise; generated ones are computed again and
stay out. In a big table only about `SAMPLED_BYTES` of rows go into it, chosen by a hash of their key: the same rows on
every server, from all over the table. The rows themselves are counted exactly, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.backups.manifest import TableFacts

if TYPE_CHECKING:
    from psycopg import sql

    from moorage.backups.postgres.connections import Connection

SAMPLED_BYTES = 64 << 20

# What belongs to the system, to a session or to an extension is not dumped, but for an extension's configuration.
DUMPED = """
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT true AS is_member, array_position(e.extconfig, c.oid) AS place, e.extcondition AS conditions
    FROM pg_depend AS d JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
) AS extension ON true
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
AND (extension.is_member IS NULL OR extension.place IS NOT NULL)
"""
_TABLES = f"""
SELECT c.oid::bigint, n.nspname::text, c.relname::text, format('%I.%I', n.nspname, c.relname), pg_table_size(c.oid),
    coalesce(extension.conditions[extension.place], ''),
    ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' ORDER BY a.attname COLLATE "C"),
    ARRAY(SELECT a.attname::text FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attname COLLATE "C"),
    ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attgenerated = '' AND a.attlen > 0 ORDER BY a.attname COLLATE "C")
{DUMPED} AND c.relkind = 'r'
ORDER BY format('%I.%I', n.nspname, c.relname) COLLATE "C"
"""  # noqa: S608


@dataclass(frozen=True)
class Table:
    """A table as the catalogue has it; `name` is quoted where needed, `condition` a WHERE clause or "".

    `key` are the columns by whose hash rows are chosen in a big table: its primary key, or else what is short.
    """

    oid: int
    schema: str
    relation: str
    name: str
    bytes: int
    condition: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def step(self) -> int:
        """One row of how many goes into the check."""
        return max(1, self.bytes // SAMPLED_BYTES)


def dumped_tables(connection: Connection) -> tuple[Table, ...]:
    """The tables whose rows a dump of this database holds, by name."""
    rows = connection.execute(_TABLES).fetchall()
    return tuple(
        Table(oid, schema, relation, name, size, condition, tuple(columns), tuple(primary or short or columns))
        for oid, schema, relation, name, size, condition, columns, primary, short in rows
    )


def counted(connection: Connection, table: Table, step: int) -> TableFacts:
    """Rows and check of a table; of a row that is too long for a text only the count, and so of a table with no columns."""
    import psycopg

    if table.columns:
        try:
            with connection.transaction():
                row = connection.execute(_counting(table, step)).fetchone()
            assert row is not None
            return TableFacts(table.name, row[0], f"{step}:{int(row[1]) % (1 << 64):016x}")
        except psycopg.errors.ProgramLimitExceeded:
            pass
    row = connection.execute(_of(table, "count(*)")).fetchone()
    assert row is not None
    return TableFacts(table.name, row[0])


def step_of(check: str) -> int:
    """The step that a check was taken with."""
    return int(check.partition(":")[0] or 1)


def _counting(table: Table, step: int) -> sql.Composed:
    from psycopg import sql

    # The collation is named so that no other, of the database or a column, can change the hash. Rows and values become text
    # by their types' output functions, as in a dump: a cast to text may be a function of the app.
    content = sql.SQL('sum(hashtextextended(ROW({row})::text COLLATE "C", 0))').format(row=_names(table.columns))
    if step > 1:
        content += sql.SQL(' FILTER (WHERE hashtextextended(concat({key}) COLLATE "C", 1) % {step} = 0)').format(
            key=_names(table.key), step=sql.Literal(step)
        )
    return _of(table, sql.SQL("count(*), coalesce({content}, 0)").format(content=content))


def _of(table: Table, what: str | sql.Composed) -> sql.Composed:
    from psycopg import sql

    # The condition is SQL of the extension, made to be put here: `WHERE NOT standard`.
    return sql.SQL("SELECT {what} FROM ONLY {table} {condition}").format(
        what=sql.SQL(what) if isinstance(what, str) else what,
        table=sql.Identifier(table.schema, table.relation),
        condition=sql.SQL(table.condition),
    )


def _names(columns: Sequence[str]) -> sql.Composed:
    from psycopg import sql

    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)
