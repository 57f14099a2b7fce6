"""What is inside of a dump, by its own table of contents, and whether its files are there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from moorage.backups.failures import DumpFailed
from moorage.backups.postgres.tables import Table
from moorage.errors import CommandFailed
from moorage.process import run
from moorage.words import plural

GLOBALS_FILE = "globals.sql"
_ENTRY = re.compile(r"^(\d+); \d+ (\d+) (TABLE DATA|SEQUENCE SET) ", re.MULTILINE)
_SHOWN = 5


@dataclass(frozen=True)
class Contents:
    """The tables by object id with the number of their data file, and how many sequences are set."""

    tables: dict[int, int]
    sequences: int


def folder_name(database: str) -> str:
    """The folder of a database's dump: its name where that is plain, `%` and digits for every other character."""
    return quote(database, safe="").replace(".", "%2E").replace("~", "%7E")


def contents_of(folder: Path) -> Contents:
    """Read the table of contents. Raises DumpFailed when `pg_restore` can't."""
    try:
        listed = run(["pg_restore", "--list", str(folder)]).output
    except CommandFailed as error:
        raise DumpFailed(f"the dump in {folder} can't be read: {error.output.strip()[-300:]}") from None
    entries = _ENTRY.findall(listed)
    tables = {int(oid): int(number) for number, oid, kind in entries if kind == "TABLE DATA"}
    return Contents(tables, sum(kind == "SEQUENCE SET" for _, _, kind in entries))


def refuse_partial(folder: Path, name: str, tables: Iterable[Table], sequences: int) -> None:
    """Hold a dump against what was counted, table by table by their object ids. Raises DumpFailed with what is missing."""
    found = contents_of(folder)
    names = {table.oid: table.name for table in tables}
    without_entry = [text for oid, text in names.items() if oid not in found.tables]
    without_file = [names.get(oid, str(oid)) for oid, number in found.tables.items() if not _has_rows(folder, number)]
    uncounted = [str(oid) for oid in found.tables if oid not in names]
    problems = [
        f"{plural(len(items), 'table')} {what}: {', '.join(items[:_SHOWN])}"
        for what, items in (
            ("counted, but not dumped", without_entry),
            ("dumped without a file", without_file),
            ("dumped, but not counted", uncounted),
        )
        if items
    ]
    if found.sequences != sequences:
        problems.append(f"{found.sequences} instead of {plural(sequences, 'sequence')}")
    if problems:
        raise DumpFailed(f"pg_dump of `{name}` ended well, but {'; '.join(problems)}", "run the same command again")


def _has_rows(folder: Path, number: int) -> bool:
    """Whether the file of an entry is there, whatever its compression; also an empty table's holds its end mark."""
    paths = [folder / f"{number}.{suffix}" for suffix in ("dat", "dat.gz", "dat.zst", "dat.lz4")]
    return any(path.is_file() and path.stat().st_size > 0 for path in paths)
