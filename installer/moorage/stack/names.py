"""Names that one part uses of another: settings of services that exist, and nothing that takes a name twice."""

from __future__ import annotations

from collections.abc import Iterator

from moorage.app.adoption import Adoption
from moorage.app.model import App
from moorage.config.loading import LoadedConfig
from moorage.errors import Problem
from moorage.formats import KeyPath, dotted
from moorage.stack.platform import backups as backups_platform
from moorage.stack.platform import edge as edge_platform
from moorage.stack.platform import postgres as postgres_platform
from moorage.stack.platform import redis as redis_platform
from moorage.words import nearest

# It stands beside folders that are named after services.
POSTGRES_PASSWORD_FILE = "postgres_password"  # noqa: S105 - the name of a file, not a secret
_KINDS = {"postgres": "Postgres", "redis": "Redis"}


def problems(loaded: LoadedConfig, app: App, adoption: Adoption) -> Iterator[Problem]:
    """What is wrong with the names in both files, and was not told while the app's file was read."""
    known = {problem.key for problem in app.problems}
    found = (
        *_settings(loaded, app, adoption),
        *_job_services(app, adoption),
        *_taken_names(app, _platform_services(loaded, app, adoption)),
        *(_taken_file(app) if "postgres" in _bundled(loaded, app, adoption) else ()),
        *_taken_volumes(app, _platform_volumes(loaded, app, adoption)),
    )
    yield from (problem for problem in found if problem.key not in known)


def _settings(loaded: LoadedConfig, app: App, adoption: Adoption) -> Iterator[Problem]:
    """Services that moorage.yaml names and that the app does not have, or that moorage runs in its own way."""
    known = [*app.services, *adoption.names]
    for path, name, of_key in _named_services(loaded):
        if name in adoption.names:
            rule, hint = _of_adopted(path, adoption.names[name])
            yield loaded.problem(path, rule, hint=hint, of_key=of_key)
        elif name not in known:
            near = nearest(name, known)
            yield loaded.problem(
                path,
                f"names the service `{name}`, which the app does not have",
                suggestion=near,
                hint="" if near else f"services: {', '.join(sorted(known))}",
                of_key=of_key,
            )


def _named_services(loaded: LoadedConfig) -> Iterator[tuple[KeyPath, str, bool]]:
    """Where moorage.yaml names a service, its name, and whether that is a key."""
    config = loaded.config
    yield from ((("resources", "services", name), name, True) for name in config.resources.services)
    yield from ((("images", "overrides", name), name, True) for name in config.images.overrides)
    yield from ((("routes", name), name, True) for name in config.routes)
    yield from ((("publish", index, "service"), item.service, False) for index, item in enumerate(config.publish))
    for key in ("docker_access", "cluster_access", "privileged"):
        for index, name in enumerate(getattr(config.permissions, key)):
            yield ("permissions", key, index), name, False


def _of_adopted(path: KeyPath, kind: str) -> tuple[str, str]:
    """Why a setting has no effect on an adopted database, and what has."""
    rule = f"has no effect: moorage runs this service as its {_KINDS[kind]}"
    leave = f"`{kind}.adopt: false` leaves it as your file has it"
    hints = {
        "resources": "set `postgres.memory` and `postgres.cpu`" if kind == "postgres" else "set `redis.memory`",
        "images": f"set `{kind}.image`",
        "routes": f"no port leads to it; {leave}",
        "publish": f"no port leads to it; {leave}",
    }
    return rule, hints.get(str(path[0]), leave)


def _job_services(app: App, adoption: Adoption) -> Iterator[Problem]:
    """Jobs in services that never run as services of the app."""
    for name, job in app.extension.jobs.items():
        path = ("x-moorage", "jobs", name, "service")
        service = app.services.get(job.service)
        if job.service in adoption.names:
            kind = adoption.names[job.service]
            yield _problem(
                app,
                path,
                f"is `{job.service}`, which moorage runs as its {_KINDS[kind]}: no job runs in there",
                f"give the job a service of its own (same image, `profiles: [jobs]`), or set `{kind}.adopt: false` in moorage.yaml",
            )
        elif service is not None and service.extension.build_only:
            yield _problem(app, path, f"is `{job.service}`, which never runs (`build_only`)", "name another service")


