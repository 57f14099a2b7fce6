"""Which backups stay, with the reason of each: a pure function of what the stores say.

Counted are good backups only, by the days, weeks and months that have one; age alone never decides (a gap in the
schedule must not remove all that is older). What failed or was never proven neither counts nor takes anybody's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from moorage.backups.records import State

# A failed one stays for a look for so long, and so many of them.
_FAILED_DAYS = 7
_FAILED_KEPT = 3
# The clock of a server may be a little ahead of ours.
_TOLERANCE = timedelta(hours=1)


@dataclass(frozen=True)
class RetentionPolicy:
    """How many good backups stay: the last of so many days, weeks (ISO) and months, and never fewer than `min_good`."""

    daily: int = 7
    weekly: int = 4
    monthly: int = 6
    min_good: int = 3


@dataclass(frozen=True)
class BackupAge:
    """What the decision needs of a backup. `taken` is None when its record can't be read, `judged` without a verdict.

    `is_proven_here` says that its good verdict is about what this very store gave back.
    """

    id: str
    sequence: int
    taken: datetime | None
    state: State
    judged: datetime | None = None
    is_proven_here: bool = False


@dataclass(frozen=True)
class Decision:
    """Keep or delete, and why in words."""

    id: str
    keep: bool
    reason: str


def decide(backups: Iterable[BackupAge], policy: RetentionPolicy, now: datetime) -> tuple[Decision, ...]:
    """A decision for every backup, the newest first. Nothing is deleted while there is no good one newer than it."""
    ordered = sorted(backups, key=lambda item: (item.sequence, item.id), reverse=True)
    good = [item for item in ordered if item.state == "good" and item.taken is not None and not _is_ahead(item, now)]
    reasons = _reasons(good, policy)
    return tuple(_decision(item, reasons, good, ordered, now) for item in ordered)


def _decision(
    item: BackupAge,
    reasons: dict[str, list[str]],
    good: Sequence[BackupAge],
    ordered: Sequence[BackupAge],
    now: datetime,
) -> Decision:
    if item.state == "expired":
        return Decision(item.id, False, "was already given up; its deletion did not finish")
    if item.taken is None:
        return Decision(item.id, True, "can't be read; look at it, it is never deleted by itself")
    if _is_ahead(item, now):
        return Decision(item.id, True, "is dated in the future; look at the clock, it is never deleted by itself")
    if item.state == "good":
        if item.id in reasons:
            return Decision(item.id, True, ", ".join(reasons[item.id]))
        return Decision(item.id, False, "newer good ones cover its day, week and month")
    return _of_no_use(item, good, ordered, now)


def _of_no_use(item: BackupAge, good: Sequence[BackupAge], ordered: Sequence[BackupAge], now: datetime) -> Decision:
    """A failed or unproven backup: it stays while it may be of use, and goes when newer good ones are there."""
    assert item.taken is not None
    word = "failed its drill" if item.state == "bad" else "was never proven"
    if not good or good[0].sequence < item.sequence:
        return Decision(item.id, True, f"{word}; no newer good one is there")
    alike = [other for other in ordered if other.state in ("bad", "unproven") and other.taken is not None]
    since = max(item.taken, item.judged or item.taken)
    if now - since < timedelta(days=_FAILED_DAYS) and alike.index(item) < _FAILED_KEPT:
        return Decision(item.id, True, f"{word}; kept for a look")
    return Decision(item.id, False, f"{word}, and newer good ones are there")


def _reasons(good: Sequence[BackupAge], policy: RetentionPolicy) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if good:
        found[good[0].id] = ["the newest good one"]
    read_back = next((item for item in good if item.is_proven_here), None)
    if read_back and read_back.id not in found:
        found[read_back.id] = ["the newest that was read back from this very store"]
    spans: tuple[tuple[str, int, Callable[[datetime], object]], ...] = (
        ("day", policy.daily, lambda taken: taken.date()),
        ("week", policy.weekly, lambda taken: taken.isocalendar()[:2]),
        ("month", policy.monthly, lambda taken: (taken.year, taken.month)),
    )
    for name, count, span_of in spans:
        for number, item in enumerate(_last_of_each(good, span_of, count), 1):
            found.setdefault(item.id, []).append(f"{name} {number} of {count}")
    for number, item in enumerate(good[: policy.min_good], 1):
        if item.id not in found:
            found[item.id] = [f"good one {number} of at least {policy.min_good}"]
    return found


def _last_of_each(good: Sequence[BackupAge], span_of: Callable[[datetime], object], count: int) -> list[BackupAge]:
    """The newest good backup of each of the newest `count` spans that have one."""
    seen: dict[object, BackupAge] = {}
    for item in good:
        assert item.taken is not None
        seen.setdefault(span_of(item.taken.astimezone(timezone.utc)), item)
    return list(seen.values())[:count]


def _is_ahead(item: BackupAge, now: datetime) -> bool:
    return item.taken is not None and item.taken > now + _TOLERANCE
