"""One command in a fresh pod of a service: its image, variables, disks and rights; gone when it has ended."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster import attachment
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Identity, Object, at, identity
from moorage.targets.cluster.pods import PodTrouble, read_log, troubles
from moorage.targets.cluster.waiting import Patience
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import LABEL_INSTANCE, LABEL_JOB, LABEL_NAME

_START_SECONDS = 300.0
_LOOK_SECONDS = 0.5
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports")
# Nobody is left to delete it when we are killed: the cluster ends it then.
_LONGEST_SECONDS = 24 * 3600
_MANY_LINES = 1_000_000
# What every runtime says of a program that the image does not have.
_NO_SHELL = "/bin/sh"


def pod_of(template: Object, facts: ClusterFacts, container: str, words: Sequence[str], name: str) -> Object:
    """The pod: the service's own, without probes, and under labels that no Service of ours finds it by."""
    spec = deepcopy(template["spec"])
    chosen = next((each for each in spec["containers"] if each["name"] == container), spec["containers"][0])
    kept = {key: value for key, value in chosen.items() if key not in _PROBES}
    kept.pop("args", None)
    if words:
        kept["command"] = list(words)
    kept |= {"stdin": True, "stdinOnce": True, "tty": attachment.is_terminal()}
    labels = {key: value for key, value in (at(template, "metadata", "labels") or {}).items() if key != LABEL_NAME}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": facts.namespace,
            "labels": {**labels, LABEL_NAME: name, LABEL_INSTANCE: facts.project, LABEL_JOB: "run"},
            "annotations": {"kubectl.kubernetes.io/default-container": kept["name"]},
        },
        "spec": {
            **spec,
            "containers": [kept],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _LONGEST_SECONDS,
        },
    }


def run(
    cluster: Cluster,
    facts: ClusterFacts,
    service: str,
    container: str,
    template: Object,
    words: Sequence[str],
    console: Console,
) -> int:
    """Run it with our own standard streams; gives its exit status. Raises DeployError when it can't start."""
    name = f"{service[:40]}-run-{secrets.token_hex(3)}"
    try:
        return _attached(cluster, pod_of(template, facts, container, attachment.waiting(words), name), console)
    except _HasNoShell:
        # All that it says is in its log then; what goes to its two outputs can't be told apart.
        pod = pod_of(template, facts, container, words, f"{name}-plain")
        return _logged(cluster, pod, console)
    except KeyboardInterrupt:
        return 130


class _HasNoShell(Exception):
    """The image has no /bin/sh."""


def _attached(cluster: Cluster, pod: Object, console: Console) -> int:
    container = pod["spec"]["containers"][0]
    with _running(cluster, pod, console) as started:
        if _phase(started) == "Running":
            name, namespace = identity(pod).name, identity(pod).namespace
            attachment.attach(cluster, namespace, name, container["name"], has_terminal=bool(container["tty"]))
        return _status(cluster, identity(pod), container["name"])


def _logged(cluster: Cluster, pod: Object, console: Console) -> int:
    container = pod["spec"]["containers"][0]
    container |= {"stdin": False, "stdinOnce": False, "tty": False}
    with _running(cluster, pod, console):
        status = _status(cluster, identity(pod), container["name"], _LONGEST_SECONDS)
        sys.stdout.write(read_log(cluster, pod, container["name"], lines=_MANY_LINES))
        return status


@contextlib.contextmanager
def _running(cluster: Cluster, pod: Object, console: Console) -> Iterator[Object]:
    """The pod once it has started; it is gone afterwards, whatever happens."""
    try:
        cluster.create(pod)
        with console.waiting(f"{identity(pod).name} starts", _START_SECONDS):
            started = _started(cluster, identity(pod), time.monotonic, time.sleep)
        yield started
    finally:
        cluster.delete(identity(pod), seconds=0)


def _started(cluster: Cluster, name: Identity, clock: Callable[[], float], pause: Callable[[float], None]) -> Object:
    end, patience = clock() + _START_SECONDS, Patience(clock)
    while True:
        pod = cluster.read(name, "v1")
        if pod is None:
            raise DeployError(f"{name.name} was deleted before it started")
        if _phase(pod) not in ("", "Pending"):
            return pod
        found = list(troubles(pod))
        if any(_NO_SHELL in trouble.text for trouble in found):
            raise _HasNoShell
        for trouble in found:
            if patience.is_over(trouble):
                raise DeployError(f"{name.name} does not start: {trouble.text}", trouble.hint)
        if clock() > end:
            last = found[0] if found else PodTrouble("", "", "the cluster gives no reason")
            raise DeployError(f"{name.name} did not start within {_START_SECONDS:.0f} seconds: {last.text}", last.hint)
        pause(_LOOK_SECONDS)


def _phase(pod: Object) -> str:
    return str(at(pod, "status", "phase") or "")


def _status(cluster: Cluster, name: Identity, container: str, limit_seconds: float = 60) -> int:
    """The exit status, which the cluster learns a moment after the stream has ended."""
    end = time.monotonic() + limit_seconds
    while time.monotonic() < end:
        pod = cluster.read(name, "v1")
        if pod is None:
            raise DeployError(f"{name.name} was deleted while it ran", "`moorage status` shows what runs")
        statuses = at(pod or {}, "status", "containerStatuses") or ()
        for each in statuses:
            ended = at(each, "state", "terminated")
            if each["name"] == container and ended is not None:
                if _NO_SHELL in str(ended.get("message", "")):
                    raise _HasNoShell
                return int(ended.get("exitCode", 1))
        time.sleep(_LOOK_SECONDS)
    raise DeployError(f"how {name.name} ended is not known", "`moorage status`")
