"""What may go from a store goes: decided by retention, tombstone first, data next, small files last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moorage.backups.job_context import Job, OpenStore
from moorage.backups.records import StoredBackup, is_id, parse_timestamp
from moorage.backups.retention import BackupAge, Decision, decide
from moorage.words import abridged


@dataclass(frozen=True)
class PruningPlan:
    """What a store has and what becomes of it: backups, and `orphans`, snapshots that no record tells of."""

    backups: tuple[StoredBackup, ...]
    decisions: tuple[Decision, ...]
    orphans: tuple[Decision, ...]
    snapshots: dict[str, tuple[str, ...]]

    @property
    def all(self) -> tuple[Decision, ...]:
        """Every decision, those of backups first."""
        return (*self.decisions, *self.orphans)

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The orphans that only a person can tell about."""
        return tuple(orphan.id for orphan in self.orphans if orphan.keep)


def decisions(job: Job, opened: OpenStore, backups: Sequence[StoredBackup]) -> tuple[Decision, ...]:
    """What retention says of a store's backups, the newest first."""
    return decide([_age(backup, opened.plan.name) for backup in backups], opened.plan.retention, job.now())


def plan_of(job: Job, opened: OpenStore) -> PruningPlan:
    """What pruning the store would do, told without doing it."""
    backups = opened.catalogue.backups()
    # A store that no night has reached yet has no repository.
    snapshots = opened.restic.snapshots() if backups or opened.restic.has_repository() else {}
    orphans = _orphans(job, opened.plan.name, backups, snapshots)
    return PruningPlan(backups, decisions(job, opened, backups), orphans, snapshots)


def prune(job: Job, opened: OpenStore) -> PruningPlan:
    """Delete what nothing asks for any more; gives what was decided.

    Killed at any moment, the next time goes on: a backup with a tombstone counts for nothing and is finished off.
    """
    plan = plan_of(job, opened)
    name = opened.plan.name
    if plan.unexplained:
        job.report.warning(f"store {name}: {told(plan.unexplained)}")
    job.workplace.end_record(name, *(backup.id for backup in plan.backups))
    going = [decision.id for decision in plan.decisions if not decision.keep]
    orphans = [decision.id for decision in plan.orphans if not decision.keep]
    if not opened.plan.may_delete or not (going or orphans):
        return plan
    # Another server may have taken over since the night began.
    job.claimed(opened.plan)
    for identifier in going:
        opened.catalogue.give_up(identifier)
    # By their tags: of a backup with a tombstone the record may be gone already.
    opened.restic.forget([found for identifier in (*going, *orphans) for found in plan.snapshots.get(identifier, ())])
    for identifier in going:
        opened.catalogue.forget(identifier)
    job.workplace.end_record(name, *orphans)
    job.report.done(f"store {name}: {len(going)} given up, {len(plan.decisions) - len(going)} kept")
    return plan


def _orphans(
    job: Job, store: str, backups: Sequence[StoredBackup], snapshots: Mapping[str, Sequence[str]]
) -> tuple[Decision, ...]:
    """Snapshots that no record tells of. Those of names that are not ours are left out.

    One goes only when this host noted that it began it: then a kill came in between. Any other had a record, and who
    has lost the small files of a store by mistake must not lose the data as well.
    """
    known = {backup.id for backup in backups}
    begun = job.workplace.unrecorded(store)
    found = sorted((tag for tag in snapshots if is_id(tag) and tag not in known), reverse=True)
    return tuple(_orphan(tag, was_cut_off=tag in begun) for tag in found)


def _orphan(identifier: str, *, was_cut_off: bool) -> Decision:
    if was_cut_off:
        return Decision(identifier, False, "was cut off before it had a record")
    return Decision(identifier, True, "has data but no record; look who removed that, it is never deleted by itself")


def told(unexplained: Sequence[str]) -> str:
    """For people: data that only they can tell about."""
    return (
        f"the data of {abridged(unexplained, 3)} is there, but no record tells of it: did a lifecycle rule or somebody "
        "remove `backups/*.json`? Nothing of it is deleted"
    )


def _age(backup: StoredBackup, store: str) -> BackupAge:
    record = backup.record
    if record is None:
        return BackupAge(backup.id, 0, None, backup.state)
    verdict = backup.verdict
    return BackupAge(
        backup.id,
        record.sequence,
        parse_timestamp(record.taken),
        backup.state,
        judged=parse_timestamp(verdict.at) if verdict else None,
        is_proven_here=verdict is not None and verdict.drilled_store == store,
    )
