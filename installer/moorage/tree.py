"""Files in memory: add, compare with a folder, write atomically, remove what the last run left behind."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from moorage.errors import MoorageError
from moorage.formats import dump_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class File:
    """The bytes of one file, its permission bits and, for root to apply, the user id of its owner."""

    content: bytes
    mode: int = 0o644
    owner: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Difference:
    """What writing a tree would do to a folder, as sorted relative paths."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


@dataclass
class Tree:
    """Relative POSIX paths and their files; knows nothing of where it will be written."""

    files: dict[str, File] = field(default_factory=dict)

    def add(self, path: str, content: str | bytes, mode: int = 0o644, owner: int | None = None) -> None:
        """Add one file. Raises MoorageError when the path leaves the tree or is taken."""
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or str(pure) != path:
            raise MoorageError(f"{path!r} is not a path inside the rendered folder")
        if path in self.files:
            raise MoorageError(f"two renderers both write {path!r}")
        self.files[path] = File(content.encode() if isinstance(content, str) else content, mode, owner)

    def merge(self, other: Tree, prefix: str = "") -> None:
        """Add every file of another tree below `prefix`."""
        for path, file in other.files.items():
            self.add(f"{prefix}/{path}" if prefix else path, file.content, file.mode, file.owner)

    def digest(self, prefix: str = "") -> str:
        """One SHA-256 over the names, modes and contents below `prefix`."""
        total = hashlib.sha256()
        for path in sorted(self.files):
            if path.startswith(prefix):
                file = self.files[path]
                total.update(f"{path}\0{file.mode:o}\0{file.digest}\n".encode())
        return total.hexdigest()

    def manifest(self, **facts: object) -> str:
        """The text of manifest.json: who rendered it, and the SHA-256 of every file."""
        return dump_json({**facts, "files": {path: self.files[path].digest for path in sorted(self.files)}})

    def compare(self, folder: Path) -> Difference:
        """What `write` would change in `folder`, going by the manifest of the last run."""
        present = dict(_files_below(folder))
        known = written_files(folder)
        added = sorted(path for path in self.files if path not in present)
        changed = sorted(
            path
            for path, file in self.files.items()
            if path in present and (present[path].read_bytes() != file.content or _mode(present[path]) != file.mode)
        )
        removed = sorted(path for path in known if path in present and path not in self.files)
        return Difference(tuple(added), tuple(changed), tuple(removed))

    def write(self, folder: Path) -> Difference:
        """Bring `folder` to this content: each file whole or not at all, stale files of the last run removed.

        The manifest is written last, so a run that was cut off is noticed by the next comparison.
        Files that no run of ours wrote are left alone.
        """
        difference = self.compare(folder)
        for path in sorted((*difference.added, *difference.changed), key=lambda item: (item == MANIFEST, item)):
            write_file(folder / path, self.files[path])
        for path in difference.removed:
            (folder / path).unlink(missing_ok=True)
            _remove_empty_parents(folder / path, folder)
        return difference


def write_file(path: Path, file: File) -> None:
    """Replace one file atomically and durably; its folder is made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), file.mode)
            if file.owner is not None and os.geteuid() == 0:
                os.fchown(stream.fileno(), file.owner, -1)
            stream.write(file.content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def written_files(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of what the last run wrote into `folder`; empty when there was none."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return {}
    return {str(path): str(digest) for path, digest in files.items()} | {MANIFEST: ""}


def edited_by_hand(folder: Path) -> tuple[str, ...]:
    """Files of the last run whose content was changed or removed since, sorted."""
    edited = []
    for path, digest in written_files(folder).items():
        file = folder / path
        if digest and (not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest):
            edited.append(path)
    return tuple(sorted(edited))


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            yield path.relative_to(folder).as_posix(), path


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _remove_empty_parents(path: Path, stop: Path) -> None:
    for parent in path.parents:
        if parent == stop or any(parent.iterdir()):
            return
        parent.rmdir()
