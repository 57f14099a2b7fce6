"""Files and folders beside the Compose file: configuration is copied, folders that the app fills become volumes.

Data is never copied: a copy would hide what the app wrote, and what it writes next would be lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from moorage.app import copies, data_folders
from moorage.app.copies import Copy, Uncopyable
from moorage.app.model import App, AppVolume, FileMount, Mount, VolumeMount
from moorage.app.reader import Reader, slug
from moorage.app.secrecy import holds_secrets
from moorage.formats import KeyPath
from moorage.words import abridged, plural

_NAMES_SHOWN = 4


class HostFolderReader:
    """Reads the bind mounts of one file; services that mount one folder get one volume."""

    def __init__(self, reader: Reader, app: App, services: Any) -> None:
        self.reader = reader
        self.app = app
        self.written = {self._resolved(source) for source, read_only in _bind_sources(services) if not read_only}
        self.made: dict[str, object] = {}

    def read(self, service: str, source: str, target: str, read_only: bool, path: KeyPath) -> Mount | None:
        """The mount of a path that starts with a dot; what can't be carried is reported."""
        place = self.reader.folder / source
        try:
            if place.is_file():
                return self._file(service, place, source, target, read_only, path)
            if place.is_dir() and not copies.is_empty(place):
                return self._folder(service, place, source, target, read_only, path)
            if place.exists() and not place.is_dir():
                self.reader.report(path, "is neither a file nor a folder", value=source)
                return None
        except Uncopyable as error:
            if not read_only and place.is_dir() and self._looks_like_data(source, target):
                self._refuse_data(source, target, path)
            else:
                self.reader.report(path, error.rule, value=self._shown(error.place, source), hint=error.hint)
            return None
        except OSError:
            self.reader.report(path, "may not be read by this user", value=source)
            return None
        return self._volume(service, place, source, target, read_only, path)

    def name_volume(self, name: str, content: object, path: KeyPath) -> bool:
        """Make a volume for some content; reports a name that something else has already."""
        if name in self.app.volumes and self.made.get(name) != content:
            rule = f"would become the volume `{name}`, a name that is taken"
            self.reader.report(path, rule, hint="declare a volume of another name under `volumes` and mount that")
            return False
        self.made[name] = content
        self.app.volumes.setdefault(name, AppVolume(name))
        return True

    def _file(
        self, service: str, place: Path, source: str, target: str, read_only: bool, path: KeyPath
    ) -> Mount | None:
        copy = copies.copy(place)
        content = copy.files[""]
        start = content[:16] if isinstance(content, bytes) else b""
        if data_folders.is_server_file(place.name) or (
            not read_only and data_folders.is_database_file(place.name, start)
        ):
            self.reader.report(
                path, "holds data that the app writes", value=source, hint=data_folders.moving_file_hint(source)
            )
            return None
        if not read_only:
            self._notice(service, f"the file {source} is mounted read-only, as a copy taken at each render")
        return self._copied(service, source, target, copy)

    def _folder(
        self, service: str, place: Path, source: str, target: str, read_only: bool, path: KeyPath
    ) -> Mount | None:
        names = [*copies.names_in(place), *copies.file_names_below(place)]
        is_server = any(data_folders.is_server_file(name) for name in names)
        is_written = not read_only or self._resolved(source) in self.written
        is_like_data = self._looks_like_data(source, target) or any(map(data_folders.is_database_file, names))
        if is_server or (is_written and is_like_data):
            self._refuse_data(source, target, path, may_be_configuration=not is_server and not read_only)
            return None
        copy = copies.copy(place)
        if not read_only:
            what = f"the folder with {plural(len(copy.files), 'file')}"
            self._notice(service, f"{what} {source} is mounted read-only, as a copy taken at each render")
        empty = copies.empty_folders(place)
        if empty:
            self._notice(service, f"empty folders are left out of the copy of {source}: {', '.join(empty)}")
        return self._copied(service, source, target, copy)

    def _copied(self, service: str, source: str, target: str, copy: Copy) -> FileMount:
        """The mount of a copy; tells of files in it that should not stand in a folder that may be committed."""
        open_ones = sorted(
            name for name, content in copy.files.items() if isinstance(content, bytes) and holds_secrets(content)
        )
        if open_ones:
            shown = abridged([PurePosixPath(source, name).as_posix() for name in open_ones], _NAMES_SHOWN)
            self._notice(
                service,
                f"{shown}: seems to hold secrets, and its copy stands readable in rendered/: do not commit that, "
                "or take the right to read it from others (`chmod o-r`) if the container's user does not need it",
            )
        return FileMount(slug(source), target, copy.files, copy.executable)

    def _looks_like_data(self, source: str, target: str) -> bool:
        name = self._resolved(source).name
        return data_folders.is_data_name(name) or data_folders.is_written_place(target)

    def _refuse_data(self, source: str, target: str, path: KeyPath, *, may_be_configuration: bool = True) -> None:
        hint = data_folders.moving_hint(source, target, may_be_configuration=may_be_configuration)
        self.reader.report(path, "holds data on this host that the app writes", value=source, hint=hint)

    def _volume(
        self, service: str, place: Path, source: str, target: str, read_only: bool, path: KeyPath
    ) -> Mount | None:
        """A folder that is empty or missing: what the app writes there belongs into a volume."""
        resolved = self._resolved(source)
        is_named_like_a_file = "." in PurePosixPath(target).name.lstrip(".") and "." in Path(source).name.lstrip(".")
        if not place.exists() and (is_named_like_a_file or (read_only and resolved not in self.written)):
            self.reader.report(
                path, "the file or folder does not exist", value=source, hint="create it beside the Compose file"
            )
            return None
        if self._is_nested(resolved):
            rule = "lies in a folder that is mounted as a whole elsewhere"
            self.reader.report(path, rule, value=source, hint="mount the same folder in both places")
            return None
        # The name follows from the folder alone: another order of the services must not find another volume.
        relative = os.path.relpath(resolved, self.reader.folder.resolve())
        name = f"folder-{slug(relative)}"
        if not self.name_volume(name, resolved, path):
            return None
        self._notice(service, f"the empty folder {source} becomes the named volume `{name}`, which is backed up")
        return VolumeMount(name, target, read_only)

    def _is_nested(self, folder: Path) -> bool:
        return any(other in folder.parents and _is_empty(other) for other in self.written)

    def _resolved(self, source: str) -> Path:
        return (self.reader.folder / source).resolve()

    def _shown(self, place: Path | None, source: str) -> str:
        if place is None or not place.is_relative_to(self.reader.folder):
            return source
        return place.relative_to(self.reader.folder).as_posix()

    def _notice(self, service: str, text: str) -> None:
        self.reader.notice(f"service {service}", text)


def _is_empty(folder: Path) -> bool:
    try:
        return not folder.exists() or copies.is_empty(folder)
    except (Uncopyable, OSError):
        return False


def _bind_sources(services: Any) -> Iterator[tuple[str, bool]]:
    """Every path beside the file that some service mounts, and whether it only reads it."""
    for service in services.values() if isinstance(services, Mapping) else ():
        volumes = service.get("volumes") if isinstance(service, Mapping) else None
        for item in volumes if isinstance(volumes, list) else ():
            if isinstance(item, str) and item.startswith("."):
                source, _, rest = item.partition(":")
                yield source, "ro" in rest.rpartition(":")[2].split(",")
            elif isinstance(item, Mapping) and item.get("type") == "bind" and isinstance(item.get("source"), str):
                yield item["source"], item.get("read_only") in (True, "true")
