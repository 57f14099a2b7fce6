"""One command in a fresh pod of a service: its image, variables, disks and rights; gone when it has ended."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Identity, Object, at, identity
from moorage.targets.cluster.pods import PodTrouble, read_log, troubles
from moorage.targets.cluster.streams import open_stream
from moorage.targets.cluster.waiting import Patience
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import LABEL_INSTANCE, LABEL_JOB, LABEL_NAME

_START_SECONDS = 300.0
_LOOK_SECONDS = 0.5
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports")
# Nobody is left to delete it when we are killed: the cluster ends it then.
_LONGEST_SECONDS = 24 * 3600


def pod_of(template: Object, facts: ClusterFacts, container: str, words: Sequence[str], name: str) -> Object:
    """The pod: the service's own, without probes, and under labels that no Service of ours finds it by."""
    spec = deepcopy(template["spec"])
    chosen = next((each for each in spec["containers"] if each["name"] == container), spec["containers"][0])
    kept = {key: value for key, value in chosen.items() if key not in _PROBES}
    kept.pop("args", None)
    if words:
        kept["command"] = list(words)
    kept |= {"stdin": True, "stdinOnce": True, "tty": sys.stdin.isatty() and sys.stdout.isatty()}
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
    pod = pod_of(template, facts, container, words, name)
    chosen = str(pod["spec"]["containers"][0]["name"])
    try:
        cluster.create(pod)
        with console.waiting(f"{name} starts", _START_SECONDS):
            started = _started(cluster, identity(pod), time.monotonic, time.sleep)
        if _phase(started) == "Running":
            _attach(cluster, facts.namespace, name, chosen, is_terminal=bool(pod["spec"]["containers"][0]["tty"]))
        else:
            sys.stdout.write(read_log(cluster, started, chosen, lines=10_000))
        return _status(cluster, identity(pod), chosen)
    except KeyboardInterrupt:
        return 130
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
        for trouble in found:
            if patience.is_over(trouble):
                raise DeployError(f"{name.name} does not start: {trouble.text}", trouble.hint)
        if clock() > end:
            last = found[0] if found else PodTrouble("", "", "the cluster gives no reason")
            raise DeployError(f"{name.name} did not start within {_START_SECONDS:.0f} seconds: {last.text}", last.hint)
        pause(_LOOK_SECONDS)


def _phase(pod: Object) -> str:
    return str(at(pod, "status", "phase") or "")


def _attach(cluster: Cluster, namespace: str, name: str, container: str, *, is_terminal: bool) -> None:
    connection = open_stream(cluster, namespace, name, container, None, stdin=True, tty=is_terminal)
    reader = threading.Thread(target=_feed, args=(connection,), daemon=True)
    reader.start()
    try:
        while connection.is_open():
            connection.update(timeout=1)
            _copy(connection)
        _copy(connection)
    finally:
        connection.close()


def _copy(connection: Any) -> None:
    for peek, read, sink in (
        (connection.peek_stdout, connection.read_stdout, sys.stdout),
        (connection.peek_stderr, connection.read_stderr, sys.stderr),
    ):
        if peek():
            sink.write(read())
            sink.flush()


def _feed(connection: Any) -> None:
    """Our standard input, line by line, to the command; its end is told as far as the protocol can."""
    try:
        for line in sys.stdin:
            connection.write_stdin(line)
        connection.close_channel(0)
    except (OSError, ValueError, AttributeError):
        return


def _status(cluster: Cluster, name: Identity, container: str) -> int:
    """The exit status, which the cluster learns a moment after the stream has ended."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pod = cluster.read(name, "v1")
        statuses = at(pod or {}, "status", "containerStatuses") or ()
        for each in statuses:
            ended = at(each, "state", "terminated")
            if each["name"] == container and ended is not None:
                return int(ended.get("exitCode", 1))
        time.sleep(_LOOK_SECONDS)
    raise DeployError(f"how {name.name} ended is not known", "`moorage status`")
