"""A store in a folder: another disk, a network file system, or in need the same disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from moorage.backups.failures import BackupError, StoreFull, StoreRefused, StoreUnreachable
from moorage.backups.plan import StorePlan
from moorage.backups.stores.base import (
    LARGEST_BYTES,
    MARKER_KEY,
    RESTIC_FOLDER,
    checked_key,
    checked_prefix,
    must_be_same,
    must_be_small,
)
from moorage.durable import is_unfinished, make_closed_folder, only_writer, place_file, sync_folder
from moorage.quantities import human_size

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM}
_FILE_MODE = 0o600


class DirectoryStore:
    """The folder `<directory>/<project>`. Only the marker makes it: an empty mount point must not become a store."""

    def __init__(self, plan: StorePlan, project: str) -> None:
        self.plan = plan
        self._folder = Path(plan.directory) / checked_key(project)

    def put(self, key: str, content: bytes) -> None:
        """See Store."""
        path = self._folder / checked_key(key)
        with self._failures():
            self._must_be_mounted(key)
            make_closed_folder(path.parent)
            with only_writer(self._folder):
                if path.exists():
                    must_be_same(self.plan.name, key, path.read_bytes(), content)
                else:
                    place_file(path, content, _FILE_MODE)
            self._sync_from(path.parent)

    def get(self, key: str) -> bytes | None:
        """See Store."""
        path = self._folder / checked_key(key)
        with self._failures():
            self._must_be_there()
            with suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as file:
                return must_be_small(self.plan.name, key, file.read(LARGEST_BYTES + 1))
        return None

    def keys(self, prefix: str) -> tuple[str, ...]:
        """See Store."""
        top = self._folder / checked_prefix(prefix).rpartition("/")[0]
        with self._failures():
            self._must_be_there()
            found = [key for key in self._keys_below(top) if key.startswith(prefix)] if top.is_dir() else []
        return tuple(sorted(found))

    def _keys_below(self, top: Path) -> Iterator[str]:
        # Without `onerror` a folder that can't be read would look empty.
        for root, _, names in os.walk(top, onerror=_reraise):
            for path in (Path(root, name) for name in names):
                if not is_unfinished(path):
                    yield path.relative_to(self._folder).as_posix()

    def delete(self, key: str) -> None:
        """See Store."""
        path = self._folder / checked_key(key)
        with self._failures():
            self._must_be_there()
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                sync_folder(path.parent)

    def free_bytes(self) -> int | None:
        """See Store; what a process that is not root may use."""
        with self._failures():
            self._must_be_there()
            return shutil.disk_usage(self.plan.directory).free

    def restic_repository(self) -> str:
        """See Store."""
        return str(self._folder / RESTIC_FOLDER)

    def environment(self) -> dict[str, str]:
        """See Store: a folder needs nothing."""
        return {}

    def _must_be_there(self) -> None:
        if not Path(self.plan.directory).is_dir():
            raise StoreUnreachable(
                f"store `{self.plan.name}`: the folder {self.plan.directory} is not there",
                "is its disk mounted? moorage never makes this folder itself, lest backups fill the wrong disk",
            )

    def _must_be_mounted(self, key: str) -> None:
        self._must_be_there()
        if key != MARKER_KEY and not (self._folder / MARKER_KEY).is_file():
            raise StoreUnreachable(
                f"store `{self.plan.name}`: {self._folder / MARKER_KEY}, which marks it, is not there (any more)",
                f"is the disk of {self.plan.directory} mounted?",
            )

    def _sync_from(self, folder: Path) -> None:
        """Make the names of folders last that may be new, up to the store's own."""
        for place in (folder, *folder.parents):
            sync_folder(place)
            if place == Path(self.plan.directory):
                return

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._told_apart(error) from None

    def _told_apart(self, error: OSError) -> BackupError:
        """Full, refused, or a fault of the disk or its network."""
        place = error.filename if isinstance(error.filename, str) else self._folder
        what = f"store `{self.plan.name}`: {place}: {error.strerror or error}"
        if error.errno in _FULL:
            return StoreFull(f"{what}; {self._free_text()}", "make room there; older backups were not touched")
        if error.errno in _REFUSED:
            return StoreRefused(what, f"let user {os.geteuid()} write below {self.plan.directory}")
        if error.errno == errno.EROFS:
            return StoreUnreachable(what, "the disk is mounted read-only: `dmesg` says why")
        return StoreUnreachable(what, "the disk or its network has a fault: `dmesg` says which")

    def _free_text(self) -> str:
        try:
            return f"{human_size(shutil.disk_usage(self.plan.directory).free)} are free"
        except OSError:
            return "how much is free can't be told"


def _reraise(error: OSError) -> NoReturn:
    raise error
