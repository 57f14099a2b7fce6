"""Numbers for a Prometheus text file, and the same ones for `status`: ages are what is alerted on, not events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from math import isinf
from pathlib import Path
from types import MappingProxyType
from typing import Any

from moorage.backups import pruning
from moorage.backups.health import Health, LogHealth, StoreHealth, is_ahead
from moorage.backups.job_context import Job
from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.postgres.connections import connect
from moorage.backups.records import StoredBackup, parse_timestamp, timestamp
from moorage.backups.workplace import Night, failure_of
from moorage.durable import replace_file, sync_folder
from moorage.errors import MoorageError

PROMETHEUS_FILE = "moorage.prom"
STATUS_FILE = "status.json"
_OFTEN = 7
_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def measure(job: Job, night: Night | None, unexplained: Mapping[str, tuple[str, ...]] = _NOTHING) -> Health:
    """Ask every store; one that does not answer is a line with its reason.

    `unexplained` has what pruning has just found in stores: they need not list their snapshots once more.
    """
    failure = night.first_failure if night else None
    return Health(
        at=f"{job.now():%Y-%m-%dT%H:%M:%SZ}",
        night=night.id if night else "",
        exit_status=failure.exit_status if failure else 0,
        reason=failure.reason if failure else "",
        stores=tuple(_store(job, plan.name, unexplained.get(plan.name)) for plan in job.plan.stores),
        logs=tuple(_log(job, name) for name in (job.plan.physical.stores if job.plan.physical else ())),
    )


def _log(job: Job, store: str) -> LogHealth:
    """The log as it lies in a store, compared with the server's."""
    database = job.plan.database
    assert database is not None
    engine = PgBackRest(job.plan)
    try:
        with connect(database, database.maintenance) as connection:
            found = engine.health(store, connection, job.now())
        spans = tuple((timestamp(reach.first), timestamp(reach.last)) for reach in engine.reach(store))
    except Exception as error:  # whatever it is, the other numbers are written
        return LogHealth(store, error=failure_of(error).reason)
    days = found.days_until_full
    return LogHealth(
        store=store,
        reaches_from=spans[0][0] if spans else "",
        reaches_to=spans[-1][1] if spans else "",
        spans=spans,
        lag_seconds=round(found.lag_seconds, 1),
        waiting=found.waiting,
        open_gaps=tuple(str(gap) for gap in found.open_gaps),
        healed_gaps=tuple(str(gap) for gap in found.healed_gaps),
        # JSON has no infinity.
        days_until_full=None if days is None or isinf(days) else round(days, 1),
    )


def write(job: Job, night: Night, unexplained: Mapping[str, tuple[str, ...]] = _NOTHING) -> Health:
    """Both files, whole, where the plan wants them; `unexplained` as for `measure`."""
    health = measure(job, night, unexplained)
    if not job.plan.metrics_folder:
        return health
    folder = Path(job.plan.metrics_folder)
    replace_file(folder / STATUS_FILE, (json.dumps(asdict(health), sort_keys=True, indent=1) + "\n").encode(), 0o644)
    replace_file(folder / PROMETHEUS_FILE, prometheus(job.plan.project, health).encode(), 0o644)
    sync_folder(folder)
    return health


def prometheus(project: str, health: Health) -> str:
    """The text format; without a good backup, or with one from the future, there is no time stamp: alert on absence, too."""
    return "".join(f"{line}\n" for line in _lines(project, health))


def _lines(project: str, health: Health) -> Iterator[str]:
    yield "# TYPE moorage_backup_night_exit_status gauge"
    yield f'moorage_backup_night_exit_status{{project="{project}"}} {health.exit_status}'
    yield from _gauges(project, health, _GAUGES, [(store.name, store) for store in health.stores])
    if health.logs:
        yield from _gauges(project, health, _LOG_GAUGES, [(log.store, log) for log in health.logs])


