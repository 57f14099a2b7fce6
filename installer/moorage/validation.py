"""Pydantic's errors in the words of this program: the rule, the value, the nearest right word."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from moorage.errors import Problem
from moorage.formats import KeyPath
from moorage.words import listed, nearest


class Report(Protocol):
    """Makes a Problem of a path in some document."""

    def __call__(
        self,
        path: KeyPath,
        rule: str,
        *,
        value: object = "",
        suggestion: str = "",
        hint: str = "",
        of_key: bool = False,
    ) -> Problem: ...


def explain(detail: ErrorDetails, model: type[BaseModel], report: Report, base: KeyPath = ()) -> Problem:
    """One validation error of `model` as a Problem; `base` is where the model stands in the document."""
    location: KeyPath = tuple(detail["loc"])
    path = (*base, *location)
    kind, context = detail["type"], detail.get("ctx", {})
    value = detail["input"]
    if kind == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        return report(
            path,
            "is not a setting",
            suggestion=nearest(str(location[-1]), known),
            hint="" if nearest(str(location[-1]), known) else f"known: {', '.join(sorted(known))}",
            of_key=True,
        )
    if kind == "missing":
        return report(path, "is required")
    if location and location[-1] == "[key]":
        return report(path[:-1], str(context.get("error", detail["msg"])), of_key=True)
    choices = _choices(model, location) if kind == "literal_error" else ()
    rule = _rule(kind, context, detail["msg"], choices)
    if kind == "value_error" and isinstance(value, (dict, list)):
        value = ""
    return report(path, rule, value=value, suggestion=nearest(str(value), choices) if choices else "")


def _rule(kind: str, context: Mapping[str, Any], message: str, choices: tuple[str, ...]) -> str:
    """The rule in words that follow the key's name."""
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        # An empty text stands for "not written" where it is a choice.
        return f"must be {listed([choice for choice in choices if choice])}"
    simple = {
        "bool_parsing": "must be true or false",
        "bool_type": "must be true or false",
        "int_parsing": "must be a whole number",
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "string_type": "must be a text",
        "dict_type": "must be a mapping",
        "model_type": "must be a mapping",
        "model_attributes_type": "must be a mapping",
        "tuple_type": "must be a list",
        "list_type": "must be a list",
        "string_too_short": "must not be empty"
        if context.get("min_length") == 1
        else f"must have at least {context.get('min_length')} characters",
        "string_too_long": f"must have at most {context.get('max_length')} characters",
        "too_short": "must not be empty",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "string_pattern_mismatch": f"must match {context.get('pattern')}",
    }
    return simple.get(kind, message[:1].lower() + message[1:])


def _annotation_at(model: type[BaseModel], location: KeyPath) -> Any:
    """The type annotation that stands behind a path of the model."""
    current: Any = model
    for part in location:
        current = _unwrapped(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            field_info = current.model_fields.get(str(part))
            current = field_info.annotation if field_info else None
        else:
            arguments = [item for item in typing.get_args(current) if item is not Ellipsis]
            current = arguments[-1] if arguments else None
    return _unwrapped(current)


def _unwrapped(annotation: Any) -> Any:
    """The annotation without Annotated[] and without `| None`."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
            continue
        arguments = typing.get_args(annotation)
        if type(None) in arguments:
            annotation = next(item for item in arguments if item is not type(None))
            continue
        return annotation


def _fields_at(model: type[BaseModel], location: KeyPath) -> tuple[str, ...]:
    found = _annotation_at(model, location)
    return tuple(found.model_fields) if isinstance(found, type) and issubclass(found, BaseModel) else ()


def _choices(model: type[BaseModel], location: KeyPath) -> tuple[str, ...]:
    return tuple(str(choice) for choice in typing.get_args(_annotation_at(model, location)))


def show_value(value: object) -> str:
    """A value as a message shows it: short, in one line."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, dict):
        text = "a mapping"
    elif isinstance(value, (list, tuple)):
        text = "a list"
    elif value is None:
        text = "nothing"
    else:
        text = repr(value) if isinstance(value, str) else str(value)
    # A password inside an address must not reach a terminal or a log.
    text = re.sub(r"://\S*@", "://[secret]@", text)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]
