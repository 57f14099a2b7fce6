"""A foreign Redis or Valkey service: what it says about itself, and whether all of it can be carried over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from moorage.app import adoption_rules as adoptable
from moorage.app.adoption_rules import Unadoptable, public
from moorage.app.images import tag
from moorage.app.model import App, AppService, Carried
from moorage.quantities import parse_size
from moorage.sensitive import Sensitive, Text, reveal

# Without effect beside our own settings, whatever the value: ours keep more.
_HARMLESS = ("appendonly", "save", "loglevel")
# Harmless with these values, because ours are the same or allow more.
_SAME = {
    "appendfsync": ("everysec", "no"),
    "bind": ("*", "0.0.0.0", "-::*", "* -::*", "0.0.0.0 ::", "::"),  # noqa: S104 - only the app's networks reach it
    "dir": ("/data", "/data/", "./"),
    "port": ("6379",),
    "protected-mode": ("no",),
}
_OUR_DATABASES = 16
_POLICIES = (
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
)  # fmt: skip
# Variables that the images turn into settings; the official image reads no others.
_VARIABLES = ("VALKEY_EXTRA_FLAGS", "REDIS_EXTRA_FLAGS", "REDIS_ARGS")


@dataclass(frozen=True)
class AdoptedRedis:
    """What a foreign Redis service says about itself."""

    service: AppService
    image: str
    password: Sensitive | None
    policy: str
    data_memory: int
    volume: str
    aliases: tuple[str, ...]
    carried: Carried


def read_redis(app: App, service: AppService, default_version: str) -> AdoptedRedis:
    """The service as the platform's Redis. Raises Unadoptable."""
    carried = adoptable.carried(service)
    for name in _VARIABLES:
        if service.environment.get(name):
            raise Unadoptable(f"its {name} has settings")
    settings = _settings(service)
    _check(settings)
    mount = adoptable.data_mount(service, ("/data",), (adoptable.SECRETS_FOLDER,), ("/tmp",))  # noqa: S108 - inside
    has_version = tag(service.image) or "@" in service.image
    if mount is not None and adoptable.has_own_name(app, mount):
        if _text(settings, "appendonly") != "yes":
            # With the append-only file on, a server does not look at the snapshot that another one left.
            raise Unadoptable(f"its volume `{mount.volume}` may hold data that was saved without `--appendonly yes`")
        if not has_version:
            raise Unadoptable("its image names no version of Redis")
    password = reveal(settings.get("requirepass", [""])[0])
    return AdoptedRedis(
        service=service,
        image=service.image if has_version else f"{service.image}:{default_version}",
        password=Sensitive(password) if password else None,
        policy=_text(settings, "maxmemory-policy"),
        data_memory=parse_size(_text(settings, "maxmemory") or "0"),
        volume=adoptable.volume_name(app, service, mount),
        aliases=adoptable.aliases(app, service),
        carried=carried,
    )


def _settings(service: AppService) -> dict[str, list[Text]]:
    """The options of the command with their values; of two the last one counts."""
    words = list(service.command_words)
    if words and reveal(words[0]) in ("redis-server", "valkey-server"):
        words = words[1:]
    settings: dict[str, list[Text]] = {}
    name = ""
    for word in words:
        if isinstance(word, str) and word.startswith("--"):
            name = word.removeprefix("--").lower()
            settings[name] = []
        elif name:
            settings[name].append(word)
        else:
            raise Unadoptable("its command is not a plain redis-server with options")
    return settings


def _check(settings: dict[str, list[Text]]) -> None:
    """Raise Unadoptable for an option that would lose its meaning."""
    for name, values in settings.items():
        shown = f"--{name.partition('=')[0]}"
        is_password = name == "requirepass" and len(values) == 1
        if not is_password and not _is_understood(name, " ".join(public(value, shown) for value in values)):
            raise Unadoptable(f"its command has {shown}")


def _is_understood(name: str, value: str) -> bool:
    if name in _HARMLESS:
        return True
    if name in _SAME:
        return value in _SAME[name]
    if name == "databases":
        return value.isdigit() and int(value) <= _OUR_DATABASES
    if name == "maxmemory":
        return re.fullmatch(r"\d+([kmg]b?)?", value.lower()) is not None
    return name == "maxmemory-policy" and value in _POLICIES


def _text(settings: dict[str, list[Text]], name: str) -> str:
    """The only value of an option; empty when there is none or several."""
    values = settings.get(name, [])
    return public(values[0], f"--{name}") if len(values) == 1 else ""
