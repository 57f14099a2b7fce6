"""Backups on one server: the job's three containers, the script of a night, files with secrets apart."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from moorage.app.images import postgres_data_folder
from moorage.assets import asset
from moorage.backups.plan import (
    PLAN_FILE,
)
from moorage.quantities import format_cpu
from moorage.stack.model import (
    BACKUP_NETWORK,
    BackupSettings,
    BackupStore,
    BundledPostgres,
    Stack,
)
from moorage.targets import backup_plan
from moorage.targets.compose import archiving
from moorage.targets.compose.names import (
    NIGHT_SCRIPT,
    SOCKET_VOLUME,
    from_compose_folder,
    metrics_folder,
    private_folder,
)
from moorage.tree import Tree

_FRAGMENT = "backup.yaml"
_SETTINGS = "backups/night.settings"
_ON_FAILURE = "backups/on-failure.sh"


def services(stack: Stack) -> dict[str, Any]:
    """The job's containers as Compose data; none when backups are off."""
    settings = stack.backups
    if settings is None:
        return {}
    network = {"networks": [BACKUP_NETWORK]} if backup_plan.needs_network(stack) else {"network_mode": "none"}
    given = [{"source": f"backup_{name}", "target": name} for name in _secret_files(stack, settings)]
    unused = {"tmpfs": [f"{postgres_data_folder(settings.version)}:size=1m"]}
    cluster = {} if isinstance(stack.postgres, BundledPostgres) else unused
    stores = [_bind(store) for store in settings.stores if store.directory]
    return {
        settings.service: {
            **_extends("backup"),
            **network,
            **cluster,
            "volumes": [*_of_app(stack, settings, read_only=True), *stores, _metrics(stack)],
            "secrets": given,
        },
        # The image declares a volume there: without this every night would leave an empty one behind, if it is killed.
        settings.drill_service: {**_extends("backup-drill"), **unused},
        settings.restore_service: {
            **_extends("backup-restore"),
            # It stops the server that it recovered to a moment, which runs as `postgres`.
            **({"cap_add": ["KILL"]} if settings.archive else {}),
            **network,
            **cluster,
            # It writes to the app's volumes and to nothing else: not to the stores, not to the cluster's files.
            "volumes": [*_of_app(stack, settings, read_only=False), *(_only_read(store) for store in stores)],
            "secrets": given,
        },
    }


def _extends(service: str) -> dict[str, Any]:
    return {"extends": {"file": f"platform/{_FRAGMENT}", "service": service}}


def _of_app(stack: Stack, settings: BackupSettings, *, read_only: bool) -> list[dict[str, Any]]:
    """The socket, the cluster's files, the volumes: a restore may write to those. Connecting to a socket is no writing."""
    mounts = []
    if isinstance(stack.postgres, BundledPostgres):
        mounts.append(_volume(SOCKET_VOLUME, backup_plan.SOCKET_FOLDER, read_only=True))
        mounts.append(_volume(stack.postgres.volume, stack.postgres.data_path, read_only=True))
    mounts += [mount if read_only else _only_read(mount) for mount in archiving.mounts(stack)]
    mounts += [
        _volume(item.name, backup_plan.volume_place(item.name), read_only=read_only) for item in settings.volumes
    ]
    return mounts


def _volume(name: str, target: str, *, read_only: bool) -> dict[str, Any]:
    # What the image has at that place is none of the app's data.
    data = {"type": "volume", "source": name, "target": target, "volume": {"nocopy": True}}
    return {**data, "read_only": True} if read_only else data


def _bind(store: BackupStore) -> dict[str, Any]:
    """A folder of the host; a disk that is not mounted must be an error, not a new folder on the wrong disk."""
    source = from_compose_folder(store.directory) if store.is_default else store.directory
    return {
        "type": "bind",
        "source": source,
        "target": backup_plan.store_place(store),
        "bind": {"create_host_path": False},
    }


