"""How far long work is, told to whoever waits for it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then; `done` and `total` are bytes, `total` may be an estimate."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Tell."""
