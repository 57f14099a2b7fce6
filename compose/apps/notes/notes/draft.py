"""A note as someone sends it, checked before it is stored; imports nothing external."""

from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_TITLE = 200
LONGEST_BODY = 100_000
LONGEST_PRIVATE = 10_000
KNOWN_KEYS = frozenset({"title", "body", "private"})


class DraftError(Exception):
    """What was sent is not a note; the message is for the sender."""


@dataclass(frozen=True)
class Draft:
    """A note that may be stored; an empty private text means that there is none."""

    title: str
    body: str
    private: str


def read_draft(values: object) -> Draft:
    """Return the draft in a decoded JSON value or in form fields, or raise DraftError."""
    if not isinstance(values, Mapping):
        raise DraftError("expected an object with title, body and optionally private")
    unknown = sorted(str(key) for key in values.keys() - KNOWN_KEYS)
    if unknown:
        raise DraftError(f"unknown: {', '.join(unknown)}; known are title, body and private")
    title = read_text(values, "title", LONGEST_TITLE)
    if not title.strip():
        raise DraftError("title is empty")
    return Draft(
        title,
        read_text(values, "body", LONGEST_BODY),
        read_text(values, "private", LONGEST_PRIVATE),
    )


def read_text(values: Mapping[str, object], name: str, longest: int) -> str:
    """Return one text of the draft, empty when it is absent or null, or raise DraftError."""
    text = values.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise DraftError(f"{name} is not text")
    if len(text) > longest:
        raise DraftError(f"{name} is longer than {longest} characters")
    if not is_storable(text):
        raise DraftError(f"{name} holds a NUL or half a character, which the database can't store")
    return text


def is_storable(text: str) -> bool:
    """Return whether Postgres can store the text: no NUL, no lone surrogate."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)
