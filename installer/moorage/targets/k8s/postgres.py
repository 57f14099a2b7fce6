"""Postgres in the cluster: the same settings as on a server, as ConfigMaps and one patch of the static StatefulSet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app.adopted_postgres import INIT_FOLDER
from moorage.parity.reasons import Allowed, Pair, adding, either, lacking, only_right
from moorage.quantities import format_size
from moorage.sensitive import Sensitive
from moorage.stack.cluster import Cluster
from moorage.stack.model import BundledPostgres, Stack
from moorage.targets import database_settings
from moorage.targets.k8s import names, network
from moorage.targets.k8s.configuration import add_config, add_files, add_secret, digest
from moorage.targets.k8s.mounts import key_of
from moorage.targets.k8s.parts import Part, claim_patch, workload_patch
from moorage.tree import Tree

NAME = "postgres"
PASSWORD_SECRET = "postgres-password"  # noqa: S105 - the name of an object
_PASSWORD_KEY = "postgres_password"  # noqa: S105 - likewise
# The user id of `postgres` in the images that are made of Alpine.
_USER_OF_ALPINE = 70


def part(stack: Stack, cluster: Cluster, settings: BundledPostgres, public: Tree, private: Tree) -> Part:
    """The folder `postgres` of the platform."""
    variables = {
        **settings.environment,
        "PGDATA": settings.cluster_path,
        "POSTGRES_USER": settings.superuser,
        "POSTGRES_DB": database_settings.first_database(settings),
        "POSTGRES_INITDB_ARGS": settings.init_arguments,
        "POSTGRES_PASSWORD_FILE": f"/run/secrets/{_PASSWORD_KEY}",
    }
    config = add_config(public, names.BASE, names.config_name(NAME), variables)
    assert config is not None
    add_secret(private, PASSWORD_SECRET, {_PASSWORD_KEY: settings.password})
    add_secret(private, names.secret_name(NAME), settings.secret_environment)
    files = {name: text.encode() for name, text in database_settings.postgres_files(settings).items()}
    first_start = database_settings.postgres_first_start(settings)
    return Part(
        NAME,
        settings.image.reference,
        generators=[
            config,
            add_files(public, names.BASE, "postgres-settings", files),
            add_files(public, names.BASE, "postgres-first-start", first_start),
        ],
        patches=[
            workload_patch(
                "StatefulSet",
                NAME,
                settings.limits,
                container=_container(settings, first_start),
                pod=_pod(settings, first_start),
                # The password is not in it: it is changed in the running server, which keeps it in its data.
                secrets_digest=digest(stack, [_revealed(settings.secret_environment)]),
            ),
            claim_patch("postgres-data", cluster.volume_sizes[settings.volume]),
        ],
        objects=[
            network.alias(stack, NAME, name, 5432)
            for name in sorted({settings.service, *settings.aliases} - {NAME})
            if names.is_dns_label(name)
        ],
    )


def _container(settings: BundledPostgres, first_start: Mapping[str, bytes]) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [{"name": "data", "mountPath": settings.data_path}]
    if settings.init_covers_image or not first_start:
        mounts.append({"name": "first-start", "mountPath": INIT_FOLDER, "readOnly": True})
    else:
        for path in sorted({path.partition("/")[0] for path in first_start}):
            mounts.append(
                {"name": "first-start", "mountPath": f"{INIT_FOLDER}/{path}", "subPath": path, "readOnly": True}
            )
    sources: list[dict[str, Any]] = [{"configMapRef": {"name": names.config_name(NAME)}}]
    if settings.secret_environment:
        sources.append({"secretRef": {"name": names.secret_name(NAME)}})
    return {"volumeMounts": mounts, "envFrom": sources}


def _pod(settings: BundledPostgres, first_start: Mapping[str, bytes]) -> dict[str, Any]:
    items = [
        {"key": key_of(path), "path": path, **({"mode": 0o555} if path in settings.init_executable else {})}
        for path in sorted(first_start)
    ]
    source: dict[str, Any] = {"name": "postgres-first-start", **({"items": items} if items else {})}
    data: dict[str, Any] = {
        "volumes": [
            {"name": "first-start", "configMap": source},
            {
                "name": "shared-memory",
                "emptyDir": {"medium": "Memory", "sizeLimit": format_size(settings.shared_memory)},
            },
        ]
    }
    if "alpine" in settings.image.reference.rpartition("/")[2]:
        data["securityContext"] = {
            "runAsUser": _USER_OF_ALPINE,
            "runAsGroup": _USER_OF_ALPINE,
            "fsGroup": _USER_OF_ALPINE,
        }
    return data


def _revealed(values: Mapping[str, Sensitive]) -> dict[str, str]:
    return {name: value.reveal() for name, value in sorted(values.items())}


_ADDED = {
    "health.live.question": """/bin/sh -c 'pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB"'""",
    "health.live.interval": "10s",
    "health.live.timeout": "5s",
    "health.live.failures": "30",
    "mount./etc/postgresql": "files only",
    "mount./run/secrets": "files only",
}
_OTHERWISE = {
    "capabilities": ("CHOWN DAC_OVERRIDE FOWNER SETGID SETUID", "none"),
    "file./run/secrets/postgres_password": ("a secret", "a secret read-only"),
    "mount./tmp": ("memory", "memory 64Mi"),
    "mount./tmp.mode": ("1777", ""),
    "stop signal": ("SIGINT", ""),
}


def _is_the_user(pair: Pair) -> bool:
    alpine = "alpine" in pair.beside("image")[1].rpartition("/")[2]
    number = _USER_OF_ALPINE if alpine else 999
    return (pair.left, pair.right) == ("", f"{number}:{number}")


def _shares_the_disk(pair: Pair) -> bool:
    return pair.left == "volume postgres-socket" and pair.right == "volume postgres-data folder socket"


_VOLUMES = {"database": "postgres-data", "queue": "redis-data"}


def _is_the_adopted_disk(pair: Pair) -> bool:
    """Whether the volume of an adopted database has our name, because its claim is a static file."""
    mode = " read-only" if pair.left.endswith(" read-only") else ""
    volume = pair.left.removesuffix(mode)
    ours = pair.right.removesuffix(mode)
    is_theirs = pair.left_facts.get(volume, "exists") and not pair.left_facts.get(ours, "exists")
    return bool(is_theirs) and ours in (f"volume {name}" for name in _VOLUMES.values())


def _is_an_adopted_volume(pair: Pair) -> bool:
    """Whether a volume is here under the name of the app's file, and there under ours."""
    mounts = {
        subject: facts.get(subject, field).removeprefix("volume ")
        for facts in (pair.left_facts,)
        for subject, field in (("database", "mount./var/lib/postgresql/data"), ("queue", "mount./data"))
    }
    name = pair.key.subject.removeprefix("volume ")
    return (name in mounts.values() and not pair.right) or (name in _VOLUMES.values() and not pair.left)


