"""What the operator writes in moorage.yaml: every key, its meaning, its default.

The models hold what was written, never what follows from it; no value here is a secret. The reference
page and the JSON Schema are generated from these descriptions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from moorage.config import rules
from moorage.config.kinds import (
    Address,
    Argument,
    Cpu,
    Cron,
    DeploymentName,
    Directory,
    Email,
    EnvironmentName,
    HostName,
    Image,
    Model,
    Name,
    Network,
    Port,
    RouteHost,
    RoutePath,
    ServerHost,
    Size,
    Target,
    TraefikVersion,
    Url,
    Value,
    VariableName,
    digits,
    example,
)
from moorage.config.kubernetes import Kubernetes
from moorage.quantities import MEBIBYTE


class Domain(Model):
    """Where the app is reached."""

    name: HostName = Field(description="The host name of the app, for instance notes.example.com.")
    wildcard: bool = Field(False, description="Whether every `*.<name>` belongs to the app too (previews, tenants).")


class Tls(Model):
    """How the site gets its certificate."""

    mode: Literal["letsencrypt", "files", "internal-ca", "behind-proxy", "off"] = Field(
        "letsencrypt",
        description="`letsencrypt`: an ACME certificate, renewed by itself. `files`: your own certificate. "
        "`internal-ca`: an authority made for this deployment, for a LAN. `behind-proxy`: another proxy does TLS. "
        "`off`: plain HTTP, for a test machine.",
    )
    email: Email | None = Field(None, description="Who the certificate authority writes to; needed for `letsencrypt`.")
    challenge: Literal["http", "cloudflare-dns"] = Field(
        "http",
        description="How the ACME server is convinced: `http` on port 80, or `cloudflare-dns`, which also gives "
        "the wildcard certificate and needs the secret CF_DNS_API_TOKEN (Zone:DNS:Edit and Zone:Zone:Read).",
    )
    staging: bool = Field(
        False,
        description="Use the staging authority of Let's Encrypt: its certificates are not trusted by browsers, but "
        "failed tries don't count against the weekly limits. Set to false when `check` and `up` are green.",
    )
    acme_server: Url | None = Field(None, description="Directory address of another ACME server.")
    acme_ca_file: str | None = Field(
        None, description="PEM file with the authority that signed the ACME server's own certificate (private servers)."
    )
    certificate: str | None = Field(None, description="PEM file with your certificate and its chain (`files`).")
    key: str | None = Field(None, description="PEM file with the private key (`files`); keep it at mode 0600.")
    trusted_proxies: tuple[Network, ...] = Field(
        (), description="Networks of the proxy in front (`behind-proxy`) whose X-Forwarded headers are believed."
    )
    hsts_days: int = Field(
        365, ge=0, le=3650, description="How long browsers insist on HTTPS; 0 leaves the header out."
    )


class Dashboard(Model):
    """Traefik's dashboard, off unless you ask; always behind a password and HTTPS."""

    enabled: bool = Field(False, description="Whether the dashboard is served.")
    host: HostName | None = Field(None, description="Its host name; default `traefik.<domain>`.")


class Edge(Model):
    """The entry to the server."""

    address: Address = Field("0.0.0.0", description="The address of this host that 80 and 443 listen on.")  # noqa: S104
    http_port: Port = Field(80, description="The port for HTTP (redirects, ACME).")
    https_port: Port = Field(443, description="The port for HTTPS.")
    version: TraefikVersion = Field("v3.7.15", description="The Traefik version (image tag), v3.7.12 or newer.")
    dashboard: Dashboard = Dashboard()


class Images(Model):
    """Where the app's own images come from."""

    registry: str = Field("", description="Put before the image names of the app, for instance `ghcr.io/acme`.")
    tag: Annotated[str, BeforeValidator(digits), WithJsonSchema({"type": ["string", "number"]})] = Field(
        "latest", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", description="The version of the app's images."
    )
    source: str | None = Field(
        None, description="A source checkout to build the images from; relative paths start at this file."
    )
    pull: Literal["missing", "always", "never"] = Field(
        "missing", description="When to ask the registry: only for what is missing here, at every `up`, or never."
    )
    overrides: dict[str, Image] = Field(
        default_factory=dict, description="Another image for one service, by service name."
    )


