"""In what a pod differs from a container of one server, and why: beside `pods.py`, which causes it."""

from __future__ import annotations

from moorage.parity.reasons import Allowed, Pair, lacking, nothing_left, only_left, only_right, values
from moorage.quantities import parse_duration
from moorage.stack.model import DEFAULT_PROCESSES

# A socket has no mode of its own in a mount.
_SOCKET = ("host /var/run/docker.sock", "host /var/run/docker.sock read-only")
_ALWAYS = ("label.moorage.revision", "label.moorage.runs")
_MARKED = {
    "job *": ("label.moorage.revision",),
    **dict.fromkeys(("service *", "database", "queue", "proxy"), _ALWAYS),
}


def _as_its_service(pair: Pair) -> bool:
    """Whether a job may take as long to end as the service that it runs in, and Docker's ten seconds on a server."""
    service = pair.right_facts.get(pair.key.subject, "of")
    return pair.left == "10s" and pair.right == pair.right_facts.get(f"service {service}", "stop grace")


def _is_no_longer(pair: Pair) -> bool:
    """Whether the first of two times is not the longer one."""
    try:
        return parse_duration(pair.left) <= parse_duration(pair.right)
    except ValueError:
        return False


def _as_its_pod(pair: Pair) -> bool:
    """Whether it has the times of the pod that it is in."""
    leader = pair.right_facts.get(pair.key.subject, "network of")
    if not _is_no_longer(pair):
        return False
    return pair.key.field in ("stop grace", "start limit") and pair.right == pair.right_facts.get(
        leader, pair.key.field
    )


def _one_rule_for_all(pair: Pair) -> bool:
    """Whether a log is limited as all of the nodes' are, and as the server's platform is on the other side."""
    here, there = (facts.get("nodes", "log") for facts in (pair.left_facts, pair.right_facts))
    usual = {pair.left_facts.get("proxy", "log")} if pair.key.subject == "nodes" else {here, "1Mi x 2"}
    return pair.right == there and pair.left in usual


def _is_a_one_shot(pair: Pair) -> bool:
    limit = pair.beside("time limit")[1]
    return not pair.left and pair.right == limit and pair.beside("runs")[1] == "before-rollout"


def _may_start_so_long(pair: Pair) -> bool:
    """Whether a container is ended when a deployment on the server would give it up."""
    return _is_no_longer(pair) and pair.right == pair.beside("start limit")[1]


DIFFERENCES = (
    Allowed(
        "*",
        "log",
        "One rule of the node holds for the logs of all containers: that of the app.",
        _one_rule_for_all,
    ),
    Allowed("service *", "time limit", "A Job that never ends is ended; Docker lets it run.", _is_a_one_shot),
    Allowed(
        "service *",
        "health.start",
        "The kubelet ends what has not started after the time for which a deployment on a server waits.",
        _may_start_so_long,
    ),
    Allowed("database", "pull", "The platform's files take an image that is there.", values("always", "missing")),
    Allowed("queue", "pull", "The platform's files take an image that is there.", values("always", "missing")),
    Allowed(
        "queue",
        "start limit",
        "As long as for the database, which it may share a slow disk with.",
        values("120s", "300s"),
    ),
    Allowed(
        "service *",
        "mount./var/run/docker.sock",
        "Nobody answers behind Docker's socket on a node; the app asks the cluster there.",
        lambda pair: pair.left in _SOCKET and not pair.right,
    ),
    Allowed("pod of *", "*", "Settings of pods that a container has no word for.", nothing_left),
    Allowed(
        "container of *",
        "label.*",
        "Marks by which a deployment finds its own containers; a cluster finds pods by theirs.",
        lambda pair: (
            lacking({"label.moorage.revision": "a digest", "label.moorage.runs": "always"})(pair)
            or lacking({"label.moorage.runs": "to its end"})(pair)
            or (pair.key.field == "label.moorage.job" and pair.key.subject.endswith(f" {pair.left}") and not pair.right)
        ),
    ),
    *(
        Allowed(
            f"container of {kind}",
            "label.moorage.*",
            "Marks by which a deployment finds its own containers; a cluster finds pods by theirs.",
            lacking({"label.moorage.revision": "a digest", "label.moorage.runs": "always"}),
            needed=needed,
        )
        for kind, needed in _MARKED.items()
    ),
    Allowed(
        "*",
        "limit.processes",
        "A pod's processes are limited by its node (`podPidsLimit` of the kubelet), not by its manifest.",
        only_left(str(DEFAULT_PROCESSES)),
        capability=True,
    ),
    Allowed(
        "*",
        "log driver",
        "A cluster's nodes write logs in a format of their own.",
        only_left("json-file"),
        needed=("log driver",),
    ),
    *(
        Allowed(
            kind,
            "mount.*.first content",
            "Docker fills an empty volume with what the image has at that place; a new disk of a cluster is empty.",
            only_left("the image's"),
            capability=" " in kind,
        )
        for kind in ("service *", "job *", "database", "queue", "proxy")
    ),
    Allowed(
        "job *",
        "network.edge",
        "Nobody comes to a job; on a server it is not in the proxy's network.",
        only_right("member"),
    ),
    Allowed(
        "service *",
        "st* *",
        "Containers of one pod start and end together, in the time of the slowest.",
        _as_its_pod,
    ),
    Allowed("job *", "stop grace", "A job's pod may take as long to end as those of its service.", _as_its_service),
)
