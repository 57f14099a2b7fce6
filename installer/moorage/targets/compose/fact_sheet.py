"""Stack → the facts of `stack.json`."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from moorage.app.model import VolumeMount
from moorage.stack.model import BundledPostgres, BundledRedis, Service, Stack, Volume
from moorage.targets.compose.facts import BackupFacts, ExtraImageFacts, JobFacts, RouteFacts, ServiceFacts, StackFacts
from moorage.targets.compose.host import backup_unit, long_running_services, unit_name
from moorage.targets.compose.names import EDGE_ROUTES, SOCKET_PROXY, SOCKET_VOLUME, TRAEFIK, WORK_VOLUME


def facts(stack: Stack, revisions: dict[str, str], networks: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as plain data."""
    postgres = stack.postgres if isinstance(stack.postgres, BundledPostgres) else None
    built = StackFacts(
        project=stack.project,
        environment=stack.environment,
        deployment_id=stack.deployment_id,
        domain=stack.domain,
        base_url=stack.base_url,
        check_path=stack.check_path,
        tls_mode=stack.edge.tls_mode,
        acme_server=stack.edge.acme.server if stack.edge.acme else "",
        address=stack.edge.address,
        http_port=stack.edge.http_port,
        https_port=stack.edge.https_port if stack.edge.terminates_tls else 0,
        unit=unit_name(stack),
        build_base=next((item.image.build_base for item in stack.services if item.image.build), ""),
        pull=stack.pull,
        running=tuple(long_running_services(stack)),
        volumes=tuple(volume_names(stack)),
        external_volumes=tuple(_engine_name(stack, volume) for volume in stack.volumes if volume.external),
        extra_images=tuple(
            ExtraImageFacts(item.name, item.image.reference, item.image.build is not None)
            for item in stack.extra_images
        ),
        services=(*_platform(stack, revisions), *(_app(stack, item, revisions[item.name]) for item in stack.services)),
        jobs=tuple(JobFacts(job.name, job.service, job.run, job.timeout_seconds, job.describe) for job in stack.jobs),
        routes=tuple(
            RouteFacts(route.service, host, (*route.paths, *route.exact)[0])
            for route in stack.routes
            for host in route.hosts
            if route.paths or route.exact
        ),
        postgres_service=postgres.service if postgres else "",
        postgres_superuser=postgres.superuser if postgres else "",
        postgres_version=postgres.version if postgres else 0,
        postgres_volume=stack.database_volume(postgres.volume) if postgres else "",
        project_networks=stack.project_networks,
        override_services=tuple(_own_services(stack)),
        override_digest=_override_digest(stack),
        networks=_with_overrides(networks, stack),
        backups=_backups(stack),
    )
    plain: dict[str, Any] = _plain(built)
    return plain


def _backups(stack: Stack) -> BackupFacts | None:
    settings = stack.backups
    if settings is None:
        return None
    return BackupFacts(
        services=settings.services,
        unit=backup_unit(stack, settings),
        schedule=settings.schedule,
        image=settings.image,
        base_image=settings.base_image,
        work_volume=f"{stack.project}_{WORK_VOLUME}",
        stores=tuple(store.name for store in settings.stores),
        directories=tuple(store.directory for store in settings.stores if store.directory and not store.is_default),
        default_folder=next((store.directory for store in settings.stores if store.is_default), ""),
        age_limit_hours=settings.age_limit_hours,
        server_image=settings.archive.image if settings.archive else "",
        log_store=settings.archive.store if settings.archive else "",
    )


def _own_services(stack: Stack) -> list[str]:
    """Services that only the operator's override file has."""
    written = (stack.override or {}).get("services")
    known = {service.name for service in stack.services} | {job.name for job in stack.jobs}
    known |= {TRAEFIK, EDGE_ROUTES, SOCKET_PROXY, *(stack.backups.services if stack.backups else ())}
    known |= {
        item.service for item in (stack.postgres, stack.redis) if isinstance(item, (BundledPostgres, BundledRedis))
    }
    return sorted(set(written) - known) if isinstance(written, dict) else []


