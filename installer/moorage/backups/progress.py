"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called now and then with bytes done, bytes in all (0 while that is unknown), and what is being worked at."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Take note; it must return quickly."""
