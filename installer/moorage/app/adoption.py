"""A foreign file's own Postgres or Redis becomes the platform's, under its own name.

It keeps its service name, image, database, user and password; it gains tuning, limits, backups and loses
its published port. A service that is set up in a way that cannot be carried over stays an ordinary
service of the app, and a notice says why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from moorage.app.images import image_kind, postgres_major, repository, tag
from moorage.app.model import App, AppService, FileMount, Notice, VolumeMount
from moorage.quantities import parse_size
from moorage.sensitive import Sensitive, Text, reveal

_POSTGRES_DATA = ("/var/lib/postgresql/data", "/var/lib/postgresql")
_INIT_FOLDER = "/docker-entrypoint-initdb.d"
_POSTGRES_VARIABLES = (
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_PASSWORD_FILE",
    "POSTGRES_DB",
    "POSTGRES_INITDB_ARGS",
    "PGDATA",
)


@dataclass(frozen=True)
class AdoptedPostgres:
    """What a foreign Postgres service says about itself."""

    service: AppService
    image: str
    version: int
    user: str
    password: Text
    database: str
    init_arguments: str
    parameters: Mapping[str, str]
    environment: Mapping[str, str]
    volume: str
    init_files: Mapping[str, bytes]


@dataclass(frozen=True)
class AdoptedRedis:
    """What a foreign Redis service says about itself."""

    service: AppService
    image: str
    password: Sensitive | None
    policy: str
    data_memory: int
    volume: str


@dataclass
class Adoption:
    """The outcome: at most one of each kind."""

    postgres: AdoptedPostgres | None = None
    redis: AdoptedRedis | None = None
    names: dict[str, str] = field(default_factory=dict)


class _Unadoptable(Exception):
    """Why a service stays as it is."""


def adopt(app: App, default_postgres: str, default_redis: str) -> Adoption:
    """Take adoptable services out of `app.services`. The defaults fill in a missing version."""
    adoption = Adoption()
    for service in list(app.services.values()):
        kind = image_kind(service.image) if service.image else ""
        if kind not in app.adoptable or service.build is not None:
            continue
        if getattr(adoption, kind) is not None:
            app_notice(app, service, f"stays an ordinary service: another {kind} is already run by moorage")
            continue
        try:
            if kind == "postgres":
                adoption.postgres = _postgres(app, service, default_postgres)
            else:
                adoption.redis = _redis(service, default_redis)
        except _Unadoptable as reason:
            app_notice(app, service, f"stays an ordinary service, without tuning and backups: {reason}")
            continue
        _take_over(app, service, kind)
        adoption.names[service.name] = kind
    return adoption


def app_notice(app: App, service: AppService, text: str) -> None:
    """A notice about one service."""
    app.notices.append(Notice(f"service {service.name}", text))


def _take_over(app: App, service: AppService, kind: str) -> None:
    what = "Postgres: tuned, limited, backed up" if kind == "postgres" else "Redis: persistent, limited"
    app_notice(app, service, f"is run by moorage as its {what} (`{kind}.adopt: false` leaves it as it is)")
    if service.ports:
        app_notice(app, service, "its published port is closed; nothing but the app reaches it")
    del app.services[service.name]
    for mount in service.mounts:
        if isinstance(mount, VolumeMount):
            app.volumes.pop(mount.volume, None)


def _postgres(app: App, service: AppService, default_version: str) -> AdoptedPostgres:
    environment = service.environment
    if "POSTGRES_HOST_AUTH_METHOD" in environment:
        raise _Unadoptable("POSTGRES_HOST_AUTH_METHOD changes who may connect")
    password = environment.get("POSTGRES_PASSWORD") or _password_file(service)
    if not password or not reveal(password):
        raise _Unadoptable("it has no POSTGRES_PASSWORD")
    user = _public(environment.get("POSTGRES_USER"), "POSTGRES_USER") or "postgres"
    version = postgres_major(service.image)
    image = service.image
    if version is None:
        version = int(default_version)
        variant = "-alpine" if "alpine" in tag(image) else ""
        image = f"{repository(image)}:{version}{variant}"
        app_notice(app, service, f"names no version of Postgres; `{image}` is used, so that it can't change by itself")
    if not 12 <= version <= 18:
        raise _Unadoptable(f"version {version} is not supported")
    return AdoptedPostgres(
        service=service,
        image=image,
        version=version,
        user=user,
        password=password,
        database=_public(environment.get("POSTGRES_DB"), "POSTGRES_DB") or user,
        init_arguments=_public(environment.get("POSTGRES_INITDB_ARGS"), "POSTGRES_INITDB_ARGS"),
        parameters=_postgres_parameters(service),
        environment={
            name: _public(value, name) for name, value in environment.items() if name not in _POSTGRES_VARIABLES
        },
        volume=_data_volume(service, _POSTGRES_DATA),
        init_files=_init_files(service),
    )


def _public(value: Text | None, what: str) -> str:
    """A text that goes into rendered files and so must not be secret."""
    if isinstance(value, Sensitive):
        raise _Unadoptable(f"its {what} uses a secret, which would stand in a rendered file")
    return value or ""


def _password_file(service: AppService) -> Text:
    path = reveal(service.environment.get("POSTGRES_PASSWORD_FILE") or "")
    for mount in service.mounts:
        if isinstance(mount, FileMount) and path and mount.target == path:
            content = mount.files.get("", "")
            text = content.decode() if isinstance(content, bytes) else reveal(content)
            return Sensitive(text.removesuffix("\n"))
    return ""


def _postgres_parameters(service: AppService) -> dict[str, str]:
    words = [_public(word, "command") for word in service.command_words]
    if words[:1] == ["postgres"]:
        words = words[1:]
    parameters: dict[str, str] = {}
    while words:
        word = words.pop(0)
        setting = (
            words.pop(0)
            if word in ("-c", "-N") and words
            else word.removeprefix("-c")
            if word.startswith("-c")
            else word.removeprefix("--")
        )
        if word == "-N":
            setting = f"max_connections={setting}"
        match = re.fullmatch(r"([a-z_.]+)=(.*)", setting.replace("-", "_", setting.partition("=")[0].count("-")))
        if match is None or match[1] in ("config_file", "data_directory", "hba_file"):
            raise _Unadoptable(f"its command has `{setting}`")
        parameters[match[1]] = match[2].strip("'")
    return parameters


def _data_volume(service: AppService, targets: tuple[str, ...]) -> str:
    found = f"{service.name}-data"
    for mount in service.mounts:
        if isinstance(mount, VolumeMount) and mount.target.rstrip("/") in targets:
            found = mount.volume
            continue
        known = (_INIT_FOLDER, "/run/secrets/")
        if not isinstance(mount, FileMount) or not mount.target.startswith(known):
            raise _Unadoptable(f"it mounts something at {mount.target}")
    return found


def _init_files(service: AppService) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for mount in service.mounts:
        if not isinstance(mount, FileMount) or not mount.target.startswith(_INIT_FOLDER):
            continue
        below = mount.target.removeprefix(_INIT_FOLDER).strip("/")
        for name, content in mount.files.items():
            path = "/".join(part for part in (below, name) if part)
            files[path] = content if isinstance(content, bytes) else reveal(content).encode()
    return files


_REDIS_HARMLESS = (
    "appendonly",
    "appendfsync",
    "save",
    "loglevel",
    "bind",
    "protected-mode",
    "port",
    "dir",
    "databases",
)


def _redis(service: AppService, default_version: str) -> AdoptedRedis:
    words = list(service.command_words)
    if words and reveal(words[0]) in ("redis-server", "valkey-server"):
        words = words[1:]
    settings: dict[str, Text] = {}
    name = ""
    for word in words:
        if reveal(word).startswith("--"):
            name = reveal(word).removeprefix("--").lower()
            settings[name] = ""
        elif name:
            settings[name] = word if not settings[name] else settings[name]
        else:
            raise _Unadoptable("its command is not a plain redis-server with options")
    for setting in settings:
        if setting not in (*_REDIS_HARMLESS, "requirepass", "maxmemory", "maxmemory-policy"):
            raise _Unadoptable(f"its command has --{setting}")
    password = reveal(settings.get("requirepass", ""))
    memory = _public(settings.get("maxmemory"), "--maxmemory")
    image = service.image if tag(service.image) or "@" in service.image else f"{service.image}:{default_version}"
    return AdoptedRedis(
        service=service,
        image=image,
        password=Sensitive(password) if password else None,
        policy=_public(settings.get("maxmemory-policy"), "--maxmemory-policy"),
        data_memory=parse_size(memory) if re.fullmatch(r"\d+[kmgKMG]?[bB]?", memory) else 0,
        volume=_data_volume(service, ("/data",)),
    )
