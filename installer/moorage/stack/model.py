"""What is true: the complete stack, with every question about config and app answered.

Sizes are bytes, CPUs thousandths, times seconds. There is no None that means "decide later": None
means that the thing does not exist. A renderer reads this and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from moorage.app.images import postgres_data_folder, postgres_pgdata
from moorage.app.model import Build, Carried, Dependency, HealthCheck, Mount, Notice
from moorage.backups.retention import RetentionPolicy
from moorage.sensitive import Sensitive
from moorage.stack.cluster import Cluster, ClusterRights

EDGE_NETWORK = "edge"
APP_NETWORK = "app"
DATA_NETWORK = "data"
BACKUP_NETWORK = "backup"

# Threads count. Far more than a working program has, far fewer than would fill the host's table of processes.
DEFAULT_PROCESSES = 4096

DockerAccess = Literal["", "write"]
Rollout = Literal["rolling", "recreate"]
TlsMode = Literal["letsencrypt", "files", "internal-ca", "behind-proxy", "off"]


@dataclass(frozen=True)
class Limits:
    """What one container may use."""

    memory: int
    memory_request: int
    cpu: int
    cpu_request: int
    processes: int = DEFAULT_PROCESSES


@dataclass(frozen=True)
class LogLimits:
    """Rotation of one container's log; `max_size` in bytes, `max_files` with the current one."""

    max_size: int
    max_files: int

    @property
    def budget(self) -> int:
        """The most disk that the log takes, in bytes."""
        return self.max_size * self.max_files


@dataclass(frozen=True)
class Security:
    """How a container is confined."""

    cap_drop: tuple[str, ...] = ("ALL",)
    cap_add: tuple[str, ...] = ()
    read_only: bool = False
    no_new_privileges: bool = True
    security_opt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """An HTTP question to a container whose 2xx or 3xx answer means that it works."""

    path: str
    port: int
    live_path: str = ""


@dataclass(frozen=True)
class Image:
    """A complete reference, and how to make the image when it is built here."""

    reference: str
    build: Build | None = None
    build_base: Literal["", "app", "source"] = ""


@dataclass(frozen=True)
class ExtraImage:
    """An image that never runs as a service but must be on the host under `name`, pulled or built as `image`."""

    name: str
    image: Image


@dataclass(frozen=True)
class Service:
    """One app service: everything that any target must know to run it."""

    name: str
    image: Image
    command: tuple[str, ...] | None
    entrypoint: tuple[str, ...] | None
    environment: Mapping[str, str]
    secret_environment: Mapping[str, Sensitive]
    mounts: tuple[Mount, ...]
    depends_on: Mapping[str, Dependency]
    health_check: HealthCheck | None
    probe: Probe | None
    startup_seconds: int
    limits: Limits
    replicas: int
    rollout: Rollout
    networks: Mapping[str, tuple[str, ...]]
    network_mode: str
    security: Security
    logs: LogLimits
    restart: str
    labels: Mapping[str, str]
    docker_access: DockerAccess
    docker_access_reason: str
    container_name: str
    stop_grace_seconds: float
    other: Mapping[str, Any] = field(default_factory=dict)
    port: int = 0
    # All on which it is known to listen, sorted.
    ports: tuple[int, ...] = ()
    privileges: tuple[str, ...] = ()
    # On Kubernetes: up to how many containers run; 0 for as many as `replicas`.
    max_replicas: int = 0
    # What it may do with Kubernetes' API.
    cluster_rights: ClusterRights | None = None

    @property
    def is_one_shot(self) -> bool:
        """Whether it is expected to end."""
        return self.restart.partition(":")[0] in ("no", "on-failure")


@dataclass(frozen=True)
class Job:
    """A command in a service's image that runs to its end."""

    name: str
    service: str
    command: tuple[str, ...]
    run: Literal["before-rollout", "manual", "schedule"]
    schedule: str
    timeout_seconds: int
    describe: str
    limits: Limits


@dataclass(frozen=True)
class Route:
    """Requests of some hosts and paths that go to one port of one service."""

    name: str
    service: str
    port: int
    hosts: tuple[str, ...]
    wildcard_of: str
    paths: tuple[str, ...]
    exact: tuple[str, ...]
    denied: tuple[str, ...]
    strip_prefix: bool
    headers: Mapping[str, str]
    compress: bool
    sticky: bool
    unlogged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Publication:
    """A port published past the proxy."""

    service: str
    address: str
    host_port: int
    container_port: int
    protocol: str


@dataclass(frozen=True)
class Volume:
    """A named volume; `fixed_name` when the app insists on one."""

    name: str
    fixed_name: str
    external: bool
    backup: bool
    per_project: bool
    exclude: tuple[str, ...]
    size: int
    describe: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Acme:
    """How certificates are ordered."""

    email: str
    server: str
    challenge: Literal["http", "cloudflare-dns"]
    ca_file: str
    storage: str


