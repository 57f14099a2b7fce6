"""The `kubernetes` block as the cluster of a stack, and what of a Compose file no cluster can run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from moorage.app.extension import AppExtension
from moorage.app.model import App
from moorage.config.loading import LoadedConfig
from moorage.config.schema import Config
from moorage.errors import Problem
from moorage.formats import dotted
from moorage.quantities import GIBIBYTE
from moorage.stack.cluster import Cluster, ClusterInputs, MinikubeProfile, Team
from moorage.stack.model import BackupSettings, BackupStore, BundledPostgres, BundledRedis, Service, Volume
from moorage.stack.platform.backups import DEFAULT_STORE, WORK_VOLUME
from moorage.words import nearest

# For a volume whose file says nothing; `x-moorage: {size: …}` says it.
DEFAULT_SIZE = 5 * GIBIBYTE
POSTGRES_SIZE = 20 * GIBIBYTE
REDIS_SIZE = 2 * GIBIBYTE
BACKUPS = "backups"
_LEAST_FOR_BACKUPS = 10 * GIBIBYTE
# Of the disks that minikube's own provisioner makes, none can be snapshotted; the addon's can.
_MINIKUBE_STORAGE, _MINIKUBE_SNAPSHOTS = "csi-hostpath-sc", "csi-hostpath-snapclass"
_LONGEST_NAMESPACE = 63
# A service is found by its name: that of a Service, which is a label of a host name.
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def namespace(loaded: LoadedConfig, extension: AppExtension, project: str) -> str:
    """Where everything of this environment lives."""
    return loaded.config.kubernetes.namespace or extension.namespace or project


def created_class(project: str) -> str:
    """The class of Ingresses that the app makes itself."""
    return f"moorage-{project}-created"


def values(loaded: LoadedConfig, extension: AppExtension, project: str) -> dict[str, str]:
    """What an app may interpolate about its cluster; empty texts on a server."""
    if loaded.config.target == "compose":
        return dict.fromkeys(("CREATED_INGRESS_CLASS", "NAMESPACE", "STORAGE_CLASS", "SNAPSHOT_CLASS"), "")
    storage, snapshots = _classes(loaded, namespace(loaded, extension, project))
    return {
        "CREATED_INGRESS_CLASS": created_class(project),
        "NAMESPACE": namespace(loaded, extension, project),
        "STORAGE_CLASS": storage,
        "SNAPSHOT_CLASS": snapshots,
    }


def _classes(loaded: LoadedConfig, own_namespace: str) -> tuple[str, str]:
    """The class of disks and of their snapshots."""
    settings = loaded.config.kubernetes
    if loaded.config.target == "minikube":
        return settings.storage_class or _MINIKUBE_STORAGE, settings.snapshot_class or _MINIKUBE_SNAPSHOTS
    return settings.storage_class or f"{own_namespace}-gp3", settings.snapshot_class or f"{own_namespace}-snapshots"


def problems(
    loaded: LoadedConfig,
    app: App,
    project: str,
    services: tuple[Service, ...],
    volumes: tuple[str, ...],
    databases: tuple[BundledPostgres | BundledRedis, ...],
) -> Iterator[Problem]:
    """What is wrong with the `kubernetes` block, and with names that a cluster doesn't take. None on a server."""
    config = loaded.config
    if config.target == "compose":
        return
    if len(namespace(loaded, app.extension, project)) > _LONGEST_NAMESPACE:
        rule = f"must be set: `{project}` is longer than {_LONGEST_NAMESPACE} signs, which a namespace may have"
        yield loaded.problem(("kubernetes", "namespace"), rule, hint="`namespace: acme-production`")
    for name in config.kubernetes.volumes:
        if name not in volumes:
            rule = f"names the volume `{name}`, which this deployment does not have"
            hint = f"volumes: {', '.join(volumes)}" if volumes else "it has none"
            near = nearest(name, volumes)
            yield loaded.problem(
                ("kubernetes", "volumes", name), rule, suggestion=near, hint="" if near else hint, of_key=True
            )
    known = [*(service.name for service in services), *app.extension.kubernetes_components]
    for name in config.kubernetes.roles:
        if name not in (*known, BACKUPS):
            rule = f"names the service `{name}`, which the app does not have"
            yield loaded.problem(
                ("kubernetes", "roles", name),
                rule,
                suggestion=nearest(name, (*known, BACKUPS)),
                hint=f"services: {', '.join(sorted(known))}; or {BACKUPS}",
                of_key=True,
            )
    if config.kubernetes.roles and config.target != "eks":
        yield loaded.problem(
            ("kubernetes", "roles"), f"has no effect on {config.target}: AWS gives roles to pods of EKS"
        )
    yield from _name_problems(loaded, app, services, volumes, databases)