class Postgres(Model):
    """The database."""

    mode: Literal["bundled", "external"] = Field(
        "bundled", description="`bundled`: a tuned container that we back up. `external`: a server that you run."
    )
    version: Annotated[
        Literal["14", "15", "16", "17", "18"],
        BeforeValidator(digits),
        WithJsonSchema({"enum": ["14", "15", "16", "17", "18", 14, 15, 16, 17, 18]}),
    ] = Field(
        "17",
        description="The major version of the bundled server. For an external one: of the programs that back it up; "
        "not older than the server.",
    )
    image: Image | None = Field(None, description="Another image of the same kind (pgvector…); its major is `version`.")
    memory: Size | None = Field(None, description="The container's memory limit; default a quarter of the host.")
    cpu: Cpu | None = Field(None, description="The container's CPU limit; default all CPUs of the host.")
    max_connections: int = Field(100, ge=10, le=5000, description="How many clients may connect at once.")
    parameters: dict[str, Value] = Field(
        default_factory=dict, description="Server parameters that win over the tuning, for instance `work_mem: 32MB`."
    )
    adopt: bool = Field(
        True, description="Whether a Postgres service of your own Compose file is run as ours: tuned and backed up."
    )
    host: ServerHost | None = Field(None, description="Host name of the external server.")
    port: Port = Field(5432, description="Port of the external server.")
    user: str | None = Field(
        None, description="User on the external server; its password is the secret POSTGRES_PASSWORD."
    )
    database: str | None = Field(None, description="Database name; default what the app asks for.")
    tls: Literal["require", "verify-full", "disable"] = Field("require", description="TLS to the external server.")


class Redis(Model):
    """The queue and cache."""

    mode: Literal["bundled", "external"] = Field("bundled", description="`bundled` container or an `external` server.")
    version: Annotated[str, BeforeValidator(digits), WithJsonSchema({"type": ["string", "number"]})] = Field(
        "7", pattern=r"^[78](\.[0-9]+)*$", description="The version (image tag) of the bundled server."
    )
    image: Image | None = Field(None, description="Another image of the same kind (valkey…).")
    memory: Size = Field(
        512 * MEBIBYTE,
        description="The container's memory limit; data may use three quarters of it.",
        validate_default=True,
    )
    policy: Literal["noeviction", "allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-ttl"] = Field(
        "noeviction",
        description="What happens when it is full. `noeviction` answers with an error instead of losing queued jobs; "
        "choose `allkeys-lru` only when nothing but a cache lives in it.",
    )
    adopt: bool = Field(True, description="Whether a Redis service of your own Compose file is run as ours.")
    host: ServerHost | None = Field(None, description="Host name of the external server.")
    port: Port = Field(6379, description="Port of the external server.")


class Host(Model):
    """What the server has. `init` writes what it finds; `check` compares."""

    memory: Size = Field(4096 * MEBIBYTE, description="Main memory of the host.", validate_default=True)
    cpus: int = Field(2, ge=1, le=1024, description="CPUs of the host.")
    disk: Literal["ssd", "nvme", "hdd"] = Field("ssd", description="The kind of disk under the data.")
    disk_size: Size | None = Field(None, description="Size of the file system that holds Docker's data.")
    address: Address | None = Field(None, description="Public address, when it is not one of the host's own (NAT).")


class ServiceResources(Model):
    """Limits of one service, when the app's own do not fit."""

    memory: Size | None = Field(None, description="Memory limit.")
    memory_request: Size | None = Field(None, description="Memory that is always there for it.")
    cpu: Cpu | None = Field(None, description="CPU limit.")
    cpu_request: Cpu | None = Field(None, description="CPU that is always there for it.")
    replicas: int | None = Field(None, ge=0, le=50, description="How many containers run.")
    max_replicas: int | None = Field(
        None, ge=1, le=200, description="On Kubernetes: up to how many, as the CPU that they use demands."
    )

    @model_validator(mode="after")
    def _requests_fit(self) -> ServiceResources:
        if self.max_replicas and self.replicas is not None and self.max_replicas < self.replicas:
            raise ValueError("has a max_replicas below its replicas")
        if self.memory and self.memory_request and self.memory_request > self.memory:
            raise ValueError("has a memory_request above its memory limit")
        if self.cpu and self.cpu_request and self.cpu_request > self.cpu:
            raise ValueError("has a cpu_request above its cpu limit")
        return self


