"""Backups in a cluster: a CronJob whose pod starts the phases of a night as Jobs, each as confined as on a server.

One pod can't have a phase with network and secrets and one without. So the CronJob's pod is a conductor: it has the right
to start Jobs from the templates here and reads neither data nor secrets; what it starts has no right in the cluster.
"""

from __future__ import annotations

import json
from typing import Any

from moorage.backups.plan import EXCHANGE_MAP, PLAN_FILE
from moorage.stack.cluster import Cluster
from moorage.stack.model import BackupSettings, Limits, Stack
from moorage.stack.platform.cluster import backup_disks
from moorage.targets import backup_plan
from moorage.targets.backup_plan import METRICS_PLACE, WORK_PLACE
from moorage.targets.k8s import accounts, backup_mounts, claims, configuration, names
from moorage.targets.k8s.backup_mounts import FOLDER_SECRET, PLAN_MAP, SECRETS, WORK_CLAIM
from moorage.targets.k8s.bounds import priority_name
from moorage.targets.k8s.configuration import Generator
from moorage.targets.k8s.mounts import key_of
from moorage.targets.k8s.pods import resources, where_the_disks_are
from moorage.tree import Tree

TEMPLATES_MAP = "backup-jobs"
STATUS_MAP = "backup-status"
_TEMPLATES_PLACE = "/templates"
_NIGHT_SECONDS = 12 * 3600
# The powers of the job on a server, for the same reasons (compose/backup.yaml).
_READS = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
_WRITES = [*_READS, "FSETID"]
_SCRATCH_USER = 999
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
    pairs = backup_mounts.of_data(stack, settings, is_restore=is_restore) if not is_drill else []
    pairs += backup_mounts.of_the_job(cluster.folder, is_drill=is_drill)
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
    """What `up` makes and no registry has, nobody else may give: whoever had that name somewhere would get everything."""
    if not settings.base_image:
        return "IfNotPresent"
    has_registry = "/" in settings.image and (
        "." in settings.image.partition("/")[0] or ":" in settings.image.partition("/")[0]
    )
    return "IfNotPresent" if has_registry else "Never"
