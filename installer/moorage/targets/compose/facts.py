"""`stack.json` in the rendered folder: what the deployer must know and Compose files cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ServiceFacts:
    """One service as the deployer sees it; times in seconds."""

    name: str
    kind: str
    image: str
    revision: str
    replicas: int = 1
    rollout: str = "recreate"
    one_shot: bool = False
    startup_seconds: int = 120
    stop_seconds: float = 30
    has_health_check: bool = True
    port: int = 0
    probe_path: str = ""
    needs: tuple[str, ...] = ()
    follows: str = ""
    builds: bool = False
    volumes: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobFacts:
    """One job as the deployer sees it."""

    name: str
    service: str
    run: str
    timeout_seconds: int
    describe: str


@dataclass(frozen=True)
class RouteFacts:
    """One route, as far as it can be asked from outside."""

    service: str
    host: str
    path: str


@dataclass(frozen=True)
class ExtraImageFacts:
    """An image that must be here under `name`, although no service runs it."""

    name: str
    image: str
    builds: bool


@dataclass(frozen=True)
class BackupFacts:
    """The nightly job as the deployer sees it; without `base_image` the image is ready-made.

    `server_image` is what Postgres runs from while its log goes to `log_store`, made from `base_image` too.
    `directories` are those of the host that the operator named, `default_folder` is ours, below the deployment's folder.
    """

    services: tuple[str, ...]
    unit: str
    schedule: str
    image: str
    base_image: str
    work_volume: str
    stores: tuple[str, ...]
    directories: tuple[str, ...]
    default_folder: str
    age_limit_hours: int
    server_image: str = ""
    log_store: str = ""


@dataclass(frozen=True)
class StackFacts:
    """The whole of stack.json."""

    project: str
    environment: str
    deployment_id: str
    domain: str
    base_url: str
    check_path: str
    tls_mode: str
    acme_server: str
    address: str
    http_port: int
    https_port: int
    unit: str
    build_base: str
    pull: str
    running: tuple[str, ...]
    volumes: tuple[str, ...]
    external_volumes: tuple[str, ...]
    extra_images: tuple[ExtraImageFacts, ...]
    services: tuple[ServiceFacts, ...]
    jobs: tuple[JobFacts, ...]
    routes: tuple[RouteFacts, ...]
    postgres_service: str = ""
    postgres_superuser: str = ""
    postgres_version: int = 0
    postgres_volume: str = ""
    project_networks: str = ""
    override_services: tuple[str, ...] = ()
    override_digest: str = ""
    networks: Mapping[str, bool] = field(default_factory=dict)
    backups: BackupFacts | None = None

    @property
    def network_names(self) -> dict[str, bool]:
        """Docker's name of every network that we make → whether it has no way out."""
        return {f"{self.project}_{name}": is_internal for name, is_internal in self.networks.items()}

    @property
    def image_references(self) -> tuple[str, ...]:
        """Every image that must be here: those that run, and those that the app starts itself, by both their names."""
        extra = (name for item in self.extra_images for name in (item.image, item.name))
        return tuple(sorted({service.image for service in self.services}.union(extra)))

    def service(self, name: str) -> ServiceFacts:
        """The service of that name. Raises KeyError."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)


def read_facts(data: dict[str, Any]) -> StackFacts:
    """stack.json back as facts. Raises KeyError or TypeError for a file of another shape."""
    known = dict(data)
    parts: dict[str, type] = {
        "services": ServiceFacts,
        "jobs": JobFacts,
        "routes": RouteFacts,
        "extra_images": ExtraImageFacts,
    }
    for name, kind in parts.items():
        known[name] = tuple(kind(**{key: _tupled(item) for key, item in entry.items()}) for entry in known[name])
    if known.get("backups") is not None:
        known["backups"] = BackupFacts(**{key: _tupled(item) for key, item in known["backups"].items()})
    return StackFacts(**{key: _tupled(item) for key, item in known.items()})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