DIFFERENCES = (
    Allowed("database", "mount.*", "An adopted database has a disk of our name in a cluster.", _is_the_adopted_disk),
    Allowed("queue", "mount.*", "An adopted database has a disk of our name in a cluster.", _is_the_adopted_disk),
    Allowed("backup*", "mount.*", "An adopted database has a disk of our name in a cluster.", _is_the_adopted_disk),
    Allowed("volume *", "exists", "An adopted database has a disk of our name in a cluster.", _is_an_adopted_volume),
    Allowed(
        "database", "name.postgres", "It is found by our name as well as by that of the app's file.", only_right("yes")
    ),
    Allowed("queue", "name.redis", "It is found by our name as well as by that of the app's file.", only_right("yes")),
    Allowed(
        "database",
        "user",
        "Docker's image starts as root and becomes `postgres`; a pod begins as it, with no power to become anybody.",
        _is_the_user,
    ),
    Allowed(
        "database",
        "*",
        "A pod owns its disk from the start, ends a server that is stuck, and stops it by a command in the place of a signal.",
        lambda pair: adding(_ADDED)(pair) or either(_OTHERWISE)(pair),
        needed=("stop signal", "mount./tmp.mode"),
    ),
    Allowed(
        "database",
        "mount./var/run/postgresql",
        "The socket lies on the disk of the data, where the backup's pods find it: they share no other volume with it.",
        _shares_the_disk,
    ),
    Allowed(
        "database",
        "environment.PGDATA",
        "A disk of a cluster has a folder of its own for the data, beside the socket's.",
        lambda pair: pair.right == f"{pair.left}/pgdata",
    ),
    Allowed(
        "database",
        "file./etc/postgresql/ensure.sql",
        "A deployer of a cluster runs it inside the pod; on a server it is handed over on standard input.",
        lambda pair: not pair.left and pair.right.endswith(" read-only"),
    ),
    Allowed(
        "volume postgres-socket",
        "*",
        "The socket is a folder of the data's disk in a cluster.",
        lacking({"exists": "yes", "labels.moorage.deployment": "a digest"}),
    ),
)