def _platform_services(loaded: LoadedConfig, app: App, adoption: Adoption) -> dict[str, str]:
    """The names of the services that moorage brings, and what each of them is."""
    found = dict.fromkeys(edge_platform.SERVICES, "the proxy")
    for kind, name in _bundled(loaded, app, adoption).items():
        found[name] = f"the {_KINDS[kind]} that moorage brings"
    # Only when the app has the short names and one of the long ones, too.
    found |= dict.fromkeys(backups_platform.service_names(loaded, app), "the job that makes backups")
    return found


def _bundled(loaded: LoadedConfig, app: App, adoption: Adoption) -> dict[str, str]:
    """The databases that moorage runs: kind → service name."""
    config, requires = loaded.config, app.extension.requires
    found = {kind: name for name, kind in adoption.names.items()}
    if requires.postgres and config.postgres.mode == "bundled":
        found["postgres"] = postgres_platform.SERVICE
    if requires.redis and config.redis.mode == "bundled":
        found["redis"] = redis_platform.SERVICE
    return found


def _taken_names(app: App, platform: dict[str, str]) -> Iterator[Problem]:
    """Services and jobs become services of one Compose file, beside those of the platform."""
    for service in app.services.values():
        if service.name in platform and service.name not in edge_platform.SERVICES:
            is_required = service.name in (postgres_platform.SERVICE, redis_platform.SERVICE)
            because = ", because `x-moorage.requires` asks for it" if is_required else ""
            yield _problem(
                app,
                service.path,
                f"has the name of {platform[service.name]}{because}",
                "rename the service, or take the requirement away" if because else "rename the service",
                of_key=True,
            )
    for name in app.extension.jobs:
        taken = "a service" if name in app.services else platform.get(name)
        if taken:
            yield _problem(
                app,
                ("x-moorage", "jobs", name),
                f"has the name of {taken} too",
                f"rename the job, for instance `{name}-job`",
                of_key=True,
            )


def _taken_file(app: App) -> Iterator[Problem]:
    """A service whose folder of secret files would have the place of the database's password."""
    service = app.services.get(POSTGRES_PASSWORD_FILE)
    if service is not None:
        rule = "has the name of the file in which moorage keeps the database's password"
        yield _problem(app, service.path, rule, "rename the service", of_key=True)


def _platform_volumes(loaded: LoadedConfig, app: App, adoption: Adoption) -> dict[str, str]:
    """The names of the volumes that moorage brings, and whose they are; an adopted database keeps the app's own."""
    found = dict.fromkeys(edge_platform.VOLUMES, "the proxy")
    bundled = _bundled(loaded, app, adoption)
    if "postgres" in bundled and adoption.postgres is None:
        found[postgres_platform.VOLUME] = "the Postgres that moorage runs"
    if "postgres" in bundled:
        found[postgres_platform.SOCKET_VOLUME] = "the socket of the Postgres that moorage runs"
    if "redis" in bundled and adoption.redis is None:
        found[redis_platform.VOLUME] = "the Redis that moorage runs"
    if loaded.config.backups.enabled:
        found[backups_platform.WORK_VOLUME] = "the job that makes backups"
    return found


def _taken_volumes(app: App, platform: dict[str, str]) -> Iterator[Problem]:
    """A volume of the app's file that is the platform's too would mix their files."""
    for name in app.document.value.get("volumes") or ():
        if name in platform:
            yield _problem(
                app,
                ("volumes", name),
                f"has the name of the volume of {platform[name]}: both would write into it",
                "rename the volume",
                of_key=True,
            )


def _problem(app: App, path: KeyPath, rule: str, hint: str, *, of_key: bool = False) -> Problem:
    return Problem(app.document.place(path, of_key=of_key), dotted(path), rule, hint=hint)