def _gauges(project: str, health: Health, gauges: dict[str, Any], rows: Sequence[tuple[str, Any]]) -> Iterator[str]:
    for name, value_of in gauges.items():
        yield f"# TYPE moorage_backup_{name} gauge"
        for store, row in rows:
            value = None if row.error else value_of(row)
            if value is not None and not _is_ahead(name, value, health):
                yield f'moorage_backup_{name}{{project="{project}",store="{store}"}} {value:.15g}'


def _is_ahead(name: str, value: float, health: Health) -> bool:
    """Whether it is a moment from the future: an alert on age would be silent until then, one on absence fires."""
    moment = datetime.fromtimestamp(value, timezone.utc) if name.endswith("_timestamp_seconds") else None
    return moment is not None and is_ahead(timestamp(moment), parse_timestamp(health.at))


def _seconds(moment: str) -> float | None:
    return parse_timestamp(moment).timestamp() if moment else None


_GAUGES: dict[str, Any] = {
    "last_good_timestamp_seconds": lambda store: _seconds(store.last_good),
    "last_proven_timestamp_seconds": lambda store: _seconds(store.last_proven),
    "last_read_back_timestamp_seconds": lambda store: _seconds(store.last_read_back),
    "restore_seconds": lambda store: store.restore_seconds if store.last_proven else None,
    "good_count": lambda store: store.good,
    "bytes": lambda store: store.bytes if store.last_good else None,
    "free_bytes": lambda store: store.free_bytes,
}


_LOG_GAUGES: dict[str, Any] = {
    "log_reaches_from_timestamp_seconds": lambda log: _seconds(log.reaches_from),
    "log_reaches_to_timestamp_seconds": lambda log: _seconds(log.reaches_to),
    "log_lag_seconds": lambda log: log.lag_seconds,
    "log_waiting": lambda log: log.waiting,
    "log_open_gaps": lambda log: len(log.open_gaps),
    "log_healed_gaps": lambda log: len(log.healed_gaps),
    "log_days_until_full": lambda log: log.days_until_full,
}


def _store(job: Job, name: str, unexplained: tuple[str, ...] | None) -> StoreHealth:
    try:
        opened = job.open(job.plan.store(name))
        if unexplained is None:
            plan = pruning.plan_of(job, opened)
            backups, unexplained = plan.backups, plan.unexplained
        else:
            backups = opened.catalogue.backups()
        return replace(_of_backups(name, backups, opened.store.free_bytes()), unexplained=unexplained)
    except (MoorageError, OSError) as error:
        return StoreHealth(name, error=failure_of(error).reason)


def _of_backups(name: str, backups: tuple[StoredBackup, ...], free: int | None) -> StoreHealth:
    good = [item for item in backups if item.state == "good" and item.record is not None]
    records = [item.record for item in good if item.record is not None]
    verdict = good[0].verdict if good else None
    read_back = [item.verdict.at for item in good if item.verdict and item.verdict.drilled_store == name]
    earlier = sorted(record.bytes for record in records[1 : _OFTEN + 1])
    return StoreHealth(
        name=name,
        good=len(good),
        unproven=sum(item.state == "unproven" and item.record is not None for item in backups),
        bad=sum(item.state == "bad" for item in backups),
        unreadable=sum(bool(item.problem) for item in backups),
        last_good=records[0].taken if records else "",
        last_proven=verdict.at if verdict else "",
        restore_seconds=verdict.restore_seconds if verdict else 0.0,
        proven_in=verdict.drilled_store if verdict else "",
        last_read_back=max(read_back, default=""),
        newest_sequence=max((item.record.sequence for item in backups if item.record), default=0),
        bytes=records[0].bytes if records else 0,
        median_bytes=earlier[len(earlier) // 2] if earlier else 0,
        free_bytes=free,
        grows_per_day=_growth([(parse_timestamp(record.taken), record.added_bytes) for record in records[:_OFTEN]]),
    )


def _growth(nights: list[tuple[datetime, int]]) -> int:
    """Bytes per day that the newest nights added, 0 where that can't be said."""
    if len(nights) < 2:
        return 0
    days = (nights[0][0] - nights[-1][0]).total_seconds() / 86400
    return int(sum(added for _, added in nights[:-1]) / days) if days > 0 else 0
