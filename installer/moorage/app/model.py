"""What the app's Compose file says, variables filled in: services, volumes, networks, jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from moorage.app.component_extension import KubernetesComponent
from moorage.app.extension import AppExtension, ServiceExtension, VolumeExtension
from moorage.errors import Problem
from moorage.formats import Document, KeyPath
from moorage.sensitive import Text

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True)
class Build:
    """How an image is made; paths are as written, relative to the Compose file."""

    context: str
    dockerfile: str = ""
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    additional_contexts: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HealthCheck:
    """A command that exits 0 when the container works; times in seconds."""

    test: tuple[str, ...] = ()
    interval_seconds: float = 10
    timeout_seconds: float = 5
    retries: int = 3
    start_period_seconds: float = 60
    start_interval_seconds: float = 1
    disabled: bool = False


@dataclass(frozen=True)
class VolumeMount:
    """A named volume inside a container."""

    volume: str
    target: str
    read_only: bool = False
    subpath: str = ""
    no_copy: bool = False


@dataclass(frozen=True)
class FileMount:
    """A file or folder that is copied into the rendered folder and mounted read-only.

    `files` maps relative paths ("" for a single file) to contents; secret contents go to `secrets/`.
    """

    name: str
    target: str
    files: Mapping[str, bytes | Text]
    executable: frozenset[str] = frozenset()
    owner: int | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder rather than a single file."""
        return "" not in self.files


@dataclass(frozen=True)
class MemoryMount:
    """A tmpfs; size in bytes, 0 for the default; mode in octal digits; options as the kernel has them."""

    target: str
    size: int = 0
    mode: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostMount:
    """A path of the host, allowed by name."""

    source: str
    target: str
    read_only: bool = True


Mount = VolumeMount | FileMount | MemoryMount | HostMount


@dataclass(frozen=True)
class PublishedPort:
    """One container port of `ports`; `host_port` is None where any free one will do."""

    container_port: int
    host_port: int | None
    protocol: str
    address: str
    path: KeyPath


@dataclass(frozen=True)
class Dependency:
    """One entry of `depends_on`."""

    condition: Condition = "service_started"
    required: bool = True
    restart: bool = False


@dataclass(frozen=True)
class Sizes:
    """Limits and requests: bytes, thousandths of a CPU, processes; None where the file says nothing."""

    memory: int | None = None
    memory_request: int | None = None
    cpu: int | None = None
    cpu_request: int | None = None
    processes: int | None = None


@dataclass(frozen=True)
class AppService:
    """One service of the file."""

    name: str
    path: KeyPath
    image: str = ""
    build: Build | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, Text] = field(default_factory=dict)
    ports: tuple[PublishedPort, ...] = ()
    exposed: tuple[int, ...] = ()
    mounts: tuple[Mount, ...] = ()
    depends_on: Mapping[str, Dependency] = field(default_factory=dict)
    health_check: HealthCheck | None = None
    sizes: Sizes = Sizes()
    replicas: int | None = None
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    container_name: str = ""
    network_mode: str = ""
    restart: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    read_only: bool | None = None
    privileges: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    command_words: tuple[Text, ...] = ()
    other: Mapping[str, Any] = field(default_factory=dict)
    extension: ServiceExtension = field(default_factory=ServiceExtension)
    # What is wrong with its command and health check, as long as moorage doesn't put its own in their place.
    unless_adopted: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Carried:
    """What an adopted database brings into moorage's container: settings as Compose has them, files of the host."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    host_files: tuple[HostMount, ...] = ()


@dataclass(frozen=True)
class AppVolume:
    """A named volume; `fixed_name` when the app insists on one."""

    name: str
    fixed_name: str = ""
    external: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    extension: VolumeExtension = field(default_factory=VolumeExtension)

    @property
    def has_own_name(self) -> bool:
        """Whether its data may be there already, because its name doesn't follow from the deployment."""
        return self.external or bool(self.fixed_name)


@dataclass(frozen=True)
class AppComponent:
    """A static part for clusters that is switched on: its manifests by path, its settings, and what it gives services."""

    name: str
    extension: KubernetesComponent
    files: Mapping[str, bytes]
    settings: Mapping[str, Text]
    environment: Mapping[str, Mapping[str, Text | None]]


@dataclass(frozen=True)
class AppNetwork:
    """A network between the app's own services."""

    name: str
    internal: bool = False


@dataclass(frozen=True)
class Notice:
    """Something that was adapted; never fatal. A minor one is nothing that a person would decide otherwise."""

    subject: str
    text: str
    is_minor: bool = False


@dataclass
class App:
    """The whole app, with what was wrong with it and what was adapted."""

    name: str
    folder: Path
    document: Document
    extension: AppExtension = field(default_factory=AppExtension)
    services: dict[str, AppService] = field(default_factory=dict)
    volumes: dict[str, AppVolume] = field(default_factory=dict)
    networks: dict[str, AppNetwork] = field(default_factory=dict)
    # Only those that are switched on.
    components: dict[str, AppComponent] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    # The keys of texts that were read as empty, because a variable has no value: told once for each variable.
    unfilled: set[str] = field(default_factory=set)
    notices: list[Notice] = field(default_factory=list)
    builtin: bool = False
    allowed_host_paths: tuple[str, ...] = ()
    allowed_privileges: tuple[str, ...] = ()
    adoptable: frozenset[str] = frozenset()
    link_aliases: dict[str, list[str]] = field(default_factory=dict)
    env_file_values: dict[str, set[Text]] = field(default_factory=dict)
    # By service: the variables whose secret value stands in the Compose file itself.
    written_secrets: dict[str, list[str]] = field(default_factory=dict)
