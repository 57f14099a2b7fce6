"""Volumes, tmpfs, configs and secrets of a service → mounts; host paths are copied, named or refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moorage.app import subset
from moorage.app.model import App, AppVolume, FileMount, HostMount, MemoryMount, Mount, VolumeMount
from moorage.app.reader import Reader, slug
from moorage.formats import KeyPath
from moorage.quantities import MEBIBYTE, parse_size
from moorage.sensitive import Sensitive, Text
from moorage.words import nearest, plural

DOCKER_SOCKET = "/var/run/docker.sock"
_DOCKER_SOCKETS = (DOCKER_SOCKET, "/run/docker.sock")
# Read by many images to show local time; harmless and the same on every Linux host.
_HARMLESS_HOST_FILES = ("/etc/localtime", "/etc/timezone")
_FOLDER_LIMIT = 5 * MEBIBYTE
_FOLDER_FILES = 500
_DATA_FOLDERS = (
    "data",
    "db",
    "database",
    "uploads",
    "upload",
    "storage",
    "media",
    "files",
    "volumes",
    "backup",
    "backups",
    "cache",
    "logs",
    "log",
)


class MountReader:
    """Reads what a service mounts; folders that the app writes become named volumes of the app."""

    def __init__(self, reader: Reader, app: App, content: Mapping[str, Any], values: Mapping[str, Text]) -> None:
        self.reader = reader
        self.app = app
        self.values = values
        self.host_paths = frozenset(app.allowed_host_paths)
        self.privileged = frozenset(app.allowed_privileges)
        self.configs = self._objects(content.get("configs"), "configs")
        self.secrets = self._objects(content.get("secrets"), "secrets")

    def read(self, service: str, kept: Mapping[str, Any], path: KeyPath) -> tuple[Mount, ...]:
        """All mounts of one service, in the order of the file."""
        mounts: list[Mount] = []
        for index, item in enumerate(self.reader.sequence(kept.get("volumes"), (*path, "volumes"))):
            found = self._volume(service, item, (*path, "volumes", index))
            if found is not None:
                mounts.append(found)
        for index, item in enumerate(self.reader.sequence(kept.get("tmpfs"), (*path, "tmpfs"))):
            mounts.append(self._tmpfs(self.reader.text(item, (*path, "tmpfs", index)), (*path, "tmpfs", index)))
        for key, objects, folder in (("configs", self.configs, "/"), ("secrets", self.secrets, "/run/secrets/")):
            for index, item in enumerate(self.reader.sequence(kept.get(key), (*path, key))):
                found = self._object_mount(item, objects, folder, (*path, key, index))
                if found is not None:
                    mounts.append(found)
        self._check_targets(mounts, path)
        return tuple(mounts)

    def _check_targets(self, mounts: list[Mount], path: KeyPath) -> None:
        seen: set[str] = set()
        for mount in mounts:
            if mount.target in seen:
                self.reader.report((*path, "volumes"), f"mounts two things at {mount.target}")
            seen.add(mount.target)

    def _volume(self, service: str, item: Any, path: KeyPath) -> Mount | None:
        if isinstance(item, dict):
            return self._long_volume(service, item, path)
        text = self.reader.text(item, path)
        parts = text.split(":")
        if len(parts) == 1:
            return self._anonymous(service, parts[0], path)
        if len(parts) > 3:
            self.reader.report(path, "must be SOURCE:TARGET or SOURCE:TARGET:MODE", value=text)
            return None
        options = parts[2].split(",") if len(parts) == 3 else []
        for option in options:
            if option not in ("ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"):
                self.reader.report(path, "has an unknown mount option", value=option)
        return self._sourced(service, parts[0], parts[1], "ro" in options, path, no_copy="nocopy" in options)

    def _long_volume(self, service: str, item: Mapping[str, Any], path: KeyPath) -> Mount | None:
        kind = self.reader.text(item.get("type"), (*path, "type"), "volume")
        source = self.reader.text(item.get("source"), (*path, "source"))
        target = self.reader.text(item.get("target"), (*path, "target"))
        read_only = self.reader.boolean(item.get("read_only"), (*path, "read_only"))
        for key in item:
            if key not in (
                "type",
                "source",
                "target",
                "read_only",
                "volume",
                "bind",
                "tmpfs",
                "consistency",
            ) and not key.startswith("x-"):
                self.reader.report((*path, key), "is not a key of a mount", of_key=True)
        if kind == "tmpfs":
            options = self.reader.mapping(item.get("tmpfs"), (*path, "tmpfs"))
            size = self.reader.parsed(options.get("size"), (*path, "tmpfs", "size"), parse_size)
            return MemoryMount(target, int(size or 0), self.reader.text(options.get("mode"), (*path, "tmpfs", "mode")))
        if kind not in ("volume", "bind"):
            self.reader.report((*path, "type"), "must be volume, bind or tmpfs", value=kind)
            return None
        if kind == "volume" and not source:
            return self._anonymous(service, target, path)
        options = self.reader.mapping(item.get("volume"), (*path, "volume"))
        if kind == "bind" and not source.startswith((".", "/", "~")):
            source = f"./{source}"
        return self._sourced(
            service,
            source,
            target,
            read_only,
            path,
            subpath=self.reader.text(options.get("subpath"), (*path, "volume", "subpath")),
            no_copy=self.reader.boolean(options.get("nocopy"), (*path, "volume", "nocopy")),
        )

    def _sourced(
        self,
        service: str,
        source: str,
        target: str,
        read_only: bool,
        path: KeyPath,
        *,
        subpath: str = "",
        no_copy: bool = False,
    ) -> Mount | None:
        if not target.startswith("/"):
            self.reader.report(path, "must be mounted at an absolute path", value=target)
            return None
        if source.startswith("~"):
            self.reader.report(path, "must not depend on a home folder", value=source, hint="use a named volume")
            return None
        if source.startswith("/"):
            return self._host_path(source, target, read_only, path)
        if source.startswith("."):
            return self._beside_file(service, source, target, read_only, path)
        if source not in self.app.volumes:
            self.reader.report(
                path,
                f"uses the volume `{source}`, which is not under `volumes`",
                suggestion=nearest(source, self.app.volumes),
                hint=""
                if nearest(source, self.app.volumes)
                else "declare it, or write ./ before a folder beside the file",
            )
            return None
        return VolumeMount(source, target, read_only, subpath, no_copy)

    def _anonymous(self, service: str, target: str, path: KeyPath) -> Mount | None:
        if not target.startswith("/"):
            self.reader.report(path, "must be mounted at an absolute path", value=target)
            return None
        name = f"{service}-{slug(target)}"
        self.app.volumes.setdefault(name, AppVolume(name))
        self.reader.notice(
            f"service {service}", f"the unnamed volume at {target} is named `{name}`, so that an update keeps it"
        )
        return VolumeMount(name, target)

    def _host_path(self, source: str, target: str, read_only: bool, path: KeyPath) -> Mount | None:
        if source in _DOCKER_SOCKETS:
            # Who may have it is decided with the permissions, when the stack is built.
            return HostMount(DOCKER_SOCKET, target, read_only)
        if source in _HARMLESS_HOST_FILES:
            return HostMount(source, target, True)
        if source in self.host_paths:
            return HostMount(source, target, read_only)
        self.reader.report(
            path,
            "mounts a path of the host",
            value=source,
            hint="use a named volume, or allow it under `permissions.host_paths` in moorage.yaml; it is not backed up then",
        )
        return None

    def _beside_file(self, service: str, source: str, target: str, read_only: bool, path: KeyPath) -> Mount | None:
        place = self.reader.folder / source
        if place.is_file():
            return self._copied(service, place, source, target, read_only, path)
        if place.is_dir() and any(place.iterdir()):
            name = place.resolve().name.lower()
            if not read_only and name in _DATA_FOLDERS:
                self.reader.report(
                    path,
                    "holds data on this host that the app writes",
                    value=source,
                    hint="use a named volume and copy the files into it once, or add `:ro` if they are configuration",
                )
                return None
            return self._copied(service, place, source, target, read_only, path)
        if place.exists() and not place.is_dir():
            self.reader.report(path, "is neither a file nor a folder", value=source)
            return None
        if not place.exists() and (
            read_only or ("." in Path(target).name.lstrip(".") and "." in Path(source).name.lstrip("."))
        ):
            self.reader.report(
                path, "the file or folder does not exist", value=source, hint="create it beside the Compose file"
            )
            return None
        name = f"{service}-{slug(source)}"
        self.app.volumes.setdefault(name, AppVolume(name))
        self.reader.notice(
            f"service {service}", f"the empty folder {source} becomes the named volume `{name}`, which is backed up"
        )
        return VolumeMount(name, target)

    def _copied(
        self, service: str, place: Path, source: str, target: str, read_only: bool, path: KeyPath
    ) -> Mount | None:
        files: dict[str, bytes | Text] = {}
        executable: set[str] = set()
        total = 0
        found = [place] if place.is_file() else sorted(item for item in place.rglob("*") if item.is_file())
        if place.is_dir() and (place / "moorage.yaml").exists():
            self.reader.report(
                path,
                "is the deployment's own folder, secrets included",
                value=source,
                hint="mount single files or folders of it",
            )
            return None
        for item in found:
            if place.is_dir() and not item.resolve().is_relative_to(place.resolve()):
                self.reader.report(
                    path,
                    "holds a link that leads out of it",
                    value=item.relative_to(self.reader.folder).as_posix()
                    if item.is_relative_to(self.reader.folder)
                    else source,
                    hint="replace the link by the file",
                )
                return None
            relative = "" if item == place else item.relative_to(place).as_posix()
            total += item.stat().st_size
            if len(files) >= _FOLDER_FILES or total > _FOLDER_LIMIT:
                self.reader.report(
                    path,
                    f"is too large to be configuration (over {_FOLDER_FILES} files or 5 MiB)",
                    value=source,
                    hint="use a named volume and copy the files into it once",
                )
                return None
            try:
                content = item.read_bytes()
            except PermissionError:
                self.reader.report(
                    path, "may not be read by this user", value=str(item.relative_to(self.reader.folder))
                )
                return None
            # A file that others may not read is not to be read in a committable folder either.
            is_secret = not item.stat().st_mode & 0o004
            files[relative] = Sensitive(content.decode("utf-8", "surrogateescape")) if is_secret else content
            if os.access(item, os.X_OK):
                executable.add(relative)
        if not read_only:
            what = "the file" if place.is_file() else f"the folder with {plural(len(files), 'file')}"
            self.reader.notice(
                f"service {service}", f"{what} {source} is mounted read-only, as a copy taken at each render"
            )
        return FileMount(slug(source), target, files, frozenset(executable))

    def _tmpfs(self, text: str, path: KeyPath) -> MemoryMount:
        target, _, options = text.partition(":")
        size, mode = 0, ""
        for option in filter(None, options.split(",")):
            key, _, value = option.partition("=")
            if key == "size":
                size = int(self.reader.parsed(value, path, parse_size) or 0)
            elif key == "mode":
                mode = value
        return MemoryMount(target, size, mode)

    def _objects(self, value: Any, key: str) -> dict[str, bytes | Text]:
        result: dict[str, bytes | Text] = {}
        for name, settings in self.reader.mapping(value, (key,)).items():
            path = (key, name)
            kept = self.reader.keys(settings, path, subset.FILE_OBJECT, f"{key[:-1]} {name}")
            content = self._object_content(kept, path)
            if content is None:
                continue
            if key == "secrets" and not isinstance(content, Sensitive):
                content = Sensitive(content if isinstance(content, str) else content.decode(errors="surrogateescape"))
            result[name] = content
        return result

    def _object_content(self, kept: Mapping[str, Any], path: KeyPath) -> bytes | Text | None:
        if "content" in kept:
            content = kept["content"]
            return content if isinstance(content, Sensitive) else self.reader.text(content, (*path, "content"))
        if "environment" in kept:
            variable = self.reader.text(kept["environment"], (*path, "environment"))
            value = self.values.get(variable)
            if value is None:
                self.reader.report(
                    (*path, "environment"),
                    f"needs the variable {variable}, which has no value",
                    hint=f"`moorage secrets set {variable}`",
                )
            return value
        name = self.reader.text(kept.get("file"), (*path, "file"))
        if not name:
            self.reader.report(path, "needs `file`, `content` or `environment`", of_key=True)
            return None
        file = self.reader.folder / name
        if not file.is_file():
            self.reader.report(
                (*path, "file"), "the file does not exist", value=name, hint="create it beside the Compose file"
            )
            return None
        return file.read_bytes()

    def _object_mount(
        self, item: Any, objects: Mapping[str, bytes | Text], folder: str, path: KeyPath
    ) -> FileMount | None:
        settings = item if isinstance(item, dict) else {"source": item}
        source = self.reader.text(settings.get("source"), (*path, "source"))
        key = str(path[-2])
        if source not in objects:
            declared = self.reader.mapping(self.reader.document.value, ()).get(key)
            if not isinstance(declared, dict) or source not in declared:
                self.reader.report(
                    path, f"names `{source}`, which is not under `{key}`", suggestion=nearest(source, objects)
                )
            return None
        target = self.reader.text(settings.get("target"), (*path, "target"), source)
        if not target.startswith("/"):
            target = folder + target
        owner = self.reader.text(settings.get("uid"), (*path, "uid"))
        return FileMount(
            slug(f"{key[:-1]}-{source}"), target, {"": objects[source]}, owner=int(owner) if owner.isdigit() else None
        )
