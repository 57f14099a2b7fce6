"""The port of the physical path: what a night, a status line and a restore ask of an engine, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from moorage.backups.failures import WalGap
from moorage.backups.physical.segments import Gap

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    Connection = psycopg.Connection[Any]

Kind = Literal["full", "diff", "incr"]


@dataclass(frozen=True)
class PhysicalBackup:
    """One backup of the cluster in one store. Sizes in bytes: of the cluster, and what the store grew by.

    The log from `wal_start` to `wal_stop` (names of segments) makes it consistent; it lies in the folder `archive`, each
    cluster that the store has known has its own. `is_corrupt` when page checksums of
    the running cluster were wrong while it was taken: the engine keeps it, nobody should count it as good.
    """

    label: str
    kind: Kind
    store: str
    started: datetime
    finished: datetime
    database_bytes: int
    added_bytes: int
    wal_start: str
    wal_stop: str
    archive: str = ""
    prior: str = ""
    is_corrupt: bool = False


@dataclass(frozen=True)
class RecoveryMark:
    """A moment with a transaction right after it: `at` can be reached as soon as segment `wal` is in the store."""

    at: datetime
    wal: str
    segment_bytes: int


@dataclass(frozen=True)
class Verification:
    """What reading a store's physical part back gave; `problems` are the engine's own words, none when all is well."""

    store: str
    problems: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether every byte that was read is the one that was written."""
        return not self.problems


@dataclass(frozen=True)
class Expiry:
    """Which backups an expiry removed and which it left, and from which segment on the store still has the log."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]
    wal_from: str


@dataclass(frozen=True)
class Restored:
    """Files of a cluster in a new folder that were not recovered yet: `recovery.recovered_server` does that.

    `wal` is the folder with the log when it was fetched too; without it the log is asked of the store.
    """

    data: Path
    backup: PhysicalBackup
    wal: Path | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reach:
    """From when to when a store's backups and its log lead without a gap."""

    first: datetime
    last: datetime


@dataclass(frozen=True)
class WalHealth:
    """The log in one store, compared with the server's. Names of segments, bytes, seconds.

    `open_gaps` are not covered by a newer backup: nothing after them can be restored, until tonight's backup. The moments
    in `healed_gaps` can't be reached, everything around them can. `lag_seconds` is 0 while nothing waits.
    """

    store: str
    archived: str
    archived_at: datetime | None
    current: str
    waiting: int
    lag_seconds: float
    open_gaps: tuple[Gap, ...]
    healed_gaps: tuple[Gap, ...]
    server_bytes: int
    free_bytes: int | None
    bytes_per_day: float

    @property
    def days_until_full(self) -> float | None:
        """At the pace of the last week; None where the room isn't known."""
        if self.free_bytes is None:
            return None
        return self.free_bytes / self.bytes_per_day if self.bytes_per_day else float("inf")

    def refuse_gaps(self) -> None:
        """Raise WalGap when moments since the last backup can't be reached."""
        if self.open_gaps:
            raise WalGap(
                f"store `{self.store}` misses {self.open_gaps[0]} of the write-ahead log: "
                "nothing that happened after it can be restored",
                "`moorage backup run` takes a backup now, which heals it",
            )


class PhysicalEngine(Protocol):
    """A store is named as in the plan. Every method raises a BackupError whose class says why."""

    def check(self, connection: Connection, *, is_new_cluster: bool = False) -> None:
        """Prove for every store that the log of the running cluster arrives there; make what is missing.

        The caller has claimed the stores (`Catalogue.claim`). One store that is away fails it.
        `is_new_cluster` is said by a restore or an upgrade
        that made the cluster: without it another cluster than the store's raises ForeignStore.
        """
        ...

    def backup(self, store: str, now: datetime) -> PhysicalBackup:
        """Take tonight's backup, a full one or what changed; raises Corrupt when page checksums are wrong."""
        ...

    def backups(self, store: str) -> tuple[PhysicalBackup, ...]:
        """The newest first."""
        ...

    def verify(self, store: str) -> Verification:
        """Read back every file of the store's physical part."""
        ...

    def health(self, store: str, connection: Connection, now: datetime) -> WalHealth:
        """How far the log is in the store itself, and what is missing there."""
        ...

    def reach(self, store: str) -> tuple[Reach, ...]:
        """The moments that can be restored, the oldest first, apart where the log has gaps; none before the first backup."""
        ...

    def mark(self, store: str, connection: Connection) -> RecoveryMark:
        """A moment that a drill can recover to, once the log that it needs is in the store; waits for that."""
        ...

    def restore(self, store: str, folder: Path, at: datetime | None) -> Restored:
        """Put the files of a cluster into a new folder, to be recovered to a time or (None) to the newest state."""
        ...

    def fetch(self, store: str, folder: Path, label: str, mark: RecoveryMark) -> Restored:
        """Like `restore`, with all of the log that `mark` needs beside it, for a drill without network and secrets."""
        ...

    def expire(self, store: str, bad: Collection[str] = ()) -> Expiry:
        """Remove what the retention gives up; `bad` labels take no good one's place."""
        ...