def _name_problems(
    loaded: LoadedConfig,
    app: App,
    services: tuple[Service, ...],
    volumes: tuple[str, ...],
    databases: tuple[BundledPostgres | BundledRedis, ...],
) -> Iterator[Problem]:
    """Names in the app's file that are none in a cluster, or that something else has there."""
    target = loaded.config.target
    # An adopted database keeps its name, and is called so beside it.
    taken = {_kind(item) for item in databases if item.service != _kind(item)}
    for service in services:
        path = app.services[service.name].path
        place = app.document.place(path, of_key=True)
        if not _LABEL.fullmatch(service.name):
            rule = f"cannot be run on {target}: a cluster takes small letters, digits and dashes as a service's name, a letter first"
            hint = f"rename it, for instance to `{_as_label(service.name)}`, wherever the file names it"
            yield Problem(place, dotted(path), rule, hint=hint)
        elif service.name in taken:
            yield Problem(
                place, dotted(path), f"has the name of what moorage itself runs on {target}", hint="rename the service"
            )
    own = {item.volume for item in databases}
    claims = {f"{_kind(item)}-data": "a database's disk" for item in databases}
    for name in volumes:
        claim = _as_label(name)
        if name not in own and claim in claims:
            key = ("volumes", name)
            rule = f"is called `{claim}` on {target}, as {claims[claim]} is"
            yield Problem(app.document.place(key, of_key=True), dotted(key), rule, hint="rename the volume")
        claims.setdefault(claim, f"the volume `{name}`")


def _kind(item: BundledPostgres | BundledRedis) -> str:
    """What its object is called in a cluster."""
    return "postgres" if isinstance(item, BundledPostgres) else "redis"


def disks(
    loaded: LoadedConfig, databases: tuple[BundledPostgres | BundledRedis, ...], volumes: tuple[Volume, ...]
) -> tuple[str, ...]:
    """The names of all disks, by which `kubernetes.volumes` gives them sizes."""
    stores = loaded.config.backups.stores
    kept = tuple(store.name for store in stores if store.directory) if stores else (DEFAULT_STORE,)
    own = (WORK_VOLUME, *(f"backup-store-{name}" for name in kept)) if loaded.config.backups.enabled else ()
    return tuple(dict.fromkeys((*(item.volume for item in databases), *(volume.name for volume in volumes), *own)))


def build(
    loaded: LoadedConfig,
    app: App,
    project: str,
    volumes: tuple[Volume, ...],
    databases: tuple[BundledPostgres | BundledRedis, ...],
    backups: BackupSettings | None,
    inputs: ClusterInputs,
) -> Cluster | None:
    """The finished cluster; None on a server."""
    config, settings = loaded.config, loaded.config.kubernetes
    if config.target == "compose":
        return None
    is_minikube = config.target == "minikube"
    profile = settings.minikube.profile or settings.context or project
    context = settings.context or (profile if is_minikube else "")
    place = namespace(loaded, app.extension, project)
    storage, snapshots = _classes(loaded, place)
    return Cluster(
        context=context,
        kubeconfig=settings.kubeconfig or "",
        namespace=place,
        version=settings.version,
        overlay=settings.overlay or _overlay(config, loaded.environment),
        ingress=settings.ingress,
        ingress_class=settings.ingress_class if settings.ingress == "nginx" else f"moorage-{project}",
        storage_class=storage,
        snapshot_class=snapshots,
        volume_sizes=_sizes(settings.volumes, volumes, databases, backups),
        roles=dict(settings.roles),
        balancer_annotations=dict(settings.load_balancer.annotations),
        source_ranges=settings.load_balancer.source_ranges,
        created_labels=dict(app.extension.creates_namespaces),
        created_class=created_class(project) if app.extension.creates_namespaces else "",
        external_dns=settings.load_balancer.external_dns and not is_minikube,
        team=Team(settings.team.observer, settings.team.debugger, settings.team.deployer, settings.team.admin),
        minikube=MinikubeProfile(
            profile, settings.minikube.driver, settings.minikube.memory or 0, settings.minikube.cpus or 0
        )
        if is_minikube
        else None,
        certificate=inputs.certificate,
        acme_authority=inputs.acme_authority,
        folder=inputs.folder,
        recovery_key=inputs.recovery_key,
    )


def _overlay(config: Config, environment: str) -> str:
    """`minikube`; on EKS the environment's name without what says that it is EKS."""
    if config.target == "minikube":
        return "minikube"
    return f"aws-{environment.removeprefix('eks-')}"


def _sizes(
    wanted: Mapping[str, int],
    volumes: tuple[Volume, ...],
    databases: tuple[BundledPostgres | BundledRedis, ...],
    backups: BackupSettings | None,
) -> dict[str, int]:
    found = {volume.name: volume.size or DEFAULT_SIZE for volume in volumes}
    for item in databases:
        size = POSTGRES_SIZE if isinstance(item, BundledPostgres) else REDIS_SIZE
        found[item.volume] = max(size, found.get(item.volume, 0))
    found |= {name: wanted[name] for name in wanted if name in found}
    if backups is not None:
        # A dump, its copy and a scratch database are on one disk at once; a store keeps several backups. In steps, because
        # no disk becomes smaller: one volume less must not ask for that.
        needed = max(_LEAST_FOR_BACKUPS, _step(2 * sum(found.values())))
        found |= {name: wanted.get(name, needed) for name in backup_disks(backups.stores)}
    return dict(sorted(found.items()))


def _step(size: int) -> int:
    """The next power of two of gibibytes."""
    gibibytes = -(-size // GIBIBYTE)
    return (1 << (gibibytes - 1).bit_length()) * GIBIBYTE if gibibytes else 0


def backup_disks(stores: Iterable[BackupStore]) -> tuple[str, ...]:
    """The names of the disks that backups need: to work on, and one for each store that is a folder on a server."""
    return (WORK_VOLUME, *(f"backup-store-{store.name}" for store in stores if store.directory))


def _as_label(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "web"
