"""Which kind tonight, which backup for a moment, how many full ones stay."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from moorage.backups.failures import NoSuchBackup
from moorage.backups.physical.choice import chosen_for, fulls_to_keep, next_kind
from moorage.backups.physical.engine import Kind, PhysicalBackup

# A Sunday.
SUNDAY = datetime(2026, 11, 22, 3, 30, tzinfo=timezone.utc)


def _backup(kind: Kind, days_ago: float, *, is_corrupt: bool = False) -> PhysicalBackup:
    at = SUNDAY - timedelta(days=days_ago)
    return PhysicalBackup(
        f"{at:%Y%m%d-%H%M%S}{kind[0].upper()}", kind, "local", at, at, 1, 1, "", "", is_corrupt=is_corrupt
    )


@pytest.mark.parametrize(
    ("backups", "now", "kind"),
    [
        ([], SUNDAY, "full"),
        ([_backup("full", 1)], SUNDAY - timedelta(hours=12), "incr"),
        ([_backup("incr", 1), _backup("full", 7)], SUNDAY, "full"),
        ([_backup("full", 0.1)], SUNDAY, "incr"),
        ([_backup("incr", 0), _backup("full", 1)], SUNDAY + timedelta(days=1), "incr"),
        ([_backup("incr", 0), _backup("full", 6)], SUNDAY + timedelta(days=2), "full"),
        ([_backup("incr", 0.5, is_corrupt=True), _backup("full", 2)], SUNDAY + timedelta(days=1), "full"),
    ],
    ids=["none", "saturday", "its day", "its day again", "monday", "a sunday was missed", "the last is corrupt"],
)
def test_the_kind_of_tonight(backups: list[PhysicalBackup], now: datetime, kind: Kind) -> None:
    assert next_kind(backups, 0, now) == kind


def test_the_newest_sound_one_that_ended_before_the_moment() -> None:
    corrupt, newer, older = _backup("incr", 0, is_corrupt=True), _backup("incr", 1), _backup("full", 2)
    backups = (corrupt, newer, older)
    assert chosen_for(backups, "local", None) == newer
    assert chosen_for(backups, "local", newer.finished) == newer
    assert chosen_for(backups, "local", newer.finished - timedelta(seconds=1)) == older
    with pytest.raises(NoSuchBackup) as caught:
        chosen_for(backups, "local", older.finished - timedelta(seconds=1))
    assert "2026-11-20 03:30:00" in caught.value.hint
    with pytest.raises(NoSuchBackup):
        chosen_for((corrupt,), "local", None)


def test_backups_that_are_no_good_take_nobodys_place() -> None:
    fulls = [
        _backup("full", 0, is_corrupt=True),
        _backup("incr", 1),
        _backup("full", 7),
        _backup("full", 14),
        _backup("full", 21),
    ]
    assert fulls_to_keep(fulls, 2) == 3
    assert fulls_to_keep(fulls, 2, bad={fulls[2].label}) == 4
    assert fulls_to_keep(fulls[1:], 2) == 2
    assert fulls_to_keep(fulls, 2, bad={backup.label for backup in fulls}) == 4
    assert fulls_to_keep([], 2) == 2
