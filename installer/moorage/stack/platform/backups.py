"""Backups: the secrets of their stores, what is saved, what the nightly job may use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from moorage import __version__
from moorage.app.images import database_kind
from moorage.app.model import App, AppService, HostMount, Notice, VolumeMount
from moorage.app.mounts import DOCKER_SOCKET
from moorage.backups.retention import RetentionPolicy
from moorage.config.loading import LoadedConfig
from moorage.config.schema import Retention, Store
from moorage.config.secrets import SecretNeed
from moorage.quantities import MEBIBYTE
from moorage.sensitive import Sensitive
from moorage.stack.model import (
    Archive,
    BackedUpVolume,
    BackupQuestion,
    BackupSettings,
    BackupStore,
    BundledPostgres,
    BundledRedis,
    ExternalPostgres,
    ExternalRedis,
    Host,
    Limits,
    Service,
    Volume,
)

SERVICE = "backup"
OTHER_SERVICE = "moorage-backup"
WORK_VOLUME = "backup-work"
CERTIFICATES = "edge-acme"
DEFAULT_FOLDER = "backups"
DEFAULT_STORE = "local"

# A scratch Postgres with two index builds and restic's index fit into it.
_LEAST_MEMORY = 512 * MEBIBYTE
_MOST_MEMORY = 4096 * MEBIBYTE
# Rendered anew, kept elsewhere, or the backups themselves.
_FOLDER_EXCLUDES = (
    ".git", "releases", "rendered", "**/.venv", "**/__pycache__", "**/node_modules",
)  # fmt: skip
_LONGEST_TAG = 128


def needs(loaded: LoadedConfig) -> list[SecretNeed]:
    """The keys of the buckets, which only the operator knows."""
    return [
        need
        for store in loaded.config.backups.stores
        if loaded.config.backups.enabled and store.bucket and store.credentials == "keys"
        for need in (
            SecretNeed(access_key_name(store.name), f"access key of the backup store {store.name}"),
            SecretNeed(secret_key_name(store.name), f"secret key of the backup store {store.name}"),
        )
    ]


def access_key_name(store: str) -> str:
    """The secret with the name of the key, so to say its user."""
    return f"STORE_{store.upper().replace('-', '_')}_ACCESS_KEY"


def secret_key_name(store: str) -> str:
    """The secret with the key itself."""
    return f"STORE_{store.upper().replace('-', '_')}_SECRET_KEY"


def service_name(app: App) -> str:
    """What the job is called: `backup`, or longer where the app has such a service or job itself."""
    taken = {*app.services, *app.extension.jobs}
    return OTHER_SERVICE if taken & set(_names(SERVICE)) else SERVICE


def _names(service: str) -> tuple[str, ...]:
    return service, f"{service}-drill", f"{service}-restore"


def service_names(loaded: LoadedConfig, app: App) -> tuple[str, ...]:
    """The services that backups bring; none when they are off."""
    return _names(service_name(app)) if loaded.config.backups.enabled else ()


def build(
    loaded: LoadedConfig,
    app: App,
    host: Host,
    secrets: Mapping[str, Sensitive],
    *,
    project: str,
    postgres: BundledPostgres | ExternalPostgres | None,
    redis: BundledRedis | ExternalRedis | None,
    volumes: Iterable[Volume],
    services: Iterable[Service],
    free_memory: int,
    archive: Archive | None,
) -> BackupSettings | None:
    """The nightly job, or None when backups are off; `free_memory` is what all limits together leave of the host."""
    config = loaded.config.backups
    if not config.enabled:
        return None
    stores = tuple(_store(store, config.retention, secrets) for store in config.stores) or (
        BackupStore(DEFAULT_STORE, directory=DEFAULT_FOLDER, retention=_policy(config.retention)),
    )
    base = base_image(loaded, postgres)
    databases = postgres.databases if postgres else ()
    return BackupSettings(
        service=service_name(app),
        image=config.image or f"{_registry(loaded)}moorage-job/{project}:{_tag(f'{base}-{__version__}')}",
        base_image="" if config.image else base,
        version=postgres.version if isinstance(postgres, BundledPostgres) else int(loaded.config.postgres.version),
        schedule=config.schedule,
        stores=stores,
        volumes=tuple(_volumes(loaded, postgres, redis, volumes, services)),
        questions=tuple(
            BackupQuestion(item.name, item.database or databases[0], item.sql) for item in config.assertions
        ),
        archive=archive,
        age_limit_hours=config.age_limit_hours,
        heartbeat=Sensitive(config.heartbeat_url) if config.heartbeat_url else None,
        on_failure=config.on_failure,
        parallel=max(1, min(4, host.cpus)),
        limits=_limits(host, postgres, free_memory),
        folder_excludes=(DEFAULT_FOLDER, *_FOLDER_EXCLUDES),
    )


def _registry(loaded: LoadedConfig) -> str:
    """Where a cluster gets the job's image from; on a server it is made where it runs."""
    registry = loaded.config.images.registry
    return f"{registry.rstrip('/')}/" if registry and loaded.config.target == "eks" else ""


def base_image(loaded: LoadedConfig, postgres: BundledPostgres | ExternalPostgres | None) -> str:
    """The server's own image, from which the job's is made."""
    return postgres.image.reference if isinstance(postgres, BundledPostgres) else _plain_image(loaded)


