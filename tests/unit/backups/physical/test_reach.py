"""Which moments can be restored: spans of whole log, each from the end of a backup on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from moorage.backups.physical.engine import PhysicalBackup, Reach
from moorage.backups.physical.information import ArchivedSegment
from moorage.backups.physical.reach import reach
from moorage.backups.physical.segments import SEGMENT_BYTES, Segment
from moorage.quantities import MEBIBYTE

START = datetime(2026, 11, 22, 3, 0, tzinfo=timezone.utc)


def minute(number: float) -> datetime:
    return START + timedelta(minutes=number)


def log(*numbers: int, timeline: int = 1) -> list[ArchivedSegment]:
    """One segment a minute: its number says when it came."""
    return [ArchivedSegment(Segment(timeline, number), 1000, minute(number)) for number in numbers]


def backup(first: int, last: int, size: int = SEGMENT_BYTES, timeline: int = 1) -> PhysicalBackup:
    """Its log goes from one segment to another; it ends half a minute after the last of them came."""
    return PhysicalBackup(
        label=f"20261122-{first:06}F",
        kind="full",
        store="local",
        started=minute(first),
        finished=minute(last + 0.5),
        database_bytes=1,
        added_bytes=1,
        wal_start=Segment(timeline, first).name(size),
        wal_stop=Segment(timeline, last).name(size),
    )


def spans(*pairs: tuple[float, float]) -> tuple[Reach, ...]:
    return tuple(Reach(minute(first), minute(last)) for first, last in pairs)


@pytest.mark.parametrize(
    ("backups", "numbers", "expected"),
    [
        ([backup(2, 3)], range(2, 21), spans((3.5, 20))),
        ([backup(2, 3), backup(10, 11)], range(1, 21), spans((3.5, 20))),
        # A gap that a later backup healed, and one that none did.
        ([backup(2, 3), backup(10, 11)], [*range(2, 7), *range(9, 21)], spans((3.5, 6), (11.5, 20))),
        ([backup(2, 3), backup(10, 11)], [*range(2, 15), *range(18, 21)], spans((3.5, 14))),
        ([backup(2, 3), backup(10, 11)], [*range(2, 7), *range(9, 15), 18], spans((3.5, 6), (11.5, 14))),
        # The first backup has not even its own log.
        ([backup(2, 4), backup(10, 11)], [2, 4, *range(9, 21)], spans((11.5, 20))),
        ([backup(2, 4)], range(5, 21), ()),
        ([backup(2, 3)], [2, 3], spans((3.5, 3.5))),
        ([replace(backup(2, 3), is_corrupt=True), backup(10, 11)], range(2, 21), spans((11.5, 20))),
        ([replace(backup(2, 3), wal_stop="")], range(2, 21), ()),
        ([], range(2, 21), ()),
    ],
)
def test_spans(backups: list[PhysicalBackup], numbers: range, expected: tuple[Reach, ...]) -> None:
    assert reach(backups, log(*numbers), SEGMENT_BYTES) == expected


def test_a_promotion_is_no_gap() -> None:
    archive = [*log(*range(2, 9)), *log(*range(8, 21), timeline=2)]
    assert reach([backup(2, 3)], archive, SEGMENT_BYTES) == spans((3.5, 20))


def test_segments_of_another_size_have_no_gap_where_their_names_jump() -> None:
    size = 64 * MEBIBYTE
    assert reach([backup(60, 61, size)], log(*range(60, 71)), size) == spans((61.5, 70))
