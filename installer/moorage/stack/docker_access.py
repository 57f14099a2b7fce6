"""Who reaches Docker's API, and whether the operator wants that: it is the same as root on the host."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from moorage.app.model import HostMount, Mount
from moorage.app.mounts import DOCKER_SOCKET

# `/var/run` is a link to `/run` nearly everywhere; containerd, below Docker, starts containers as well.
_SOCKETS = tuple(
    PurePosixPath(path)
    for path in (DOCKER_SOCKET, "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock")
)
_SOCKET_NAMES = frozenset(path.name for path in _SOCKETS)


def reaches_docker(source: str) -> bool:
    """Whether a path of the host is an engine's socket or a folder that the socket lies in."""
    path = _normal(source)
    return path.name in _SOCKET_NAMES or any(path == socket or path in socket.parents for socket in _SOCKETS)


def docker_mount(mounts: Iterable[Mount]) -> HostMount | None:
    """The mount that shows an engine's socket, read-only or not: a read-only socket takes every command."""
    found = (mount for mount in mounts if isinstance(mount, HostMount) and reaches_docker(mount.source))
    return next(found, None)


def how_reached(mount: HostMount | None) -> str:
    """What a service does to get the socket, as the beginning of a sentence."""
    if mount is None:
        return "wants the Docker socket"
    if _normal(mount.source).name in _SOCKET_NAMES:
        return "mounts the Docker socket"
    return f"mounts {mount.source} with the Docker socket in it"


def _normal(source: str) -> PurePosixPath:
    """The path without `.`, `..` and doubled slashes, however it was written."""
    parts: list[str] = []
    for part in source.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return PurePosixPath("/", *parts)
