"""What a check is: facts about the world, and a judgement that needs nothing but them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from moorage.errors import Place
from moorage.formats import KeyPath

Level = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One line of `moorage check`: what was found, and how to mend it.

    `key` is the setting of moorage.yaml that it has to do with; `place` is filled in from it.
    """

    check: str
    level: Level
    text: str
    fix: str = ""
    key: KeyPath = ()
    place: Place | None = None


@dataclass(frozen=True)
class ServiceNeed:
    """A service as far as a check needs to know it."""

    name: str
    image: str
    builds: bool = False
    docker_access: str = ""
    docker_access_reason: str = ""


@dataclass(frozen=True)
class Needs:
    """What the stack asks of the host, free of config and app: sizes in bytes."""

    folder: Path
    project: str
    environment: str
    deployment_id: str
    domain: str
    wildcard: bool
    hosts: tuple[str, ...]
    tls_mode: str
    acme_challenge: str
    acme_server: str
    certificate_file: str
    key_file: str
    address: str
    ports: tuple[tuple[int, str], ...]
    memory: int
    cpus: int
    disk: int
    public_address: str
    memory_limits: int
    minimum_memory: int
    minimum_disk: int
    log_budget: int
    volumes: tuple[str, ...]
    services: tuple[ServiceNeed, ...] = field(default_factory=tuple)
    pull: str = "missing"
    creates_containers: bool = False
    networks_per_project: bool = False
    database_publications: tuple[tuple[str, int, str], ...] = ()


class Check(Protocol):
    """One subject: `name` is the first word of its lines."""

    name: str

    def __call__(self, needs: Needs) -> Sequence[Finding]: ...
