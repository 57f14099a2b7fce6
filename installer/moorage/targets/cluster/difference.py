"""Where two states of an object differ: ways to fields, never their values, for any of them may be a secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_OF_SERVER = ("managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink")
# Lists whose entries have a name of their own; elsewhere an entry is known by its place.
_NAMES = ("name", "containerPort", "mountPath", "key", "host", "path", "ip")


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """The ways to all fields that differ, what only the server sets left out."""
    return tuple(_changes(_own(before), _own(after), ""))


def _own(item: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item.get("metadata", {}).items() if key not in _OF_SERVER}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def _changes(before: Any, after: Any, way: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            step = f"[{key}]" if "." in key or "/" in key else f".{key}" if way else key
            yield from _changes(before.get(key), after.get(key), way + step)
        return
    if isinstance(before, list) and isinstance(after, list):
        first, second = _by_name(before), _by_name(after)
        if first is not None and second is not None:
            for name in dict.fromkeys((*first, *second)):
                yield from _changes(first.get(name), second.get(name), f"{way}[{name}]")
            return
    yield way


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    """The entries by what names them, or None when nothing does."""
    for name in _NAMES:
        if all(isinstance(item, Mapping) and name in item for item in items):
            found = {str(item[name]): item for item in items}
            return found if len(found) == len(items) else None
    return None