def _with_overrides(networks: Mapping[str, Any], stack: Stack) -> dict[str, bool]:
    """Network → whether it is internal; without those of which the operator's file makes another one."""
    written = (stack.override or {}).get("networks") or {}
    result: dict[str, bool] = {}
    for name, settings in networks.items():
        own = written.get(name) or {}
        is_internal = own.get("internal", settings.get("internal", False)) if isinstance(own, dict) else None
        if isinstance(is_internal, bool) and not {"name", "external"} & set(own):
            result[name] = is_internal
    return result


def _override_digest(stack: Stack) -> str:
    """A fingerprint of the override file; keyed, because operators may write passwords into it."""
    if stack.override is None:
        return ""
    text = json.dumps(stack.override, sort_keys=True, default=str)
    return hmac.new(stack.revision_key.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def volume_names(stack: Stack) -> list[str]:
    """The volumes that the stack makes, by their names on the host."""
    socket = [f"{stack.project}_{SOCKET_VOLUME}"] if isinstance(stack.postgres, BundledPostgres) else []
    return [f"{stack.project}_edge-routes", f"{stack.project}_edge-acme", *socket, *stack.volume_names().values()]


def _platform(stack: Stack, revisions: dict[str, str]) -> list[ServiceFacts]:
    edge = stack.edge.image.reference
    result = [
        ServiceFacts(TRAEFIK, "edge", edge, revisions[TRAEFIK]),
        ServiceFacts(EDGE_ROUTES, "edge", edge, revisions[EDGE_ROUTES], one_shot=True, has_health_check=False),
    ]
    if stack.edge.socket_proxy_image:
        result.append(
            ServiceFacts(SOCKET_PROXY, "edge", stack.edge.socket_proxy_image.reference, revisions[SOCKET_PROXY])
        )
    if isinstance(stack.postgres, BundledPostgres):
        name = stack.postgres.service
        result.append(
            ServiceFacts(
                name,
                "postgres",
                stack.postgres.image.reference,
                revisions[name],
                startup_seconds=300,
                stop_seconds=120,
                volumes=(stack.database_volume(stack.postgres.volume),),
                mounted=(stack.postgres.data_path,),
            )
        )
    if isinstance(stack.redis, BundledRedis):
        name = stack.redis.service
        result.append(
            ServiceFacts(
                name,
                "redis",
                stack.redis.image.reference,
                revisions[name],
                stop_seconds=60,
                volumes=(stack.database_volume(stack.redis.volume),),
                mounted=("/data",),
            )
        )
    return result


def _app(stack: Stack, service: Service, revision: str) -> ServiceFacts:
    mode, _, other = service.network_mode.partition(":")
    return ServiceFacts(
        name=service.name,
        kind="app",
        image=service.image.reference,
        revision=revision,
        replicas=service.replicas,
        rollout=service.rollout,
        one_shot=service.is_one_shot,
        startup_seconds=service.startup_seconds,
        stop_seconds=service.stop_grace_seconds,
        has_health_check=service.health_check is not None and not service.health_check.disabled,
        port=next((route.port for route in stack.routes if route.service == service.name), service.port),
        probe_path=service.probe.path if service.probe else "",
        needs=tuple(sorted(service.depends_on)),
        follows=other if mode == "service" else "",
        builds=service.image.build is not None,
        volumes=tuple(_mounted_volumes(stack, service)),
        mounted=tuple(sorted({mount.target for mount in service.mounts})),
    )


def _mounted_volumes(stack: Stack, service: Service) -> list[str]:
    """The names, as the engine has them, of the volumes that a service may write to."""
    mounted = {mount.volume for mount in service.mounts if isinstance(mount, VolumeMount) and not mount.read_only}
    return sorted(_engine_name(stack, volume) for volume in stack.volumes if volume.name in mounted)


def _engine_name(stack: Stack, volume: Volume) -> str:
    return volume.fixed_name or (volume.name if volume.external else f"{stack.project}_{volume.name}")


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
