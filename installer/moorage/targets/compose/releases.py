"""What ran before: every release whole in a folder, so that a rollback needs no memory.

`releases/<environment>/<id>/` holds the rendered folder and release.json; the files with secrets lie
apart, in `secrets/<environment>/releases/<id>/`. `current` names the release that serves.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from moorage import __version__
from moorage.errors import MoorageError
from moorage.formats import dump_json
from moorage.tree import MANIFEST, File, Tree, write_file, written_files

KEPT = 5


@dataclass(frozen=True)
class Release:
    """One release: when it began to serve, and the exact images."""

    id: str
    time: str
    moorage: str
    images: Mapping[str, str]
    folder: Path
    private_folder: Path

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
        if not self.folder.is_dir():
            return ()
        found = [self._read(place) for place in sorted(self.folder.iterdir()) if (place / "release.json").is_file()]
        return tuple(found)

    def current(self) -> Release | None:
        """The release that serves, if any."""
        try:
            name = (self.folder / "current").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return None
        place = self.folder / name
        return self._read(place) if (place / "release.json").is_file() else None

    def before_current(self) -> Release | None:
        """The release that a rollback goes to."""
        current = self.current()
        older = [release for release in self.all() if current is not None and release.id < current.id]
        return older[-1] if older else None

    def named(self, name: str) -> Release:
        """A release by its id or a clear beginning of it. Raises MoorageError."""
        found = [release for release in self.all() if release.id == name] or [
            release for release in self.all() if release.id.startswith(name)
        ]
        if len(found) != 1:
            known = ", ".join(release.id for release in self.all()) or "none"
            raise MoorageError(f"there is no release `{name}`", f"releases: {known}")
        return found[0]

    def record(self, rendered: Path, private: Path, images: Mapping[str, str], now: datetime) -> Release:
        """Keep what serves now as a release and make it the current one; whole or not at all."""
        numbers = [int(release.id.partition("-")[0]) for release in self.all()]
        name = f"{max(numbers, default=0) + 1:04d}-{now:%Y%m%dT%H%M%SZ}"
        partial, final = self.folder / f".{name}.partial", self.folder / name
        partial_private, final_private = self.private_folder / f".{name}.partial", self.private_folder / name
        for leftover in (*self.folder.glob(".*.partial"), *self.private_folder.glob(".*.partial")):
            shutil.rmtree(leftover, ignore_errors=True)
        _copy(private, partial_private, 0o700)
        _copy(rendered, partial / "rendered", 0o755)
        record = {"id": name, "time": f"{now:%Y-%m-%dT%H:%M:%SZ}", "moorage": __version__, "images": dict(images)}
        write_file(partial / "release.json", File(dump_json(record).encode()))
        shutil.rmtree(final_private, ignore_errors=True)
        partial_private.rename(final_private)
        partial.rename(final)
        self.set_current(name)
        return self._read(final)

    def set_current(self, name: str) -> None:
        """Say which release serves."""
        write_file(self.folder / "current", File(f"{name}\n".encode()))

    def superfluous(self) -> tuple[Release, ...]:
        """Releases beyond the number that is kept, never the current one nor the one before it."""
        current, before = self.current(), self.before_current()
        protected = {release.id for release in (current, before) if release is not None}
        return tuple(release for release in self.all()[:-KEPT] if release.id not in protected)

    def remove(self, release: Release) -> None:
        """Delete one release's copies."""
        shutil.rmtree(release.private_folder, ignore_errors=True)
        shutil.rmtree(release.folder, ignore_errors=True)

    def _read(self, place: Path) -> Release:
        record = json.loads((place / "release.json").read_text(encoding="utf-8"))
        return Release(
            record["id"], record["time"], record["moorage"], record["images"], place, self.private_folder / record["id"]
        )


def _copy(source: Path, target: Path, mode: int) -> None:
    """Copy exactly the files that a render wrote, with their modes."""
    target.mkdir(parents=True, mode=mode)
    for path in written_files(source):
        place = source / path
        write_file(target / path, File(place.read_bytes(), place.stat().st_mode & 0o777))
    os.chmod(target, mode)  # noqa: PTH101 - mkdir's mode is cut by the umask


def read_tree(folder: Path) -> Tree:
    """A folder that a render wrote, back as a tree."""
    tree = Tree()
    for path in written_files(folder):
        place = folder / path
        tree.add(path, place.read_bytes(), place.stat().st_mode & 0o777)
    if MANIFEST not in tree.files:
        raise MoorageError(f"{folder} was not written by moorage", "`moorage render` writes it anew")
    return tree
