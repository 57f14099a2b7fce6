"""What restores have made and moved aside: a file for each in the work volume, until it is discarded.

Each has a name of its own: a backup may be restored twice, and what the first time kept aside is not the second's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from moorage.backups.failures import BackupError, NoSuchBackup, RestoreFailed
from moorage.backups.records import is_id
from moorage.durable import replace_file, sync_folder

# What is exchanged half way stands in `exchanging` or `undoing`; only then an app must not run. What was restored into
# names of its own ends as `beside`.
Phase = Literal["preparing", "prepared", "beside", "exchanging", "exchanged", "undoing", "undone"]


@dataclass(frozen=True)
class Restore:
    """One restore: of which backup, to which moment ("" for the backup's own), how far it is, and what it is about.

    `sequence` orders restores when clocks don't; `new_databases` had nothing in their place when the exchange began; `into`
    is the name that the databases are to have beside the live ones, "" when they are to take their place.
    """

    id: str
    backup: str
    sequence: int
    moment: str = ""
    phase: Phase = "preparing"
    databases: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    new_databases: tuple[str, ...] = ()
    into: str = ""

    @property
    def is_half_way(self) -> bool:
        """Whether some of it is exchanged and some is not, as far as anybody knows."""
        return self.phase in ("exchanging", "undoing")

    def is_same(self, other: Restore) -> bool:
        """Whether both bring the same to the same place."""
        mine, its = ((item.backup, item.moment, item.volumes, item.into) for item in (self, other))
        return mine == its


class RestoreJournal:
    """The files below `<work>/restore/`: the journal, and a folder for what each restore fetches."""

    def __init__(self, work: Path) -> None:
        self._folder = work / "restore"

    def folder_of(self, identifier: str) -> Path:
        """Where a restore keeps what it fetched. Raises BackupError for what is no name of one."""
        if not is_id(identifier):
            raise BackupError(f"`{identifier}` is no name of a restore", "`moorage backup restores` shows them")
        return self._folder / identifier

    def all(self) -> list[Restore]:
        """The oldest first. Raises RestoreFailed when one can't be read: who knows what it keeps?"""
        return sorted(self._read_all(), key=lambda item: item.sequence)

    def read(self, identifier: str) -> Restore:
        """One of them. Raises NoSuchBackup."""
        place = self._place(identifier)
        if not place.is_file():
            raise NoSuchBackup(f"no restore {identifier} keeps anything aside")
        return _read(place)

    def write(self, restore: Restore) -> Restore:
        """Whole and durable."""
        place = self._place(restore.id)
        replace_file(place, (json.dumps(asdict(restore), sort_keys=True) + "\n").encode(), 0o600)
        sync_folder(place.parent)
        return restore

    def remove(self, identifier: str) -> None:
        """Forget a restore; nothing of it is left."""
        self._place(identifier).unlink(missing_ok=True)
        sync_folder(self._place(identifier).parent)

    def next_sequence(self) -> int:
        """Greater than that of any other."""
        return max((item.sequence for item in self._read_all()), default=0) + 1

    def refuse_half_way(self, but: str = "") -> None:
        """Raise RestoreFailed while another restore than `but` is exchanged half way."""
        for item in self._read_all():
            if item.is_half_way and item.id != but:
                raise half_way(item)

    def _read_all(self) -> Iterator[Restore]:
        folder = self._place("20260101T000000Z-000000").parent
        for place in folder.glob("*.json") if folder.is_dir() else ():
            yield _read(place)

    def _place(self, identifier: str) -> Path:
        return self.folder_of(identifier).parent / "journal" / f"{identifier}.json"


def half_way(restore: Restore) -> RestoreFailed:
    """What to say of a restore that was cut off while old and new changed places."""
    return RestoreFailed(*half_way_words(restore.id, is_undo=restore.phase == "undoing"))


def half_way_words(identifier: str, *, is_undo: bool) -> tuple[str, str]:
    """What happened, and the next step: the same from the job's journal and from the host's mark."""
    if is_undo:
        return (
            f"the undo of the restore {identifier} was cut off half way",
            f"`moorage backup restore --undo {identifier}` goes on with it",
        )
    return (
        f"the restore {identifier} was cut off while old and new changed places",
        f"`moorage backup restore` goes on with it; `moorage backup restore --undo {identifier}` takes it back",
    )


def _read(place: Path) -> Restore:
    try:
        data = json.loads(place.read_text(encoding="utf-8"))
        for name in ("databases", "volumes", "new_databases"):
            data[name] = tuple(data[name])
        return Restore(**data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise RestoreFailed(
            f"{place.name} of the work volume, the notes of a restore, can't be read",
            "look what lies beside the databases (`__before_…`) and in the volumes (`.moorage-before-…`)",
        ) from None