class Resources(Model):
    """Sizes."""

    host: Host = Host()
    services: dict[str, ServiceResources] = Field(default_factory=dict, description="Per service, by its name.")


class Logs(Model):
    """How much disk the containers' logs may take."""

    total: Size = Field(2048 * MEBIBYTE, description="The budget for all containers together.", validate_default=True)
    max_files: int = Field(3, ge=2, le=20, description="Files kept per container, the current one included.")
    max_size: Size | None = Field(
        None, description="Size of one file; default what the total allows, between 1 and 50 MiB."
    )


class RouteSetting(Model):
    """A route that the app's file doesn't have (bring your own app)."""

    port: Port | None = Field(None, description="The container port; default the service's only known one.")
    host: RouteHost = Field("", description="Empty: the domain. `admin`: admin.<domain>. `*`: every subdomain.")
    paths: tuple[RoutePath, ...] = Field(("/",), min_length=1, description="Path prefixes.")


class Publish(Model):
    """A port that is published past the proxy, because its protocol is not HTTP."""

    service: str = Field(description="The service.")
    port: Port = Field(description="The port on the host.")
    target: Port | None = Field(None, description="The port in the container; default the same.")
    protocol: Literal["tcp", "udp"] = Field("tcp", description="The transport protocol.")
    address: Address = Field("0.0.0.0", description="The address of the host it listens on.")  # noqa: S104


class Permissions(Model):
    """What the app may do to the host beyond an ordinary container; `check` explains each."""

    docker_access: tuple[str, ...] = Field(
        (), description="Services that get the Docker socket. It is the same as root on this host."
    )
    host_paths: tuple[str, ...] = Field((), description="Absolute host paths that the app's file may mount.")
    cluster_access: tuple[str, ...] = Field(
        (),
        description="Services that get the rights over a whole Kubernetes cluster that the app's file asks for "
        "(`kubernetes_access.cluster`).",
    )
    privileged: tuple[str, ...] = Field(
        (),
        description="Services that may run `privileged`, use the host's network or have capabilities that reach beyond the container (SYS_ADMIN…), "
        "or loosen its confinement by `security_opt`.",
    )


def _store_kind(value: object) -> object:
    if isinstance(value, dict) and ("directory" in value) == ("bucket" in value):
        raise ValueError("must have either `directory` or `bucket`")
    return value


class Retention(Model):
    """How many good backups are kept."""

    daily: int = Field(7, ge=1, le=365, description="Last good backup of so many days.")
    weekly: int = Field(4, ge=0, le=260, description="Last good backup of so many weeks.")
    monthly: int = Field(6, ge=0, le=120, description="Last good backup of so many months.")
    min_good: int = Field(3, ge=1, le=100, description="Never fewer than so many good backups, whatever the rest says.")


class Store(Model):
    """Where backups are kept: a directory or a bucket."""

    name: Name = Field(description="The name of the store.")
    directory: Directory | None = Field(
        None, description="Absolute path of a folder that exists, best on another disk or another machine's share."
    )
    bucket: Annotated[str, BeforeValidator(rules.bucket), example("acme-backups")] | None = Field(
        None, description="An S3-compatible bucket that exists."
    )
    prefix: Annotated[str, BeforeValidator(rules.key_prefix)] = Field("", description="Folder inside the bucket.")
    endpoint: Url | None = Field(None, description="Address of an S3-compatible service; default AWS.")
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]+$", description="Region of the bucket.")
    credentials: Literal["keys", "instance-role"] = Field(
        "keys",
        description="How the job is let in to the bucket. `keys`: by the secrets `STORE_<NAME>_ACCESS_KEY` and "
        "`STORE_<NAME>_SECRET_KEY` (the name in capitals, `-` as `_`). `instance-role`: by the role that AWS gave "
        "to this machine.",
    )
    may_delete: bool = Field(
        True,
        description="Whether the job may delete there. With `false` a key is enough that can write and read but not "
        "delete, and this deployment prunes nothing: the bucket's own lifecycle does.",
    )
    retention: Retention | None = Field(None, description="How many are kept there; default `backups.retention`.")

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, value: object) -> object:
        return _store_kind(value)


