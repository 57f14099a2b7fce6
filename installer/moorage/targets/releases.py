"""What ran before: every release whole in a folder, so that a rollback needs no memory.

`releases/<environment>/<id>/` holds the rendered folder and release.json; the files with secrets lie
apart, in `secrets/<environment>/releases/<id>/`. `current` names the release that serves.

A release begins to exist by one rename, of its public half, and ends by one: whatever is half done has a
hidden name or no public half, is no release to anybody, and is tidied away by the next one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from moorage import __version__
from moorage.durable import is_real_folder
from moorage.errors import MoorageError
from moorage.formats import dump_json
from moorage.tree import MANIFEST, File, Tree, write_file, written_files

KEPT = 5
_ID = re.compile(r"^[0-9]{4,}-[0-9]{8}T[0-9]{6}Z$")
_RECORD = "release.json"


@dataclass(frozen=True)
class Release:
    """One release: when it began to serve, the exact images, and the id of what served before it."""

    id: str
    time: str
    moorage: str
    images: Mapping[str, str]
    folder: Path
    private_folder: Path
    before: str = ""

    @property
    def rendered(self) -> Path:
        """Its copy of the rendered folder."""
        return self.folder / "rendered"


class Releases:
    """The releases of one environment."""

    def __init__(self, folder: Path, environment: str) -> None:
        self.folder = folder / "releases" / environment
        self.private_folder = folder / "secrets" / environment / "releases"

    def all(self) -> tuple[Release, ...]:
        """Every complete release, oldest first."""
        found = (self._read(name) for name in _ids(self.folder))
        return tuple(release for release in found if release is not None)

    def damaged(self) -> tuple[Path, ...]:
        """Records that can't be read, oldest first: their releases are left out."""
        records = [self.folder / name / _RECORD for name in _ids(self.folder)]
        return tuple(record for record in records if record.is_file() and self._read(record.parent.name) is None)

    def ids(self) -> list[str]:
        """The ids of all releases, those with a damaged record included, oldest first."""
        return _ids(self.folder)

    def current(self) -> Release | None:
        """The release that serves, if any."""
        name = self._current_name()
        return self._read(name) if name else None

    def before_current(self) -> Release | None:
        """The release that a rollback goes to: what served before, not what it was gone back from.

        The next older one when that is not known, damaged or tidied away.
        """
        current = self._current_name()
        if not current:
            return None
        found, known = self.all(), self._read(current)
        served = [release for release in found if known is not None and release.id == known.before]
        limit = known.before if known is not None and known.before else current
        older = [release for release in found if _age(release.id) < _age(limit)]
        return next(iter(served or older[-1:]), None)

    def named(self, name: str) -> Release:
        """A release by its id or a clear beginning of it. Raises MoorageError."""
        found = [release for release in self.all() if release.id == name] or [
            release for release in self.all() if release.id.startswith(name)
        ]
        if len(found) != 1:
            known = ", ".join(release.id for release in self.all()) or "none"
            raise MoorageError(f"there is no release `{name}`", f"releases: {known}")
        return found[0]

    def next_id(self, now: datetime) -> str:
        """The id of the release that `record` would make now; numbers of damaged ones are not used again."""
        numbers = [_age(name)[0] for name in (*_ids(self.folder), *_ids(self.private_folder))]
        return f"{max(numbers, default=0) + 1:04d}-{now:%Y%m%dT%H%M%SZ}"

    def record(self, rendered: Path, private: Path, images: Mapping[str, str], now: datetime) -> Release:
        """Keep what serves now as a release and make it the current one; whole or not at all."""
        # Both are read before anything is written: a folder that misses a file makes no half release.
        public_tree, private_tree = read_tree(rendered), read_tree(private)
        self._tidy()
        name = self.next_id(now)
        partial, partial_private = _hidden(self.folder / name), _hidden(self.private_folder / name)
        self.private_folder.mkdir(parents=True, exist_ok=True)
        self.private_folder.chmod(0o700)
        _write(private_tree, partial_private, 0o700)
        _write(public_tree, partial / "rendered", 0o755)
        time = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        before = self._current_name()
        record = {"id": name, "time": time, "moorage": __version__, "images": dict(images), "before": before}
        write_file(partial / _RECORD, File(dump_json(record).encode()))
        partial_private.rename(self.private_folder / name)
        partial.rename(self.folder / name)
        self.set_current(name)
        return self._release(name, record)

    def set_current(self, name: str) -> None:
        """Say which release serves."""
        write_file(self.folder / "current", File(f"{name}\n".encode()))

    def superfluous(self) -> tuple[Release, ...]:
        """Releases beyond the number that is kept, never the current one nor the one before it."""
        current, before = self.current(), self.before_current()
        protected = {release.id for release in (current, before) if release is not None}
        return tuple(release for release in self.all()[:-KEPT] if release.id not in protected)

    def remove(self, release: Release) -> None:
        """Delete one release's copies: from the first step on it is no release any more."""
        gone = _hidden(release.folder)
        release.folder.rename(gone)
        shutil.rmtree(release.private_folder, ignore_errors=True)
        shutil.rmtree(gone, ignore_errors=True)

    def _current_name(self) -> str:
        try:
            return (self.folder / "current").read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""

    def _read(self, name: str) -> Release | None:
        """One release, or None when there is no whole record of it."""
        place = self.folder / name
        try:
            record = json.loads((place / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not _ID.match(name) or not _is_record(record, name):
            return None
        return self._release(name, record)

    def _release(self, name: str, record: Mapping[str, Any]) -> Release:
        return Release(
            name,
            record["time"],
            record["moorage"],
            record["images"],
            self.folder / name,
            self.private_folder / name,
            record.get("before", ""),
        )

    def _tidy(self) -> None:
        """Delete what runs that were cut off have left, secret halves first of all."""
        for name in set(_ids(self.private_folder)) - set(_ids(self.folder)):
            shutil.rmtree(self.private_folder / name, ignore_errors=True)
        for folder in (self.private_folder, self.folder):
            for leftover in folder.glob(".*.partial"):
                shutil.rmtree(leftover, ignore_errors=True)


def read_tree(folder: Path) -> Tree:
    """A folder that a render wrote, back as a tree, owners included. Raises MoorageError when it is not whole."""
    tree = Tree()
    for path in written_files(folder):
        file = _inside(folder, path)
        try:
            status = file.stat()
            tree.add(path, file.read_bytes(), status.st_mode & 0o777, status.st_uid)
        except OSError as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else f"can't be read ({error.strerror})"
            raise MoorageError(f"{file} {reason}", "`moorage render` writes it anew") from None
    if MANIFEST not in tree.files:
        raise MoorageError(f"{folder} was not written by moorage", "`moorage render` writes it anew")
    return tree


def _inside(folder: Path, path: str) -> Path:
    """The place of a manifest's path; a manifest that was tampered with leads nowhere else."""
    Tree().add(path, b"")
    return folder / path


def _write(tree: Tree, folder: Path, mode: int) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)  # mkdir's own mode is cut by the umask
    for path, file in tree.files.items():
        write_file(folder / path, file)
    for place in folder.rglob("*"):
        if is_real_folder(place):
            place.chmod(mode)


def _hidden(place: Path) -> Path:
    return place.with_name(f".{place.name}.partial")


def _ids(folder: Path) -> list[str]:
    """The names of a folder that are ids of releases, oldest first."""
    names = (item.name for item in folder.iterdir()) if folder.is_dir() else iter(())
    return sorted((name for name in names if _ID.match(name)), key=_age)


def _age(name: str) -> tuple[int, str]:
    """What ids are sorted by: their number, which has no fixed length."""
    number = name.partition("-")[0]
    return (int(number) if number.isdigit() else 0, name)


def _is_record(record: Any, name: str) -> bool:
    """Whether the content of a release.json is whole and about that release."""
    if not isinstance(record, dict) or record.get("id") != name:
        return False
    images = record.get("images")
    texts = [record.get("time"), record.get("moorage"), record.get("before", "")]
    texts += [*images, *images.values()] if isinstance(images, dict) else [None]
    return all(isinstance(text, str) for text in texts)
