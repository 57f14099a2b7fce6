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
from moorage.app.adoption_rules import Unadoptable
from moorage.app.images import image_kind
from moorage.app.model import App, AppService, AppVolume, Notice, Sizes, VolumeMount

__all__ = ["AdoptedPostgres", "AdoptedRedis", "Adoption", "adopt"]


@dataclass
class Adoption:
    """The outcome: at most one of each kind."""

    postgres: AdoptedPostgres | None = None
    redis: AdoptedRedis | None = None
    names: dict[str, str] = field(default_factory=dict)


def adopt(app: App, default_postgres: str, default_redis: str, target: str = "compose") -> Adoption:
    """Take adoptable services out of `app.services`. The defaults fill in a missing version."""
    adoption = Adoption()
    for service in list(app.services.values()):
        kind = image_kind(service.image) if service.image else ""
        if kind not in app.adoptable:
            continue
        try:
            _check_alone(adoption, service, kind, target)
            if kind == "postgres":
                adoption.postgres = read_postgres(app, service, default_postgres)
            else:
                adoption.redis = read_redis(app, service, default_redis)
        except Unadoptable as reason:
            _leave(app, service, str(reason))
            continue
        _take_over(app, service, kind)
        adoption.names[service.name] = kind
    return adoption


def _check_alone(adoption: Adoption, service: AppService, kind: str, target: str) -> None:
    """Raise Unadoptable for a service that doesn't run here, is built, or is the second of its kind."""
    if service.build is not None:
        raise Unadoptable("its image is built from the app's own sources")
    if service.profiles or target not in service.extension.targets or service.replicas == 0:
        raise Unadoptable("it does not run here")
    if service.extension.replicas.get(target) == 0 or service.extension.build_only:
        raise Unadoptable("it does not run here")
    if getattr(adoption, kind) is not None:
        raise Unadoptable(f"another {kind} is already run by moorage")


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
