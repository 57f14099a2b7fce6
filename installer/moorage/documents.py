"""What a YAML file says, with the line and column of every part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from moorage.errors import Place

KeyPath = tuple[str | int, ...]
"""The keys and indexes that lead to a value inside a document."""


class WrittenInteger(int):
    """A whole number that is shown as it was written: `+49`, `0x1F`."""

    text: str

    def __str__(self) -> str:
        return self.text


class WrittenDecimal(float):
    """A decimal number that is shown as it was written: `1.50`."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass
class Document:
    """The content of one YAML file and where each part of it stands.

    `value` consists of dict, list, str, int, float, bool and None. `marks` maps a path to the
    (line, column) of its value, `key_marks` to that of its key; both count from 1. `numbers` has the text of
    each number.
    """

    name: str
    value: Any = None
    marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    key_marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    numbers: dict[KeyPath, str] = field(default_factory=dict)

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place:
        """Where the value (or key) at `path` stands; the nearest written parent when it isn't in the file."""
        first, second = (self.key_marks, self.marks) if of_key else (self.marks, self.key_marks)
        while path and path not in first and path not in second:
            path = path[:-1]
        line, column = first.get(path) or second.get(path) or (0, 0)
        return Place(self.name, line, column)

    def with_numbers_as_written(self) -> Any:
        """A copy of the value whose numbers are WrittenInteger and WrittenDecimal."""
        return self._as_written(self.value, ())

    def _as_written(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: self._as_written(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._as_written(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        number = WrittenInteger(value) if isinstance(value, int) else WrittenDecimal(value)
        number.text = self.numbers.get(path, str(value))
        return number


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it: `services.web.ports[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
