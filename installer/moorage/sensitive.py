"""A secret value as a type: it cannot be printed, logged, serialised or compared by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn

MASK = "[secret]"


class Sensitive:
    """Holds a secret text; only `reveal()` gives it out, where a consumer needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; call it only where the value is handed to its reader."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sensitive) and hmac.compare_digest(self._bytes(), other._bytes())

    def _bytes(self) -> bytes:
        # Bytes of a file that are no text stand as lone surrogates in it.
        return self._text.encode("utf-8", "surrogatepass")

    def __hash__(self) -> int:
        return hash(("Sensitive", self._text))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")


Text = str | Sensitive
"""A text that may be a secret."""


def reveal(text: Text) -> str:
    """The characters of `text`, secret or not."""
    return text.reveal() if isinstance(text, Sensitive) else text
