"""Which moments a store's backups of the cluster and its log lead to: between them lie the gaps of the log. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from moorage.backups.physical.engine import PhysicalBackup, Reach
from moorage.backups.physical.information import ArchivedSegment
from moorage.backups.physical.segments import Gap, Segment, gaps, parse_segment


@dataclass(frozen=True)
class _Lead:
    """From the end of a backup as far as the log that begins in it is whole."""

    first: datetime
    last: datetime
    segment: Segment


def reach(backups: Sequence[PhysicalBackup], archive: Sequence[ArchivedSegment], size: int) -> tuple[Reach, ...]:
    """The spans, the oldest first. Corrupt backups lead nowhere, nor do those whose own log is not whole.

    When a segment came stands for the last moment in it: the server hands one over at least every minute.
    """
    sound = sorted((backup for backup in backups if not backup.is_corrupt), key=lambda backup: backup.label)
    starts = [start for backup in sound if (start := parse_segment(backup.wal_start, size))]
    missing = gaps((item.segment for item in archive), min(starts), size) if starts else ()
    found: list[_Lead] = []
    for backup in sound:
        lead = _lead_of(backup, archive, missing, size)
        if lead is None:
            continue
        start = parse_segment(backup.wal_start, size)
        if found and start is not None and start <= found[-1].segment:
            found[-1] = replace(found[-1], last=max(found[-1].last, lead.last), segment=lead.segment)
        else:
            found.append(lead)
    return tuple(Reach(lead.first, lead.last) for lead in found)


def _lead_of(
    backup: PhysicalBackup, archive: Sequence[ArchivedSegment], missing: Sequence[Gap], size: int
) -> _Lead | None:
    start, stop = parse_segment(backup.wal_start, size), parse_segment(backup.wal_stop, size)
    if start is None or stop is None:
        return None
    end = next((gap for gap in missing if _segment(gap.last, size) >= start), None)
    whole = [item for item in archive if end is None or item.segment < _segment(end.first, size)]
    if not whole or whole[-1].segment < stop:
        return None
    return _Lead(backup.finished, max(backup.finished, whole[-1].at), whole[-1].segment)


def _segment(name: str, size: int) -> Segment:
    found = parse_segment(name, size)
    assert found is not None
    return found
