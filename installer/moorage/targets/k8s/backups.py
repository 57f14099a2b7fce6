"""Backups in a cluster: a CronJob whose pod starts the phases of a night as Jobs, each as confined as on a server.

One pod can't have a phase with network and secrets and one without. So the CronJob's pod is a conductor: it has the right
to start Jobs from the templates here and reads neither data nor secrets; what it starts has no right in the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from moorage.backups.plan import EXCHANGE_MAP, PLAN_FILE
from moorage.stack.cluster import Cluster
from moorage.stack.model import BackupSettings, BundledPostgres, BundledRedis, Limits, Stack
from moorage.stack.platform.cluster import backup_disks
from moorage.targets import backup_plan
from moorage.targets.backup_plan import FOLDER_PLACE, METRICS_PLACE, SECRETS_PLACE, WORK_PLACE
from moorage.targets.k8s import accounts, claims, configuration, names
from moorage.targets.k8s.bounds import priority_name
from moorage.targets.k8s.configuration import Generator
from moorage.targets.k8s.mounts import key_of
from moorage.targets.k8s.pods import resources, where_the_disks_are
from moorage.tree import Tree

WORK_CLAIM = "backup-work"
PLAN_MAP = "backup-plan"
TEMPLATES_MAP = "backup-jobs"
STATUS_MAP = "backup-status"
SECRETS = "backup-secrets"
FOLDER_SECRET = "deployment-folder"  # noqa: S105 - the name of an object
_TEMPLATES_PLACE = "/templates"
_PLAN_PLACE = "/plan"
_SOCKET_CLAIM = "postgres-data"
_NIGHT_SECONDS = 12 * 3600
# The powers of the job on a server, for the same reasons (compose/backup.yaml).
_READS = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
_WRITES = [*_READS, "FSETID"]
_SCRATCH_USER = 999
# A mounted Secret is a tree of links into the folder that this one leads to, and so would be its backup. What is in there are
# files; the name is that of every kubelet since 2016.
_WHAT_LINKS_LEAD_TO = "..data"
_CONDUCTOR = Limits(memory=128 << 20, memory_request=32 << 20, cpu=200, cpu_request=10)


def generators(stack: Stack, cluster: Cluster, public: Tree) -> list[Generator]:
    """The plan and the templates of the phases as ConfigMaps."""
    settings = stack.backups
    if settings is None:
        return []
    plan = backup_plan.plan(stack, settings).as_json()
    public.add(PLAN_FILE, plan)
    templates = {
        f"{name}.json": (json.dumps(_phase(stack, cluster, settings, name), indent=1, sort_keys=True) + "\n").encode()
        for name in settings.services
    }
    return [
        configuration.add_files(public, names.BASE, PLAN_MAP, {"plan.json": plan.encode()}, has_fixed_name=True),
        configuration.add_files(public, names.BASE, TEMPLATES_MAP, templates, has_fixed_name=True),
    ]


def add_secrets(stack: Stack, cluster: Cluster, private: Tree) -> None:
    """What the job must know to open its stores, and the deployment's own files, which every backup holds."""
    settings = stack.backups
    if settings is None:
        return
    values = {backup_plan.RECOVERY_KEY: cluster.recovery_key, **backup_plan.secret_files(stack, settings)}
    configuration.add_secret(private, SECRETS, values)
    files = {key_of(path): content for path, content in cluster.folder.items()}
    configuration.add_secret(private, FOLDER_SECRET, files)


def objects(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """The conductor and its rights, the identity of what it starts, its disks."""
    settings = stack.backups
    if settings is None:
        return []
    return [
        accounts.service_account(stack, settings.service, cluster.roles.get("backups", "")),
        *_conductor_rights(stack, settings),
        *(claims.claim(stack, name, cluster.volume_sizes[name]) for name in backup_disks(settings.stores)),
        _cron_job(stack, cluster, settings),
    ]


def _store_claim(name: str) -> str:
    return f"backup-store-{name}"


def _labels(stack: Stack, settings: BackupSettings) -> dict[str, str]:
    return {**names.labels(stack, settings.service), names.LABEL_COMPONENT: "backup"}


def _conductor_rights(stack: Stack, settings: BackupSettings) -> list[dict[str, Any]]:
    name = f"{settings.service}-conductor"
    labels = _labels(stack, settings)
    rules = [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "get", "list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [STATUS_MAP, EXCHANGE_MAP],
            "verbs": ["get", "update"],
        },
    ]
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "labels": labels},
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name, "labels": labels},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "labels": labels},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name}],
        },
    ]


def _cron_job(stack: Stack, cluster: Cluster, settings: BackupSettings) -> dict[str, Any]:
    container = {
        "name": "conductor",
        "image": settings.image,
        "imagePullPolicy": _pull(settings),
        "command": ["python3", "-m", "moorage.backups.conductor"],
        "args": ["night", "--templates", _TEMPLATES_PLACE, "--status", f"{METRICS_PLACE}/status.json"],
        "env": [
            {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {
                "name": "JOB_NAME",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}},
            },
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        ],
        "resources": resources(_CONDUCTOR),
        "securityContext": {**_confined([]), "runAsUser": _SCRATCH_USER, "runAsNonRoot": True},
        "volumeMounts": [
            {"name": "templates", "mountPath": _TEMPLATES_PLACE, "readOnly": True},
            {"name": "work", "mountPath": METRICS_PLACE, "subPath": "metrics", "readOnly": True},
        ],
    }
    labels = {**_labels(stack, settings), names.LABEL_PHASE: "conductor", names.LABEL_DATA: "disk"}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "serviceAccountName": f"{settings.service}-conductor",
            "automountServiceAccountToken": True,
            "priorityClassName": priority_name(cluster, "jobs"),
            "restartPolicy": "Never",
            # What was stopped is ended and written down.
            "terminationGracePeriodSeconds": 300,
            "enableServiceLinks": False,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "affinity": where_the_disks_are(),
            "volumes": [
                {"name": "templates", "configMap": {"name": TEMPLATES_MAP}},
                {"name": "work", "persistentVolumeClaim": {"claimName": WORK_CLAIM}},
            ],
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": settings.service, "labels": _labels(stack, settings)},
        "spec": {
            "schedule": settings.schedule,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 4 * 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": labels},
                "spec": {"backoffLimit": 0, "activeDeadlineSeconds": _NIGHT_SECONDS, "template": template},
            },
        },
    }


