"""Retention: what stays and why, for histories of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from moorage.backups.records import State
from moorage.backups.retention import BackupAge, RetentionPolicy, decide

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=timezone.utc)
POLICY = RetentionPolicy()


def nights(count: int, state: State = "good", *, newest: datetime = NOW, first: int = 1) -> list[BackupAge]:
    """One backup a night, the newest last."""
    return [
        BackupAge(f"{state}{first + number}", first + number, newest - timedelta(days=count - 1 - number), state)
        for number in range(count)
    ]


def kept(backups: Sequence[BackupAge], policy: RetentionPolicy = POLICY, now: datetime = NOW) -> list[str]:
    return [decision.id for decision in decide(backups, policy, now) if decision.keep]


def reason(backups: Sequence[BackupAge], name: str, policy: RetentionPolicy = POLICY) -> str:
    return next(decision.reason for decision in decide(backups, policy, NOW) if decision.id == name)


def test_a_year_of_nights_leaves_days_weeks_and_months() -> None:
    stay = [decision for decision in decide(nights(365), POLICY, NOW) if decision.keep]
    # The 22nd of November 2026 is a Sunday: the seven days are one week.
    assert [(decision.id, decision.reason) for decision in stay] == [
        ("good365", "the newest good one, day 1 of 7, week 1 of 4, month 1 of 6"),
        *((f"good{366 - number}", f"day {number} of 7") for number in range(2, 8)),
        *((f"good{365 - 7 * number}", f"week {number + 1} of 4") for number in range(1, 3)),
        ("good344", "week 4 of 4"),
        ("good343", "month 2 of 6"),
        ("good312", "month 3 of 6"),
        ("good282", "month 4 of 6"),
        ("good251", "month 5 of 6"),
        ("good220", "month 6 of 6"),
    ]


def test_several_in_one_day_leave_the_last() -> None:
    backups = [BackupAge(f"b{hour}", hour, NOW - timedelta(hours=4 - hour), "good") for hour in range(5)]
    assert kept(backups, RetentionPolicy(daily=7, weekly=0, monthly=0, min_good=1)) == ["b4"]


def test_ten_failing_nights_take_no_good_one_away() -> None:
    good = nights(10, newest=NOW - timedelta(days=10))
    failed = nights(10, "bad", first=11)
    alone, together = kept(good), kept([*good, *failed])
    assert set(alone) <= set(together)
    assert {item.id for item in failed} <= set(together)
    assert "no newer good one" in reason([*good, *failed], "bad20")


def test_failed_ones_go_when_newer_good_ones_are_there() -> None:
    failed = nights(10, "bad", newest=NOW - timedelta(days=1))
    good = nights(1, first=11)
    assert kept([*failed, *good]) == ["good11", "bad10", "bad9", "bad8"]
    old = nights(3, "unproven", newest=NOW - timedelta(days=8))
    assert kept([*old, *good]) == ["good11"]
    assert reason([*old, *good], "unproven3") == "was never proven, and newer good ones are there"


def test_one_that_was_found_damaged_later_stays_for_a_look_as_long_as_any() -> None:
    old = BackupAge("old", 1, NOW - timedelta(days=90), "bad", judged=NOW - timedelta(days=1))
    assert "old" in kept([old, *nights(3, first=2)])
    long_ago = BackupAge("old", 1, NOW - timedelta(days=90), "bad", judged=NOW - timedelta(days=8))
    assert "old" not in kept([long_ago, *nights(3, first=2)])


def test_the_newest_that_this_very_store_gave_back_stays_however_old_it_is() -> None:
    history = nights(20)
    history[2] = replace(history[2], is_proven_here=True)
    policy = RetentionPolicy(3, 0, 0, 1)
    assert kept(history, policy) == ["good20", "good19", "good18", "good3"]
    assert reason(history, "good3", policy) == "the newest that was read back from this very store"
    history[18] = replace(history[18], is_proven_here=True)
    assert kept(history, policy) == ["good20", "good19", "good18"]


def test_a_gap_in_the_schedule_removes_nothing() -> None:
    old = nights(7, newest=NOW - timedelta(days=300))
    assert kept([*old, *nights(1, first=8)]) == [f"good{number}" for number in range(8, 1, -1)]


def test_never_fewer_than_the_floor() -> None:
    one_day = [BackupAge(f"b{number}", number, NOW - timedelta(minutes=60 - number), "good") for number in range(9)]
    assert kept(one_day, RetentionPolicy(1, 0, 0, 4)) == ["b8", "b7", "b6", "b5"]
    assert reason(one_day, "b5", RetentionPolicy(1, 0, 0, 4)) == "good one 4 of at least 4"


def test_what_is_dated_in_the_future_or_unreadable_stays_and_counts_for_nothing() -> None:
    ahead = BackupAge("ahead", 9, NOW + timedelta(days=2), "good")
    unreadable = BackupAge("torn", 8, None, "unproven")
    backups = [*nights(7), unreadable, ahead]
    assert set(kept(backups)) == {*kept(nights(7)), "ahead", "torn"}
    assert "future" in reason(backups, "ahead")
    assert "can't be read" in reason(backups, "torn")
    # A clock that was set back makes a newer backup look older: the sequence still tells.
    set_back = BackupAge("back", 10, NOW - timedelta(days=400), "good")
    assert "the newest good one" in reason([*nights(7), set_back], "back")


def test_a_deletion_that_did_not_finish_is_finished() -> None:
    half = BackupAge("half", 3, NOW, "expired")
    assert kept([half, *nights(2)]) == ["good2", "good1"]


states = st.sampled_from(["good", "good", "good", "bad", "unproven", "expired"])
histories = st.lists(st.tuples(st.integers(-3, 1000), st.integers(0, 23), states, st.booleans()), max_size=60).map(
    lambda rows: [
        BackupAge(
            f"b{number}",
            number,
            None if unreadable and state != "expired" and number % 7 == 0 else NOW - timedelta(days=days, hours=hours),
            state,  # type: ignore[arg-type]
        )
        for number, (days, hours, state, unreadable) in enumerate(rows)
    ]
)
policies = st.builds(
    RetentionPolicy,
    daily=st.integers(1, 20),
    weekly=st.integers(0, 9),
    monthly=st.integers(0, 9),
    min_good=st.integers(1, 9),
)


def usable(backups: Sequence[BackupAge]) -> list[BackupAge]:
    """Good ones that count, the newest first."""
    found = [item for item in backups if item.state == "good" and item.taken and item.taken <= NOW + timedelta(hours=1)]
    return sorted(found, key=lambda item: -item.sequence)


@given(histories, policies)
def test_the_newest_good_ones_always_stay(backups: list[BackupAge], policy: RetentionPolicy) -> None:
    assert {item.id for item in usable(backups)[: policy.min_good]} <= set(kept(backups, policy))


@given(histories, policies)
def test_without_a_good_one_nothing_but_given_up_ones_goes(backups: list[BackupAge], policy: RetentionPolicy) -> None:
    rest = [item for item in backups if item.state != "good"]
    assert set(kept(rest, policy)) == {item.id for item in rest if item.state != "expired"}


@given(histories, policies)
def test_deciding_again_about_what_stayed_deletes_nothing(backups: list[BackupAge], policy: RetentionPolicy) -> None:
    stay = set(kept(backups, policy))
    again = kept([item for item in backups if item.id in stay], policy)
    assert set(again) >= {item.id for item in backups if item.id in stay and item.state == "good"}


@given(histories, policies, st.integers(0, 59))
def test_failures_change_nothing_for_good_ones(backups: list[BackupAge], policy: RetentionPolicy, count: int) -> None:
    good = {item.id for item in backups if item.state == "good"}
    failures = [BackupAge(f"f{number}", 1000 + number, NOW, "bad") for number in range(count)]
    assert good & set(kept(backups, policy)) == good & set(kept([*backups, *failures], policy))


@given(histories, policies)
def test_every_backup_gets_one_decision_with_a_reason(backups: list[BackupAge], policy: RetentionPolicy) -> None:
    found = decide(backups, policy, NOW)
    assert sorted(decision.id for decision in found) == sorted(item.id for item in backups)
    assert all(decision.reason for decision in found)


@given(histories, policies, st.integers(1, 5))
def test_a_larger_policy_keeps_no_less(backups: list[BackupAge], policy: RetentionPolicy, more: int) -> None:
    larger = RetentionPolicy(policy.daily + more, policy.weekly + more, policy.monthly + more, policy.min_good + more)
    assert set(kept(backups, policy)) <= set(kept(backups, larger))
