"""Words for messages that help: the nearest right one, lists, numbers, and nothing that a terminal would obey."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_COLOURING = re.compile(r"\x1b\[[0-9;]*m")
# Control characters of both kinds, and those that turn the direction of writing around; line breaks and tabs stay.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """The choice that `word` was probably meant to be, or an empty text; `cutoff` is the least likeness, 0 to 1."""
    known = {choice.lower(): choice for choice in choices}
    found = get_close_matches(word.lower(), known, n=1, cutoff=cutoff)
    if not found:
        found = [choice for choice in known if word and len(word) > 2 and (choice.startswith(word.lower()))][:1]
    return known[found[0]] if found else ""


def listed(choices: Iterable[str], last: str = "or") -> str:
    """`a, b or c`; nothing of nothing."""
    items = list(choices)
    return f"{', '.join(items[:-1])} {last} {items[-1]}" if len(items) > 1 else "".join(items)


def abridged(items: Sequence[str], most: int | None) -> str:
    """`a, b and 3 more`: the first `most` of them and how many there are besides; all of them for None."""
    rest = 0 if most is None else len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")


def plural(count: int, noun: str, several: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{count} {noun if count == 1 else several or noun + 's'}"


def printable(text: str) -> str:
    """The text as it may go to a terminal: names of files, tables and objects may be anybody's, and hold its commands."""
    return _OBEYED.sub("\ufffd", _COLOURING.sub("", text))
