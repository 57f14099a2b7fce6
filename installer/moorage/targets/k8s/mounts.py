"""What a container mounts, and the volumes of its pod behind that."""

from __future__ import annotations

import re
from typing import Any

from moorage.app.model import FileMount, HostMount, MemoryMount, Mount, VolumeMount
from moorage.quantities import format_size
from moorage.sensitive import Sensitive
from moorage.stack.docker_access import reaches_docker
from moorage.stack.model import Service
from moorage.targets.k8s.names import claim_name, files_name, volume_name

_PLAIN_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a path in the container


def volume_mounts(service: Service) -> list[dict[str, Any]]:
    """The container's `volumeMounts`."""
    return [_mount(service, mount) for mount in mounted(service)]


def mounted(service: Service) -> tuple[Mount, ...]:
    """What it mounts here: all but Docker's socket, behind which nobody answers on a node."""
    return tuple(
        mount for mount in service.mounts if not (isinstance(mount, HostMount) and reaches_docker(mount.source))
    )


def volumes(service: Service) -> list[dict[str, Any]]:
    """The volumes that a container of the service needs in its pod; each once."""
    found = {volume["name"]: volume for volume in (_volume(service, mount) for mount in mounted(service))}
    return list(found.values())


def is_private(mount: FileMount) -> bool:
    """Whether any of its contents is secret."""
    return any(isinstance(content, Sensitive) for content in mount.files.values())


def key_of(path: str) -> str:
    """The key of a file in its ConfigMap, another one for each path. A single file is called `file`.

    Keys are letters, digits and `-._`; a path that is such a key already stays as it is.
    """
    if not path:
        return "file"
    if _PLAIN_KEY.fullmatch(path) and "__" not in path and "_." not in path and "_-" not in path:
        return path
    return "".join(_key_part(character) for character in path)


def _key_part(character: str) -> str:
    if character in "/_":
        return {"/": "_.", "_": "__"}[character]
    if _PLAIN_KEY.fullmatch(character):
        return character
    return f"_-{character.encode('utf-8', 'surrogateescape').hex()}"


def _mount(service: Service, mount: Mount) -> dict[str, Any]:
    data: dict[str, Any] = {"name": _name(service, mount), "mountPath": mount.target}
    if isinstance(mount, VolumeMount):
        if mount.subpath:
            data["subPath"] = mount.subpath
        return {**data, "readOnly": True} if mount.read_only else data
    if isinstance(mount, FileMount):
        return {**data, "readOnly": True, **({} if mount.is_folder else {"subPath": "file"})}
    return {**data, "readOnly": True} if isinstance(mount, HostMount) and mount.read_only else data


def volume_mount_name(mount: VolumeMount) -> str:
    """How a pod calls the disk that it mounts."""
    return volume_name(f"data-{mount.volume}")


def _name(service: Service, mount: Mount) -> str:
    if isinstance(mount, VolumeMount):
        return volume_mount_name(mount)
    if isinstance(mount, FileMount):
        return volume_name(files_name(service.name, mount.name))
    if isinstance(mount, HostMount):
        return volume_name(f"host{mount.source}")
    return volume_name(f"memory-{service.name}{mount.target}")


def _volume(service: Service, mount: Mount) -> dict[str, Any]:
    name = _name(service, mount)
    if isinstance(mount, VolumeMount):
        return {"name": name, "persistentVolumeClaim": {"claimName": claim_name(mount.volume)}}
    if isinstance(mount, HostMount):
        return {"name": name, "hostPath": {"path": mount.source}}
    if isinstance(mount, MemoryMount):
        return {
            "name": name,
            "emptyDir": {"medium": "Memory", **({"sizeLimit": format_size(mount.size)} if mount.size else {})},
        }
    return {"name": name, **_files(service, mount)}


def _files(service: Service, mount: FileMount) -> dict[str, Any]:
    items = [_item(mount, path) for path in sorted(mount.files)]
    owner = files_name(service.name, mount.name)
    if is_private(mount):
        # Who may read it inside is the pod's group (`fsGroup`), as far as the app's file says who that is.
        return {"secret": {"secretName": owner, "defaultMode": 0o440, "items": items}}
    return {"configMap": {"name": owner, "defaultMode": 0o444, "items": items}}


def _item(mount: FileMount, path: str) -> dict[str, Any]:
    data: dict[str, Any] = {"key": key_of(path), "path": path or "file"}
    return {**data, "mode": 0o555} if path in mount.executable else data


def shared_memory(size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A mount and its volume for `shm_size`, in bytes."""
    mount = {"name": "shared-memory", "mountPath": _SHARED_MEMORY}
    return mount, {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": format_size(size)}}
