"""What the stores have, as data: for `list`, `show`, `status` and whoever reads JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from moorage.backups import fetching, pruning
from moorage.backups.failures import BackupError
from moorage.backups.job_context import Job
from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.records import StoredBackup, timestamp
from moorage.backups.retention import Decision


def listed(job: Job) -> list[dict[str, Any]]:
    """Every backup of every store with its state and what retention says of it, the newest first; then how far logs lead."""
    rows: list[dict[str, Any]] = []
    for plan in job.plan.stores:
        try:
            opened = job.open(plan)
            backups = opened.catalogue.backups()
            decisions = {decision.id: decision for decision in pruning.decisions(job, opened, backups)}
            rows += [_row(plan.name, backup, decisions[backup.id]) for backup in backups]
            rows += [_orphan_row(plan.name, orphan) for orphan in pruning.plan_of(job, opened).orphans]
        except BackupError as error:
            rows.append({"store": plan.name, "error": error.message, "hint": error.hint})
    return [*sorted(rows, key=lambda row: str(row.get("id", "")), reverse=True), *_reaches(job)]


def _reaches(job: Job) -> list[dict[str, Any]]:
    """From when to when each store of the log leads, in `spans` without the gaps; "" before its first physical backup."""
    rows: list[dict[str, Any]] = []
    for store in job.plan.physical.stores if job.plan.physical else ():
        try:
            spans = [(timestamp(reach.first), timestamp(reach.last)) for reach in PgBackRest(job.plan).reach(store)]
        except BackupError as error:
            rows.append({"store": store, "error": error.message, "hint": error.hint})
            continue
        first, last = (spans[0][0], spans[-1][1]) if spans else ("", "")
        rows.append({"store": store, "reaches_from": first, "reaches_to": last, "spans": spans})
    return rows


def shown(job: Job, identifier: str) -> list[dict[str, Any]]:
    """One backup in each store that has it, with everything known. Raises NoSuchBackup, or why a store can't say."""
    found: list[dict[str, Any]] = []
    for plan in job.plan.stores:
        try:
            backups = job.open(plan).catalogue.backups()
        except BackupError:
            if len(job.plan.stores) == 1:
                raise
            continue
        for backup in backups:
            if backup.id == identifier:
                found.append(
                    {
                        "store": plan.name,
                        "state": backup.state,
                        "problem": backup.problem,
                        "record": asdict(backup.record) if backup.record else None,
                        "verdict": asdict(backup.verdict) if backup.verdict else None,
                    }
                )
    if not found:
        fetching.first_that_answers(job, identifier)
    return found


def _orphan_row(store: str, orphan: Decision) -> dict[str, Any]:
    return {**_row(store, StoredBackup(orphan.id, None), orphan), "state": "no record"}


def _row(store: str, backup: StoredBackup, decision: Decision) -> dict[str, Any]:
    record, verdict = backup.record, backup.verdict
    return {
        "id": backup.id,
        "store": store,
        "state": backup.state,
        "taken": record.taken if record else "",
        "environment": record.environment if record else "",
        "bytes": record.bytes if record else 0,
        "added_bytes": record.added_bytes if record else 0,
        "rows": sum(rows for _, _, rows in record.databases) if record else 0,
        "files": sum(volume.files for volume in record.volumes) if record else 0,
        "restore_seconds": verdict.restore_seconds if verdict else None,
        "proven": verdict.at if verdict and verdict.good else "",
        "proven_in": verdict.drilled_store if verdict and verdict.good else "",
        "reason": verdict.reason if verdict and not verdict.good else backup.problem,
        "problem_status": backup.problem_status,
        "keep": decision.keep,
        "why": decision.reason,
    }
