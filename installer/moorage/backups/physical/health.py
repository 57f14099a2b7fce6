"""How far the write-ahead log is, asked of the store itself: what the server says of its archiver may be wrong.

With a queue limit log can be given up while `pg_stat_archiver` counts it as archived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from moorage.backups.physical.engine import PhysicalBackup, RecoveryMark, WalHealth
from moorage.backups.physical.information import ArchivedSegment, Cluster
from moorage.backups.physical.segments import Gap, Segment, gap, gaps, parse_segment

if TYPE_CHECKING:
    from moorage.backups.physical.engine import Connection

_GROWTH_DAYS = 7


@dataclass(frozen=True)
class ServerLog:
    """What the server has: the segment that it writes now, those that wait to be archived, bytes of all its log."""

    current: Segment
    waiting: frozenset[Segment]
    segment_bytes: int
    bytes: int


def judge(
    store: str,
    server: ServerLog,
    archive: Sequence[ArchivedSegment],
    backups: Sequence[PhysicalBackup],
    free_bytes: int | None,
    now: datetime,
) -> WalHealth:
    """The health of one store; pure. Without a backup there is no log that anybody needs, so no gap."""
    size = server.segment_bytes
    newest = archive[-1] if archive else None
    own = [item.segment for item in archive]
    open_gaps, healed = _gaps_around(own, server, backups)
    lag = (now - newest.at).total_seconds() if server.waiting and newest else 0.0
    return WalHealth(
        store=store,
        archived=newest.segment.name(size) if newest else "",
        archived_at=newest.at if newest else None,
        current=server.current.name(size),
        waiting=len(server.waiting - set(own)),
        lag_seconds=max(0.0, lag),
        open_gaps=open_gaps,
        healed_gaps=healed,
        server_bytes=server.bytes,
        free_bytes=free_bytes,
        bytes_per_day=_growth(archive, backups, now),
    )


def _gaps_around(
    own: Sequence[Segment], server: ServerLog, backups: Sequence[PhysicalBackup]
) -> tuple[tuple[Gap, ...], tuple[Gap, ...]]:
    """Those after the start of the newest backup, and those before it."""
    size = server.segment_bytes
    starts = sorted(start for backup in backups if (start := parse_segment(backup.wal_start, size)))
    if not starts:
        return (), ()
    later = [segment for segment in own if segment >= starts[-1]]
    earlier = [segment for segment in own if segment <= starts[-1]]
    return (*gaps(later, starts[-1], size), *_lost(later, starts[-1], server)), gaps(earlier, starts[0], size)


def _lost(there: Sequence[Segment], start: Segment, server: ServerLog) -> tuple[Gap, ...]:
    """Segments that are complete, not in the store, and that the server does not keep for it either."""
    last = there[-1] if there else Segment(start.timeline, start.number - 1)
    if last.timeline != server.current.timeline:
        return ()
    numbers = range(last.number + 1, server.current.number)
    lost = [number for number in numbers if Segment(last.timeline, number) not in server.waiting]
    if not lost:
        return ()
    first = Segment(last.timeline, lost[0])
    return (gap(first, lost[-1] - lost[0] + 1, server.segment_bytes),)


def _growth(archive: Sequence[ArchivedSegment], backups: Sequence[PhysicalBackup], now: datetime) -> float:
    """Bytes that come per day: of the last week, or since the first segment where that is less."""
    since = now - timedelta(days=_GROWTH_DAYS)
    log = [item for item in archive if item.at >= since]
    recent = [backup for backup in backups if backup.finished >= since]
    first = min((item.at for item in log), default=now)
    days = max((now - first) / timedelta(days=1), 1 / 24)
    return (sum(item.bytes for item in log) + sum(backup.added_bytes for backup in recent)) / days


def server_log(connection: Connection) -> ServerLog:
    """Ask the server; needs a superuser or `pg_monitor`."""
    size = segment_bytes(connection)
    (name,) = _row(connection, "select pg_walfile_name(pg_current_wal_lsn())")
    (amount,) = _row(connection, "select coalesce(sum(size), 0)::bigint from pg_ls_waldir()")
    (ready,) = _row(
        connection, "select coalesce(array_agg(name), '{}') from pg_ls_archive_statusdir() where name like '%.ready'"
    )
    current = parse_segment(name, size)
    assert current is not None
    waiting = (parse_segment(item.removesuffix(".ready"), size) for item in ready)
    return ServerLog(current, frozenset(item for item in waiting if item), size, amount)


def cluster_of(connection: Connection) -> Cluster:
    """The running cluster's system identifier and major version."""
    (identifier,) = _row(connection, "select system_identifier::text from pg_control_system()")
    (version,) = _row(connection, "select current_setting('server_version_num')::int / 10000")
    return Cluster(0, identifier, str(version))


def set_mark(connection: Connection) -> RecoveryMark:
    """A moment, then a transaction that changes nothing (it only takes a number), then a switch of the log.

    Recovery to a moment ends at the first commit after it; on a quiet server there would be none.
    """
    (at,) = _row(connection, "select clock_timestamp()")
    with connection.transaction():
        connection.execute("select txid_current()")
    (wal,) = _row(connection, "select pg_walfile_name(pg_switch_wal())")
    return RecoveryMark(at.astimezone(timezone.utc), wal, segment_bytes(connection))


def segment_bytes(connection: Connection) -> int:
    """The size of a segment of the server's log."""
    (size,) = _row(connection, "select setting::bigint from pg_settings where name = 'wal_segment_size'")
    return int(size)


def _row(connection: Connection, query: str) -> tuple[Any, ...]:
    return connection.execute(query).fetchone() or ()
