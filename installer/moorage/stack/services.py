"""App services → complete services: images, limits, networks, security, health, rollout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from moorage.app.adoption import Adoption
from moorage.app.extension import Health
from moorage.app.model import (
    App,
    AppService,
    Dependency,
    HealthCheck,
    HostMount,
    MemoryMount,
    Mount,
    Sizes,
    VolumeMount,
)
from moorage.app.mounts import DOCKER_SOCKET
from moorage.config.loading import LoadedConfig
from moorage.errors import Problem
from moorage.formats import dotted
from moorage.quantities import parse_duration
from moorage.sensitive import Sensitive, Text, reveal
from moorage.stack import budget
from moorage.stack.model import (
    APP_NETWORK,
    DATA_NETWORK,
    EDGE_NETWORK,
    DockerAccess,
    ExtraImage,
    Host,
    Image,
    LogLimits,
    Probe,
    Rollout,
    Security,
    Service,
)
from moorage.stack.platform import postgres as postgres_platform
from moorage.stack.platform import redis as redis_platform

# What images need that start as root, prepare their folders and then drop to a user. Docker's own default
# also keeps NET_RAW, MKNOD, AUDIT_WRITE, SYS_CHROOT and SETFCAP, which a web app has no use for.
_START_AS_ROOT = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETPCAP",
    "SETUID",
)


def included_services(app: App, target: str) -> Iterator[AppService]:
    """The services that run on a target."""
    job_services = {job.service for job in app.extension.jobs.values()}
    for service in app.services.values():
        if service.extension.build_only or target not in service.extension.targets:
            continue
        if service.profiles and service.name not in job_services:
            continue
        yield service


def run_count(loaded: LoadedConfig, service: AppService) -> int:
    """How many containers of a service run."""
    configured = loaded.config.resources.services.get(service.name)
    if configured is not None and configured.replicas is not None:
        return configured.replicas
    per_target = service.extension.replicas.get(loaded.config.target)
    if per_target is not None:
        return per_target
    return 1 if service.replicas is None else service.replicas


class ServiceBuilder:
    """Builds the services of one stack."""

    def __init__(
        self,
        loaded: LoadedConfig,
        app: App,
        adoption: Adoption,
        host: Host,
        logs: LogLimits,
        memory: Mapping[str, int],
        routed: set[str],
        report: Callable[[Problem], None],
    ) -> None:
        self.loaded = loaded
        self.app = app
        self.adoption = adoption
        self.host = host
        self.logs = logs
        self.memory = memory
        self.routed = routed
        self.report = report
        self.included = {service.name for service in included_services(app, loaded.config.target)}

    def build(self, service: AppService) -> Service:
        """One complete service."""
        plain, secret = self._environment(service)
        mounts = self._mounts(service)
        container_name = service.container_name if service.extension.fixed_name else ""
        replicas = run_count(self.loaded, service)
        if container_name and replicas > 1:
            self._problem(service, "container_name", "is fixed, so it cannot have several replicas")
        port = service.extension.port or (service.ports[0].container_port if service.ports else 0)
        health = service.extension.health
        return Service(
            name=service.name,
            image=self.image(service),
            command=service.command,
            entrypoint=service.entrypoint,
            environment=plain,
            secret_environment=secret,
            mounts=mounts,
            depends_on=self._depends_on(service),
            health_check=_health_check(service, port),
            probe=_probe(health, port),
            startup_seconds=health.startup_seconds if health else 120,
            limits=budget.limits(self.sizes(self.loaded, service), self.memory[service.name], self.host.cpus),
            replicas=replicas,
            rollout=self._rollout(service, mounts, container_name),
            networks=self._networks(service),
            network_mode=service.network_mode,
            security=_security(service),
            logs=self.logs,
            restart=self._restart(service),
            labels=dict(service.labels),
            docker_access=self._docker_access(service),
            docker_access_reason=service.extension.docker_access_reason,
            container_name=container_name,
            stop_grace_seconds=_grace(service),
            other={key: value for key, value in service.other.items() if key != "stop_grace_period"},
            port=port,
            privileges=service.privileges,
        )

    @staticmethod
    def sizes(loaded: LoadedConfig, service: AppService) -> Sizes:
        """Sizes by priority: moorage.yaml, `x-moorage.resources`, `deploy.resources`."""
        own = loaded.config.resources.services.get(service.name)
        extension = service.extension.resources

        def first(key: str) -> int | None:
            found = (getattr(own, key) if own else None) or getattr(extension, key) or getattr(service.sizes, key)
            return None if found is None else int(found)

        return Sizes(
            first("memory"), first("memory_request"), first("cpu"), first("cpu_request"), service.sizes.processes
        )

    def image(self, service: AppService) -> Image:
        """The image's full name, and whether it is built here."""
        images = self.loaded.config.images
        override = images.overrides.get(service.name)
        if override:
            return Image(override)
        reference = service.image
        if not reference:
            prefix = f"{images.registry.rstrip('/')}/" if images.registry else ""
            reference = f"{prefix}{self.loaded.config.name}-{service.name}:{images.tag}"
        if service.build is None or (images.registry and not images.source):
            return Image(reference)
        self._check_sources(service)
        return Image(reference, service.build, "source" if images.source else "app")

    def _check_sources(self, service: AppService) -> None:
        """A built-in app's sources are not part of moorage, except for the demo's."""
        build = service.build
        if not self.app.builtin or self.loaded.config.images.source or build is None or build.context.startswith("$"):
            return
        folder = self.app.folder / build.context
        if (not (folder / (build.dockerfile or "Dockerfile")).is_file() and "dockerfile_inline" not in build.other) or (
            "dockerfile_inline" in build.other and not self._has_more_than_the_app_file(folder)
        ):
            self.report(self._sources_problem())

    def _sources_problem(self) -> Problem:
        return self.loaded.problem(
            ("images",),
            f"needs `source` or `registry`: the sources of {self.app.name} are not part of moorage",
            hint="`source: ../checkout` builds the images here, `registry: ghcr.io/you` pulls them",
        )

    @staticmethod
    def _has_more_than_the_app_file(folder: Path) -> bool:
        return any(item.name not in ("compose.yaml", "README.md") for item in folder.iterdir())

    def extra_image(self, service: AppService) -> ExtraImage:
        """An image that the app starts containers from itself; a registry has it below its own prefix."""
        images = self.loaded.config.images
        image = self.image(service)
        if image.build is None and images.registry and service.name not in images.overrides:
            image = Image(f"{images.registry.rstrip('/')}/{service.image.partition(':')[0]}:{images.tag}")
        return ExtraImage(service.image, image)

    def _environment(self, service: AppService) -> tuple[dict[str, str], dict[str, Sensitive]]:
        values: dict[str, Text] = dict(service.environment)
        for name, value in service.extension.environment.get(self.loaded.config.target, {}).items():
            if value is None:
                values.pop(name, None)
            else:
                values[name] = value
        plain = {name: value for name, value in values.items() if isinstance(value, str)}
        return plain, {name: value for name, value in values.items() if isinstance(value, Sensitive)}

    def _mounts(self, service: AppService) -> tuple[Mount, ...]:
        mounts = service.mounts
        wanted = service.extension.docker_access
        if wanted and not any(isinstance(mount, HostMount) and mount.source == DOCKER_SOCKET for mount in mounts):
            mounts = (*mounts, HostMount(DOCKER_SOCKET, DOCKER_SOCKET, wanted == "read"))
        read_only = service.extension.security.read_only or bool(service.read_only)
        if read_only and not any(mount.target == "/tmp" for mount in mounts):  # noqa: S108 - a path in the container
            mounts = (*mounts, MemoryMount("/tmp"))  # noqa: S108
        return mounts

    def _docker_access(self, service: AppService) -> DockerAccess:
        declared = service.extension.docker_access
        mounted = any(isinstance(mount, HostMount) and mount.source == DOCKER_SOCKET for mount in service.mounts)
        if declared:
            return declared
        if not mounted:
            return ""
        if service.name not in self.loaded.config.permissions.docker_access:
            self._problem(
                service,
                "volumes",
                "mounts the Docker socket, which is the same as root on this host",
                f"if it must be, add `{service.name}` under `permissions.docker_access` in moorage.yaml",
            )
        return "write"

    def _depends_on(self, service: AppService) -> dict[str, Dependency]:
        """Dependencies on services that exist here; on databases they wait for health."""
        present = self.included | set(self.adoption.names)
        result = {name: dependency for name, dependency in service.depends_on.items() if name in present}
        for name in self._platform_hosts(service):
            result.setdefault(name, Dependency("service_healthy"))
        for name in self.adoption.names:
            if name in result:
                result[name] = Dependency("service_healthy", restart=result[name].restart)
        return result

    def _platform_hosts(self, service: AppService) -> tuple[str, ...]:
        """The bundled platform services that a required database or queue is reached by."""
        config, requires = self.loaded.config, self.app.extension.requires
        hosts = []
        if requires.postgres and config.postgres.mode == "bundled":
            hosts.append(postgres_platform.SERVICE)
        if requires.redis and config.redis.mode == "bundled":
            hosts.append(redis_platform.SERVICE)
        texts = [reveal(value) for value in service.environment.values()]
        return tuple(host for host in hosts if any(_mentions(text, host) for text in texts))

    def _networks(self, service: AppService) -> dict[str, tuple[str, ...]]:
        if service.network_mode:
            return {}
        extra = list(self.app.link_aliases.get(service.name, ()))
        if service.container_name and service.container_name != service.name and not service.extension.fixed_name:
            extra.append(service.container_name)
        written = service.networks or {"default": ()}
        networks = {
            (APP_NETWORK if name == "default" else name): (*aliases, *extra)
            for name, aliases in written.items()
            if name not in (EDGE_NETWORK, DATA_NETWORK)
        }
        if service.name in self.routed:
            networks[EDGE_NETWORK] = ()
        if self._uses_data(service):
            networks[DATA_NETWORK] = ()
        return dict(sorted(networks.items()))

    def _uses_data(self, service: AppService) -> bool:
        if self._platform_hosts(service):
            return True
        own = set(service.networks or {"default": ()})
        for adopted in (self.adoption.postgres, self.adoption.redis):
            if adopted is not None and own & set(adopted.service.networks or {"default": ()}):
                return True
        return False

    def _restart(self, service: AppService) -> str:
        awaited = any(
            dependency.condition == "service_completed_successfully"
            for other in self.app.services.values()
            for name, dependency in other.depends_on.items()
            if name == service.name
        )
        kind = service.restart.partition(":")[0]
        if service.profiles or awaited or kind == "no":
            return service.restart if kind == "on-failure" else "no"
        return service.restart if kind == "on-failure" else "always"

    def _rollout(self, service: AppService, mounts: tuple[Mount, ...], container_name: str) -> Rollout:
        wanted = service.extension.rollout
        published = any(item.service == service.name for item in self.loaded.config.publish)
        shared_namespace = any(other.network_mode == f"service:{service.name}" for other in self.app.services.values())
        if service.name not in self.routed or container_name or published or shared_namespace:
            return "recreate"
        if wanted:
            return wanted
        writes = any(isinstance(mount, VolumeMount) and not mount.read_only for mount in mounts)
        return "recreate" if writes else "rolling"

    def _problem(self, service: AppService, key: str, rule: str, hint: str = "") -> None:
        path = (*service.path, key)
        self.report(Problem(self.app.document.place(path), dotted(path), rule, hint=hint))


