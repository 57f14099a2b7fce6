"""Segments of the write-ahead log: their names, their order, and which are missing in a store."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from moorage.quantities import MEBIBYTE
from moorage.words import plural

SEGMENT_BYTES = 16 * MEBIBYTE
_NAME = re.compile(r"[0-9A-F]{24}")
_SPAN = 2**32


@dataclass(frozen=True, order=True)
class Segment:
    """One segment; `number` counts on over the whole life of a cluster, whatever its timeline."""

    timeline: int
    number: int

    def name(self, size: int = SEGMENT_BYTES) -> str:
        """The name that Postgres gives to its file: 24 hexadecimal digits."""
        high, low = divmod(self.number, _SPAN // size)
        return f"{self.timeline:08X}{high:08X}{low:08X}"


@dataclass(frozen=True)
class Gap:
    """Segments that are missing, first and last by name."""

    first: str
    last: str
    count: int

    def __str__(self) -> str:
        return f"{plural(self.count, 'segment')} from {self.first} to {self.last}"


def parse_segment(name: str, size: int = SEGMENT_BYTES) -> Segment | None:
    """The segment of a file name (what follows the 24 digits is left out), None for a history or label file."""
    if not _NAME.match(name) or name[24:25] == ".":
        return None
    return Segment(int(name[:8], 16), int(name[8:16], 16) * (_SPAN // size) + int(name[16:24], 16))


def between(first: str, last: str, size: int = SEGMENT_BYTES) -> tuple[str, ...]:
    """The names from `first` to `last` on the timeline of `first`, both included."""
    start, stop = parse_segment(first, size), parse_segment(last, size)
    assert start is not None
    assert stop is not None
    return tuple(Segment(start.timeline, number).name(size) for number in range(start.number, stop.number + 1))


def gaps(there: Iterable[Segment], first: Segment, size: int = SEGMENT_BYTES) -> tuple[Gap, ...]:
    """What is missing from `first` up to the newest that is there; each timeline must be whole in itself.

    A timeline begins in the segment where the one before ended, or right after it: that is how a promotion looks.
    """
    found: list[Gap] = []
    expected = first.number
    segments = sorted({segment for segment in there if segment >= first})
    timeline = first.timeline
    for segment in segments:
        if segment.timeline > timeline:
            # It says itself where it begins; that may be far before the end of an abandoned one.
            expected, timeline = min(expected, segment.number), segment.timeline
        if segment.number > expected:
            found.append(gap(Segment(timeline, expected), segment.number - expected, size))
        expected = segment.number + 1
    return tuple(found)


def gap(first: Segment, count: int, size: int = SEGMENT_BYTES) -> Gap:
    """`count` missing segments from `first` on."""
    return Gap(first.name(size), Segment(first.timeline, first.number + count - 1).name(size), count)