@dataclass(frozen=True)
class Edge:
    """The reverse proxy in front of everything."""

    image: Image
    tls_mode: TlsMode
    acme: Acme | None
    certificate_file: str
    key_file: str
    certificate_digest: str
    address: str
    http_port: int
    https_port: int
    hsts_seconds: int
    trusted_proxies: tuple[str, ...]
    dashboard_host: str
    socket_proxy_image: Image | None
    secret_environment: Mapping[str, Sensitive]
    limits: Limits
    logs: LogLimits
    container_name: str = ""

    @property
    def terminates_tls(self) -> bool:
        """Whether Traefik itself speaks HTTPS."""
        return self.tls_mode in ("letsencrypt", "files", "internal-ca")

    @property
    def has_inner_entry(self) -> bool:
        """Whether the app asks the proxy itself, by plain HTTP, for the containers that it creates."""
        return self.socket_proxy_image is not None and self.terminates_tls

    @property
    def is_https_outside(self) -> bool:
        """Whether browsers reach the site by HTTPS."""
        return self.tls_mode != "off"


@dataclass(frozen=True)
class Parameter:
    """One server parameter, its value and the reason for it."""

    name: str
    value: str
    why: str


@dataclass(frozen=True)
class BundledPostgres:
    """The database container."""

    service: str
    image: Image
    version: int
    user: str
    user_is_superuser: bool
    password: Sensitive
    databases: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    basis: str
    limits: Limits
    logs: LogLimits
    shared_memory: int
    aliases: tuple[str, ...] = ()
    adopted_from: str = ""
    init_arguments: str = "--data-checksums"
    init_files: Mapping[str, bytes] = field(default_factory=dict)
    init_executable: frozenset[str] = frozenset()
    # Whether they take the place of the scripts that the image brings for the first start, or stand beside them.
    init_covers_image: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    secret_environment: Mapping[str, Sensitive] = field(default_factory=dict)
    volume: str = "postgres-data"
    carried: Carried = field(default_factory=Carried)

    @property
    def superuser(self) -> str:
        """The name of the cluster's superuser."""
        return self.user if self.user_is_superuser else "postgres"

    @property
    def data_path(self) -> str:
        """Where the volume is mounted; the public image moved it with version 18."""
        return postgres_data_folder(self.version)

    @property
    def cluster_path(self) -> str:
        """Where the server's data lie on that volume, whatever the image would choose."""
        return self.environment.get("PGDATA") or postgres_pgdata(self.version)


@dataclass(frozen=True)
class ExternalPostgres:
    """A database server that somebody else runs."""

    host: str
    port: int
    user: str
    password: Sensitive
    databases: tuple[str, ...]
    tls: Literal["require", "verify-full", "disable"]


@dataclass(frozen=True)
class BundledRedis:
    """The queue and cache container."""

    service: str
    image: Image
    password: Sensitive | None
    data_memory: int
    policy: str
    limits: Limits
    logs: LogLimits
    aliases: tuple[str, ...] = ()
    adopted_from: str = ""
    volume: str = "redis-data"
    carried: Carried = field(default_factory=Carried)


@dataclass(frozen=True)
class ExternalRedis:
    """A Redis server that somebody else runs."""

    host: str
    port: int
    password: Sensitive | None


@dataclass(frozen=True)
class BackupStore:
    """Where backups go: a folder of the host or a bucket.

    `directory` is absolute, or relative to the deployment's folder for the one that nobody configured. The keys are
    None where a role of the machine lets the job in.
    """

    name: str
    directory: str = ""
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    access_key: Sensitive | None = None
    secret_key: Sensitive | None = None
    may_delete: bool = True
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)

    @property
    def is_default(self) -> bool:
        """Whether it is the folder beside moorage.yaml, which moorage makes itself."""
        return bool(self.directory) and not self.directory.startswith("/")


@dataclass(frozen=True)
class BackedUpVolume:
    """A volume whose files are copied; the patterns of `exclude` are left out.

    One `only_on_new_machine` is put back there only: what it holds is a server's own, as certificates are.
    """

    name: str
    exclude: tuple[str, ...] = ()
    only_on_new_machine: bool = False


@dataclass(frozen=True)
class BackupQuestion:
    """A SELECT that the restored database must answer with true."""

    name: str
    database: str
    sql: str


@dataclass(frozen=True)
class Archive:
    """Point-in-time recovery: the store that gets the write-ahead log, encrypted with `passphrase`.

    `image` is the server's own with pgBackRest in it; `user` is the id of `postgres` there.
    """

    store: str
    image: str
    user: int
    passphrase: Sensitive


