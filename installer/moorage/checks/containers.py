"""The containers that run and the ports that they publish."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from moorage.checks.addresses import normal
from moorage.checks.asking import Engine

_FORMAT = '{{.ID}}\t{{.Names}}\t{{.Label "com.docker.compose.project"}}\t{{.Ports}}'
_PUBLISHED = re.compile(r"^(?P<address>.*):(?P<first>\d+)(?:-(?P<last>\d+))?->[\d-]+/(?P<protocol>\w+)$")


@dataclass(frozen=True)
class Published:
    """A range of ports of the host that leads into a container."""

    address: str
    first: int
    last: int
    protocol: str


@dataclass(frozen=True)
class RunningContainer:
    """One running container and the Compose project that it belongs to."""

    id: str
    name: str
    project: str
    published: tuple[Published, ...]


def running_containers(engine: Engine) -> tuple[RunningContainer, ...] | None:
    """All running containers, or None when Docker does not tell."""
    answer = engine.ask("ps", "--no-trunc", "--format", _FORMAT)
    if not answer.is_good:
        return None
    rows = [line.split("\t") for line in answer.output.splitlines()]
    return tuple(RunningContainer(row[0], row[1], row[2], tuple(_ports(row[3]))) for row in rows if len(row) == 4)


def _ports(text: str) -> Iterator[Published]:
    """`0.0.0.0:80->80/tcp, [::]:8000-8001->8000-8001/tcp`; ports without an arrow are not published."""
    for part in text.split(", "):
        match = _PUBLISHED.match(part)
        if match is None:
            continue
        try:
            address = normal(match["address"].strip("[]") or "0.0.0.0")  # noqa: S104 - what Docker means by it
        except ValueError:
            continue
        first = int(match["first"])
        yield Published(address, first, int(match["last"] or first), match["protocol"])