def _only_read(mount: dict[str, Any]) -> dict[str, Any]:
    return {**mount, "read_only": True}


def _metrics(stack: Stack) -> dict[str, Any]:
    """Numbers of the last night, for whoever watches this host; the folder is made by whoever comes first."""
    source = from_compose_folder(f"{metrics_folder(stack.environment)}")
    return {"type": "bind", "source": source, "target": backup_plan.METRICS_PLACE, "bind": {"create_host_path": True}}


def _secret_files(stack: Stack, settings: BackupSettings) -> dict[str, str]:
    """Name below /run/secrets → where the file lies, seen from the compose folder."""
    private = from_compose_folder(f"{private_folder(stack.environment)}/backups")
    files = {backup_plan.RECOVERY_KEY: from_compose_folder("secrets/recovery.key")}
    files |= {name: f"{private}/{name}" for name in backup_plan.secret_files(stack, settings)}
    return files


def secrets(stack: Stack) -> dict[str, Any]:
    """The files with secrets, as Compose names them."""
    if stack.backups is None:
        return {}
    return {f"backup_{name}": {"file": place} for name, place in _secret_files(stack, stack.backups).items()}


def parameters(stack: Stack) -> dict[str, str]:
    """The values of `.env` that the fragment interpolates."""
    if stack.backups is None:
        return {}
    limits = stack.backups.limits
    return {
        "MOORAGE_BACKUP_IMAGE": stack.backups.image,
        "MOORAGE_BACKUP_CPUS": format_cpu(limits.cpu),
        "MOORAGE_BACKUP_MEMORY": str(limits.memory),
    }


def add_files(stack: Stack, public: Tree, private: Tree) -> None:
    """The plan, the night's script and its settings, the fragment; secrets apart."""
    settings = stack.backups
    if settings is None:
        return
    public.add(f"compose/platform/{_FRAGMENT}", asset("compose", _FRAGMENT).read_bytes())
    public.add(PLAN_FILE, backup_plan.plan(stack, settings, archiving.plan(stack, settings)).as_json())
    public.add(NIGHT_SCRIPT, asset("backups", "night.sh").read_bytes(), 0o755)
    public.add(_SETTINGS, _night_settings(stack, settings))
    if settings.on_failure:
        public.add(_ON_FAILURE, hook_text(settings.on_failure), 0o755)
    archiving.add_files(stack, tuple(backup_plan.store_plan(store) for store in settings.stores), private)
    for name, content in backup_plan.secret_files(stack, settings).items():
        private.add(f"backups/{name}", content.reveal(), 0o600)


_HEADER = "Rendered by moorage; changes here are lost. Settings: `backups` in moorage.yaml."


def hook_text(command: Sequence[str]) -> str:
    """A shell script that runs the operator's command, its words as they are written in moorage.yaml."""
    return f"#!/bin/sh\n# {_HEADER}\nexec {shlex.join(command)}\n"


def _night_settings(stack: Stack, settings: BackupSettings) -> str:
    """Read by a shell: every value is quoted for it."""
    values = {
        "PROJECT": stack.project,
        "ENVIRONMENT": stack.environment,
        "SERVICE": settings.service,
        "DRILL_SERVICE": settings.drill_service,
    }
    return f"# {_HEADER}\n" + "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def readme_view(stack: Stack) -> dict[str, str] | None:
    """What the README of the rendered folder tells of backups."""
    settings = stack.backups
    if settings is None:
        return None
    return {
        "service": settings.service,
        "restore_service": settings.restore_service,
        "schedule": settings.schedule,
        "unit": f"moorage-{stack.project}.{settings.service}",
        "stores": ", ".join(f"`{store.name}` ({store.directory or store.bucket})" for store in settings.stores),
        "image": settings.image,
        "image_words": f"built from `{settings.base_image}` by `moorage up`" if settings.base_image else "ready-made",
    }
