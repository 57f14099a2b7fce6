"""What may go from a store goes: decided by retention, tombstone first, data next, small files last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from moorage.backups.job_context import Job
from moorage.backups.plan import StorePlan
from moorage.backups.records import StoredBackup, is_id, parse_timestamp
from moorage.backups.retention import BackupAge, Decision, decide


def decisions(job: Job, plan: StorePlan, backups: Sequence[StoredBackup]) -> tuple[Decision, ...]:
    """What retention says of a store's backups, the newest first."""
    return decide([_age(backup) for backup in backups], plan.retention, job.now())


def prune(job: Job, plan: StorePlan) -> tuple[Decision, ...]:
    """Delete what nothing asks for any more; gives the decisions.

    Killed at any moment, the next time goes on: a backup with a tombstone counts for nothing and is finished off.
    """
    opened = job.open(plan)
    backups = opened.catalogue.backups()
    found = decisions(job, plan, backups)
    going = [decision.id for decision in found if not decision.keep]
    orphans = _orphans(opened.restic.snapshots(), backups) if plan.may_delete else []
    if not plan.may_delete or not (going or orphans):
        return found
    for identifier in going:
        opened.catalogue.give_up(identifier)
    opened.restic.forget([*_snapshots(backups, going), *orphans])
    for identifier in going:
        opened.catalogue.forget(identifier)
    job.report.done(f"store {plan.name}: {len(going)} given up, {len(found) - len(going)} kept")
    return found


def _snapshots(backups: Sequence[StoredBackup], going: Sequence[str]) -> list[str]:
    return [backup.record.snapshot for backup in backups if backup.id in going and backup.record is not None]


def _orphans(snapshots: Mapping[str, Sequence[str]], backups: Sequence[StoredBackup]) -> list[str]:
    """Snapshots that no record tells of: a kill came in between. Those of names that are not ours are left alone."""
    known = {backup.id for backup in backups}
    return [found for tag, ids in snapshots.items() if is_id(tag) and tag not in known for found in ids]


def _age(backup: StoredBackup) -> BackupAge:
    record = backup.record
    if record is None:
        return BackupAge(backup.id, 0, None, backup.state)
    return BackupAge(backup.id, record.sequence, parse_timestamp(record.taken), backup.state)
