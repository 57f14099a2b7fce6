"""The words that both readers say the same thing in: sizes, times, commands, ports, and whatever has no word of its own."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moorage.quantities import format_cpu, format_duration, format_size, parse_cpu, parse_duration, parse_size

EVERY_PORT = "every port"
PRESENT = "a digest"


def size(value: object) -> str:
    """A size in its shortest exact form; empty for none, as it stands when it is none."""
    return _as(value, lambda item: format_size(parse_size(item)))


def cpus(value: object) -> str:
    """CPUs as a decimal number."""
    return _as(value, lambda item: format_cpu(parse_cpu(item)))


def seconds(value: object) -> str:
    """A duration, for instance `30s`."""
    return _as(value, lambda item: format_duration(parse_duration(item)))


def words(command: object) -> str:
    """A command as a person would type it; that of a shell is told by its first words."""
    if command is None:
        return ""
    if isinstance(command, str):
        return command
    return shlex.join(str(word) for word in command) if isinstance(command, Sequence) else str(command)


def health_command(test: object) -> str:
    """The command of a Compose health check as it is run; empty for none."""
    if not test:
        return ""
    kind, *rest = (
        [test] if isinstance(test, str) else [str(word) for word in test] if isinstance(test, Sequence) else [""]
    )
    return words(["/bin/sh", "-c", *rest] if kind == "CMD-SHELL" else rest if kind == "CMD" else [f"{kind}?", *rest])


# What these files of the platform say is told setting by setting.
_TOLD = {
    "proxy": ("traefik.yaml", "middlewares.yaml"),
    "proxy's routes": ("routes.yaml",),
    "backup": ("plan.json",),
    "backup drill": ("plan.json",),
    "backup restore": ("plan.json",),
    "backup conductor": ("backup.json", "backup-drill.json", "backup-restore.json"),
}


def content(subject: str, name: str, text: str) -> str:
    """What a mounted file says: its fingerprint, or that its settings are told one by one."""
    if name.rpartition("/")[2] in _TOLD.get(subject, ()):
        return "settings"
    return digest(text.removesuffix("\0")) + (" executable" if text.endswith("\0") else "")


def digest(text: str | bytes) -> str:
    """A short fingerprint of a file."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:12]


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Everything inside of a value by its path; what a list has is found by its name, or else by its place."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from leaves(value[key], (*path, str(key)))
        if not value and path:
            yield ".".join(path), "{}"
    elif isinstance(value, (list, tuple)):
        if value and not any(isinstance(item, (Mapping, list, tuple)) for item in value):
            yield ".".join(path), ", ".join(_shown(item) for item in value)
            return
        for index, item in enumerate(value):
            name = str(item["name"]) if isinstance(item, Mapping) and "name" in item else str(index)
            yield from leaves(item, (*path, name))
        if not value and path:
            yield ".".join(path), "[]"
    else:
        yield ".".join(path), "null" if value is None else _shown(value)


def _shown(value: object) -> str:
    return "yes" if value is True else "no" if value is False else str(value) or '""'


def _as(value: object, form: Any) -> str:
    if value in (None, ""):
        return ""
    try:
        return str(form(value))
    except ValueError:
        return str(value)
