"""What may go from a store goes: decided by retention, tombstone first, data next, small files last."""

from __future__ import annotations

from collections.abc import Sequence

from moorage.backups.job_context import Job
from moorage.backups.plan import StorePlan
from moorage.backups.records import StoredBackup, parse_timestamp
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
    if not plan.may_delete or not going:
        return found
    for identifier in going:
        opened.catalogue.give_up(identifier)
    # Small files of one that was cut off may be gone while its snapshot is there, and the other way round.
    opened.restic.forget(_snapshots(backups, going))
    for identifier in going:
        opened.catalogue.forget(identifier)
    job.report.done(f"store {plan.name}: {len(going)} given up, {len(found) - len(going)} kept")
    return found


def _snapshots(backups: Sequence[StoredBackup], going: Sequence[str]) -> list[str]:
    return [backup.record.snapshot for backup in backups if backup.id in going and backup.record is not None]


def _age(backup: StoredBackup) -> BackupAge:
    record = backup.record
    if record is None:
        return BackupAge(backup.id, 0, None, backup.state)
    return BackupAge(backup.id, record.sequence, parse_timestamp(record.taken), backup.state)
