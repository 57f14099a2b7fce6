"""New disks get what the image has at their place, as Docker does it: contents, owner and mode of the folder.

Without that an image that runs as a user of its own finds a disk of root's, and one that brings files finds none. A mount
with `nocopy` is left alone; an image without a shell needs that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moorage.app.model import VolumeMount
from moorage.assets import asset
from moorage.stack.model import Service, Stack
from moorage.targets.k8s import names
from moorage.targets.k8s.command_words import words
from moorage.targets.k8s.configuration import Generator, add_files
from moorage.targets.k8s.mounts import volume_mount_name
from moorage.targets.k8s.security import user_of
from moorage.tree import Tree

_PLACE = "/moorage/volumes"
_PROGRAM = "/moorage/program"
MAP = "fill-disks"
_FILE = "fill-disks.sh"
_ROOT = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]


def filling_containers(stack: Stack, of: Sequence[Service], pull: str) -> list[dict[str, Any]]:
    """An init container for each service of a pod that mounts disks which may be new."""
    return [_container(service, mounts, pull) for service in of if (mounts := _new_disks(stack, service))]


def _new_disks(stack: Stack, service: Service) -> list[VolumeMount]:
    """What it may fill: disks that it writes to, and those that nobody writes to."""
    return [
        mount
        for mount in service.mounts
        if isinstance(mount, VolumeMount)
        and not mount.no_copy
        and not mount.subpath
        and (not mount.read_only or not _is_written(stack, mount.volume))
    ]


def _is_written(stack: Stack, volume: str) -> bool:
    return any(
        isinstance(mount, VolumeMount) and mount.volume == volume and not mount.read_only
        for service in stack.services
        for mount in service.mounts
    )


def _container(service: Service, mounts: list[VolumeMount], pull: str) -> dict[str, Any]:
    user, group = user_of(service)
    context: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], **({} if user else {"add": _ROOT})},
        "runAsUser": user or 0,
    }
    if user:
        # The disk is open to the pod's group.
        context |= {"runAsNonRoot": True, "runAsGroup": group or user}
    return {
        "name": f"fill-{service.name}"[:63].rstrip("-"),
        "image": service.image.reference,
        "imagePullPolicy": pull,
        "command": words(["/bin/sh", f"{_PROGRAM}/{_FILE}", *(mount.target for mount in mounts)]),
        "resources": {"limits": {"cpu": "1", "memory": "128Mi"}, "requests": {"cpu": "50m", "memory": "32Mi"}},
        "securityContext": context,
        "volumeMounts": [
            {"name": MAP, "mountPath": _PROGRAM, "readOnly": True},
            *(
                {"name": volume_mount_name(mount), "mountPath": f"{_PLACE}/{number}"}
                for number, mount in enumerate(mounts, 1)
            ),
        ],
    }


def program_volume() -> dict[str, Any]:
    """Where the script comes from."""
    return {"name": MAP, "configMap": {"name": MAP}}


def generators(stack: Stack, public: Tree) -> list[Generator]:
    """The script's ConfigMap, where some service needs it. Its name is fixed: a new script starts no pod anew."""
    if not any(_new_disks(stack, service) for service in stack.services):
        return []
    return [add_files(public, names.BASE, MAP, {_FILE: asset("k8s", _FILE).read_bytes()}, has_fixed_name=True)]