def _mentions(text: str, host: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_.-]){re.escape(host)}(?![A-Za-z0-9_.-])", text) is not None


def _security(service: AppService) -> Security:
    wanted = service.extension.security
    drop = tuple(name.removeprefix("CAP_") for name in service.cap_drop)
    kept = _START_AS_ROOT if wanted.capabilities is None and "ALL" not in drop else (wanted.capabilities or ())
    added = tuple(name.removeprefix("CAP_") for name in service.cap_add)
    options = tuple(option for option in service.security_opt if not option.startswith("no-new-privileges"))
    loosened = any(option.replace("=", ":") == "no-new-privileges:false" for option in service.security_opt)
    return Security(
        cap_add=tuple(sorted({*kept, *added} - set(drop))),
        read_only=wanted.read_only or bool(service.read_only),
        no_new_privileges=wanted.no_new_privileges and not loosened,
        security_opt=options,
    )


def _grace(service: AppService) -> float:
    written = service.other.get("stop_grace_period")
    return parse_duration(written) if written is not None else 30.0


def _probe(health: Health | None, port: int) -> Probe | None:
    if health is None or health.path is None:
        return None
    return Probe(health.path, health.port or port, health.live_path or "")


def _health_check(service: AppService, port: int) -> HealthCheck | None:
    """The file's own check, else one made from `x-moorage.health`; None leaves the image's own in force."""
    if service.health_check is not None:
        return service.health_check
    health = service.extension.health
    if health is None:
        return None
    if health.command:
        test: tuple[str, ...] = ("CMD", *health.command)
    elif health.path:
        test = (
            "CMD-SHELL",
            _http_question(f"http://127.0.0.1:{health.port or port}{health.path}", health.timeout_seconds),
        )
    else:
        return None
    return HealthCheck(test, health.interval_seconds, health.timeout_seconds, health.retries, health.startup_seconds, 1)


def _http_question(url: str, timeout_seconds: int) -> str:
    """A shell line that asks with whatever the image has: wget, curl, Python or Node."""
    python = f"import urllib.request as r; r.urlopen('{url}', timeout={timeout_seconds})"
    node = f"fetch('{url}').then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))"
    return (
        f"if command -v wget >/dev/null; then wget -q -T {timeout_seconds} -O /dev/null {url}; "
        f"elif command -v curl >/dev/null; then curl -fsS -m {timeout_seconds} -o /dev/null {url}; "
        f'elif command -v python3 >/dev/null; then python3 -c "{python}"; '
        f'else node -e "{node}"; fi'
    )
