"""Mistakes of a renderer, made one at a time in what was rendered: every leaf taken away, and every leaf changed.

They are made of the files themselves, so that a new key of a new renderer is among them without anybody thinking of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from moorage.errors import InputError
from moorage.operations import comparing
from moorage.parity.compare import Row, compare_key, missing_facts
from moorage.parity.facts import Facts, Key
from moorage.parity.reasons import Allowed
from moorage.parity.rendered import Rendered

Way = tuple[str | int, ...]
_GONE = object()


@dataclass(frozen=True)
class Mutant:
    """One environment with one mistake; `place` says where, `what` whether it is gone or what it became."""

    place: str
    what: str
    rendered: Rendered


def mutants(rendered: Rendered, *, every: int = 1) -> Iterator[Mutant]:
    """All of them, or each of so many."""
    for number, (place, change, what) in enumerate(_changes(rendered)):
        if number % every == 0:
            yield Mutant(place, what, change())


def _changes(rendered: Rendered) -> Iterator[tuple[str, Any, str]]:
    for name, document in rendered.documents.items():
        for path, value in leaves(document):
            for what, new in _versions(value):
                change = _in_document(rendered, name, document, path, new)
                yield f"{name}: {_dotted(path)}", change, what
    for name, text in rendered.texts.items():
        if name in rendered.documents or "\0" in text[:-1]:
            continue
        for number, _ in enumerate(text.splitlines()):
            if is_said(text.splitlines()[number]):
                change = _in_text(rendered, name, text, number)
                yield f"{name}: {text.splitlines()[number].strip()[:60]}", change, "changed"
    for index, item in enumerate(rendered.objects):
        for path, value in leaves(item):
            if isinstance(value, str) and value.startswith("{\n"):
                yield from _inside(rendered, index, item, path, value)
                continue
            where = f"{item['kind']} {item['metadata']['name']}: {_dotted(path)}"
            for what, new in _versions(value):
                yield where, _in_object(rendered, index, item, path, new), what
    for name, inside in rendered.private.items():
        for secret in inside:
            yield f"private {name}: {secret}", _without_secret(rendered, name, secret), "gone"


def _inside(
    rendered: Rendered, index: int, item: dict[str, Any], path: Way, text: str
) -> Iterator[tuple[str, Any, str]]:
    """The leaves of a JSON file that lies in an object."""
    content = json.loads(text)
    for inner, value in leaves(content):
        for what, new in _versions(value):
            changed = json.dumps(_changed(content, inner, new))
            where = f"{item['kind']} {item['metadata']['name']}: {_dotted(path)}: {_dotted(inner)}"
            yield where, _in_object(rendered, index, item, path, changed), what


def leaves(value: Any, path: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Every scalar inside of a value, and every empty mapping and list."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def is_said(line: str) -> bool:
    """Whether a line says something to its reader: no comment, not empty."""
    return bool(line.strip()) and not line.strip().startswith(("#", "--"))


def _versions(value: Any) -> Iterator[tuple[str, Any]]:
    yield "gone", _GONE
    if isinstance(value, bool):
        yield "turned", not value
    elif isinstance(value, (int, float)):
        yield "greater", value + 1
    elif isinstance(value, str) and "\n" in value:
        lines = value.splitlines()
        for number, line in enumerate(lines):
            if is_said(line):
                yield f"without {line.strip()[:50]}", "\n".join(lines[:number] + lines[number + 1 :])
    elif isinstance(value, str) and value[-1:].isdigit():
        yield "greater", value[:-1] + str((int(value[-1]) + 1) % 10)
    elif isinstance(value, str):
        yield "another", value + "x"


def _changed(value: Any, path: Way, new: Any) -> Any:
    """A copy that shares all but the way to the place."""
    if not path:
        return None if new is _GONE else new
    result = copy(value)
    if len(path) == 1 and new is _GONE:
        del result[path[0]]
    else:
        result[path[0]] = _changed(value[path[0]], path[1:], new)
    return result


def _in_document(rendered: Rendered, name: str, document: Any, path: Way, new: Any) -> Any:
    def change() -> Rendered:
        changed = _changed(document, path, new)
        texts = {**rendered.texts, name: json.dumps(changed, default=str)}
        return replace(rendered, documents={**rendered.documents, name: changed}, texts=texts)

    return change


def _in_text(rendered: Rendered, name: str, text: str, number: int) -> Any:
    lines = text.splitlines()
    lines[number] += " x"
    return lambda: replace(rendered, texts={**rendered.texts, name: "\n".join(lines)})


def _in_object(rendered: Rendered, index: int, item: dict[str, Any], path: Way, new: Any) -> Any:
    def change() -> Rendered:
        objects = list(rendered.objects)
        objects[index] = _changed(item, path, new)
        return replace(rendered, objects=tuple(objects))

    return change


def _without_secret(rendered: Rendered, name: str, secret: str) -> Any:
    rest = tuple(item for item in rendered.private[name] if item != secret)
    return lambda: replace(rendered, private={**rendered.private, name: rest})


def _dotted(path: Way) -> str:
    return ".".join(str(part) for part in path)


class Gate:
    """Parity for many mutants of the same environments: only what a mutant changes is compared again."""

    def __init__(self, environments: Sequence[Rendered], allowed: Sequence[Allowed]) -> None:
        self.allowed = allowed
        self.facts = [comparing.facts_of(item) for item in environments]

    def catches(self, index: int, mutant: Rendered) -> list[Row]:
        """The unexplained differences that a mutant of the environment `index` makes."""
        try:
            facts = comparing.facts_of(mutant)
        except InputError as error:
            # No reader of such a file could have read it.
            return [Row(Key("unreadable", str(error)), ("",), "different")]
        environments = [*self.facts]
        environments[index] = facts
        rows = [compare_key(key, environments, self.allowed) for key in changed_keys(self.facts[index], facts)]
        rows += missing_facts(environments, self.allowed).values()
        return [row for row in rows if row.verdict == "different"]


def changed_keys(before: Facts, after: Facts) -> list[Key]:
    """The facts that are not the same in both."""
    keys = before.values.keys() | after.values.keys()
    return sorted(
        key
        for key in keys
        if before.values.get(key) != after.values.get(key) or (key in before.asked) != (key in after.asked)
    )