class Assertion(Model):
    """A question in SQL that a restored database must answer with true."""

    name: Name = Field(description="A short name for reports.")
    database: str | None = Field(None, description="The database; default the app's first.")
    sql: str = Field(min_length=1, description="A SELECT that gives one boolean.")


class Backups(Model):
    """Nightly backups and the proof that they restore."""

    enabled: bool = Field(True, description="Whether backups are made.")
    schedule: Cron = Field("30 3 * * *", description="When the nightly run starts, in the host's time zone.")
    stores: tuple[Store, ...] = Field(
        (), description="Where backups go; default a folder `backups/` beside this file, on the same disk as the data."
    )
    retention: Retention = Retention()
    point_in_time: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Restores to any minute: Postgres hands its log over as it is written, to the first of `stores` that "
        "can take it (no bucket without TLS, none with `may_delete: false`). `auto`: on when `stores` names one. Switching "
        "it restarts Postgres once.",
    )
    assertions: tuple[Assertion, ...] = Field((), description="Your own questions to the restored database.")
    age_limit_hours: int = Field(
        26, ge=1, le=720, description="`status` and `check` fail when the last good one is older."
    )
    heartbeat_url: Url | None = Field(None, description="Called after a good backup only (dead man's switch).")
    on_failure: tuple[Argument, ...] = Field(
        (), description="A command (argument list) that runs on this host when a night failed."
    )
    image: Image | None = Field(
        None,
        description="A ready-made image of the backup job, for hosts that reach no package mirror; default built here "
        "from the database's own image.",
    )


class Projects(Model):
    """Containers that the app creates for its users (behaviour comes with the project commands)."""

    enabled: bool = Field(False, description="Whether idle project containers are put to sleep.")
    idle_minutes: int = Field(2880, ge=10, description="Minutes without activity before a project sleeps.")
    keep_snapshots: int = Field(5, ge=1, le=100, description="Snapshots kept per project.")


def _domain(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _routes(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class Config(Model):
    """The whole of moorage.yaml for one environment, its overrides applied."""

    name: DeploymentName = Field(description="The deployment's name; containers, networks and volumes carry it.")
    app: str = Field(min_length=1, description="A built-in app (`notes`, `opensail`) or the path of a Compose file.")
    domain: Annotated[Domain, BeforeValidator(_domain)] = Field(
        description="The host name, or a mapping with `name` and `wildcard`."
    )
    target: Target = Field("compose", description="Where it runs: `compose` (one server), `minikube` or `eks`.")
    environments: dict[EnvironmentName, dict[str, Any]] = Field(
        default_factory=dict, description="Named environments; each may override anything of this file but `name`."
    )
    tls: Tls = Tls()
    edge: Edge = Edge()
    images: Images = Images()
    env: dict[VariableName, Value] = Field(
        default_factory=dict, description="Values for the variables of the app's file. Never secrets: see `secrets`."
    )
    secrets: tuple[VariableName, ...] = Field(
        (), description="Names of further variables that are secret; values are set by `moorage secrets set NAME`."
    )
    routes: dict[str, Annotated[tuple[RouteSetting, ...], BeforeValidator(_routes)]] = Field(
        default_factory=dict, description="Routes by service, for an app file that has none of its own."
    )
    publish: tuple[Publish, ...] = Field((), description="Ports published past the proxy (SSH, SMTP…).")
    permissions: Permissions = Permissions()
    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    resources: Resources = Resources()
    logs: Logs = Logs()
    backups: Backups = Backups()
    projects: Projects = Projects()
    kubernetes: Kubernetes = Kubernetes()
