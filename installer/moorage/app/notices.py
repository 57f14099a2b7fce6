"""What was adapted, as a person reads it: what matters, equal lines of several services as one."""

from __future__ import annotations

from collections.abc import Iterable

from moorage.app.model import Notice
from moorage.words import abridged

_SERVICE = "service "
_NAMES_SHOWN = 8


def for_people(notices: Iterable[Notice], *, with_minor: bool = False) -> list[Notice]:
    """The notices in their order, each text once, with the names of all services that it is about."""
    names: dict[tuple[str, str], list[str]] = {}
    for notice in notices:
        if notice.is_minor and not with_minor:
            continue
        is_of_service = notice.subject.startswith(_SERVICE) and "," not in notice.subject
        kind = _SERVICE if is_of_service else notice.subject
        found = names.setdefault((kind, notice.text), [])
        name = notice.subject.removeprefix(_SERVICE)
        if name not in found:
            found.append(name)
    shown = None if with_minor else _NAMES_SHOWN
    return [Notice(_subject(kind, found, shown), text) for (kind, text), found in names.items()]


def _subject(kind: str, names: list[str], shown: int | None) -> str:
    if kind != _SERVICE:
        return kind
    return f"service{'s' if len(names) > 1 else ''} {abridged(names, shown)}"
