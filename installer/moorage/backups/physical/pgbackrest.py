"""pgBackRest behind the port of the physical path."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.backups.failures import BackupError, Corrupt, DatabaseUnreachable, ForeignStore, WalGap
from moorage.backups.physical import control, folders, health, information, segments
from moorage.backups.physical.choice import chosen_for, fulls_to_keep, next_kind
from moorage.backups.physical.commands import Program
from moorage.backups.physical.complaints import failure
from moorage.backups.physical.engine import (
    Expiry,
    PhysicalBackup,
    Reach,
    RecoveryMark,
    Restored,
    Verification,
    WalHealth,
)
from moorage.backups.physical.information import ArchivedSegment, Information
from moorage.backups.physical.reach import reach
from moorage.backups.physical.settings import retention_of
from moorage.backups.plan import BackupPlan
from moorage.backups.postgres.connections import connect
from moorage.words import listed

if TYPE_CHECKING:
    from moorage.backups.physical.engine import Connection

_BLOCKS_SINCE = (2, 46)
_ARRIVAL_SECONDS = 120.0


class PgBackRest:
    """The physical path of a plan. Needs the mounts that `settings` lists; every call runs the program as `postgres`."""

    def __init__(self, plan: BackupPlan) -> None:
        assert plan.physical is not None
        self._plan = plan
        self._physical = plan.physical
        self._program = Program(plan.physical, Path(plan.work) / "locks")

    def check(self, connection: Connection, *, is_new_cluster: bool = False) -> None:
        """See the port. Forces a switch of the log and waits until it is in every store."""
        for store in self._physical.stores:
            self._make_stanza(store, connection, is_new_cluster=is_new_cluster)
        self._program.run("check", doing="checking that the write-ahead log arrives")

    def _make_stanza(self, store: str, connection: Connection, *, is_new_cluster: bool) -> None:
        known = self.information(store)
        server = health.cluster_of(connection)
        if not known.has_stanza:
            self._for_all_stores("stanza-create", "preparing the stores for the log")
            return
        last = known.clusters[-1]
        if (last.system_identifier, last.version) == (server.system_identifier, server.version):
            return
        if not is_new_cluster and int(float(server.version)) <= int(float(last.version)):
            raise ForeignStore(
                f"store `{store}` holds the log of another cluster: {last.system_identifier} of Postgres {last.version}, "
                f"the server is {server.system_identifier} of Postgres {server.version}",
                "if its data were begun anew or restored from a dump, say so with `moorage backup run --take-over`",
            )
        self._for_all_stores("stanza-upgrade", "telling the stores of the new cluster")

    def _for_all_stores(self, command: str, doing: str) -> None:
        # Both commands take no --repo: they bring every repository to the same state.
        self._program.run(command, doing=doing)

    def information(self, store: str) -> Information:
        """What the store holds. Raises WrongKey or StoreUnreachable when that can't be known."""
        text = self._program.run("info", "--output=json", store=store, doing="looking at the backups")
        found = information.read_information(text, store, self._program.repository(store))
        if found.problem:
            # `info` ends with 0 here and puts the error into its answer.
            raise failure(0, found.problem, "looking at the backups", store)
        return found

    def backups(self, store: str) -> tuple[PhysicalBackup, ...]:
        """See the port."""
        return self.information(store).backups

    def backup(self, store: str, now: datetime) -> PhysicalBackup:
        """See the port. The exit status is not believed: what the store says afterwards is."""
        before = {backup.label for backup in self.backups(store)}
        kind = next_kind(self.backups(store), self._physical.full_weekday, now)
        blocks = [f"--repo{self._program.repository(store)}-block"] if self._program.version() >= _BLOCKS_SINCE else []
        self._program.run("backup", f"--type={kind}", *blocks, store=store, doing="backing up the cluster")
        made = [backup for backup in self.backups(store) if backup.label not in before]
        if not made:
            raise BackupError(f"pgBackRest ended well, but there is no new backup in store `{store}`")
        if made[0].is_corrupt:
            raise self._corrupt(made[0])
        return made[0]

    def _corrupt(self, backup: PhysicalBackup) -> Corrupt:
        text = self._program.run("info", "--output=json", f"--set={backup.label}", store=backup.store)
        files = information.corrupt_files(text)
        where = f" in {listed(files[:5], 'and')}" if files else ""
        return Corrupt(
            f"the cluster has pages with wrong checksums{where}: backup {backup.label} does not count",
            "`pg_amcheck --all` names the tables; older backups hold the pages as they were",
        )

    def verify(self, store: str) -> Verification:
        """See the port."""
        text = self._program.run("verify", "--output=text", "--verbose", store=store, doing="reading the store back")
        return Verification(store, information.verify_problems(text))

    def archive(
        self, store: str, name: str, segment_bytes: int = segments.SEGMENT_BYTES
    ) -> tuple[ArchivedSegment, ...]:
        """The log of one cluster (`17-1`) as it lies in the store, in order."""
        options = ("--recurse", "--output=json", f"archive/{self._physical.stanza}/{name}")
        text = self._program.run("repo-ls", *options, store=store, doing="listing the log")
        return information.read_archive(text, segment_bytes)

    def health(self, store: str, connection: Connection, now: datetime) -> WalHealth:
        """See the port. The server is asked first: what it has archived since can then only be too much, never missing."""
        server = health.server_log(connection)
        place = Path(self._plan.store(store).directory or "/nowhere")
        known = self.information(store)
        archive = self.archive(store, known.clusters[-1].archive, server.segment_bytes) if known.has_stanza else ()
        backups = known.of_today if known.has_stanza else ()
        return health.judge(store, server, archive, backups, folders.free_bytes(place), now)

    def reach(self, store: str) -> tuple[Reach, ...]:
        """See the port."""
        known = self.information(store)
        if not known.has_stanza or not known.of_today:
            return ()
        size = self._segment_bytes()
        return reach(known.of_today, self.archive(store, known.clusters[-1].archive, size), size)

    def _segment_bytes(self) -> int:
        """The size of the server's segments, without which the order of their names is not known; the usual one if it is away."""
        database = self._plan.database
        assert database is not None
        try:
            with connect(database, database.maintenance, wait_seconds=0) as connection:
                return health.segment_bytes(connection)
        except DatabaseUnreachable:
            return segments.SEGMENT_BYTES

    def mark(self, store: str, connection: Connection) -> RecoveryMark:
        """See the port. Other stores may be away meanwhile."""
        mark = health.set_mark(connection)
        self._wait_for(store, mark)
        return mark

    def _wait_for(self, store: str, mark: RecoveryMark) -> None:
        deadline = time.monotonic() + _ARRIVAL_SECONDS
        name = self.information(store).clusters[-1].archive
        while not self._has_arrived(store, name, mark):
            if time.monotonic() > deadline:
                raise WalGap(
                    f"segment {mark.wal} of the log is not in store `{store}` after {_ARRIVAL_SECONDS:g} s",
                    "the database's log says why `archive_command` fails",
                )
            time.sleep(1)

    def _has_arrived(self, store: str, archive: str, mark: RecoveryMark) -> bool:
        wanted = segments.parse_segment(mark.wal, mark.segment_bytes)
        return any(item.segment == wanted for item in self.archive(store, archive, mark.segment_bytes))

    def restore(self, store: str, folder: Path, at: datetime | None) -> Restored:
        """See the port. The log is asked of the store during recovery: the configuration must be readable then."""
        backup = chosen_for(self.backups(store), store, at)
        folders.make_new(folder, backup.database_bytes)
        target = _target(at) if at else ["--type=default"]
        self._restore(backup, folder / "data", target)
        return Restored(folder / "data", backup, warnings=self._warnings(backup, folder / "data"))

    def _restore(self, backup: PhysicalBackup, data: Path, target: list[str]) -> None:
        place = [f"--pg1-path={data}", f"--tablespace-map-all={data.parent / 'tablespaces'}"]
        options = [f"--set={backup.label}", "--archive-mode=off", *place, *target]
        self._program.run("restore", *options, store=backup.store, doing=f"restoring {backup.label}")

    def _warnings(self, backup: PhysicalBackup, data: Path) -> tuple[str, ...]:
        size = control.segment_bytes(data)
        start = segments.parse_segment(backup.wal_start, size)
        assert start is not None
        archive = self.archive(backup.store, backup.archive, size)
        missing = segments.gaps((item.segment for item in archive), start, size)
        return tuple(f"the log has a gap, nothing after it can be reached: {gap}" for gap in missing[:1])

    def fetch(self, store: str, folder: Path, label: str, mark: RecoveryMark) -> Restored:
        """See the port. The folder gets `data` and `wal`."""
        backup = next((item for item in self.backups(store) if item.label == label), None)
        if backup is None:
            raise BackupError(f"store `{store}` has no physical backup {label}", "")
        names = segments.between(backup.wal_start, mark.wal, mark.segment_bytes)
        folders.make_new(folder, backup.database_bytes + len(names) * mark.segment_bytes)
        self._restore(backup, folder / "data", _target(mark.at))
        wal = folder / "wal"
        folders.make_owned(wal)
        with ThreadPoolExecutor(max(1, self._plan.parallel)) as pool:
            tuple(pool.map(lambda name: self._fetch_segment(store, name, wal), names))
        return Restored(folder / "data", backup, wal)

    def _fetch_segment(self, store: str, name: str, wal: Path) -> None:
        if self._program.status_of("archive-get", name, str(wal / name), store=store) == 1:
            raise WalGap(f"segment {name} of the log is not in store `{store}`", "the next backup heals it")
        if not (wal / name).is_file():
            self._program.run("archive-get", name, str(wal / name), store=store, doing="fetching the log")

    def expire(self, store: str, bad: Collection[str] = ()) -> Expiry:
        """See the port. Raises BackupError when log stays that no backup needs, though backups went."""
        before = self.backups(store)
        retention = retention_of(self._plan.store(store))
        more = []
        if retention.kind == "count":
            # Backups that are no good would take the places of good ones.
            amount = fulls_to_keep(before, retention.amount, bad)
            more = [f"--repo{self._program.repository(store)}-retention-full={amount}"]
        self._program.run("expire", *more, store=store, doing="removing old backups")
        return self._expired(store, before)

    def _expired(self, store: str, before: tuple[PhysicalBackup, ...]) -> Expiry:
        after = self.backups(store)
        kept = tuple(backup.label for backup in after)
        removed = tuple(backup.label for backup in before if backup.label not in kept)
        if not after:
            return Expiry(removed, kept, "")
        first = self.archive(store, after[-1].archive)[:1]
        oldest = segments.parse_segment(after[-1].wal_start)
        # Until there are as many full backups as are wanted, pgBackRest removes no log.
        if removed and first and oldest and first[0].segment < oldest:
            message = f"store `{store}` keeps log from {first[0].segment.name()} on, older than its oldest backup"
            raise BackupError(message, "`pgbackrest expire --log-level-console=detail` says why")
        return Expiry(removed, kept, first[0].segment.name() if first else "")


def _target(at: datetime) -> list[str]:
    """Recover to a moment, promote there. The form is the one that pgBackRest reads."""
    moment = f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S.%f+00}"
    return ["--type=time", f"--target={moment}", "--target-action=promote"]
