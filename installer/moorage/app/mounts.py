"""Volumes, tmpfs, configs and secrets of a service → mounts; host paths are copied, named or refused."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from moorage.app import subset
from moorage.app.file_objects import ObjectReader, parse_mode
from moorage.app.host_folders import HostFolderReader
from moorage.app.model import App, FileMount, HostMount, MemoryMount, Mount, VolumeMount
from moorage.app.reader import Reader, slug
from moorage.formats import KeyPath
from moorage.quantities import parse_size
from moorage.sensitive import Text
from moorage.words import nearest

DOCKER_SOCKET = "/var/run/docker.sock"
_DOCKER_SOCKETS = (DOCKER_SOCKET, "/run/docker.sock")
# Read by many images to show local time; harmless and the same on every Linux host.
_HARMLESS_HOST_FILES = ("/etc/localtime", "/etc/timezone")
_SHORT_OPTIONS = ("ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy")
_MEMORY_FLAGS = ("exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "rw", "ro", "sync", "async")
_MEMORY_NUMBERS = ("uid", "gid", "nr_inodes", "nr_blocks")


@dataclass(frozen=True)
class _Written:
    """One entry of `volumes`, whichever form it has."""

    source: str
    target: str
    read_only: bool = False
    subpath: str = ""
    no_copy: bool = False


class MountReader:
    """Reads what a service mounts; folders that the app writes become named volumes of the app."""

    def __init__(self, reader: Reader, app: App, content: Mapping[str, Any], values: Mapping[str, Text]) -> None:
        self.reader = reader
        self.app = app
        self.host_paths = frozenset(app.allowed_host_paths)
        self.privileged = frozenset(app.allowed_privileges)
        self.folders = HostFolderReader(reader, app, content.get("services"))
        self.objects = [ObjectReader(reader, key, content.get(key), values) for key in ("configs", "secrets")]

    def read(self, service: str, kept: Mapping[str, Any], path: KeyPath) -> tuple[Mount, ...]:
        """All mounts of one service, in the order of the file."""
        found: list[Mount | None] = [
            self._volume(service, item, (*path, "volumes", index))
            for index, item in enumerate(self.reader.sequence(kept.get("volumes"), (*path, "volumes")))
        ]
        found += [
            self._tmpfs(self.reader.text(item, (*path, "tmpfs", index)), (*path, "tmpfs", index))
            for index, item in enumerate(self.reader.sequence(kept.get("tmpfs"), (*path, "tmpfs")))
        ]
        for objects in self.objects:
            found += objects.mounts(service, kept.get(objects.key), path)
        mounts = [mount for mount in found if mount is not None]
        self._check_targets(mounts, path)
        return _with_own_names(mounts)

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
            return self._anonymous(service, _Written("", parts[0]), path)
        if len(parts) > 3:
            self.reader.report(path, "must be SOURCE:TARGET or SOURCE:TARGET:MODE", value=text)
            return None
        options = parts[2].split(",") if len(parts) == 3 else []
        for option in options:
            if option not in _SHORT_OPTIONS:
                self.reader.report(path, "has an unknown mount option", value=option)
        return self._sourced(service, _Written(parts[0], parts[1], "ro" in options, no_copy="nocopy" in options), path)

    def _long_volume(self, service: str, item: Mapping[str, Any], path: KeyPath) -> Mount | None:
        kept = self.reader.keys(item, path, subset.MOUNT, f"service {service}, volumes")
        kind = self.reader.text(kept.get("type"), (*path, "type"), "volume")
        if kind not in subset.MOUNT_OPTIONS:
            self.reader.report((*path, "type"), "must be volume, bind or tmpfs", value=kind)
            return None
        for other in subset.MOUNT_OPTIONS:
            if other != kind and other in kept:
                self.reader.report((*path, other), f"has no meaning for a mount of type {kind}", of_key=True)
        options = self.reader.keys(
            kept.get(kind), (*path, kind), subset.MOUNT_OPTIONS[kind], f"service {service}, volumes, {kind}"
        )
        target = self.reader.text(kept.get("target"), (*path, "target"))
        if kind == "tmpfs":
            return self._memory(target, options, path, (*path, kind))
        return self._long_sourced(service, kind, target, kept, options, path)

    def _long_sourced(
        self, service: str, kind: str, target: str, kept: Mapping[str, Any], options: Mapping[str, Any], path: KeyPath
    ) -> Mount | None:
        source = self.reader.text(kept.get("source"), (*path, "source"))
        if kind == "bind" and not source:
            self.reader.report(path, "needs a `source`")
            return None
        if kind == "bind" and not source.startswith((".", "/", "~")):
            source = f"./{source}"
        written = _Written(
            source,
            target,
            self.reader.boolean(kept.get("read_only"), (*path, "read_only")),
            subpath=self.reader.text(options.get("subpath"), (*path, kind, "subpath")),
            no_copy=self.reader.boolean(options.get("nocopy"), (*path, kind, "nocopy")),
        )
        if not source:
            return self._anonymous(service, written, path)
        return self._sourced(service, written, path)

    def _target(self, written: str, path: KeyPath) -> str:
        """A path in the container in its one form, so that two spellings are seen as one place; empty when wrong."""
        if not written.startswith("/"):
            self.reader.report(path, "must be mounted at an absolute path", value=written)
            return ""
        target = "/" + posixpath.normpath(written).lstrip("/")
        if target == "/":
            self.reader.report(path, "must not be mounted over the whole container", value=written)
            return ""
        return target

    def _sourced(self, service: str, written: _Written, path: KeyPath) -> Mount | None:
        target, source = self._target(written.target, path), written.source
        if not target:
            return None
        if source.startswith("~"):
            self.reader.report(path, "must not depend on a home folder", value=source, hint="use a named volume")
            return None
        if source.startswith("/"):
            return self._host_path(source, target, written.read_only, path)
        if source.startswith("."):
            return self.folders.read(service, source, target, written.read_only, path)
        if source not in self.app.volumes:
            self._report_undeclared(source, path)
            return None
        return VolumeMount(source, target, written.read_only, written.subpath, written.no_copy)

    def _report_undeclared(self, source: str, path: KeyPath) -> None:
        near = nearest(source, self.app.volumes)
        hint = "" if near else "declare it, or write ./ before a folder beside the file"
        rule = f"uses the volume `{source}`, which is not under `volumes`"
        self.reader.report(path, rule, suggestion=near, hint=hint)

    def _anonymous(self, service: str, written: _Written, path: KeyPath) -> Mount | None:
        target = self._target(written.target, path)
        name = f"{service}-{slug(target)}"
        if not target or not self.folders.name_volume(name, (service, target), path):
            return None
        self.reader.notice(
            f"service {service}", f"the unnamed volume at {target} is named `{name}`, so that an update keeps it"
        )
        return VolumeMount(name, target, written.read_only, written.subpath, written.no_copy)

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

    def _tmpfs(self, text: str, path: KeyPath) -> MemoryMount | None:
        target, _, options = text.partition(":")
        settings: dict[str, Any] = {}
        flags: list[str] = []
        for option in filter(None, options.split(",")):
            name, separator, value = option.partition("=")
            if name in ("size", "mode") and separator:
                settings[name] = value
            elif (name in _MEMORY_NUMBERS and value.isdigit()) or option in _MEMORY_FLAGS:
                flags.append(option)
            else:
                self.reader.report(path, "has an unknown option of tmpfs", value=option)
        mount = self._memory(target, settings, path, path)
        return mount and replace(mount, options=tuple(flags))

    def _memory(
        self, written: str, options: Mapping[str, Any], path: KeyPath, options_path: KeyPath
    ) -> MemoryMount | None:
        target = self._target(written, path)
        size = self.reader.parsed(options.get("size"), options_path, parse_size)
        mode = self.reader.parsed(options.get("mode"), options_path, parse_mode)
        return MemoryMount(target, int(size or 0), mode or "") if target else None


def _with_own_names(mounts: list[Mount]) -> tuple[Mount, ...]:
    """Copies of one service lie in one folder: of two with one name, the later gets a mark of its target."""
    seen: set[str] = set()
    result: list[Mount] = []
    for mount in mounts:
        if isinstance(mount, FileMount):
            if mount.name in seen:
                mount = replace(mount, name=f"{mount.name}-{hashlib.sha256(mount.target.encode()).hexdigest()[:8]}")
            seen.add(mount.name)
        result.append(mount)
    return tuple(result)
