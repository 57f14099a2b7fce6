"""Point-in-time recovery on one server: what Postgres and the job both mount, and pgBackRest's file for both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from moorage.backups.physical.settings import CONFIGURATION, FOLDER, BucketKeys, configuration, queue_limit
from moorage.backups.plan import PhysicalPlan, StorePlan
from moorage.stack.model import Archive, BackupSettings, BackupStore, BundledPostgres, Stack
from moorage.targets.compose.names import from_compose_folder, private_folder
from moorage.targets.pgbackrest import pgbackrest_configuration
from moorage.tree import Tree

# Only the folder of the log is seen there, nothing else of the store: Postgres has no business with the dumps.
_ARCHIVE = "/archive"
_CONFIGURATION = PurePosixPath(CONFIGURATION)


def plan(stack: Stack, settings: BackupSettings) -> PhysicalPlan | None:
    """What the job is told."""
    if settings.archive is None:
        return None
    store = _store(settings, settings.archive)
    return PhysicalPlan(
        stanza=stack.project,
        configuration=CONFIGURATION,
        stores=(store.name,),
        folder=_repository(stack) if store.directory else "",
    )


def needs_network(stack: Stack) -> bool:
    """Whether Postgres itself has to reach a bucket."""
    return bool(stack.backups and stack.backups.archive and _store(stack.backups, stack.backups.archive).bucket)


def mounts(stack: Stack) -> list[dict[str, Any]]:
    """At the same places in both containers."""
    if stack.backups is None or stack.backups.archive is None:
        return []
    store = _store(stack.backups, stack.backups.archive)
    # The folder, not the file: a container keeps a file that was replaced, but sees a new one in its folder.
    found = [_bind(from_compose_folder(_private_place(stack)), str(_CONFIGURATION.parent), read_only=True)]
    if store.directory:
        source = f"{store.directory}/{stack.project}/{FOLDER}"
        source = from_compose_folder(source) if store.is_default else source
        # Made when it is missing: a database must start although the disk of its backups is away.
        found.append(_bind(source, _repository(stack), read_only=False))
    return found


def add_files(stack: Stack, stores: tuple[StorePlan, ...], private: Tree) -> None:
    """The file that holds secrets; whoever owns it is the one who runs the server."""
    settings, postgres = stack.backups, stack.postgres
    if settings is None or settings.archive is None or not isinstance(postgres, BundledPostgres):
        return
    store = _store(settings, settings.archive)
    seen = next(item for item in stores if item.name == store.name)
    content = configuration(
        stanza=stack.project,
        stores=(replace(seen, directory=_ARCHIVE) if store.directory else seen,),
        project=stack.project,
        passphrase=settings.archive.passphrase,
        bucket_keys=_keys(store),
        cluster_folder=postgres.cluster_path,
        socket_folder="/var/run/postgresql",
        port=5432,
        user=postgres.superuser,
        queue_bytes=queue_limit(stack.host.disk_size),
        parallel=settings.parallel,
    )
    place = f"files/{postgres.service}/pgbackrest/{_CONFIGURATION.name}"
    private.add(place, pgbackrest_configuration(content).reveal(), 0o600, settings.archive.user)


def _keys(store: BackupStore) -> dict[str, BucketKeys]:
    if store.access_key is None or store.secret_key is None:
        return {}
    return {store.name: BucketKeys(store.access_key, store.secret_key)}


def _store(settings: BackupSettings, archive: Archive) -> BackupStore:
    return next(store for store in settings.stores if store.name == archive.store)


def _repository(stack: Stack) -> str:
    return f"{_ARCHIVE}/{stack.project}/{FOLDER}"


def _private_place(stack: Stack) -> str:
    assert isinstance(stack.postgres, BundledPostgres)
    return f"{private_folder(stack.environment)}/files/{stack.postgres.service}/pgbackrest"


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    data = {"type": "bind", "source": source, "target": target, "bind": {"create_host_path": not read_only}}
    return {**data, "read_only": True} if read_only else data
