"""Data as Compose must be given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def literal(value: Any) -> Any:
    """The same data with every dollar sign doubled: all variables are filled in already, Compose must not try again."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, (list, tuple)) else value


def in_order(value: Any) -> Any:
    """The same data with every mapping sorted by its keys; lists stay as they are."""
    if isinstance(value, Mapping):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(item) for item in value] if isinstance(value, (list, tuple)) else value
