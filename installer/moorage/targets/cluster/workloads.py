"""How far a Deployment, StatefulSet or DaemonSet is, and what keeps it from getting there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Object, at
from moorage.targets.cluster.pods import PodTrouble, is_owned_by, name_of, troubles
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import LABEL_INSTANCE

_REVISION = "deployment.kubernetes.io/revision"
_GENERATION, _POD_GENERATION = "deprecated.daemonset.template.generation", "pod-template-generation"
_RUNNING = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class Scene:
    """Everything of a deployment's namespaces that belongs to running, read in one moment."""

    workloads: tuple[Object, ...]
    sets: tuple[Object, ...]
    pods: tuple[Object, ...]

    def find(self, kind: str, name: str) -> Object | None:
        """One workload, or None."""
        return next((item for item in self.workloads if item["kind"] == kind and name_of(item) == name), None)


def scene(cluster: Cluster, facts: ClusterFacts) -> Scene:
    """What the namespaces show at the moment; only components have something on every node."""
    mine = f"{LABEL_INSTANCE}={facts.project}"

    def found(version: str, kind: str, namespaces: tuple[str, ...]) -> tuple[Object, ...]:
        return tuple(item for name in namespaces for item in cluster.list(version, kind, name, mine))

    workloads = [
        item
        for kind in _RUNNING
        for item in found("apps/v1", kind, facts.namespaces[1:] if kind == "DaemonSet" else facts.namespaces)
    ]
    sets = found("apps/v1", "ReplicaSet", facts.namespaces)
    return Scene(tuple(workloads), sets, found("v1", "Pod", facts.namespaces))


def wanted(item: Object) -> int:
    """How many pods there are to be; of one on every node, as many as there are nodes for it."""
    if item["kind"] == "DaemonSet":
        return int(at(item, "status", "desiredNumberScheduled") or 0)
    number = at(item, "spec", "replicas")
    return 1 if number is None else int(number)


def ready(item: Object) -> int:
    """How many pods are ready."""
    return int(at(item, "status", "numberReady" if item["kind"] == "DaemonSet" else "readyReplicas") or 0)


def is_done(item: Object) -> bool:
    """Whether every pod is of the newest kind and ready, and no old one is left."""
    status = item.get("status") or {}
    count = wanted(item)
    if int(status.get("observedGeneration", 0)) < int(item["metadata"].get("generation", 0)):
        return False
    if item["kind"] == "StatefulSet":
        # With nothing to run the cluster does not bother to move the current revision on.
        same = not count or status.get("updateRevision") == status.get("currentRevision")
        return same and ready(item) == count and int(status.get("replicas") or 0) == count
    keys = ("replicas", "updatedReplicas", "availableReplicas")
    if item["kind"] == "DaemonSet":
        keys = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    numbers = [int(status.get(key) or 0) for key in keys]
    return all(number == count for number in numbers)


def newest_pods(now: Scene, item: Object) -> list[Object]:
    """The pods of a workload that are as it is to be now; those that are about to end left out."""
    there = [pod for pod in now.pods if not at(pod, "metadata", "deletionTimestamp")]
    if item["kind"] == "StatefulSet":
        revision = at(item, "status", "updateRevision")
        return [
            pod
            for pod in there
            if is_owned_by(pod, item) and at(pod, "metadata", "labels", "controller-revision-hash") == revision
        ]
    if item["kind"] == "DaemonSet":
        number = at(item, "metadata", "annotations", _GENERATION)
        mine = [pod for pod in there if is_owned_by(pod, item)]
        return [pod for pod in mine if at(pod, "metadata", "labels", _POD_GENERATION) == number]
    newest = _newest_set(now, item)
    return [pod for pod in there if newest is not None and is_owned_by(pod, newest)]


def all_pods(now: Scene, item: Object) -> list[Object]:
    """Every pod of a workload."""
    owners = [item, *(each for each in now.sets if is_owned_by(each, item))]
    return [pod for pod in now.pods if any(is_owned_by(pod, owner) for owner in owners)]


def _newest_set(now: Scene, item: Object) -> Object | None:
    revision = at(item, "metadata", "annotations", _REVISION)
    mine = [each for each in now.sets if is_owned_by(each, item)]
    return next((each for each in mine if at(each, "metadata", "annotations", _REVISION) == revision), None)


def in_the_way(now: Scene, item: Object) -> Iterator[PodTrouble]:
    """Why a workload is not done: pods that can't be made, and what is wrong with those that are."""
    for each in (item, _newest_set(now, item)) if item["kind"] == "Deployment" else (item,):
        for condition in at(each or {}, "status", "conditions") or ():
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                yield refused_pod(str(condition.get("message", "")))
    for pod in newest_pods(now, item):
        yield from troubles(pod)


def refused_pod(said: str) -> PodTrouble:
    """The cluster's refusal to make a pod: quota, Pod Security, an account that is not there."""
    hint = ""
    if "exceeded quota" in said:
        hint = "the namespace's quota follows from `resources`; `kubectl describe quota` shows what uses it"
    if "violates PodSecurity" in said:
        hint = "the namespace's level follows from `permissions` in the app's file; was its label changed by hand?"
    return PodTrouble("", "", f"the cluster makes no pod of it: {said}", hint)
