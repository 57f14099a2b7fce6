"""What a check is given and what it gives back: the needs of a stack, and findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from moorage.errors import Place
from moorage.formats import KeyPath

Level = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One line of `moorage check`: what was found, and how to mend it.

    `key` is the setting of moorage.yaml that it has to do with; `place` is filled in from it.
    Raises ValueError when something is wrong and no way out is named.
    """

    check: str
    level: Level
    text: str
    fix: str = ""
    key: KeyPath = ()
    place: Place | None = None

    def __post_init__(self) -> None:
        if self.level != "ok" and not self.fix:
            raise ValueError(f"a finding without a fix helps nobody: {self.check}: {self.text}")


def ok(check: str, text: str) -> Finding:
    """Something is as it should be."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, fix: str, key: KeyPath = ()) -> Finding:
    """Something that a person should know, or that could not be found out."""
    return Finding(check, "warning", text, fix, key)


def failure(check: str, text: str, fix: str, key: KeyPath = ()) -> Finding:
    """Something stands in the way."""
    return Finding(check, "failure", text, fix, key)


@dataclass(frozen=True)
class ServiceNeed:
    """A service as far as a check needs to know it; `mounted` is None where no data are to stay."""

    name: str
    image: str
    builds: bool = False
    docker_access: str = ""
    docker_access_reason: str = ""
    mounted: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PublicationNeed:
    """A port published past the proxy; `key` leads to its entry, for instance `("publish", 0)`."""

    service: str
    port: int
    address: str = "0.0.0.0"  # noqa: S104 - what Docker does when nobody says anything
    protocol: str = "tcp"
    key: KeyPath = ("publish",)


@dataclass(frozen=True)
class BackupNeed:
    """The nightly job: its image, and the folders of the host that its stores need; `has_default_store` is one of ours.

    `log_store` gets the log of the database, which is asked in the container of `database_service`; "" where none does.
    """

    image: str
    store_count: int
    directories: tuple[str, ...] = ()
    has_default_store: bool = False
    log_store: str = ""
    database_service: str = ""
    superuser: str = ""


@dataclass(frozen=True)
class Needs:
    """What the stack asks of the host, free of config and app: sizes in bytes.

    `ports` are the edge's own, at `address`: (80, "HTTP"), (443, "HTTPS"). What is published past the proxy stands
    in `publications`, and in `database_publications` (service, port, address) when a database answers there.
    `app_images` are of containers that the app starts itself.
    """

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
    external_volumes: tuple[str, ...] = ()
    taken_volumes: Mapping[str, str] = field(default_factory=dict)
    app_images: tuple[ServiceNeed, ...] = ()
    pull: str = "missing"
    creates_containers: bool = False
    networks_per_project: bool = False
    database_publications: tuple[tuple[str, int, str], ...] = ()
    publications: tuple[PublicationNeed, ...] = ()
    backups: BackupNeed | None = None
