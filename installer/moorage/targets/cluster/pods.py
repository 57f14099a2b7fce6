"""What is wrong with a pod, in the words of the cluster, and the last that its containers said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from moorage.errors import MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Object, at

_LINES = 15
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_SETTINGS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
# How often a container may fall over before nobody believes in it any more.
_FALLS = 3


@dataclass(frozen=True)
class PodTrouble:
    """What is wrong; `is_final` when waiting longer changes nothing, `may_pass` when it does so in seconds or never."""

    pod: str
    container: str
    text: str
    hint: str = ""
    is_final: bool = False
    may_pass: bool = True


def name_of(item: Object) -> str:
    """The name of an object."""
    return str(item["metadata"]["name"])


def namespace_of(item: Object) -> str:
    """Where an object is; empty for one of the whole cluster."""
    return str(item["metadata"].get("namespace", ""))


def is_ready(pod: Object) -> bool:
    """Whether it serves, and is not about to end."""
    conditions = at(pod, "status", "conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not at(pod, "metadata", "deletionTimestamp")


def is_owned_by(item: Object, owner: Object) -> bool:
    """Whether the other object made it."""
    return any(each["uid"] == owner["metadata"]["uid"] for each in at(item, "metadata", "ownerReferences") or ())


def restarts(pod: Object) -> int:
    """How often its containers fell over."""
    return sum(int(each.get("restartCount", 0)) for each in at(pod, "status", "containerStatuses") or ())


def troubles(pod: Object) -> Iterator[PodTrouble]:
    """Everything that keeps a pod from being ready, the worst first."""
    found = [trouble for status in _statuses(pod) if (trouble := _of_container(pod, status)) is not None]
    yield from sorted(found, key=lambda item: not item.is_final)
    for each in at(pod, "status", "conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            said = each.get("message", "") or each.get("reason", "")
            hint = "make room, add a node, or ask for less in `resources`"
            # Somebody may be adding one.
            yield PodTrouble(name_of(pod), "", f"no node takes it: {said}", hint, may_pass=False)
    if at(pod, "status", "phase") == "Failed" and not found:
        said = at(pod, "status", "message") or at(pod, "status", "reason") or "no reason given"
        yield PodTrouble(name_of(pod), "", f"failed: {said}")


def _statuses(pod: Object) -> list[Object]:
    return [
        *(at(pod, "status", "initContainerStatuses") or ()),
        *(at(pod, "status", "containerStatuses") or ()),
    ]


def _of_container(pod: Object, status: Object) -> PodTrouble | None:
    pod_name, name = name_of(pod), str(status["name"])
    waiting = at(status, "state", "waiting") or {}
    reason, said = waiting.get("reason", ""), waiting.get("message", "")
    ended = at(status, "state", "terminated") or at(status, "lastState", "terminated") or {}
    falls = int(status.get("restartCount", 0))
    if reason in _IMAGE:
        text = f"the image {status.get('image', '')} can't be had ({reason}): {said}"
        return PodTrouble(pod_name, name, text, "is the name right, was it pushed, and may the nodes pull it?")
    if reason in _SETTINGS:
        return PodTrouble(pod_name, name, f"can't be started ({reason}): {said}")
    if ended.get("reason") == "OOMKilled":
        return PodTrouble(
            pod_name,
            name,
            "was ended by the kernel: it needs more memory than its limit (OOMKilled)",
            f"raise `resources.services.{name}.memory` in moorage.yaml",
            is_final=falls >= _FALLS - 1,
            may_pass=False,
        )
    if reason == "CrashLoopBackOff" or (ended and int(ended.get("exitCode", 0))):
        text = f"ends again and again with status {ended.get('exitCode', '?')} ({reason or ended.get('reason', '')})"
        return PodTrouble(pod_name, name, text, is_final=falls >= _FALLS, may_pass=False)
    return None


def last_lines(cluster: Cluster, pod: Object, container: str = "") -> str:
    """The last lines of the container in trouble, of its run before when it was started again; may be empty."""
    names = [str(each["name"]) for each in at(pod, "spec", "containers") or ()]
    name = container or names[0]
    again = any(each["name"] == name and each.get("restartCount") for each in _statuses(pod))
    for previous in ("true", "false") if again else ("false",):
        try:
            text = read_log(cluster, pod, name, previous)
        except MoorageError:
            continue
        # A node whose runtime has tidied a run away says so in place of its log.
        if text.strip() and not text.startswith("unable to retrieve container logs"):
            return text.rstrip()
    return ""


def read_log(cluster: Cluster, pod: Object, container: str, previous: str = "false", lines: int = _LINES) -> str:
    """A container's log. Raises MoorageError."""
    query = [("container", container), ("tailLines", str(lines)), ("previous", previous)]
    path = cluster.kind("v1", "Pod").address(pod["metadata"]["namespace"], name_of(pod), "log")
    return cluster.text(path, query, f"the log of {name_of(pod)}")
