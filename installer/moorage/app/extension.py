"""`x-moorage`: what production and Kubernetes need to know and Compose cannot say.

There is one block for the app (top level), one per service and one per volume.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from moorage.app.component_extension import KubernetesComponent
from moorage.config.kinds import Cpu, Cron, Model, Name, Port, RouteHost, RoutePath, Size, Target, Value, VariableName

GENERATORS = ("hex32", "hex16", "alphanumeric48", "urlsafe32", "fernet", "password", "uuid4", "bcrypt")
Generator = Literal["hex32", "hex16", "alphanumeric48", "urlsafe32", "fernet", "password", "uuid4", "bcrypt"]


DatabaseName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,62}$")]


class PostgresNeed(Model):
    """The app needs Postgres databases on one server."""

    database: DatabaseName = Field("app", description="The main database.")
    user: str = Field("app", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="The role that owns the databases.")
    databases: tuple[DatabaseName, ...] = Field((), description="Further databases of the same role.")
    version: Literal["14", "15", "16", "17", "18"] | None = Field(
        None, description="The major that the app is known to run on."
    )
    superuser: bool = Field(
        False, description="Whether the role is a superuser (an app that creates untrusted extensions)."
    )
    connections: int | None = Field(
        None, ge=1, description="Connections that all processes of the app may open together."
    )


class RedisNeed(Model):
    """The app needs Redis."""


class Requires(Model):
    """Platform services that moorage provides, tunes and backs up."""

    postgres: PostgresNeed | None = Field(None, description="A Postgres server.")
    redis: RedisNeed | None = Field(None, description="A Redis server.")


class Variable(Model):
    """One variable that the app's file interpolates."""

    default: Value | None = Field(None, description="The value when the operator gives none; may name other variables.")
    secret: bool = Field(
        False, description="Whether the value is a secret: kept out of moorage.yaml and of rendered files."
    )
    generate: Generator | None = Field(None, description="How a missing secret is made, once.")
    prefix: str = Field("", description="Put before a generated secret, for instance `sk-`.")
    required: bool = Field(False, description="Whether the operator must give a value.")
    describe: str = Field("", description="What it is for, in one line.")
    pattern: str | None = Field(None, description="Regular expression that the whole value must match.")
    choices: tuple[str, ...] = Field((), description="The values that are allowed.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Variable:
        if self.generate and not self.secret:
            raise ValueError("has `generate` but is not `secret: true`")
        if self.secret and self.default:
            raise ValueError("is a secret with a default; a secret that stands in a file is none")
        return self


class Job(Model):
    """A command that runs to its end in a service's image: before a rollout, once, or by schedule."""

    service: str = Field(description="The service whose image, environment and volumes it uses.")
    command: tuple[str, ...] = Field(min_length=1, description="The command as a list of words.")
    run: Literal["before-rollout", "manual"] | None = Field(
        None, description="`before-rollout`: at every `up`, before new containers start."
    )
    schedule: Cron | None = Field(
        None, description="Cron expression: a systemd timer on a server, a CronJob on Kubernetes."
    )
    describe: str = Field("", description="What it does, in one line.")
    timeout_seconds: int = Field(900, ge=1, description="It is stopped and counts as failed after so long.")
    memory: Size | None = Field(None, description="Memory limit; default the service's.")

    @model_validator(mode="after")
    def _one_clock(self) -> Job:
        if (self.run is None) == (self.schedule is None):
            raise ValueError("must have either `run` or `schedule`")
        return self


class AppExtension(Model):
    """The top-level `x-moorage` block."""

    requires: Requires = Requires()
    variables: dict[VariableName, Variable] = Field(
        default_factory=dict, description="The variables that the operator may set."
    )
    jobs: dict[Name, Job] = Field(default_factory=dict, description="Commands that run to their end.")
    describe: str = Field("", description="What the app is, in one line.")
    wildcard: bool = Field(False, description="Whether the app answers on every subdomain of its domain.")
    creates_containers: bool = Field(
        False,
        description="Whether the app starts containers itself whose routes Traefik must find (through a read-only socket proxy).",
    )
    project_networks: str = Field(
        "",
        description="Pattern of the networks that the app makes for its containers (`studio-*`); Traefik joins them again after an update.",
    )
    proxy_name: str = Field(
        "",
        pattern=r"^([a-zA-Z0-9][a-zA-Z0-9_.-]*)?$",
        description="A fixed container name of Traefik, for an app that attaches its own networks to it by name.",
    )
    creates_namespaces: dict[str, str] = Field(
        default_factory=dict,
        description="On Kubernetes: the labels of namespaces that the app makes for its containers. The proxy serves the "
        "Ingresses in them that are of the class `${CREATED_INGRESS_CLASS}`, ingress-nginx' annotations included.",
    )
    namespace: Name | None = Field(
        None, description="A fixed namespace on Kubernetes, for an app that names it in what it creates."
    )
    kubernetes_components: dict[Name, KubernetesComponent] = Field(
        default_factory=dict,
        description="On Kubernetes: static parts of the app that `kubernetes.components` in moorage.yaml switches on; the "
        "manifests of each are in the folder `k8s/NAME` beside this file.",
    )
    check_path: RoutePath = Field("/", description="The path that shows from outside that the app works.")
    minimum_memory: Size | None = Field(None, description="Main memory that the host should have.")
    minimum_disk: Size | None = Field(None, description="Free disk that the host should have.")


class Route(Model):
    """Requests that go to a service."""

    host: RouteHost = Field("", description="Empty: the domain. `admin`: admin.<domain>. `*`: every subdomain.")
    paths: tuple[RoutePath, ...] = Field((), description="Path prefixes.")
    exact: tuple[RoutePath, ...] = Field((), description="Single paths that match as a whole.")
    deny: tuple[RoutePath, ...] = Field((), description="Path prefixes that are answered with 403 at the edge.")
    unlogged: tuple[RoutePath, ...] = Field(
        (),
        description="Path prefixes below `paths` whose requests leave no line in the log: a token stands in the path.",
    )
    port: Port | None = Field(None, description="The container port; default the service's `port`.")
    strip_prefix: bool = Field(False, description="Whether the prefix is taken off before the service sees the path.")
    headers: dict[str, str] = Field(default_factory=dict, description="Response headers to add.")
    https_headers: dict[str, str] = Field(
        default_factory=dict, description="Response headers to add when the site has HTTPS."
    )
    compress: bool = Field(False, description="Whether answers are compressed at the edge.")
    sticky: bool = Field(False, description="Whether a browser stays with one of several replicas (a cookie).")

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Route:
        if not self.paths and not self.exact and not self.deny:
            raise ValueError("must have `paths`, `exact` or `deny`")
        for path in self.unlogged:
            if not any(path == other or path.startswith(f"{other.rstrip('/')}/") for other in self.paths):
                raise ValueError(f"has {path} in `unlogged`, which is not below one of its `paths`")
        return self


class Health(Model):
    """How to see that a container works."""

    path: RoutePath | None = Field(None, description="An HTTP path that answers 200 when the service can work.")
    port: Port | None = Field(None, description="Its port; default the service's `port`.")
    command: tuple[str, ...] = Field((), description="A command that exits 0 when the service can work.")
    live_path: RoutePath | None = Field(
        None, description="An HTTP path that only says that the process lives (Kubernetes)."
    )
    startup_seconds: int = Field(60, ge=1, le=3600, description="How long a start may take.")
    interval_seconds: int = Field(10, ge=1, le=300, description="How often it is asked.")
    timeout_seconds: int = Field(5, ge=1, le=60, description="How long an answer may take.")
    retries: int = Field(3, ge=1, le=20, description="How many failures in a row mean ill.")


class SizesExtension(Model):
    """Limits and requests."""

    cpu: Cpu | None = Field(None, description="CPU limit.")
    memory: Size | None = Field(None, description="Memory limit.")
    cpu_request: Cpu | None = Field(None, description="CPU that is always there.")
    memory_request: Size | None = Field(None, description="Memory that is always there.")


class Security(Model):
    """Where a service cannot live with the strict defaults."""

    read_only: bool = Field(False, description="Root file system read-only; /tmp is a tmpfs unless mounted otherwise.")
    capabilities: tuple[str, ...] | None = Field(
        None, description="All that are kept, every other is dropped; `[]` drops all."
    )
    no_new_privileges: bool = Field(True, description="Whether setuid programs stay powerless.")
    reason: str = Field("", description="Why a default is loosened; shown by `check`.")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class ApiRule(Model):
    """Rights to some kinds of objects, as Kubernetes' own roles write them."""

    groups: tuple[str, ...] = Field(("",), description="API groups; the empty one is Kubernetes' core.")
    resources: tuple[str, ...] = Field(
        min_length=1, description="Kinds of objects, in the plural (`pods`, `pods/log`)."
    )
    verbs: tuple[str, ...] = Field(min_length=1, description="What may be done (`get`, `list`, `watch`, `create`…).")


class KubernetesAccess(Model):
    """Rights in a cluster."""

    reason: str = Field(min_length=1, description="Why; shown by `check`.")
    namespace: tuple[ApiRule, ...] = Field((), description="In the deployment's own namespace.")
    cluster: tuple[ApiRule, ...] = Field(
        (), description="In every namespace of the cluster; `permissions.cluster_access` must name the service."
    )


class ServiceExtension(Model):
    """The `x-moorage` block of a service."""

    port: Port | None = Field(None, description="The port that the service listens on.")
    route: Annotated[tuple[Route, ...], BeforeValidator(_as_list)] = Field(
        (), description="A route or a list of routes."
    )
    health: Health | None = Field(None, description="How to see that it works.")
    resources: SizesExtension = SizesExtension()
    replicas: dict[Target, Annotated[int, Field(ge=0, le=50)]] = Field(
        default_factory=dict, description="How many containers run, per target."
    )
    rollout: Literal["rolling", "recreate"] | None = Field(
        None,
        description="`rolling`: the new container starts beside the old one. Default rolling for routed services without writable volumes.",
    )
    environment: dict[Target, dict[VariableName, Value | None]] = Field(
        default_factory=dict, description="Environment that differs per target; null takes a variable away."
    )
    targets: tuple[Target, ...] = Field(("compose", "minikube", "eks"), description="Where the service exists.")
    differences: str = Field(
        "", description="Why `environment`, `replicas` or `targets` differ by target; `moorage parity` shows it."
    )
    docker_access: Literal["", "write"] = Field(
        "",
        description="Whether it gets the Docker socket (it creates containers): `write`, for a socket that is mounted "
        "read-only takes every command too.",
    )
    docker_access_reason: str = Field("", description="Why; shown by `check`.")
    security: Security = Security()
    fixed_name: bool = Field(False, description="Whether `container_name` must be kept (then no rolling update).")
    build_only: bool = Field(False, description="An image that the app needs but that never runs as a service.")
    kubernetes_access: KubernetesAccess | None = Field(
        None, description="What it may do with Kubernetes' API, where it runs in a cluster (it starts pods)."
    )


class VolumeExtension(Model):
    """The `x-moorage` block of a named volume."""

    size: Size | None = Field(None, description="How large it is on Kubernetes; a disk estimate on a server.")
    backup: bool = Field(True, description="Whether it is backed up.")
    per_project: bool = Field(False, description="Whether it holds one folder per user project.")
    exclude: tuple[str, ...] = Field((), description="Patterns that backups leave out (node_modules…).")
    describe: str = Field("", description="What is in it.")
