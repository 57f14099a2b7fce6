"""App services → complete services: images, limits, networks, security, health, rollout."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from moorage.app.adoption import Adoption
from moorage.app.model import (
    App,
    AppService,
    Dependency,
    FileMount,
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
from moorage.stack import budget, components, confinement
from moorage.stack.cluster_rights import cluster_rights
from moorage.stack.docker_access import docker_mount, how_reached
from moorage.stack.health import health_check, probe
from moorage.stack.images import ImageFinder
from moorage.stack.model import (
    DATA_NETWORK,
    EDGE_NETWORK,
    DockerAccess,
    Host,
    LogLimits,
    Rollout,
    Security,
    Service,
)
from moorage.stack.networks import own_names
from moorage.stack.platform import postgres as postgres_platform
from moorage.stack.platform import redis as redis_platform
from moorage.stack.restarts import restart


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


def sizes_of(loaded: LoadedConfig, service: AppService) -> Sizes:
    """Sizes by priority: moorage.yaml, `x-moorage.resources`, `deploy.resources`."""
    own = loaded.config.resources.services.get(service.name)
    sizes = service.extension.resources

    def first(key: str) -> int | None:
        found = (getattr(own, key) if own else None) or getattr(sizes, key) or getattr(service.sizes, key)
        return None if found is None else int(found)

    return Sizes(first("memory"), first("memory_request"), first("cpu"), first("cpu_request"), service.sizes.processes)


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
        self.images = ImageFinder(loaded, app, report)
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
            image=self.images.image(service),
            command=service.command,
            entrypoint=service.entrypoint,
            environment=plain,
            secret_environment=secret,
            mounts=mounts,
            depends_on=self._depends_on(service),
            health_check=health_check(service, port),
            probe=probe(health, port),
            startup_seconds=health.startup_seconds if health else 120,
            limits=budget.limits(sizes_of(self.loaded, service), self.memory[service.name], self.host.cpus),
            replicas=replicas,
            rollout=self._rollout(service, mounts, container_name),
            networks=self._networks(service),
            network_mode=service.network_mode,
            security=self._security(service),
            logs=self.logs,
            restart=restart(self.app, service, self.routed),
            labels=dict(service.labels),
            docker_access=self._docker_access(service),
            docker_access_reason=service.extension.docker_access_reason,
            container_name=container_name,
            stop_grace_seconds=_grace(service),
            other={key: value for key, value in service.other.items() if key != "stop_grace_period"},
            port=port,
            ports=self._ports(service, port),
            privileges=service.privileges,
            max_replicas=self._max_replicas(service),
            cluster_rights=cluster_rights(self.loaded, self.app, service, self._problem),
        )

    def _max_replicas(self, service: AppService) -> int:
        own = self.loaded.config.resources.services.get(service.name)
        return (own.max_replicas or 0) if own else 0

    def _ports(self, service: AppService, port: int) -> tuple[int, ...]:
        """On which it is known to listen: by its own ports, by routes, by its health check."""
        health = service.extension.health
        found = {port, *service.exposed, *(item.container_port for item in service.ports)}
        found |= {route.port or 0 for route in service.extension.route}
        found |= {setting.port or 0 for setting in self.loaded.config.routes.get(service.name, ())}
        found.add((health.port or 0) if health else 0)
        return tuple(sorted(found - {0}))

    def _environment(self, service: AppService) -> tuple[dict[str, str], dict[str, Sensitive]]:
        values: dict[str, Text] = dict(service.environment)
        for name, value in components.variables_for(self.app, service, self.loaded.config.target):
            if value is None:
                values.pop(name, None)
            else:
                values[name] = value
        plain = {name: value for name, value in values.items() if isinstance(value, str)}
        return plain, {name: value for name, value in values.items() if isinstance(value, Sensitive)}

    def _mounts(self, service: AppService) -> tuple[Mount, ...]:
        mounts = service.mounts
        wanted = service.extension.docker_access and self.loaded.config.target == "compose"
        if wanted and not any(isinstance(mount, HostMount) and mount.source == DOCKER_SOCKET for mount in mounts):
            mounts = (*mounts, HostMount(DOCKER_SOCKET, DOCKER_SOCKET, read_only=False))
        read_only = service.extension.security.read_only or bool(service.read_only)
        if read_only and not any(mount.target == "/tmp" for mount in mounts):  # noqa: S108 - a path in the container
            mounts = (*mounts, MemoryMount("/tmp"))  # noqa: S108
        return mounts

    def _docker_access(self, service: AppService) -> DockerAccess:
        """Whether the service reaches Docker's API; an app file alone never decides that, except for our own apps."""
        declared, mount = service.extension.docker_access, docker_mount(service.mounts)
        if (not declared and mount is None) or self.loaded.config.target != "compose":
            # On a node of a cluster nobody answers there.
            return ""
        allowed = service.name in self.loaded.config.permissions.docker_access
        if not allowed and not (declared and self.app.builtin):
            self._problem(
                service,
                "x-moorage.docker_access" if declared else "volumes",
                f"{how_reached(mount)}, which is the same as root on this host",
                f"if it must be, add `{service.name}` under `permissions.docker_access` in moorage.yaml",
            )
        return "write"

    def _security(self, service: AppService) -> Security:
        strong = confinement.rights_of_root(service)
        if strong and not self.app.builtin and service.name not in self.loaded.config.permissions.privileged:
            self._problem(
                service,
                "cap_add" if service.cap_add else "x-moorage.security.capabilities",
                f"wants {' and '.join(strong)}, which is nearly the same as root on this host",
                f"if it must be, add `{service.name}` under `permissions.privileged` in moorage.yaml",
            )
        loosened = confinement.loosened_options(service)
        if loosened and not self.app.builtin and service.name not in self.loaded.config.permissions.privileged:
            self._problem(
                service,
                "security_opt",
                f"takes a part of the confinement away ({', '.join(loosened)}): a way out to the host",
                f"leave it out; if it must be, add `{service.name}` under `permissions.privileged` in moorage.yaml",
            )
        return confinement.security(service)

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
        texts = [reveal(text) for text in self._texts(service)]
        return tuple(host for host in hosts if any(_mentions(text, host) for text in texts))

    def _texts(self, service: AppService) -> Iterator[Text]:
        """Everything with variables that the processes of a service read: where an address may stand."""
        plain, secret = self._environment(service)
        yield from plain.values()
        yield from secret.values()
        yield from (*(service.command or ()), *(service.entrypoint or ()))
        for mount in service.mounts:
            if isinstance(mount, FileMount):
                yield from (content for content in mount.files.values() if not isinstance(content, bytes))

    def _followers(self, service: AppService) -> tuple[AppService, ...]:
        """The services that share the network of this one."""
        return tuple(other for other in self.app.services.values() if other.network_mode == f"service:{service.name}")

    def _networks(self, service: AppService) -> dict[str, tuple[str, ...]]:
        if service.network_mode:
            return {}
        extra = list(self.app.link_aliases.get(service.name, ()))
        if service.container_name and service.container_name != service.name and not service.extension.fixed_name:
            extra.append(service.container_name)
        own = own_names(self.app)
        networks = {
            own[name]: (*aliases, *extra)
            for name, aliases in (service.networks or {"default": ()}).items()
            # A name that the file uses and does not declare is the platform's, which is given by need.
            if name in own
        }
        if service.name in self.routed:
            networks[EDGE_NETWORK] = ()
        if self._uses_data(service):
            networks[DATA_NETWORK] = ()
        return dict(sorted(networks.items()))

    def _uses_data(self, service: AppService) -> bool:
        if any(self._platform_hosts(item) for item in (service, *self._followers(service))):
            return True
        own = set(service.networks or {"default": ()})
        for adopted in (self.adoption.postgres, self.adoption.redis):
            if adopted is not None and own & set(adopted.service.networks or {"default": ()}):
                return True
        return False

    def _rollout(self, service: AppService, mounts: tuple[Mount, ...], container_name: str) -> Rollout:
        wanted = service.extension.rollout
        published = any(item.service == service.name for item in self.loaded.config.publish)
        if service.name not in self.routed or container_name or published or self._followers(service):
            return "recreate"
        if wanted:
            return wanted
        writes = any(isinstance(mount, VolumeMount) and not mount.read_only for mount in mounts)
        return "recreate" if writes else "rolling"

    def _problem(self, service: AppService, key: str, rule: str, hint: str = "") -> None:
        path = (*service.path, *key.split("."))
        self.report(Problem(self.app.document.place(path), dotted(path), rule, hint=hint))


def _mentions(text: str, host: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9_.-]){re.escape(host)}(?![A-Za-z0-9_.-])", text) is not None


def _grace(service: AppService) -> float:
    written = service.other.get("stop_grace_period")
    return parse_duration(written) if written is not None else 30.0
