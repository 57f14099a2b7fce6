"""What a phase of the backup job finds inside: each mount with its volume, at the places that the job has on a server too."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from moorage.stack.model import BackupSettings, BundledPostgres, BundledRedis, Stack
from moorage.targets import backup_plan
from moorage.targets.backup_plan import FOLDER_PLACE, METRICS_PLACE, SECRETS_PLACE, WORK_PLACE
from moorage.targets.k8s import names
from moorage.targets.k8s.mounts import key_of

WORK_CLAIM = "backup-work"
PLAN_MAP = "backup-plan"
SECRETS = "backup-secrets"
FOLDER_SECRET = "deployment-folder"  # noqa: S105 - the name of an object
_PLAN_PLACE = "/plan"
_SOCKET_CLAIM = "postgres-data"
# A mounted Secret is a tree of links into the folder that this one leads to, and so would be its backup. What is in there are
# files; the name is that of every kubelet since 2016.
_WHAT_LINKS_LEAD_TO = "..data"

# A mount of the container and the volume of the pod.
Pair = tuple[dict[str, Any], dict[str, Any]]


def of_the_job(folder: Collection[str], *, is_drill: bool) -> list[Pair]:
    """Plan, room to work in, secrets; `folder` are the paths of the deployment's own files. A drill sees no secret."""
    found = [
        _claim("work", WORK_CLAIM, WORK_PLACE),
        (
            {"name": "plan", "mountPath": _PLAN_PLACE, "readOnly": True},
            {"name": "plan", "configMap": {"name": PLAN_MAP}},
        ),
        _memory("temporary", "/tmp", "64Mi"),  # noqa: S108 - a path in the container
    ]
    if is_drill:
        # A parallel build of an index shares its memory there. The image declares a volume at the other place.
        found.append(_memory("shared", "/dev/shm", "256Mi"))  # noqa: S108
    else:
        found.append(_memory("runtime", "/run/moorage", "16Mi"))
        found.append(_secret("secrets", SECRETS, SECRETS_PLACE))
        mount, volume = _secret("folder", FOLDER_SECRET, FOLDER_PLACE, folder)
        found.append(({**mount, "subPath": _WHAT_LINKS_LEAD_TO}, volume))
        metrics = ({"name": "work", "mountPath": METRICS_PLACE, "subPath": "metrics"}, found[0][1])
        found.append(metrics)
    return found


def of_data(stack: Stack, settings: BackupSettings, *, is_restore: bool) -> list[Pair]:
    """The socket, the server's files, the volumes and the stores; a restore writes to the volumes and to nothing else."""
    found: list[Pair] = []
    if isinstance(stack.postgres, BundledPostgres):
        found.append(_claim("postgres", _SOCKET_CLAIM, backup_plan.SOCKET_FOLDER, sub_path="socket", read_only=True))
        found.append(_claim("postgres", _SOCKET_CLAIM, stack.postgres.data_path, read_only=True))
    for item in settings.volumes:
        place = backup_plan.volume_place(item.name)
        found.append(_claim(f"data-{item.name}", claim_of(stack, item.name), place, read_only=not is_restore))
    for store in settings.stores:
        if store.directory:
            place = backup_plan.store_place(store)
            found.append(_claim(f"store-{store.name}", store_claim(store.name), place, read_only=is_restore))
    return found


def store_claim(name: str) -> str:
    """The claim of a store that is a folder on a server."""
    return f"backup-store-{name}"


def claim_of(stack: Stack, volume: str) -> str:
    """The claim of a volume that is saved."""
    if isinstance(stack.redis, BundledRedis) and stack.redis.volume == volume:
        return "redis-data"
    return names.claim_name(volume)


def _claim(name: str, claim: str, place: str, *, sub_path: str = "", read_only: bool = False) -> Pair:
    mount: dict[str, Any] = {"name": names.volume_name(name), "mountPath": place}
    if sub_path:
        mount["subPath"] = sub_path
    if read_only:
        mount["readOnly"] = True
    return mount, {"name": names.volume_name(name), "persistentVolumeClaim": {"claimName": claim}}


def _memory(name: str, place: str, size: str) -> Pair:
    return {"name": name, "mountPath": place}, {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def _secret(name: str, secret: str, place: str, paths: Collection[str] = ()) -> Pair:
    """All keys as files; with `paths` each at its path below the place."""
    source: dict[str, Any] = {"secretName": secret, "defaultMode": 0o400}
    if paths:
        source["items"] = [{"key": key_of(path), "path": path} for path in sorted(paths)]
    return {"name": name, "mountPath": place, "readOnly": True}, {"name": name, "secret": source}
