"""Whether backups are as they should be: one judgement for `status`, `check` and whoever watches, from plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from moorage.backups.moments import spans_text
from moorage.backups.records import parse_timestamp
from moorage.quantities import human_size
from moorage.words import abridged, plural

# A size that is this far from the median of the last seven tells of a table that is gone, or of one that grows wild.
_TOO_SMALL, _TOO_LARGE = 0.5, 2.0
_DAYS_UNTIL_FULL = 14
# Each store has its turn once in seven nights.
_DAYS_UNREAD = 14
_CLOCKS_DIFFER_HOURS = 1


@dataclass(frozen=True)
class StoreHealth:
    """One store: counts, the newest good backup, its size against the median of those before; bytes, days by growth.

    `last_proven` is when the newest good one was proven, by what store `proven_in` gave back; `last_read_back` is when
    this store itself last gave a backup back whole. `unexplained` are the backups whose data is there and that no record tells of.
    """

    name: str
    good: int = 0
    unproven: int = 0
    bad: int = 0
    unreadable: int = 0
    unexplained: tuple[str, ...] = ()
    last_good: str = ""
    last_proven: str = ""
    restore_seconds: float = 0.0
    proven_in: str = ""
    last_read_back: str = ""
    newest_sequence: int = 0
    bytes: int = 0
    median_bytes: int = 0
    free_bytes: int | None = None
    grows_per_day: int = 0
    error: str = ""


@dataclass(frozen=True)
class LogHealth:
    """The database's log in one store, as the last night found it there; `open_gaps` and `healed_gaps` in words.

    Any moment in one of the `spans` can be restored; `reaches_from` is the first of all, `reaches_to` the last.
    """

    store: str
    reaches_from: str = ""
    reaches_to: str = ""
    spans: tuple[tuple[str, str], ...] = ()
    lag_seconds: float = 0.0
    waiting: int = 0
    open_gaps: tuple[str, ...] = ()
    healed_gaps: tuple[str, ...] = ()
    days_until_full: float | None = None
    error: str = ""


@dataclass(frozen=True)
class Health:
    """All stores, the database's log, and how the last night ended (`exit_status` 0 is good)."""

    at: str
    night: str
    exit_status: int
    reason: str
    stores: tuple[StoreHealth, ...]
    logs: tuple[LogHealth, ...] = ()


@dataclass(frozen=True)
class HealthFinding:
    """One thing to know. `is_failure` makes `status` and `check` end with a failure."""

    store: str
    text: str
    fix: str
    is_failure: bool


def read_health(data: dict[str, object]) -> Health:
    """The JSON of the job back. Raises TypeError or KeyError for another shape."""
    known = dict(data)
    stores = known.pop("stores")
    assert isinstance(stores, list)
    logs = known.pop("logs", [])
    assert isinstance(logs, list)
    return Health(
        **known,  # type: ignore[arg-type]
        stores=tuple(_read_store(item) for item in stores),
        logs=tuple(_read_log(item) for item in logs),
    )


def _read_store(item: dict[str, Any]) -> StoreHealth:
    return StoreHealth(**{**item, "unexplained": tuple(item.get("unexplained", ()))})


def _read_log(item: dict[str, Any]) -> LogHealth:
    spans = tuple((first, last) for first, last in item.get("spans", ()))
    lists = {"open_gaps": tuple(item["open_gaps"]), "healed_gaps": tuple(item["healed_gaps"]), "spans": spans}
    return LogHealth(**{**item, **lists})


def judge(health: Health, age_limit_hours: int, installed: datetime, now: datetime) -> tuple[HealthFinding, ...]:
    """What is wrong, the worst first. The age of the newest good backup decides, whatever the last night said.

    A deployment that was `installed` less than the limit ago has its first night before it.
    """
    is_new = _is_new(installed, age_limit_hours, now)
    found = [finding for store in health.stores for finding in _of_store(store, age_limit_hours, now, is_new=is_new)]
    found += [finding for log in health.logs for finding in _of_log(log)]
    if health.exit_status and not any(finding.is_failure for finding in found):
        fix = "`moorage backup run` makes one now and shows why it fails"
        found.append(HealthFinding("", f"the last night failed: {health.reason}", fix, is_failure=False))
    return tuple(sorted(found, key=lambda finding: not finding.is_failure))


def _is_new(installed: datetime, age_limit_hours: int, now: datetime) -> bool:
    """Whether the first night may still be to come; a moment that is yet to come tells nothing."""
    return -_CLOCKS_DIFFER_HOURS <= (now - installed) / timedelta(hours=1) <= age_limit_hours


def is_ahead(timestamp: str, now: datetime) -> bool:
    """Whether a moment that was written down is yet to come, by more than clocks differ: then one of them is wrong."""
    return age_hours(timestamp, now) < -_CLOCKS_DIFFER_HOURS


