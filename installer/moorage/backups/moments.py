"""Moments as people write them: always with a zone, since an hour too early or too late restores other data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from moorage.errors import InputError
from moorage.words import listed

_FORM = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?) ?(Z|[+-]\d\d:\d\d)")
_EXAMPLE = "such as 2026-11-22T14:05:00+01:00, or 2026-11-22T13:05:00Z"

# As late as the log leads.
NEWEST = datetime.max.replace(tzinfo=timezone.utc)
_NEWEST_WORD = "newest"


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment, in UTC; NEWEST for the word `newest`. Raises InputError for another form, no zone, no such date, or one that is yet to come."""
    if text.strip() == _NEWEST_WORD:
        return NEWEST
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InputError(f"`{text}` is no moment with a zone", f"write date, time and zone, {_EXAMPLE}, or `newest`")
    day, clock, zone = found.groups()
    whole, _, fraction = clock.partition(".")
    seconds = whole if whole.count(":") == 2 else f"{whole}:00"
    try:
        moment = datetime.fromisoformat(
            f"{day}T{seconds}.{fraction.ljust(6, '0')}{'+00:00' if zone == 'Z' else zone}"
        ).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise InputError(f"`{text}` is no moment of any calendar", f"write one {_EXAMPLE}") from None
    if moment > now:
        raise InputError(f"{shown(moment)} is yet to come; it is {shown(now)}", "is the zone right?")
    return moment


def shown(moment: datetime) -> str:
    """For people, in UTC and to the second."""
    if moment == NEWEST:
        return "the newest moment of the log"
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def spans_text(spans: Iterable[Sequence[str]]) -> str:
    """`from A to B or from C to D`."""
    return listed(f"from {first} to {last}" for first, last in spans)


def exact(moment: datetime) -> str:
    """As `parse_moment` reads it, to the microsecond."""
    if moment == NEWEST:
        return _NEWEST_WORD
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"
