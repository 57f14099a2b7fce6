"""Stack → the facts of `cluster.json`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import BundledPostgres, BundledRedis, Image, Stack
from moorage.targets.k8s import components, names
from moorage.targets.k8s.backup_mounts import claim_of
from moorage.targets.k8s.backups import STATUS_MAP, TEMPLATES_MAP
from moorage.targets.k8s.edge import NAME as TRAEFIK
from moorage.targets.k8s.facts import ClusterBackupFacts, ClusterFacts, ClusterJobFacts, MinikubeFacts, WorkloadFacts
from moorage.targets.k8s.jobs import all_jobs, object_name
from moorage.targets.k8s.nodes import kubelet_settings, log_limits

# Snapshots of disks, and numbers for the autoscaler and `kubectl top`.
_ADDONS = ("csi-hostpath-driver", "metrics-server", "volumesnapshots")
_PLATFORM_STARTUP = 300


def facts(stack: Stack, cluster: Cluster) -> dict[str, Any]:
    """The facts as plain data."""
    images = dict(_images(stack))
    built = ClusterFacts(
        project=stack.project,
        environment=stack.environment,
        deployment_id=stack.deployment_id,
        target=stack.target,
        context=cluster.context,
        kubeconfig=cluster.kubeconfig,
        namespace=cluster.namespace,
        version=cluster.version,
        overlay=cluster.overlay,
        domain=stack.domain,
        base_url=stack.base_url,
        check_path=stack.check_path,
        tls_mode=stack.edge.tls_mode,
        ingress=cluster.ingress,
        pull=stack.pull,
        build_base=next((image.build_base for image in images.values() if image.build), ""),
        log_max_size=log_limits(stack)[0],
        log_max_files=log_limits(stack)[1],
        workloads=(*_platform(stack, cluster), *_app(stack)),
        jobs=tuple(_jobs(stack, cluster)),
        images=tuple(sorted(images)),
        builds=tuple(sorted(name for name, image in images.items() if image.build)),
        needs_kinds=tuple(dict.fromkeys(_needed_kinds(stack, cluster))),
        postgres_superuser=stack.postgres.superuser if isinstance(stack.postgres, BundledPostgres) else "",
        minikube=_minikube(stack, cluster),
        backups=_backups(stack),
        components=tuple(components.facts(component) for component in stack.components),
    )
    return {key: value for key, value in asdict(built).items() if key != "components" or value}


def _backups(stack: Stack) -> ClusterBackupFacts | None:
    settings = stack.backups
    if settings is None:
        return None
    return ClusterBackupFacts(
        services=settings.services,
        schedule=settings.schedule,
        image=settings.image,
        base_image=settings.base_image,
        stores=tuple(store.name for store in settings.stores),
        age_limit_hours=settings.age_limit_hours,
        templates=TEMPLATES_MAP,
        status=STATUS_MAP,
        claims={item.name: claim_of(stack, item.name) for item in settings.volumes},
    )


def _minikube(stack: Stack, cluster: Cluster) -> MinikubeFacts | None:
    profile = cluster.minikube
    if profile is None:
        return None
    kubelet = {_dashed(key): value for key, value in kubelet_settings(stack).items()}
    return MinikubeFacts(
        profile=profile.name,
        driver=profile.driver,
        memory=profile.memory,
        cpus=profile.cpus,
        kubernetes_version=f"v{cluster.version}.0",
        addons=_ADDONS,
        extra_config=tuple(f"kubelet.{key}={value}" for key, value in sorted(kubelet.items())),
    )


def _dashed(name: str) -> str:
    """A key of a kubelet's configuration as its option is called."""
    return re.sub(r"[A-Z]", lambda match: f"-{match[0].lower()}", name)


def _platform(stack: Stack, cluster: Cluster) -> Iterator[WorkloadFacts]:
    if cluster.ingress == "traefik":
        yield WorkloadFacts(TRAEFIK, "Deployment", stack.edge.image.reference, False, 60, (TRAEFIK,))
    for item, name in ((stack.postgres, "postgres"), (stack.redis, "redis")):
        if isinstance(item, BundledPostgres | BundledRedis):
            yield WorkloadFacts(name, "StatefulSet", item.image.reference, False, _PLATFORM_STARTUP, (name,))


def _app(stack: Stack) -> Iterator[WorkloadFacts]:
    for service in stack.services:
        if names.leads(service) and not service.is_one_shot:
            of = (service, *names.sidecars_of(stack, service))
            yield WorkloadFacts(
                service.name,
                "Deployment",
                service.image.reference,
                service.image.build is not None,
                max(item.startup_seconds for item in of),
                tuple(item.name for item in of),
            )


def _jobs(stack: Stack, cluster: Cluster) -> Iterator[ClusterJobFacts]:
    for job in all_jobs(stack):
        yield ClusterJobFacts(
            job.name, object_name(stack, cluster, job), job.service, job.run, job.timeout_seconds, job.describe
        )


def _images(stack: Stack) -> Iterator[tuple[str, Image]]:
    yield stack.edge.image.reference, stack.edge.image
    for item in (stack.postgres, stack.redis):
        if isinstance(item, BundledPostgres | BundledRedis):
            yield item.image.reference, item.image
    for service in stack.services:
        yield service.image.reference, service.image
    for extra in stack.extra_images:
        yield extra.image.reference, extra.image
    for component in stack.components:
        for image in component.images.values():
            yield image.reference, image


def _needed_kinds(stack: Stack, cluster: Cluster) -> Iterator[str]:
    if stack.edge.acme is not None:
        yield "cert-manager.io/Certificate"
        yield "cert-manager.io/Issuer"
    if stack.target == "eks" and cluster.snapshot_class == f"{cluster.namespace}-snapshots":
        yield "snapshot.storage.k8s.io/VolumeSnapshotClass"
    for component in stack.components:
        yield from components.needed_kinds(component)
