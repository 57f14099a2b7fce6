"""A foreign file's own Postgres or Redis becomes the platform's, under its own name.

It keeps its service name, image, database, user, password and volume; it gains tuning, limits, backups and
loses its published port. It is adopted only when each of its settings keeps its meaning; else it stays an
ordinary service of the app, with all that the file says, and a notice says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from moorage.app.adopted_postgres import AdoptedPostgres, read_postgres
from moorage.app.adopted_redis import AdoptedRedis, read_redis
from moorage.app.adoption_rules import Unadoptable, volume_name
from moorage.app.images import image_kind, postgres_data_folder, postgres_major
from moorage.app.model import App, AppService, AppVolume, Notice, Sizes, VolumeMount
from moorage.config.kinds import Target

__all__ = ["AdoptedPostgres", "AdoptedRedis", "Adoption", "adopt"]


@dataclass
class Adoption:
    """The outcome: at most one of each kind."""

    postgres: AdoptedPostgres | None = None
    redis: AdoptedRedis | None = None
    names: dict[str, str] = field(default_factory=dict)


def adopt(app: App, default_postgres: str, default_redis: str, target: Target = "compose") -> Adoption:
    """Take adoptable services out of `app.services`. The defaults fill in a missing version."""
    adoption = Adoption()
    for service in list(app.services.values()):
        kind = image_kind(service.image) if service.image else ""
        if kind not in app.adoptable:
            _keep_data(app, service, kind, target)
            continue
        try:
            _check_alone(adoption, service, kind, target)
            if kind == "postgres":
                adoption.postgres = read_postgres(app, service, default_postgres)
            else:
                adoption.redis = read_redis(app, service, default_redis)
        except Unadoptable as reason:
            _leave(app, service, str(reason))
            _keep_data(app, service, kind, target)
            continue
        _take_over(app, service, kind)
        adoption.names[service.name] = kind
    return adoption


def _check_alone(adoption: Adoption, service: AppService, kind: str, target: Target) -> None:
    """Raise Unadoptable for a service that doesn't run here, is built, or is the second of its kind."""
    if service.build is not None:
        raise Unadoptable("its image is built from the app's own sources")
    if not _runs_here(service, target):
        raise Unadoptable("it does not run here")
    if getattr(adoption, kind) is not None:
        raise Unadoptable(f"another {kind} is already run by moorage")


def _runs_here(service: AppService, target: Target) -> bool:
    is_off = service.replicas == 0 or service.extension.replicas.get(target) == 0
    return not (is_off or service.profiles or service.extension.build_only or target not in service.extension.targets)


def _keep_data(app: App, service: AppService, kind: str, target: Target) -> None:
    """Give a database without a volume the one that it has when it is adopted.

    Its image would make one without a name, which `down` loses; and whoever changes a setting, so that the
    database is no longer adopted, must find the same data.
    """
    version = postgres_major(service.image) if kind == "postgres" else None
    place = postgres_data_folder(version) if version else "/data" if kind == "redis" else ""
    if not place or service.build is not None or not _runs_here(service, target) or _has_data_place(service, place):
        return
    name = volume_name(app, service, None)
    app.volumes.setdefault(name, AppVolume(name))
    app.services[service.name] = replace(service, mounts=(*service.mounts, VolumeMount(name, place)))
    _notice(app, service, f"has no volume for its data; `{name}` is made for it, so that an update keeps it")


def _has_data_place(service: AppService, place: str) -> bool:
    """Whether the file itself says where the data lies."""
    return "PGDATA" in service.environment or any(
        f"{mount.target}/".startswith(f"{place}/") or place.startswith(f"{mount.target}/") for mount in service.mounts
    )


def _leave(app: App, service: AppService, reason: str) -> None:
    """An ordinary service after all: what is wrong with its command and health check counts now."""
    _notice(app, service, f"stays an ordinary service, without tuning and backups: {reason}")
    for problem in service.unless_adopted:
        because = f"moorage doesn't run this database in its own way, because {reason}"
        app.problems.append(replace(problem, hint="; ".join(filter(None, (problem.hint, because)))))


def _take_over(app: App, service: AppService, kind: str) -> None:
    what = "Postgres: tuned, limited, backed up" if kind == "postgres" else "Redis: persistent, limited"
    _notice(app, service, f"is run by moorage as its {what} (`{kind}.adopt: false` leaves it as it is)")
    if service.ports:
        _notice(app, service, "its published port is closed; nothing but the app reaches it")
    replaced = ", ".join(_replaced(service))
    if replaced:
        limits = f"; `{kind}.memory` is its limit" if service.sizes != Sizes() else ""
        _notice(app, service, f"moorage's own settings take the place of its {replaced}{limits}")
    del app.services[service.name]
    for mount in service.mounts:
        # A volume that says more than its name says it to the database as well.
        if isinstance(mount, VolumeMount) and app.volumes.get(mount.volume) == AppVolume(mount.volume):
            del app.volumes[mount.volume]


def _replaced(service: AppService) -> Iterator[str]:
    """Settings in whose place moorage has its own, and that no other notice tells of."""
    if service.sizes != Sizes():
        yield "limits"
    extension = service.extension.model_fields_set
    written = {
        "labels": service.labels,
        "read_only": service.read_only is not None,
        "cap_drop": service.cap_drop,
        "security_opt": service.security_opt,
        "depends_on": service.depends_on,
        "stop_signal": "stop_signal" in service.other,
        "stop_grace_period": "stop_grace_period" in service.other,
        "annotations": "annotations" in service.other,
        "x-moorage.health": "health" in extension,
        "x-moorage.resources": "resources" in extension,
    }
    yield from (name for name, is_written in written.items() if is_written)


def _notice(app: App, service: AppService, text: str) -> None:
    app.notices.append(Notice(f"service {service.name}", text))
