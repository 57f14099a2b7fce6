"""The log's health, judged from what a store and a server say."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from moorage.backups.physical.engine import PhysicalBackup
from moorage.backups.physical.health import ServerLog, WalHealth, judge
from moorage.backups.physical.information import ArchivedSegment
from moorage.backups.physical.segments import Gap, Segment

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)


def _health(
    there: list[int], current: int, starts: list[int], waiting: tuple[int, ...] = (), free: int | None = 10**9
) -> WalHealth:
    archive = [ArchivedSegment(Segment(1, number), 1000, NOW - timedelta(minutes=100 - number)) for number in there]
    backups = [
        PhysicalBackup(f"{number:02}F", "full", "local", NOW, NOW, 10, 500, Segment(1, number).name(), "")
        for number in reversed(starts)
    ]
    server = ServerLog(Segment(1, current), frozenset(Segment(1, number) for number in waiting), 2**24, 2**26)
    return judge("local", server, archive, backups, free, NOW)


def _gap(first: int, last: int) -> Gap:
    return Gap(Segment(1, first).name(), Segment(1, last).name(), last - first + 1)


def test_whole() -> None:
    health = _health([3, 4, 5], 6, [3])
    assert (health.open_gaps, health.healed_gaps, health.waiting, health.lag_seconds) == ((), (), 0, 0.0)


def test_log_that_waits_is_late_and_not_lost() -> None:
    health = _health([3, 4], 7, [3], waiting=(5, 6))
    assert (health.open_gaps, health.waiting, health.lag_seconds) == ((), 2, 96 * 60.0)


def test_log_that_arrived_between_the_two_questions_is_not_waiting() -> None:
    assert _health([3, 4, 5], 6, [3], waiting=(5,)).waiting == 0


def test_log_that_neither_has_is_lost_whatever_the_server_says() -> None:
    assert _health([3, 4], 8, [3]).open_gaps == (_gap(5, 7),)
    assert _health([3, 4], 8, [3], waiting=(7,)).open_gaps == (_gap(5, 6),)
    assert _health([], 5, [3]).open_gaps == (_gap(3, 4),)


def test_a_newer_backup_heals_a_gap() -> None:
    assert _health([3, 4, 7, 8], 9, [3]).open_gaps == (_gap(5, 6),)
    healed = _health([3, 4, 7, 8], 9, [3, 8])
    assert (healed.open_gaps, healed.healed_gaps) == ((), (_gap(5, 6),))


def test_log_before_the_oldest_backup_is_nobodys() -> None:
    health = _health([1, 5, 6], 7, [5])
    assert (health.open_gaps, health.healed_gaps) == ((), ())
    assert _health([1, 5, 6], 9, []).open_gaps == ()


def test_the_day_when_the_store_is_full() -> None:
    health = _health([3, 4], 5, [3], free=10**6)
    assert health.bytes_per_day > 0
    assert health.days_until_full == 10**6 / health.bytes_per_day
    assert _health([], 5, [], free=10**6).days_until_full == float("inf")
    assert _health([3, 4], 5, [3], free=None).days_until_full is None
