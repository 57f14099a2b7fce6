"""Segments: names as Postgres gives them, gaps on one timeline and over a promotion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.backups.physical.segments import Gap, Segment, between, gaps, parse_segment

SIZES = st.sampled_from([2**20 * 2**power for power in range(11)])


def _there(*names: str) -> list[Segment]:
    return [segment for name in names if (segment := parse_segment(name))]


@given(timeline=st.integers(1, 2**31), number=st.integers(0, 2**40), size=SIZES)
def test_a_name_reads_back(timeline: int, number: int, size: int) -> None:
    segment = Segment(timeline, number % (2**32 * (2**32 // size)))
    assert parse_segment(segment.name(size), size) == segment


@pytest.mark.parametrize(
    "name",
    [
        "00000002.history",
        "000000010000000000000003.00000028.backup",
        "000000010000000000000003.partial",
        "archive.info",
    ],
)
def test_other_files_are_no_segments(name: str) -> None:
    assert parse_segment(name) is None


def test_the_second_half_of_a_name_goes_up_to_ff() -> None:
    assert between("0000000100000000000000FE", "000000010000000100000001") == (
        "0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000", "000000010000000100000001",
    )  # fmt: skip


@given(numbers=st.sets(st.integers(0, 60), min_size=1), first=st.integers(0, 60))
def test_every_missing_segment_is_in_exactly_one_gap(numbers: set[int], first: int) -> None:
    found = gaps([Segment(1, number) for number in numbers], Segment(1, first))
    missing = {number for number in range(first, max(numbers) + 1) if number not in numbers}
    named = [name for gap in found for name in between(gap.first, gap.last)]
    assert sorted(named) == sorted(Segment(1, number).name() for number in missing)
    assert sum(gap.count for gap in found) == len(missing)


def test_a_promotion_is_no_gap() -> None:
    there = _there(
        "000000010000000000000003", "000000010000000000000004", "000000020000000000000004", "000000020000000000000005"
    )
    assert gaps(there, there[0]) == ()


def test_a_promotion_in_the_middle_of_an_abandoned_timeline_is_no_gap() -> None:
    there = [Segment(1, number) for number in range(3, 30)] + [Segment(2, number) for number in range(10, 15)]
    assert gaps(there, Segment(1, 3)) == ()


def test_a_gap_on_the_new_timeline_is_not_hidden_by_the_old_one() -> None:
    there = [Segment(1, number) for number in range(3, 30)] + [Segment(2, number) for number in (10, 11, 14)]
    assert gaps(there, Segment(1, 3)) == (Gap(Segment(2, 12).name(), Segment(2, 13).name(), 2),)


def test_log_that_was_lost_around_a_promotion_is_a_gap() -> None:
    assert gaps([Segment(1, 3), Segment(2, 6)], Segment(1, 3)) == (Gap(Segment(2, 4).name(), Segment(2, 5).name(), 2),)
