"""Which store a night reads back: each has its turn, whatever the calendar says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.backups.fetching import store_to_drill
from moorage.backups.workplace import Night, StoreOutcome


def night(sequence: int, *published: str) -> Night:
    return Night("x", "x", stores=tuple(StoreOutcome(name, "snapshot", sequence=sequence) for name in published))


@pytest.mark.parametrize(
    ("names", "turns"),
    [(["a"], "aaaaaaa"), (["a", "b"], "abaaaaa"), (["a", "b", "c"], "abcaaaa"), (list("abcdefghi"), "abcdefghi")],
)
def test_each_has_its_turn_and_the_first_one_the_rest(names: list[str], turns: str) -> None:
    found = [store_to_drill(names, night(sequence, *names)) for sequence in range(1, 2 * len(turns) + 1)]
    assert "".join(found) == turns * 2


@given(st.integers(1, 7), st.integers(1, 10_000))
def test_seven_nights_in_a_row_leave_nobody_out(count: int, first: int) -> None:
    names = [f"store-{number}" for number in range(count)]
    assert {store_to_drill(names, night(sequence, *names)) for sequence in range(first, first + 7)} == {*names}


def test_another_steps_in_for_one_that_has_not_got_it() -> None:
    assert store_to_drill(["a", "b", "c"], night(2, "a", "c")) == "a"
    assert store_to_drill(["a", "b", "c"], night(1, "c")) == "c"