@dataclass(frozen=True)
class BackupSettings:
    """The nightly job: what it saves, where to, what it may use.

    `service` names it among the Compose services and the units. `base_image` is what its image is built from, ""
    for a ready-made one; `version` is the major of the Postgres programs in it.
    """

    service: str
    image: str
    base_image: str
    version: int
    schedule: str
    stores: tuple[BackupStore, ...]
    volumes: tuple[BackedUpVolume, ...]
    questions: tuple[BackupQuestion, ...]
    archive: Archive | None
    age_limit_hours: int
    heartbeat: Sensitive | None
    on_failure: tuple[str, ...]
    parallel: int
    limits: Limits
    folder_excludes: tuple[str, ...]

    @property
    def drill_service(self) -> str:
        """The container without network and secrets, in which a backup is restored to see whether it can be."""
        return f"{self.service}-drill"

    @property
    def restore_service(self) -> str:
        """The one that may write into the app's volumes."""
        return f"{self.service}-restore"

    @property
    def services(self) -> tuple[str, ...]:
        """All of them."""
        return self.service, self.drill_service, self.restore_service


@dataclass(frozen=True)
class Component:
    """A static part of the app in a namespace of its own, in a cluster only.

    `files` are its manifests, a kustomization among them; `images` say what the image names in them are. Flows are
    (workload of the component, service of the app, ports of who is reached). `role` is AWS', empty for none.
    """

    name: str
    describe: str
    namespace: str
    pod_security: str
    files: Mapping[str, bytes]
    images: Mapping[str, Image]
    settings: Mapping[str, str]
    secret_settings: Mapping[str, Sensitive]
    reached_by: tuple[tuple[str, str, tuple[int, ...]], ...]
    reaches: tuple[tuple[str, str, tuple[int, ...]], ...]
    role: str
    keeps: str


@dataclass(frozen=True)
class Host:
    """The server as the configuration describes it."""

    memory: int
    cpus: int
    disk: Literal["ssd", "nvme", "hdd"]
    disk_size: int
    address: str


@dataclass(frozen=True)
class BudgetLine:
    """One row of the memory and log budget."""

    name: str
    count: int
    memory: int
    log: int


@dataclass(frozen=True)
class Differences:
    """What the app's file gives a service of its own on each target: variables by name, and how many containers."""

    why: str
    variables: tuple[str, ...]
    replicas: bool


@dataclass(frozen=True)
class Stack:
    """Everything, for one environment."""

    name: str
    project: str
    environment: str
    target: Literal["compose", "minikube", "eks"]
    app: str
    domain: str
    wildcard: bool
    base_url: str
    check_path: str
    deployment_id: str
    services: tuple[Service, ...]
    jobs: tuple[Job, ...]
    routes: tuple[Route, ...]
    publications: tuple[Publication, ...]
    volumes: tuple[Volume, ...]
    networks: Mapping[str, bool]
    extra_images: tuple[ExtraImage, ...]
    edge: Edge
    postgres: BundledPostgres | ExternalPostgres | None
    redis: BundledRedis | ExternalRedis | None
    backups: BackupSettings | None
    host: Host
    logs_total: int
    budget: tuple[BudgetLine, ...]
    minimum_disk: int
    minimum_memory: int
    pull: Literal["missing", "always", "never"]
    notices: tuple[Notice, ...]
    override: Mapping[str, Any] | None
    revision_key: Sensitive
    override_source: Sensitive
    project_networks: str = ""
    # What moorage.yaml says for this environment alone, by dotted key.
    settings: Mapping[str, str] = field(default_factory=dict)
    # What of a service differs by target and why, by its name: also of those that this target does not have.
    differences: Mapping[str, Differences] = field(default_factory=dict)
    # Secrets that only the operator can give and has not given yet: it renders, but can't be deployed.
    lacking_secrets: tuple[str, ...] = ()
    # None on a single server.
    cluster: Cluster | None = None
    components: tuple[Component, ...] = ()

    def service(self, name: str) -> Service:
        """The app service of that name. Raises KeyError."""
        return next(service for service in self.services if service.name == name)

    def volume_names(self) -> dict[str, str]:
        """Docker's name of every volume with data, by its name in the file; external ones are left out."""
        named = {volume.name: volume for volume in self.volumes}
        databases = [
            item.volume for item in (self.postgres, self.redis) if isinstance(item, BundledPostgres | BundledRedis)
        ]
        return {
            name: (named[name].fixed_name if name in named else "") or f"{self.project}_{name}"
            for name in dict.fromkeys((*databases, *named))
            if name not in named or not named[name].external
        }

    def database_volume(self, name: str) -> str:
        """Docker's name of a database's volume, external or not."""
        own = next((volume.fixed_name for volume in self.volumes if volume.name == name), "")
        return own or f"{self.project}_{name}"
