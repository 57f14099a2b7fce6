"""Files in memory: add, compare with a folder, write atomically, remove what the last run left behind."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from moorage.durable import (
    files_below,
    is_real_folder,
    only_writer,
    parents_below,
    remove_empty_folders,
    remove_file,
    remove_unfinished,
    replace_file,
    sync_folder,
)
from moorage.errors import MoorageError
from moorage.formats import dump_json

MANIFEST = "manifest.json"
PENDING = "pending"


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
        """Add one file. Raises MoorageError when the path leaves the tree or is taken, as a file or as a folder."""
        if not _is_inside(path):
            raise MoorageError(f"{path!r} is not a path inside the rendered folder")
        if path in self.files:
            raise MoorageError(f"two renderers both write {path!r}")
        for other in self.files:
            if other.startswith(f"{path}/") or path.startswith(f"{other}/"):
                raise MoorageError(f"{path!r} and {other!r} can't both be written: one would be a file and a folder")
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
        present = dict(files_below(folder))
        added = sorted(path for path in self.files if path not in present)
        changed = sorted(
            path for path, file in self.files.items() if path in present and not _is_as_wanted(present[path], file)
        )
        removed = sorted(path for path in _known_paths(folder) if path in present and path not in self.files)
        return Difference(tuple(added), tuple(changed), tuple(removed))

    def write(self, folder: Path) -> Difference:
        """Bring `folder` to this content: each file whole or not at all, stale files of the last run removed.

        May be cut off between any two steps: the manifest first announces the new files, names the stale ones until
        they are gone, and is replaced last. Files that no run of ours wrote are left alone; where one is in the
        way, MoorageError is raised before anything changes.
        """
        with only_writer(folder):
            known = _known_paths(folder)
            remove_unfinished({(folder / path).parent for path in (*known, *self.files) if _is_inside(path)})
            difference = self.compare(folder)
            self._refuse_foreign(folder, set(difference.removed))
            if difference:
                self._write(folder, difference, [path for path in known if path not in self.files])
            return difference

    def _write(self, folder: Path, difference: Difference, stale: list[str]) -> None:
        new = [path for path in (*difference.added, *difference.changed) if path != MANIFEST]
        removable = [path for path in stale if _is_inside(path)]
        in_the_way = {path for path in removable if self._is_in_the_way(path)}
        self._announce(folder, new)
        for path in in_the_way:
            remove_file(folder / path, folder)
        for path in sorted(new):
            self._put(folder, path, self.files[path])
        for parent in sorted({(folder / path).parent for path in new}):
            sync_folder(parent)
        # Only now: whoever reads the folder meanwhile finds either what was or what will be.
        for path in removable:
            if path not in in_the_way:
                remove_file(folder / path, folder)
        if MANIFEST in self.files:
            self._put(folder, MANIFEST, self.files[MANIFEST])
            sync_folder(folder)

    def _put(self, folder: Path, path: str, file: File) -> None:
        # Docker makes an empty folder where a file to mount is missing.
        remove_empty_folders(folder / path)
        replace_file(folder / path, file.content, file.mode, file.owner)

    def _announce(self, folder: Path, paths: list[str]) -> None:
        """Write into the manifest which files are about to come: a run that is cut off must not forget them."""
        wanted = self.files.get(MANIFEST)
        if wanted is None or not paths:
            return
        old = _manifest(folder)
        facts = old or {**json.loads(wanted.content), "files": {}}
        pending = {**_digests(old.get(PENDING)), **{path: self.files[path].digest for path in paths}}
        self._put(folder, MANIFEST, File(dump_json({**facts, PENDING: pending}).encode(), wanted.mode, wanted.owner))
        sync_folder(folder)

    def _is_in_the_way(self, stale: str) -> bool:
        """Whether a stale file becomes a folder, or its folder a file."""
        return any(path.startswith(f"{stale}/") or stale.startswith(f"{path}/") for path in self.files)

    def _refuse_foreign(self, folder: Path, removed: set[str]) -> None:
        for path in sorted(self.files):
            for found in _in_the_way(folder, path, removed):
                raise MoorageError(
                    f"{found} is in the way of {folder / path}, and moorage did not write it",
                    "move it away, then run the same command again",
                )


def _is_inside(path: str) -> bool:
    """Whether a path is written in the one way that leads to a file below the folder."""
    pure = PurePosixPath(path)
    inside = bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts
    return inside and str(pure) == path and "\0" not in path


def _is_as_wanted(path: Path, file: File) -> bool:
    """Whether what stands there is a file of the right mode, owner and content."""
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode) or stat.S_IMODE(state.st_mode) != file.mode:
        return False
    if file.owner is not None and os.geteuid() == 0 and state.st_uid != file.owner:
        return False
    try:
        return state.st_size == len(file.content) and path.read_bytes() == file.content
    except PermissionError:
        return False


def _in_the_way(folder: Path, path: str, removed: set[str]) -> Iterator[Path]:
    """What stands where a file or one of its folders has to be, and would not go with the stale files."""
    place = folder / path
    for parent in parents_below(place, folder):
        gone = parent.relative_to(folder).as_posix() in removed
        if os.path.lexists(parent) and not is_real_folder(parent) and not gone:
            yield parent
    if is_real_folder(place):
        yield from (found for name, found in files_below(place) if f"{path}/{name}" not in removed)


def write_file(path: Path, file: File) -> None:
    """Replace one file atomically and durably; its folder is made when missing."""
    replace_file(path, file.content, file.mode, file.owner)
    sync_folder(path.parent)


def _manifest(folder: Path) -> dict[str, Any]:
    """The manifest as it stands; empty when there is none or it is broken."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("files"), dict) else {}


def _digests(content: object) -> dict[str, str]:
    return {str(path): str(digest) for path, digest in content.items()} if isinstance(content, dict) else {}


def _known_paths(folder: Path) -> set[str]:
    """All that runs of ours wrote, those that were cut off included."""
    return {*_digests(_manifest(folder).get(PENDING)), *written_files(folder)}


def written_files(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of what the last whole run wrote into `folder`; empty when there was none."""
    manifest = _manifest(folder)
    return {**_digests(manifest["files"]), MANIFEST: ""} if manifest else {}


def edited_by_hand(folder: Path) -> tuple[str, ...]:
    """Files of the last run whose content was changed or removed since, sorted."""
    pending = _digests(_manifest(folder).get(PENDING))
    edited = []
    for path, digest in written_files(folder).items():
        file = folder / path
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
        if digest and found not in (digest, pending.get(path, digest)):
            edited.append(path)
    return tuple(sorted(edited))
