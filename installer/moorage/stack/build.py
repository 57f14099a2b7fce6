"""Config + App → Stack: the one place where what was written becomes what is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from moorage.app.adoption import Adoption
from moorage.app.extension import AppExtension
from moorage.app.model import App, AppService, Notice
from moorage.app.ports import is_https, port_spans
from moorage.app.secrecy import is_secret_argument
from moorage.config.loading import LoadedConfig, settings_of_environment
from moorage.config.rules import project_name
from moorage.config.secrets import SecretValues
from moorage.errors import Problem
from moorage.quantities import GIBIBYTE
from moorage.sensitive import Sensitive
from moorage.stack import cluster_limits, components, names
from moorage.stack.budget import system_reserve
from moorage.stack.cluster import ClusterInputs
from moorage.stack.model import (
    BudgetLine,
    BundledPostgres,
    BundledRedis,
    Differences,
    Edge,
    ExternalPostgres,
    ExternalRedis,
    Host,
    Job,
    Service,
    Stack,
    Volume,
)
from moorage.stack.networks import are_internal
from moorage.stack.platform import archiving, backup_rules
from moorage.stack.platform import backups as backups_platform
from moorage.stack.platform import cluster as cluster_platform
from moorage.stack.platform import edge as edge_platform
from moorage.stack.platform import postgres as postgres_platform
from moorage.stack.platform import redis as redis_platform
from moorage.stack.routes import build_publications, build_routes
from moorage.stack.services import ServiceBuilder, included_services
from moorage.stack.sizes import SizePlanner
from moorage.words import listed


@dataclass
class Draft:
    """What the steps of a build share: the input, and the problems and notices found on the way."""

    loaded: LoadedConfig
    app: App
    adoption: Adoption
    secrets: SecretValues
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


def build_stack(
    loaded: LoadedConfig,
    app: App,
    adoption: Adoption,
    secrets: SecretValues,
    *,
    override: Mapping[str, Any] | None,
    override_source: Sensitive,
    certificate_digest: str,
    cluster_inputs: ClusterInputs,
    revision_key: Sensitive,
) -> tuple[Stack | None, list[Problem]]:
    """The complete stack, or None with the problems that stand in its way."""
    draft = Draft(loaded, app, adoption, secrets)
    config = loaded.config
    host = Host(
        config.resources.host.memory,
        config.resources.host.cpus,
        config.resources.host.disk,
        config.resources.host.disk_size or 0,
        config.resources.host.address or "",
    )
    wildcard = config.domain.wildcard or app.extension.wildcard
    draft.problems.extend(names.problems(loaded, app, adoption))
    draft.problems.extend(
        edge_platform.problems(
            loaded, wildcard=config.domain.wildcard, creates_containers=app.extension.creates_containers
        )
    )
    draft.problems.extend(postgres_platform.problems(app.extension, adoption.postgres, loaded))
    draft.problems.extend(redis_platform.problems(loaded))
    included = {service.name for service in included_services(app, config.target)}
    routes = build_routes(loaded, app, included, wildcard=wildcard, report=draft.problems.append)
    publications = build_publications(loaded, app, included, report=draft.problems.append)
    planner = SizePlanner(loaded, app, adoption, host, draft.problems.append, draft.notices.append)
    logs, memory = planner.logs(), planner.memory()
    routed = {route.service for route in routes}
    builder = ServiceBuilder(loaded, app, adoption, host, logs.app, memory.services, routed, draft.problems.append)
    services = tuple(builder.build(service) for service in included_services(app, config.target))
    _notice_secret_arguments(draft)
    _notice_restarts(draft, services)
    if config.target != "compose":
        draft.notices.extend(cluster_limits.notices(app, services))
    _notice_closed_ports(
        draft,
        routes_of={(route.service, route.port) for route in routes},
        published={(item.service, item.container_port) for item in publications},
    )
    edge = edge_platform.build(
        loaded,
        host,
        secrets.values,
        logs.platform,
        socket_proxy=app.extension.creates_containers,
        certificate_digest=certificate_digest,
        container_name=app.extension.proxy_name,
    )
    password = secrets.values.get(postgres_platform.PASSWORD)
    postgres: BundledPostgres | ExternalPostgres | None
    redis: BundledRedis | ExternalRedis | None
    if config.postgres.mode == "external":
        postgres = postgres_platform.external(app.extension.requires.postgres, loaded, password)
    else:
        postgres = postgres_platform.bundled(
            app.extension.requires.postgres,
            adoption.postgres,
            loaded,
            host,
            password,
            memory.beside_postgres,
            logs.platform,
        )
    redis_password = secrets.values.get(redis_platform.PASSWORD)
    if config.redis.mode == "external":
        redis = redis_platform.external(app.extension, loaded, redis_password)
    else:
        redis = redis_platform.bundled(app.extension, adoption.redis, loaded, host, redis_password, logs.platform)
    log = archiving.choose(
        loaded, adoption.postgres, backups_platform.DEFAULT_STORE, has_database=isinstance(postgres, BundledPostgres)
    )
    draft.problems.extend(archiving.problems(loaded, log))
    draft.problems.extend(backup_rules.problems(loaded, secrets.values, postgres.databases if postgres else ()))
    volumes = tuple(_volumes(app))
    databases = tuple(item for item in (postgres, redis) if isinstance(item, BundledPostgres | BundledRedis))
    disks = cluster_platform.disks(loaded, databases, volumes)
    draft.problems.extend(cluster_platform.problems(loaded, app, project_of(loaded), services, disks, databases))
    draft.problems.extend(components.problems(loaded, app, services))
    if draft.problems:
        return None, draft.problems
    draft.notices.extend(_without_effect(loaded))
    if config.target != "compose":
        draft.notices.extend(cluster_limits.wishes(app, services, volumes, cluster_platform.DEFAULT_SIZE))
    draft.notices.extend(backups_platform.notices(loaded, app, services))
    draft.notices.extend(archiving.notices(loaded, log))
    budget = _budget(services, edge, postgres, redis)
    base_image = backups_platform.base_image(loaded, postgres)
    server_image = backups_platform.server_image(loaded, project_of(loaded), base_image)
    archive = archiving.archive(log, server_image, base_image, secrets.log_passphrase)
    backups = backups_platform.build(
        loaded,
        app,
        host,
        secrets.values,
        project=project_of(loaded),
        postgres=postgres,
        redis=redis,
        volumes=volumes,
        services=services,
        free_memory=host.memory - system_reserve(host.memory) - sum(line.memory * line.count for line in budget),
        archive=archive,
    )
    if archive is not None and isinstance(postgres, BundledPostgres):
        postgres = archiving.with_archiving(postgres, archive, project_of(loaded))
    stack = Stack(
        name=config.name,
        project=project_of(loaded),
        environment=loaded.environment,
        target=config.target,
        app=app.name,
        domain=config.domain.name,
        wildcard=wildcard,
        base_url=base_url(loaded),
        check_path=app.extension.check_path,
        deployment_id=secrets.deployment_id,
        services=services,
        jobs=tuple(_jobs(app, services)),
        routes=routes,
        publications=publications,
        volumes=volumes,
        networks=are_internal(app),
        extra_images=tuple(
            builder.images.extra_image(service)
            for service in app.services.values()
            if service.extension.build_only and service.name not in components.image_services(app)
        ),
        edge=edge,
        postgres=postgres,
        redis=redis,
        backups=backups,
        host=host,
        logs_total=config.logs.total,
        budget=budget,
        minimum_disk=app.extension.minimum_disk or 10 * GIBIBYTE,
        minimum_memory=app.extension.minimum_memory or 0,
        pull=config.images.pull,
        notices=(*app.notices, *draft.notices),
        override=override,
        override_source=override_source,
        revision_key=revision_key,
        project_networks=app.extension.project_networks,
        settings=settings_of_environment(loaded),
        lacking_secrets=tuple(
            need.name for need in secrets.missing if not need.optional and need.name not in app.env_file_values
        ),
        differences={
            service.name: _differences(app, service)
            for service in app.services.values()
            if service.extension.differences
        },
        components=components.build(loaded, app, builder.images),
        cluster=cluster_platform.build(loaded, app, project_of(loaded), volumes, databases, backups, cluster_inputs),
    )
    return stack, []


def _differences(app: App, service: AppService) -> Differences:
    extension = service.extension
    given = [*extension.environment.values()]
    given += [item.environment.get(service.name, {}) for item in app.extension.kubernetes_components.values()]
    names = sorted({name for values in given for name in values})
    return Differences(extension.differences, tuple(names), bool(extension.replicas))


def project_of(loaded: LoadedConfig) -> str:
    """What Compose calls this environment, and stores of backups call its folder."""
    name, environment = loaded.config.name, loaded.environment
    return name if environment == loaded.config.target else project_name(name, environment)


def base_url(loaded: LoadedConfig) -> str:
    """The address of the site as a browser writes it."""
    config = loaded.config
    scheme = "http" if config.tls.mode == "off" else "https"
    port = config.edge.http_port if config.tls.mode == "off" else config.edge.https_port
    # Behind a proxy the outside port is the proxy's business.
    standard = config.tls.mode == "behind-proxy" or port == (80 if scheme == "http" else 443)
    return f"{scheme}://{config.domain.name}" + ("" if standard else f":{port}")


def _without_effect(loaded: LoadedConfig) -> Iterator[Notice]:
    """What was written for later versions: nobody shall rely on it already."""
    config = loaded.config
    if "projects" in config.model_fields_set:
        yield Notice("projects", "has no effect: this version checks the block and does no more")


def _jobs(app: App, services: tuple[Service, ...]) -> list[Job]:
    by_name = {service.name: service for service in services}
    jobs = []
    for name, job in app.extension.jobs.items():
        service = by_name.get(job.service)
        if service is None:
            continue
        limits = service.limits
        if job.memory:
            limits = type(limits)(
                job.memory, min(limits.memory_request, job.memory), limits.cpu, limits.cpu_request, limits.processes
            )
        jobs.append(
            Job(
                name,
                job.service,
                job.command,
                job.run or "schedule",
                job.schedule or "",
                job.timeout_seconds,
                job.describe,
                limits,
            )
        )
    return jobs


def _volumes(app: App) -> list[Volume]:
    return [
        Volume(
            name=volume.name,
            fixed_name=volume.fixed_name,
            external=volume.external,
            backup=volume.extension.backup,
            per_project=volume.extension.per_project,
            exclude=volume.extension.exclude,
            size=volume.extension.size or 0,
            describe=volume.extension.describe,
            labels=dict(volume.labels),
        )
        for _, volume in sorted(app.volumes.items())
    ]


def _notice_restarts(draft: Draft, services: tuple[Service, ...]) -> None:
    for service in services:
        if draft.app.services[service.name].restart == "no" and service.restart == "always":
            text = 'is restarted always, not `restart: "no"`: its ports or its health check say that it stays'
            draft.notices.append(Notice(f"service {service.name}", text))


def _notice_secret_arguments(draft: Draft) -> None:
    for service in draft.app.services.values():
        if is_secret_argument((*(service.entrypoint or ()), *(service.command or ()))):
            text = (
                "its `command` has a secret written out, which others on this host and readers of rendered/ see; "
                "give it by `environment`, or by a file of `secrets`, if the program can read that"
            )
            draft.notices.append(Notice(f"service {service.name}", text))


def _notice_closed_ports(draft: Draft, routes_of: set[tuple[str, int]], published: set[tuple[str, int]]) -> None:
    for service in draft.app.services.values():
        if service.profiles:
            continue
        open_ports = {port for name, port in routes_of | published if name == service.name}
        has_route = any(name == service.name for name, _ in routes_of)
        closed = {port.container_port for port in service.ports} - open_ports
        # What the service would do for HTTPS itself, Traefik does.
        numbers = sorted(number for number in closed if not (has_route and is_https(number)))
        spans = [f"{first} to {last}" if last > first else str(first) for first, last, _ in _spans(numbers)]
        if spans:
            which = f"port {spans[0]} is" if len(numbers) == 1 else f"ports {listed(spans, 'and')} are"
            text = f"{which} not published: add a line under `routes` or `publish` if it is needed outside"
            draft.notices.append(Notice(f"service {service.name}", text))


def _spans(numbers: list[int]) -> list[tuple[int, int, str]]:
    return port_spans((number, "") for number in numbers)


def _budget(
    services: tuple[Service, ...],
    edge: Edge,
    postgres: BundledPostgres | ExternalPostgres | None,
    redis: BundledRedis | ExternalRedis | None,
) -> tuple[BudgetLine, ...]:
    lines = [BudgetLine("traefik", 1, edge.limits.memory, edge.logs.budget)]
    for platform in (postgres, redis):
        if isinstance(platform, (BundledPostgres, BundledRedis)):
            lines.append(BudgetLine(platform.service, 1, platform.limits.memory, platform.logs.budget))
    lines.extend(
        BudgetLine(service.name, service.replicas, service.limits.memory, service.logs.budget) for service in services
    )
    return tuple(lines)


def platform_values(loaded: LoadedConfig, extension: AppExtension) -> Mapping[str, str]:
    """What every app may interpolate about its own installation."""
    config = loaded.config
    url = base_url(loaded)
    registry = config.images.registry.rstrip("/")
    return {
        "DEPLOYMENT_NAME": config.name,
        # Compose itself gives it a value.
        "COMPOSE_PROJECT_NAME": project_of(loaded),
        "ENVIRONMENT": loaded.environment,
        "DOMAIN": config.domain.name,
        "BASE_URL": url,
        "PROTOCOL": url.partition(":")[0],
        "IMAGE_PREFIX": f"{registry}/" if registry else "",
        "IMAGE_TAG": config.images.tag,
        "TLS_MODE": config.tls.mode,
        "HTTPS": "false" if config.tls.mode == "off" else "true",
        **cluster_platform.values(loaded, extension, project_of(loaded)),
    }
