"""Which backup: the kind of tonight's, the one to restore from, how many full ones stay. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from moorage.backups.failures import NoSuchBackup
from moorage.backups.physical.engine import Kind, PhysicalBackup

# On its weekday a full one is taken once, and a week that went by without one is made up for.
_SAME_DAY = timedelta(hours=20)
_A_WEEK = timedelta(days=7, hours=12)


def next_kind(backups: Sequence[PhysicalBackup], full_weekday: int, now: datetime) -> Kind:
    """Full on that weekday (0 is Sunday), when the last full one is too old, no good or not there; else incremental."""
    full = next((backup for backup in backups if backup.kind == "full"), None)
    if full is None or backups[0].is_corrupt or now - full.finished > _A_WEEK:
        return "full"
    is_day = now.isoweekday() % 7 == full_weekday
    return "full" if is_day and now - full.finished > _SAME_DAY else "incr"


def chosen_for(backups: Sequence[PhysicalBackup], store: str, at: datetime | None) -> PhysicalBackup:
    """The newest sound backup that ended before `at`. Raises NoSuchBackup saying from when on there are some."""
    sound = [backup for backup in backups if not backup.is_corrupt]
    if not sound:
        raise NoSuchBackup(f"store `{store}` has no physical backup", "`moorage backup run` takes one")
    found = next((backup for backup in sound if at is None or backup.finished <= at), None)
    if found is None:
        raise NoSuchBackup(
            f"{at:%Y-%m-%d %H:%M:%S %Z} is before the first physical backup of store `{store}`",
            f"the earliest moment that can be reached is {sound[-1].finished:%Y-%m-%d %H:%M:%S %Z}",
        )
    return found


def fulls_to_keep(backups: Sequence[PhysicalBackup], wanted: int, bad: Collection[str] = ()) -> int:
    """How many of the newest full backups hold `wanted` good ones; all of them when there are fewer."""
    fulls = [backup for backup in backups if backup.kind == "full"]
    good = 0
    for number, backup in enumerate(fulls, 1):
        good += not (backup.is_corrupt or backup.label in bad)
        if good == wanted:
            return number
    return max(wanted, len(fulls))
