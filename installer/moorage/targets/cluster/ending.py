"""Let a deployment in a cluster rest, or take it away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.cluster import drivers, inventory, waves
from moorage.targets.cluster.client import Cluster, MissingKind
from moorage.targets.cluster.objects import Identity, Object, identity, instance_of, of_kind
from moorage.targets.cluster.workloads import scene
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import LABEL_COMPONENT_OF_APP, LABEL_INSTANCE

_REST_SECONDS = 300
_LOOK_SECONDS = 1.0
_OF_CLUSTER = {
    "CSIDriver": "storage.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "StorageClass": "storage.k8s.io/v1",
    "ValidatingAdmissionPolicy": "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding": "admissionregistration.k8s.io/v1",
    "VolumeSnapshotClass": "snapshot.storage.k8s.io/v1",
}


def running(cluster: Cluster, facts: ClusterFacts) -> list[str]:
    """The pods that are there, by name."""
    return sorted(str(pod["metadata"]["name"]) for pod in scene(cluster, facts).pods)


def rest(
    cluster: Cluster,
    facts: ClusterFacts,
    objects: Iterable[Object],
    console: Console,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """No pods, no schedules; everything else stays as it is. Databases go last. Raises MoorageError."""
    items = list(objects)
    for item in of_kind(items, "CronJob"):
        _apply(cluster, facts, item, "suspend", True)
    for kind in ("Deployment", "StatefulSet"):
        for item in of_kind(items, kind):
            _apply(cluster, facts, item, "replicas", 0)
        _until(partial(_has_ended, cluster, facts, kind), f"pods of every {kind} end", console, pause)


def _apply(cluster: Cluster, facts: ClusterFacts, item: Object, key: str, value: object) -> None:
    """The whole object with one field changed: applying only that field would take all others away."""
    found = cluster.read(identity(item), item["apiVersion"])
    if found is None or instance_of(found) != facts.project:
        return
    resting = deepcopy(item)
    resting["spec"][key] = value
    # Who scaled it by hand, or the autoscaler, has nothing to say while it rests.
    cluster.apply(resting, force=True)


def _has_ended(cluster: Cluster, facts: ClusterFacts, kind: str) -> bool:
    now = scene(cluster, facts)
    return not any(
        int((item.get("status") or {}).get("replicas") or 0) for item in now.workloads if item["kind"] == kind
    )


def _until(is_done: Callable[[], bool], what: str, console: Console, pause: Callable[[float], None]) -> None:
    with console.waiting(what, _REST_SECONDS):
        for _ in range(_REST_SECONDS):
            if is_done():
                return
            pause(_LOOK_SECONDS)
    raise MoorageError(f"not done after {_REST_SECONDS} seconds: {what}", "`moorage status` shows what is left")


def remove(cluster: Cluster, facts: ClusterFacts, console: Console) -> list[Identity]:
    """Delete everything of ours that holds no data; gives what stays. Raises MoorageError."""
    known = inventory.read(cluster, facts)
    kept = []
    names = known.objects if known else frozenset[Identity]()
    drivers.remove_first(cluster, facts.project, names, console)
    for name in sorted(names, key=lambda item: (-waves.wave_of(item.kind), item)):
        found = _read(cluster, name)
        if found is None:
            continue
        if inventory.is_kept(name) or instance_of(found) != facts.project:
            kept.append(name)
        else:
            cluster.delete(name, uid=found["metadata"]["uid"])
    if known is not None:
        # Whoever deploys here again must know that these are ours.
        inventory.write(cluster, facts, kept)
    return kept


def purge(cluster: Cluster, facts: ClusterFacts, console: Console, pause: Callable[[float], None] = time.sleep) -> None:
    """Delete the namespace with all data, and what of ours is outside of it. Raises MoorageError."""
    namespace = Identity("", "Namespace", "", facts.namespace)
    found = cluster.read(namespace, "v1")
    if found is not None and instance_of(found) != facts.project:
        raise MoorageError(
            f"the namespace {facts.namespace} is not this deployment's; it was not deleted",
            f"it has no label {LABEL_INSTANCE}={facts.project}; `kubectl delete namespace {facts.namespace}` if you know better",
        )
    known = inventory.read(cluster, facts)
    drivers.remove_first(cluster, facts.project, known.objects if known else (), console, pause)
    for item in outside(cluster, facts):
        cluster.delete(identity(item), uid=item["metadata"]["uid"])
    if found is not None:
        cluster.delete(namespace, uid=found["metadata"]["uid"])
    _until(lambda: cluster.read(namespace, "v1") is None, f"the namespace {facts.namespace} goes", console, pause)


def outside(cluster: Cluster, facts: ClusterFacts) -> list[Object]:
    """What of ours belongs to the whole cluster, and the namespaces of components."""
    mine = f"{LABEL_INSTANCE}={facts.project}"
    found = [
        item
        for item in cluster.list("v1", "Namespace", "", f"{mine},{LABEL_COMPONENT_OF_APP}")
        if item["metadata"]["name"] != facts.namespace
    ]
    for kind, version in _OF_CLUSTER.items():
        try:
            found += cluster.list(version, kind, "", mine)
        except MissingKind:
            # A cluster without snapshots has no class of them either.
            continue
    return found


def disks(cluster: Cluster, facts: ClusterFacts) -> list[str]:
    """The claims of the namespace, by name."""
    return sorted(
        str(item["metadata"]["name"]) for item in cluster.list("v1", "PersistentVolumeClaim", facts.namespace)
    )


def _read(cluster: Cluster, name: Identity) -> Object | None:
    try:
        return cluster.read(name)
    except MissingKind:
        return None
