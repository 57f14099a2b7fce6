"""What the containers say: of several pods at once, each line with the name of who said it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from moorage.errors import InputError, MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.failures import ApiError
from moorage.targets.cluster.objects import Object, at
from moorage.targets.cluster.pods import name_of, namespace_of
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import LABEL_INSTANCE, LABEL_NAME

_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")
_UNITS = (86400, 3600, 60, 1)
# While following: how often to look for pods that came meanwhile.
_LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Source:
    """One container of one pod, and what its lines begin with."""

    pod: str
    container: str
    prefix: str
    namespace: str


@dataclass(frozen=True)
class LogOptions:
    """Which lines: the last `tail` of each container, none older than `since`; `follow` goes on as lines come."""

    tail: str = "100"
    since: str = ""
    follow: bool = False

    def query(self, container: str) -> list[tuple[str, str]]:
        """As the API takes them. Raises InputError."""
        found = [("container", container), ("timestamps", "true"), ("follow", "true" if self.follow else "false")]
        if self.tail != "all":
            if not self.tail.isdigit():
                raise InputError(f"--tail {self.tail}: is not a number of lines", "a number, or `all`")
            found.append(("tailLines", self.tail))
        if self.since:
            found.append(since(self.since, datetime.now(timezone.utc)))
        return found


def since(text: str, now: datetime) -> tuple[str, str]:
    """`10m`, `1h30m` or a moment, as the API takes it. Raises InputError."""
    found = _SPAN.match(text)
    if found and any(found.groups()):
        seconds = sum(int(part or 0) * unit for part, unit in zip(found.groups(), _UNITS, strict=True))
        return "sinceSeconds", str(max(1, seconds))
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InputError(
            f"--since {text}: is neither a span nor a moment", "for instance `10m`, `2h`, `2026-11-22T03:00`"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=now.astimezone().tzinfo)
    return "sinceTime", moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def sources(cluster: Cluster, facts: ClusterFacts, services: Sequence[str]) -> list[Source]:
    """The containers of these services, jobs and the platform, or of all; those that are still to start are left out."""
    mine = f"{LABEL_INSTANCE}={facts.project}"
    pods = [pod for namespace in facts.namespaces for pod in cluster.list("v1", "Pod", namespace, mine)]
    found = [source for pod in pods for source in _of_pod(pod)]
    wanted = set(services)
    # A service that shares another's network is a container of its pod.
    return [item for item in found if not wanted or {item.container, item.prefix.split("/")[0]} & wanted]


def _of_pod(pod: Object) -> Iterable[Source]:
    service = str(at(pod, "metadata", "labels", LABEL_NAME) or name_of(pod))
    started = [
        each for each in at(pod, "status", "containerStatuses") or () if "waiting" not in (each.get("state") or {})
    ]
    short = name_of(pod).removeprefix(f"{service}-")
    for status in started:
        name = str(status["name"])
        yield Source(name_of(pod), name, f"{name}/{short}", namespace_of(pod))


def show(
    cluster: Cluster, facts: ClusterFacts, services: Sequence[str], options: LogOptions, on_line: Callable[[str], None]
) -> int:
    """Hand over every line; gives how many containers were read. Raises MoorageError."""
    found = sources(cluster, facts, services)
    if not options.follow:
        width = max((len(item.prefix) for item in found), default=0)
        for item in found:
            for line in cluster.text(_address(cluster, item), options.query(item.container)).splitlines():
                on_line(f"{item.prefix.ljust(width)} | {line}")
        return len(found)
    _follow(cluster, facts, services, options, on_line)
    return len(found)


def _address(cluster: Cluster, source: Source) -> str:
    return cluster.kind("v1", "Pod").address(source.namespace, source.pod, "log")


def _follow(
    cluster: Cluster, facts: ClusterFacts, services: Sequence[str], options: LogOptions, on_line: Callable[[str], None]
) -> None:
    """Until interrupted; a thread for each container, and new ones for containers that come meanwhile."""
    options.query("")
    guard, known, stop = threading.Lock(), set[Source](), threading.Event()

    def say(line: str) -> None:
        with guard:
            on_line(line)

    while not stop.is_set():
        for item in sources(cluster, facts, services):
            if item not in known:
                # Of one that came later nothing is left out.
                chosen = options if not known or options.tail == "all" else LogOptions("all", options.since, True)
                known.add(item)
                threading.Thread(
                    target=_pump, args=(cluster, item, chosen, say, known), daemon=True, name=item.prefix
                ).start()
        stop.wait(_LOOK_SECONDS)


def _pump(
    cluster: Cluster,
    source: Source,
    options: LogOptions,
    say: Callable[[str], None],
    known: set[Source],
) -> None:
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        path = _address(cluster, source)
        answer = cluster.raw(
            "GET", path, query=options.query(source.container), what=f"the log of {source.pod}", seconds=None
        )
        for chunk in answer.stream(4096, decode_content=True):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                say(f"{source.prefix} | {line.decode(errors='replace')}")
    except ApiError as error:
        if error.status not in (400, 404):
            say(f"{source.prefix} | (its log can't be read: {error.message})")
    except (MoorageError, HTTPError):
        # The next look takes it up again where it is still there.
        known.discard(source)
    finally:
        if rest:
            say(f"{source.prefix} | {rest.decode(errors='replace')}")