def age_hours(timestamp: str, now: datetime) -> float:
    """How old a moment is."""
    return (now - parse_timestamp(timestamp)) / timedelta(hours=1)


def none_yet(age_limit_hours: int, installed: datetime, now: datetime) -> HealthFinding:
    """No night has ended yet: a failure when one should have."""
    is_late = not _is_new(installed, age_limit_hours, now)
    fix = "`moorage backup run` makes one now" + ("; `systemctl list-timers` shows the timer" if is_late else "")
    return HealthFinding("", "no backup has been made yet", fix, is_failure=is_late)


def _of_log(log: LogHealth) -> Iterator[HealthFinding]:
    if log.error:
        yield HealthFinding(
            log.store, f"the log in store {log.store}: {log.error}", "`moorage backup run` tries again", is_failure=True
        )
    elif log.open_gaps:
        text = f"store {log.store} misses {log.open_gaps[0]} of the log: nothing that happened after it can be restored"
        if log.spans:
            text += f", what can is {spans_text(log.spans)}"
        yield HealthFinding(log.store, text, "`moorage backup run` heals it", is_failure=True)
    if log.days_until_full is not None and log.days_until_full < _DAYS_UNTIL_FULL:
        text = f"store {log.store} is full of log and backups in about {log.days_until_full:.0f} days"
        fix = "make room there, or `backups.point_in_time: off`"
        yield HealthFinding(log.store, text, fix, is_failure=False)


def _of_store(store: StoreHealth, age_limit_hours: int, now: datetime, *, is_new: bool) -> Iterator[HealthFinding]:
    if store.error:
        yield HealthFinding(
            store.name, f"store {store.name}: {store.error}", "`moorage backup list` asks it again", True
        )
        return
    if not store.last_good:
        text = f"store {store.name} has no good backup yet"
        yield HealthFinding(store.name, text, "`moorage backup run` makes one and proves it", is_failure=not is_new)
        return
    age = age_hours(store.last_good, now)
    if is_ahead(store.last_good, now):
        text = (
            f"the newest good backup in store {store.name} is from the future ({store.last_good}): is the clock right?"
        )
        fix = "`timedatectl` shows this server's clock; when it is right, `moorage backup run` makes a backup of today"
        yield HealthFinding(store.name, text, fix, is_failure=True)
    if age > age_limit_hours:
        text = f"the newest good backup in store {store.name} is {age:.0f} hours old, the limit is {age_limit_hours}"
        yield HealthFinding(
            store.name, text, "`moorage backup run` makes one now and shows why it fails", is_failure=True
        )
    yield from _unread(store, now)
    yield from _sizes(store)
    if store.unreadable:
        text = f"store {store.name} has {store.unreadable} entries that can't be read"
        yield HealthFinding(store.name, text, "`moorage backup list` names them", is_failure=False)
    if store.unexplained:
        text = (
            f"store {store.name} has the data of {plural(len(store.unexplained), 'backup')} but no record of it: "
            f"{abridged(store.unexplained, 3)}"
        )
        fix = "did a lifecycle rule or somebody remove `backups/*.json` there? The data stays: `backups/RESTORE.md`"
        yield HealthFinding(store.name, text, fix, is_failure=False)


def _unread(store: StoreHealth, now: datetime) -> Iterator[HealthFinding]:
    """That backups lie in a store which nobody has read for long: good is then only what other stores gave back."""
    fix = f"`moorage backup drill --store {store.name}` reads it back now"
    if store.last_read_back:
        days = age_hours(store.last_read_back, now) / 24
        if days > _DAYS_UNREAD:
            text = f"store {store.name} itself was last read back whole {days:.0f} days ago"
            yield HealthFinding(store.name, text, fix, is_failure=False)
    elif store.newest_sequence > _DAYS_UNREAD:
        text = f"store {store.name} itself was never read back whole"
        yield HealthFinding(store.name, text, fix, is_failure=False)


def _sizes(store: StoreHealth) -> Iterator[HealthFinding]:
    if store.median_bytes and not _TOO_SMALL <= store.bytes / store.median_bytes <= _TOO_LARGE:
        text = (
            f"the newest backup in store {store.name} is {human_size(store.bytes)}, those before were "
            f"{human_size(store.median_bytes)}"
        )
        fix = "look whether the app lost data or grew; `moorage backup show` compares the tables"
        yield HealthFinding(store.name, text, fix, is_failure=False)
    if store.free_bytes is not None and store.grows_per_day > 0:
        days = store.free_bytes / store.grows_per_day
        if days < _DAYS_UNTIL_FULL:
            text = f"store {store.name} is full in about {days:.0f} days: {human_size(store.free_bytes)} are free"
            yield HealthFinding(
                store.name, text, "make room there, or keep fewer: `backups.retention`", is_failure=False
            )
