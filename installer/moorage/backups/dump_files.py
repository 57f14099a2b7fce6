"""A dump that somebody brings: of which kind its file is, and whether all of it is there.

`psql` takes the end of a file for the end of the rows that it reads, so that plain SQL that was cut short loads without an
error. What `pg_dump` writes ends with a line that says so; a file without it is refused. A custom archive needs no such
line: `pg_restore` notices each cut by itself. It does not in a tar or a folder, so these are refused.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Literal

from moorage.backups.failures import RestoreFailed

Kind = Literal["sql", "cluster", "archive"]

MAKE_IT_AGAIN = "`pg_dump --format=custom --file=dump.pgdump DATABASE` makes one that fits; nothing was changed"
_UNPACKERS = {b"\x1f\x8b": ("gzip", "-dc"), b"\x28\xb5\x2f\xfd": ("zstd", "-dc"), b"\xfd7zXZ": ("xz", "-dc")}
_ARCHIVE = b"PGDMP"
_TAR, _TAR_AT = b"ustar", 257
_CLOSING = b"-- PostgreSQL database dump complete"
_CLUSTER_CLOSING = b"-- PostgreSQL database cluster dump complete"
_SECTION = re.compile(rb'^-- Database "(.+)" dump\r?\n$')
# What may follow the closing line.
_NOTHING = (b"", b"--")
# A row may be as long as a gigabyte; it is handled in pieces.
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class DumpFile:
    """A whole dump; `databases` are those of a cluster's (`pg_dumpall`), in their order."""

    path: Path
    kind: Kind
    databases: tuple[str, ...] = ()


def examine(path: Path) -> DumpFile:
    """Read a dump to its end. Raises RestoreFailed where it is cut, damaged, or of a kind that can't be trusted."""
    if path.stat().st_size == 0:
        raise RestoreFailed(f"{path.name} is empty", MAKE_IT_AGAIN)
    with unpacked(path) as stream:
        head = stream.read(_TAR_AT + len(_TAR))
    if head[_TAR_AT:] == _TAR:
        raise RestoreFailed(f"{path.name} is a tar, in which nobody notices when a part is missing", MAKE_IT_AGAIN)
    with unpacked(path) as stream:
        if head.startswith(_ARCHIVE):
            _read_to_the_end(stream)
            return DumpFile(path, "archive")
        return _examined_sql(path, stream)


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked on the way.

    Raises RestoreFailed when they were read to their end and the packed file was cut or damaged.
    """
    with path.open("rb") as stream:
        head = stream.read(8)
        unpacker = next((command for magic, command in _UNPACKERS.items() if head.startswith(magic)), None)
        stream.seek(0)
        if unpacker is None:
            yield stream
            return
    with subprocess.Popen([*unpacker, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        yield program.stdout
        was_read = not program.stdout.read(1)
        # Whoever wanted only a part of it ends the program by this, which is no failure.
        program.stdout.close()
        said = program.stderr.read().decode("utf-8", "replace").strip().splitlines()
    if was_read and program.returncode:
        raise RestoreFailed(f"{path.name} is damaged or cut: {said[-1] if said else program.returncode}", MAKE_IT_AGAIN)


def section(stream: IO[bytes], database: str) -> Iterator[bytes]:
    """What a cluster's dump has of one database, in pieces."""
    is_inside = False
    for piece, begins_a_line in _pieces(stream):
        if begins_a_line and (name := _section_of(piece)):
            is_inside = name == database
        if is_inside:
            yield piece


def _examined_sql(path: Path, stream: IO[bytes]) -> DumpFile:
    databases: list[str] = []
    last, before = b"", b""
    for piece, begins_a_line in _pieces(stream):
        if not begins_a_line:
            continue
        name = _section_of(piece)
        if name and databases and last != _CLOSING:
            raise _not_whole(path, databases[-1])
        databases += [name] if name else []
        line = piece.strip()
        if line not in _NOTHING and not line.startswith(b"\\unrestrict"):
            last, before = line, last
    if last == _CLOSING and not databases:
        return DumpFile(path, "sql")
    if last != _CLUSTER_CLOSING:
        raise _not_whole(path)
    if not databases:
        raise RestoreFailed(f"{path.name} is of `pg_dumpall`, and no database is in it", MAKE_IT_AGAIN)
    if before != _CLOSING:
        raise _not_whole(path, databases[-1])
    return DumpFile(path, "cluster", tuple(databases))


def _not_whole(path: Path, database: str = "") -> RestoreFailed:
    where = f" after the database `{database}`" if database else ""
    return RestoreFailed(
        f"{path.name} does not end as `pg_dump` ends its files{where}: it was cut short, or something else made it",
        MAKE_IT_AGAIN,
    )


def _section_of(line: bytes) -> str:
    """The database whose part begins with this line, "" where none does."""
    found = _SECTION.match(line) if line.startswith(b"-- Database ") else None
    return found[1].decode("utf-8", "replace") if found else ""


def _pieces(stream: IO[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines, long ones in pieces, each with whether it begins a line."""
    begins_a_line = True
    for piece in iter(partial(stream.readline, _PIECE_BYTES), b""):
        yield piece, begins_a_line
        begins_a_line = piece.endswith(b"\n")


def _read_to_the_end(stream: IO[bytes]) -> None:
    while stream.read(_PIECE_BYTES):
        pass