def _phase(stack: Stack, cluster: Cluster, settings: BackupSettings, name: str) -> dict[str, Any]:
    """A template of one kind of phase; whoever starts it adds a name and the arguments of its container."""
    is_drill = name == settings.drill_service
    is_restore = name == settings.restore_service
    labels = {**_labels(stack, settings), names.LABEL_DATA: "disk", names.LABEL_PHASE: name}
    if not is_drill and backup_plan.needs_network(stack):
        labels[f"{names.LABEL_NETWORK}backup"] = "member"
    pairs = _mounts(stack, settings, is_restore=is_restore) if not is_drill else []
    pairs += _own_mounts(cluster.folder, is_drill=is_drill)
    container = {
        "name": "job",
        "image": settings.image,
        "imagePullPolicy": _pull(settings),
        "env": [{"name": "TMPDIR", "value": WORK_PLACE}],
        "resources": resources(settings.limits),
        "securityContext": _drill_context() if is_drill else _job_context(_WRITES if is_restore else _READS),
        "volumeMounts": [mount for mount, _ in pairs],
    }
    spec: dict[str, Any] = {
        "serviceAccountName": settings.service,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": priority_name(cluster, "jobs"),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        # What the servers that it starts leave behind is collected by somebody.
        "shareProcessNamespace": True,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "affinity": where_the_disks_are(),
        "containers": [container],
        "volumes": list({volume["name"]: volume for _, volume in pairs}.values()),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": cluster.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": _NIGHT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


_Pair = tuple[dict[str, Any], dict[str, Any]]


def _own_mounts(folder: Collection[str], *, is_drill: bool) -> list[_Pair]:
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


def _mounts(stack: Stack, settings: BackupSettings, *, is_restore: bool) -> list[_Pair]:
    """The socket, the server's files, the volumes and the stores; a restore writes to the volumes and to nothing else."""
    found: list[_Pair] = []
    if isinstance(stack.postgres, BundledPostgres):
        found.append(_claim("postgres", _SOCKET_CLAIM, backup_plan.SOCKET_FOLDER, sub_path="socket", read_only=True))
        found.append(_claim("postgres", _SOCKET_CLAIM, stack.postgres.data_path, read_only=True))
    for item in settings.volumes:
        place = backup_plan.volume_place(item.name)
        found.append(_claim(f"data-{item.name}", claim_of(stack, item.name), place, read_only=not is_restore))
    for store in settings.stores:
        if store.directory:
            place = backup_plan.store_place(store)
            found.append(_claim(f"store-{store.name}", _store_claim(store.name), place, read_only=is_restore))
    return found


def claim_of(stack: Stack, volume: str) -> str:
    """The claim of a volume that is saved."""
    if isinstance(stack.redis, BundledRedis) and stack.redis.volume == volume:
        return "redis-data"
    return names.claim_name(volume)


def _claim(name: str, claim: str, place: str, *, sub_path: str = "", read_only: bool = False) -> _Pair:
    mount: dict[str, Any] = {"name": names.volume_name(name), "mountPath": place}
    if sub_path:
        mount["subPath"] = sub_path
    if read_only:
        mount["readOnly"] = True
    return mount, {"name": names.volume_name(name), "persistentVolumeClaim": {"claimName": claim}}


def _memory(name: str, place: str, size: str) -> _Pair:
    return {"name": name, "mountPath": place}, {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def _secret(name: str, secret: str, place: str, paths: Collection[str] = ()) -> _Pair:
    """All keys as files; with `paths` each at its path below the place."""
    source: dict[str, Any] = {"secretName": secret, "defaultMode": 0o400}
    if paths:
        source["items"] = [{"key": key_of(path), "path": path} for path in sorted(paths)]
    return {"name": name, "mountPath": place, "readOnly": True}, {"name": name, "secret": source}


def _confined(capabilities: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"drop": ["ALL"]}
    if capabilities:
        found["add"] = capabilities
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": found}


def _job_context(capabilities: list[str]) -> dict[str, Any]:
    return {**_confined(capabilities), "runAsUser": 0, "runAsGroup": 0}


def _drill_context() -> dict[str, Any]:
    return {**_confined([]), "runAsUser": _SCRATCH_USER, "runAsGroup": _SCRATCH_USER, "runAsNonRoot": True}


def _pull(settings: BackupSettings) -> str:
    """Without a registry in its name it was made here: whoever had that name anywhere else would get everything."""
    has_registry = "/" in settings.image and (
        "." in settings.image.partition("/")[0] or ":" in settings.image.partition("/")[0]
    )
    return "IfNotPresent" if has_registry else "Never"
