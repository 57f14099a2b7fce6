"""Compose's `${VARIABLE}` interpolation, which here also knows what is secret.

The forms are those of the Compose specification: `$NAME`, `${NAME}`, `${NAME:-default}`,
`${NAME-default}`, `${NAME:?message}`, `${NAME?message}`, `${NAME:+other}`, `${NAME+other}`, `$$` for a
dollar sign; defaults may contain variables again. A dollar sign that starts neither a name nor a brace is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moorage.sensitive import Sensitive, Text, reveal

_DEEPEST = 50
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


@dataclass(frozen=True)
class Reference:
    """One `${NAME…}` in a text."""

    name: str
    operator: str = ""
    argument: tuple[Part, ...] = ()


Part = str | Reference


class TemplateError(ValueError):
    """The text is not a valid template; the message follows the key's name."""


class UnsetVariable(ValueError):
    """A variable without a value and without a default."""

    def __init__(self, name: str, message: str, *, required: bool) -> None:
        super().__init__(message or f"needs the variable {name}, which has no value")
        self.name = name
        self.required = required


def parse_template(text: str) -> tuple[Part, ...]:
    """The literal and variable parts of a text. Raises TemplateError for a broken `${`."""
    parts, end = _parse(text, 0, depth=0)
    assert end == len(text)
    return tuple(parts)


def _parse(text: str, start: int, *, depth: int) -> tuple[list[Part], int]:
    """The parts from `start` to the end of the text or, below the top, to the closing brace."""
    if depth > _DEEPEST:
        raise TemplateError(f"has variables in the defaults of variables, more than {_DEEPEST} deep")
    parts: list[Part] = []
    literal = ""
    position = start
    while position < len(text) and not (depth and text[position] == "}"):
        if text.startswith("$$", position):
            literal += "$"
            position += 2
            continue
        if not _starts_reference(text, position):
            literal += text[position]
            position += 1
            continue
        reference, position = _reference(text, position, depth)
        parts.extend([literal, reference] if literal else [reference])
        literal = ""
    if literal:
        parts.append(literal)
    return parts, position


def _starts_reference(text: str, position: int) -> bool:
    is_dollar = text[position] == "$"
    return is_dollar and (text.startswith("{", position + 1) or _NAME.match(text, position + 1) is not None)


def _reference(text: str, start: int, depth: int) -> tuple[Reference, int]:
    braced = text.startswith("${", start)
    match = _NAME.match(text, start + (2 if braced else 1))
    if match is None:
        raise TemplateError(f"has a `${{` that starts no variable at character {start + 1}; write `$${{` for the signs")
    if not braced:
        return Reference(match[0]), match.end()
    position = match.end()
    operator = next((found for found in _OPERATORS if text.startswith(found, position)), "")
    argument: list[Part] = []
    if operator:
        argument, position = _parse(text, position + len(operator), depth=depth + 1)
    if not text.startswith("}", position):
        raise TemplateError(
            f"has a `${{{match[0]}` that is not a valid variable; the forms are ${{X}}, ${{X:-default}} and ${{X:?message}}"
        )
    return Reference(match[0], operator, tuple(argument)), position + 1


def substitute(parts: tuple[Part, ...], values: Mapping[str, Text], *, unset_is_empty: bool = False) -> Text:
    """The text with its variables filled in; secret when any filled-in part is secret.

    Raises UnsetVariable for the first variable that has neither a value nor a default; with `unset_is_empty`
    only where the text itself demands a value.
    """
    filled = _filled(parts, values, unset_is_empty)
    text = "".join(reveal(part) for part in filled)
    return Sensitive(text) if any(isinstance(part, Sensitive) for part in filled) else text


def _filled(parts: tuple[Part, ...], values: Mapping[str, Text], unset_is_empty: bool) -> list[Text]:
    return [part if isinstance(part, str) else _resolve(part, values, unset_is_empty) for part in parts]


def _resolve(reference: Reference, values: Mapping[str, Text], unset_is_empty: bool) -> Text:
    value = values.get(reference.name)
    # With a colon an empty value counts as unset, without it only a missing one does.
    is_set = value is not None and (reveal(value) != "" or not reference.operator.startswith(":"))
    kind = reference.operator.lstrip(":")
    if kind == "+":
        return substitute(reference.argument, values, unset_is_empty=unset_is_empty) if is_set else ""
    if is_set and value is not None:
        return value
    if kind == "-":
        return substitute(reference.argument, values, unset_is_empty=unset_is_empty)
    if kind == "?":
        # The message goes to a terminal: printed, a secret in it is its mask.
        message = "".join(str(part) for part in _filled(reference.argument, values, True))
        raise UnsetVariable(reference.name, message, required=True)
    if unset_is_empty:
        return ""
    raise UnsetVariable(reference.name, "", required=False)


def references(parts: tuple[Part, ...]) -> Iterator[Reference]:
    """Every variable of a template, those in defaults included."""
    for part in parts:
        if isinstance(part, Reference):
            yield part
            yield from references(part.argument)
