"""Nodes that only report: they tell the API server what a kubelet would tell it, and run nothing.

With them Deployments roll out, Jobs complete and claims bind, so that controllers, admission, quotas and everything that
*applies* objects can be tried for real. They are not a proof that a container starts: no image is looked at, no command
runs, no probe is asked, no service or network policy carries or stops a packet, there are no logs and no `exec`.

A pod of a Job succeeds, every other one runs and is ready, unless its annotation says otherwise (`FATES`).
"""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Callable
from typing import Any

from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError

Json = dict[str, Any]

FATE = "moorage.test/fate"
# What a test can wish for: a probe that never answers, a command that fails, an image that is not there.
FATES = ("unready", "failed", "no-image")
LEASES = "kube-node-lease"
MERGE = "application/strategic-merge-patch+json"
HEARTBEAT_SECONDS = 10
CAPACITY = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}


class ReportingNodes:
    """Some nodes of a cluster; call `look` again and again."""

    def __init__(self, api: DynamicClient, count: int = 2) -> None:
        """Prepare nodes that are not registered yet."""
        self._nodes = api.resources.get(api_version="v1", kind="Node")
        self._pods = api.resources.get(api_version="v1", kind="Pod")
        self._leases = api.resources.get(api_version="coordination.k8s.io/v1", kind="Lease")
        self.names = tuple(f"reporting-{number}" for number in range(1, count + 1))
        self._addresses = (f"10.244.{high}.{low}" for high, low in itertools.product(range(200, 256), range(1, 255)))
        self._next_heartbeat = 0.0

    def register(self) -> None:
        """Add the nodes to the cluster and say that they are ready."""
        for name in self.names:
            self._nodes.create(body=_node(name))
            self._nodes.status.patch(name=name, body={"status": _node_status()}, content_type=MERGE)
            # With a time from the beginning: the controller sees no renewal of one that has none.
            self._leases.create(namespace=LEASES, body={"metadata": {"name": name}, "spec": _lease(name)})

    def look(self) -> None:
        """Look at every pod of these nodes once and bring it one step further."""
        self._beat()
        for pod in self._pods.get().to_dict()["items"]:
            if pod["spec"].get("nodeName") in self.names:
                self._step(pod)

    def _beat(self) -> None:
        """Renew the leases that tell the controllers that the nodes live."""
        if time.monotonic() < self._next_heartbeat:
            return
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
        for name in self.names:
            self._leases.patch(name=name, namespace=LEASES, body={"spec": _lease(name)}, content_type=MERGE)

    def _step(self, pod: Json) -> None:
        place = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        try:
            if "deletionTimestamp" in pod["metadata"]:
                # What a kubelet does when the last container has ended.
                self._pods.delete(**place, body={"gracePeriodSeconds": 0})
            elif status := next_status(pod, lambda: next(self._addresses)):
                self._pods.status.patch(**place, body={"status": status}, content_type=MERGE)
        except (NotFoundError, ConflictError):
            return  # gone or changed since it was listed; the next look knows more


def next_status(pod: Json, new_address: Callable[[], str]) -> Json | None:
    """Return what a kubelet would report next of a pod that is not being deleted; None when nothing changes."""
    fate = pod["metadata"].get("annotations", {}).get(FATE) or _fate_by_image(pod)
    status = pod.get("status", {})
    phase = status.get("phase", "Pending")
    if phase == "Pending" and fate == "no-image":
        return None if status.get("containerStatuses") else _without_image(pod)
    if phase == "Pending":
        return _running(pod, new_address(), is_ready=fate != "unready")
    if phase == "Running" and pod["spec"].get("restartPolicy") != "Always" and fate != "unready":
        return _ended(pod, 1 if fate == "failed" else 0)
    return None


def _fate_by_image(pod: Json) -> str:
    """Return the fate that the tag of one of its images names: who deploys through moorage can't annotate a pod."""
    tags = {each["image"].rpartition(":")[2] for each in pod["spec"]["containers"]}
    return next((fate for fate in FATES if fate in tags), "")


def _running(pod: Json, address: str, *, is_ready: bool) -> Json:
    running = {"running": {"startedAt": _now()}}
    return {
        "phase": "Running",
        "startTime": _now(),
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": _conditions(is_ready=is_ready),
        "initContainerStatuses": [
            _container(each, running if each.get("restartPolicy") == "Always" else _terminated(0), is_ready=True)
            for each in pod["spec"].get("initContainers", [])
        ],
        "containerStatuses": [_container(each, running, is_ready=is_ready) for each in pod["spec"]["containers"]],
    }


def _ended(pod: Json, exit_code: int) -> Json:
    return {
        "phase": "Failed" if exit_code else "Succeeded",
        "conditions": _conditions(is_ready=False, reason="PodFailed" if exit_code else "PodCompleted"),
        "containerStatuses": [
            _container(each, _terminated(exit_code), is_ready=False) for each in pod["spec"]["containers"]
        ],
    }


def _without_image(pod: Json) -> Json:
    waiting = {
        "waiting": {"reason": "ImagePullBackOff", "message": "a node that only reports was told to find no image"}
    }
    return {
        "startTime": _now(),
        "conditions": _conditions(is_ready=False, reason="ContainersNotReady"),
        "containerStatuses": [_container(each, waiting, is_ready=False) for each in pod["spec"]["containers"]],
    }


def _container(container: Json, state: Json, *, is_ready: bool) -> Json:
    image = container["image"]
    return {
        "name": container["name"],
        "image": image,
        "imageID": f"reported://{image}" if "waiting" not in state else "",
        "ready": is_ready,
        "started": "running" in state,
        "restartCount": 0,
        "state": state,
    }


def _terminated(exit_code: int) -> Json:
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "startedAt": _now(),
            "finishedAt": _now(),
        }
    }


def _conditions(*, is_ready: bool, reason: str = "") -> list[Json]:
    ready = {"status": "True" if is_ready else "False", "reason": reason, "lastTransitionTime": _now()}
    initialized = {"type": "Initialized", "status": "True", "lastTransitionTime": _now()}
    return [initialized, {"type": "ContainersReady", **ready}, {"type": "Ready", **ready}]


def _node(name: str) -> Json:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {"metadata": {"name": name, "labels": labels}}


def _node_status() -> Json:
    now = _now()
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure")
    calm = [{"type": kind, "status": "False", "reason": "Reported"} for kind in kinds]
    conditions = [*calm, {"type": "Ready", "status": "True", "reason": "Reported"}]
    return {
        "capacity": CAPACITY,
        "allocatable": CAPACITY,
        "conditions": [{**each, "lastHeartbeatTime": now, "lastTransitionTime": now} for each in conditions],
        "nodeInfo": {"kubeletVersion": "reported", "operatingSystem": "linux", "architecture": "amd64"},
    }


def _lease(name: str) -> Json:
    return {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now(fraction=True)}


def _now(*, fraction: bool = False) -> str:
    """Return the time as the API writes it; leases have fractions of a second, everything else has none."""
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if fraction else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.datetime.now(datetime.timezone.utc).strftime(form)
