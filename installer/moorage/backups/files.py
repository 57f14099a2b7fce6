"""Files of a backup: made to last, their hashes taken and compared.

`pg_dump` writes no checksums into zstd or lz4 data: a flipped bit there restores without an error, as wrong rows. The
hashes are the only thing that notices.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from moorage.backups.manifest import MANIFEST_FILE, FileFacts
from moorage.backups.records import CheckResult
from moorage.durable import files_below, named_failure, sync_folder
from moorage.words import plural

_CHUNK = 1 << 20
_SHOWN = 5


def seal_files(folder: Path, *, parallel: int = 2) -> tuple[FileFacts, ...]:
    """Flush every file below `folder` to the disk, folders too, and give the facts of the files by path."""
    found = sorted(files_below(folder))
    with ThreadPoolExecutor(parallel) as pool:
        facts = tuple(pool.map(lambda item: _sealed(*item), found))
    for root, _, _ in os.walk(folder):
        sync_folder(Path(root))
    return facts


def compare_files(folder: Path, files: Iterable[FileFacts], *, parallel: int = 2) -> CheckResult:
    """Whether `folder` has just these files with just these bytes; the manifest of the backup may lie beside them."""
    expected = {item.path: item for item in files}
    there = {path for path, _ in files_below(folder)}
    with ThreadPoolExecutor(parallel) as pool:
        problems = [text for text in pool.map(lambda item: _problem(folder, item), expected.values()) if text]
    problems += [f"{path} is not of the backup" for path in sorted(there - set(expected) - {MANIFEST_FILE})]
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return CheckResult("files", False, "; ".join(problems[:_SHOWN]) + more)
    size = sum(item.bytes for item in expected.values())
    return CheckResult("files", True, f"{plural(len(expected), 'file')}, {size} bytes, as they were written")


def _sealed(path: str, place: Path) -> FileFacts:
    with named_failure(place), place.open("rb") as stream:
        os.fsync(stream.fileno())
    return FileFacts(path, place.stat().st_size, _sha256(place))


def _problem(folder: Path, facts: FileFacts) -> str:
    """What is wrong with a file, or nothing; one that can't be read is wrong, too."""
    place = folder / facts.path
    try:
        size = place.lstat().st_size
        if size != facts.bytes:
            return f"{facts.path} has {size} bytes instead of {facts.bytes}"
        return "" if _sha256(place) == facts.sha256 else f"{facts.path} holds other bytes"
    except OSError as error:
        return f"{facts.path} can't be read: {error.strerror or type(error).__name__}"


def _sha256(place: Path) -> str:
    digest = hashlib.sha256()
    with place.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
