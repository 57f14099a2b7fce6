"""What the namespace may use, what keeps its pods up, and how many of them there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moorage.quantities import MEBIBYTE, cpu_quantity
from moorage.stack.cluster import Cluster
from moorage.stack.model import BundledPostgres, BundledRedis, Limits, Service, Stack
from moorage.targets.k8s import names

# A rollout runs the new pods beside the old ones; a job or somebody's own pod needs room as well.
_ROOM = 2
_SPARE_PODS = 10
_SPARE_MEMORY = 4096 * MEBIBYTE
_SPARE_CPU = 4000
_BUSY_PERCENT = 70
# A pod of the platform goes before one of the app, and both before what the app starts for its users.
_PRIORITIES = {"data": 100_000, "app": 50_000, "jobs": 10_000}
_PRIORITY_REASONS = {
    "data": "Databases and the proxy: without them nothing works.",
    "app": "The app's services.",
    "jobs": "Jobs and backups, which can be started again.",
}


def priority_name(cluster: Cluster, kind: str) -> str:
    """The class of `data`, `app` or `jobs`; classes belong to the whole cluster, so the namespace is in the name."""
    return f"{cluster.namespace}-{kind}"


def priorities(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """The three classes. None pushes another's pods out of the cluster."""
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority_name(cluster, kind), "labels": names.labels(stack, kind)},
            "value": value,
            "preemptionPolicy": "PreemptLowerPriority" if kind == "data" else "Never",
            "globalDefault": False,
            "description": _PRIORITY_REASONS[kind],
        }
        for kind, value in _PRIORITIES.items()
    ]


def quota(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """Twice of what the deployment asks for, so that a mistake stays in its namespace; and defaults for other pods."""
    rows = list(_sizes(stack))
    pods = sum(count for _, count in rows)
    memory = sum(limits.memory * count for limits, count in rows)
    request = sum(limits.memory_request * count for limits, count in rows)
    cpu = sum(limits.cpu_request * count for limits, count in rows)
    disks = sum(cluster.volume_sizes.values())
    hard = {
        "pods": str(_ROOM * pods + _SPARE_PODS),
        "limits.memory": f"{(_ROOM * memory + _SPARE_MEMORY) // MEBIBYTE}Mi",
        "requests.memory": f"{(_ROOM * request + _SPARE_MEMORY) // MEBIBYTE}Mi",
        "requests.cpu": cpu_quantity(_ROOM * cpu + _SPARE_CPU),
        # A restore makes its disk beside the one that it replaces.
        "requests.storage": f"{_ROOM * disks // MEBIBYTE + 51200}Mi",
    }
    defaults = {"cpu": "1", "memory": "512Mi"}
    requests = {"cpu": "50m", "memory": "64Mi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "deployment", "labels": names.labels(stack, "deployment")},
            "spec": {"hard": hard},
        },
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "defaults", "labels": names.labels(stack, "defaults")},
            "spec": {"limits": [{"type": "Container", "default": defaults, "defaultRequest": requests}]},
        },
    ]


def _sizes(stack: Stack) -> Iterator[tuple[Limits, int]]:
    yield stack.edge.limits, 1
    for item in (stack.postgres, stack.redis):
        if isinstance(item, BundledPostgres | BundledRedis):
            yield item.limits, 1
    for service in stack.services:
        yield service.limits, max(service.replicas, service.max_replicas)
    for job in stack.jobs:
        yield job.limits, 1
    if stack.backups is not None:
        yield stack.backups.limits, 2


def disruption_budget(stack: Stack, service: Service) -> dict[str, Any]:
    """One pod at a time may be moved off a node; never none, or a node could not be replaced."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": service.name, "labels": names.labels(stack, service.name)},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": names.selector(stack, service.name)}},
    }


def autoscaler(stack: Stack, service: Service) -> dict[str, Any]:
    """Between the service's replicas and its `max_replicas`, by the CPU that its pods use of what they asked for."""
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": _average()}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": service.name, "labels": names.labels(stack, service.name)},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.name},
            "minReplicas": max(1, service.replicas),
            "maxReplicas": service.max_replicas,
            "metrics": [metric],
            # A pod that was needed a moment ago may be needed again.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def _average() -> dict[str, Any]:
    return {"type": "Utilization", "averageUtilization": _BUSY_PERCENT}


def scales(service: Service) -> bool:
    """Whether the number of its pods is the cluster's to choose."""
    return service.max_replicas > service.replicas
