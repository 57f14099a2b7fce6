"""A store read back without a restore: what is signed, what restic and pgBackRest say of their own, and that both fit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from moorage.backups import fetching, pruning
from moorage.backups.failures import ABOUT_ONE_COPY, BackupError, Damaged, NoSuchBackup, Tampered
from moorage.backups.job_context import Job, OpenStore
from moorage.backups.manifest import MANIFEST_FILE
from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.records import Record, StoredBackup, Verdict, timestamp
from moorage.backups.workplace import Failure, failure_of
from moorage.errors import MoorageError


@dataclass
class StoreVerification:
    """What was looked at in one store and what was wrong; `bad` are the backups that count as good no longer.

    `physical` is how many backups of the cluster were read back with their log, None where the store has none.
    """

    store: str
    read_percent: float
    backups: int = 0
    physical: int | None = None
    problems: list[Failure] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note what goes wrong, and go on with the next question."""
        try:
            yield
        except (MoorageError, OSError) as error:
            self.problems.append(failure_of(error))


def verify(job: Job, identifier: str, store: str, *, read_percent: float) -> tuple[StoreVerification, ...]:
    """Verify one store or all of them, and of their backups one or (for an empty id) all.

    A backup whose copy turns out to be damaged gets a bad verdict in that store.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        plans = [job.plan.store(store)] if store else list(job.plan.stores)
        return tuple(_verified(job, job.open(plan), identifier, read_percent) for plan in plans)


def _verified(job: Job, opened: OpenStore, identifier: str, read_percent: float) -> StoreVerification:
    found = StoreVerification(opened.plan.name, read_percent)
    with found.noting():
        opened.catalogue.claim(create=False)
        backups = _chosen(opened, identifier)
        found.backups = len(backups)
        for backup in backups:
            _ask_backup(job, opened, backup, found)
        job.report.step(f"reading the repository of {opened.plan.name}")
        _ask_repository(job, opened, backups, found)
    if job.plan.physical and opened.plan.name in job.plan.physical.stores:
        with found.noting():
            ask_physical(job, found)
    return found


def _chosen(opened: OpenStore, identifier: str) -> list[StoredBackup]:
    backups = [backup for backup in opened.catalogue.backups() if not backup.is_expired]
    chosen = [backup for backup in backups if identifier in ("", backup.id)]
    if identifier and not chosen:
        raise NoSuchBackup(f"store {opened.plan.name} has no backup {identifier}", "`moorage backup list` shows them")
    return chosen


def _ask_backup(job: Job, opened: OpenStore, backup: StoredBackup, found: StoreVerification) -> None:
    """Record and verdicts are signed, and the snapshot has the very manifest that the record names."""
    with found.noting():
        if backup.problem:
            raise Tampered(f"store {opened.plan.name}: {backup.problem}", "take this backup from another store")
    with found.noting():
        if backup.record is None:
            return
        try:
            _ask_manifest(job, opened, backup.record)
        except ABOUT_ONE_COPY as error:
            _mark(job, opened, backup, error, found)
            raise


def _ask_manifest(job: Job, opened: OpenStore, record: Record) -> None:
    place = f"{job.workplace.staged(record.id)}/{MANIFEST_FILE}"
    with tempfile.TemporaryDirectory(dir=job.runtime) as name:
        opened.restic.restore(record.snapshot, Path(name), [place])
        fetching.read_verified(job, Path(name + place).parent, record)


def _ask_repository(job: Job, opened: OpenStore, backups: Sequence[StoredBackup], found: StoreVerification) -> None:
    """All that restic has is whole; the backups that need a damaged file of it are named."""
    unexplained = pruning.plan_of(job, opened).unexplained
    if unexplained:
        job.report.warning(f"store {opened.plan.name}: {pruning.told(unexplained)}")
    try:
        opened.restic.check(read_percent=found.read_percent)
    except Damaged as error:
        hit = opened.restic.snapshots_with(error.packs)
        for backup in backups:
            if backup.record and backup.record.snapshot.startswith(hit):
                _mark(job, opened, backup, error, found)
        raise


def ask_physical(job: Job, found: StoreVerification) -> None:
    """The cluster's backups and their log in a store, by pgBackRest; it reads all of them. Raises Damaged."""
    engine = PgBackRest(job.plan)
    if not engine.information(found.store).has_stanza:
        return
    job.report.step(f"reading the cluster's backups and log in {found.store}")
    verification = engine.verify(found.store)
    if not verification.is_good:
        raise Damaged(
            f"store `{found.store}`: the cluster's backups or their log are damaged: {'; '.join(verification.problems)}",
            "`moorage backup run` begins anew with a backup of all of it; the dumps are apart from this",
        )
    found.physical = len(engine.backups(found.store))


def _mark(job: Job, opened: OpenStore, backup: StoredBackup, error: BackupError, found: StoreVerification) -> None:
    """Say once that this store's copy is bad; what other stores have is apart from this."""
    if backup.state == "bad" or backup.id in found.bad:
        return
    verdict = Verdict(
        backup.id, False, error.exit_status, error.message, timestamp(job.now()), opened.plan.name, restore_seconds=0.0
    )
    opened.catalogue.add_verdict(verdict)
    found.bad.append(backup.id)