def server_image(loaded: LoadedConfig, project: str, base: str) -> str:
    """What a server that archives runs from. It has nothing of moorage in it, so that a new version restarts no database."""
    return loaded.config.backups.image or f"moorage-job/{project}:{_tag(f'server-{base}')}"


def _plain_image(loaded: LoadedConfig) -> str:
    """Where no server of ours says which: its programs are of the configured version."""
    return loaded.config.postgres.image or f"postgres:{loaded.config.postgres.version}"


def _tag(words: str) -> str:
    """The name of an image as a tag; what does not fit into one is told apart by a digest."""
    text = re.sub(r"[^A-Za-z0-9_.]+", "-", words).strip("-.")
    return text if len(text) <= _LONGEST_TAG else f"{text[:80]}-{sha256(text.encode()).hexdigest()[:12]}"


def _store(store: Store, common: Retention, secrets: Mapping[str, Sensitive]) -> BackupStore:
    return BackupStore(
        name=store.name,
        directory=store.directory or "",
        bucket=store.bucket or "",
        prefix=store.prefix,
        endpoint=store.endpoint or "",
        region=store.region if store.bucket else "",
        access_key=secrets.get(access_key_name(store.name)) if store.bucket else None,
        secret_key=secrets.get(secret_key_name(store.name)) if store.bucket else None,
        may_delete=store.may_delete,
        retention=_policy(store.retention or common),
    )


def _policy(retention: Retention) -> RetentionPolicy:
    return RetentionPolicy(retention.daily, retention.weekly, retention.monthly, retention.min_good)


def _volumes(
    loaded: LoadedConfig,
    postgres: BundledPostgres | ExternalPostgres | None,
    redis: BundledRedis | ExternalRedis | None,
    volumes: Iterable[Volume],
    services: Iterable[Service],
) -> Iterator[BackedUpVolume]:
    """The app's volumes, the certificates, a queue. A database's own is dumped, not copied; a cache is not worth it."""
    databases = {item.volume for item in (postgres, redis) if isinstance(item, BundledPostgres | BundledRedis)}
    mounted = _mounted(services)
    if loaded.config.tls.mode == "letsencrypt" and loaded.config.target == "compose":
        yield BackedUpVolume(CERTIFICATES, only_on_new_machine=True)
    if isinstance(redis, BundledRedis) and redis.policy == "noeviction":
        yield BackedUpVolume(redis.volume)
    for volume in volumes:
        # One that somebody else made and nothing mounts need not exist.
        is_there = not volume.external or volume.name in mounted
        if volume.backup and is_there and volume.name not in databases:
            yield BackedUpVolume(volume.name, volume.exclude)


def _mounted(services: Iterable[Service]) -> frozenset[str]:
    return frozenset(mount.volume for service in services for mount in service.mounts if isinstance(mount, VolumeMount))


def _limits(host: Host, postgres: BundledPostgres | ExternalPostgres | None, free_memory: int) -> Limits:
    """Half of what is free, at least what a restore needs; all CPUs but one, which the app keeps."""
    own = postgres.limits.memory if isinstance(postgres, BundledPostgres) else _LEAST_MEMORY
    memory = max(_LEAST_MEMORY, min(free_memory // 2, max(own, _LEAST_MEMORY), _MOST_MEMORY)) // MEBIBYTE * MEBIBYTE
    cpu = max(1, host.cpus - 1) * 1000
    return Limits(memory, 64 * MEBIBYTE, cpu, 100)


def notices(loaded: LoadedConfig, app: App, stack_services: Iterable[Service]) -> Iterator[Notice]:
    """What a person must know of what is saved and what is not."""
    config = loaded.config.backups
    if not config.enabled:
        yield Notice("backups", "are off: nothing of this deployment is saved, and a broken disk takes all of it")
        return
    if not config.stores:
        yield Notice(
            "backups",
            f"go to the folder `{DEFAULT_FOLDER}/` beside moorage.yaml only, on the disk that holds the data: "
            "who loses the disk loses both. Add another disk or a bucket under `backups.stores`",
        )
    included = {service.name for service in stack_services}
    for service in app.services.values():
        if service.name in included:
            yield from _notices_of(app, service)


def _notices_of(app: App, service: AppService) -> Iterator[Notice]:
    subject = f"service {service.name}"
    kind = database_kind(service.image)
    named = [mount.volume for mount in service.mounts if isinstance(mount, VolumeMount)]
    saved = sorted({name for name in named if name in app.volumes and app.volumes[name].extension.backup})
    if kind and saved:
        yield Notice(
            subject,
            f"is {kind}, whose files in {', '.join(saved)} are copied while it writes them: a restore may find no database "
            "there. Let a scheduled job under `x-moorage.jobs` dump it into a volume of its own before the night, and "
            "set `x-moorage: {backup: false}` at this one",
        )
    paths = sorted(
        mount.source
        for mount in service.mounts
        if isinstance(mount, HostMount) and not mount.read_only and mount.source != DOCKER_SOCKET
    )
    if paths:
        yield Notice(
            subject, f"writes to {', '.join(paths)} of the host, which backups leave out: save that in your own way"
        )
