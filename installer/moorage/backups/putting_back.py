"""What lies beside what runs, in its place, and back: databases by renaming, volumes by renaming inside of them.

Three verbs, each of which may be killed and said again: `swap` and `undo` (the app is stopped), `discard`. What they
exchange, `preparing` has restored and compared.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from moorage.backups import swapping
from moorage.backups.failures import BackupError, RestoreFailed
from moorage.backups.job_context import Job
from moorage.backups.plan import VOLUMES_FOLDER, BackupPlan, DatabasePlan, VolumePlan
from moorage.backups.postgres import beside, discarding
from moorage.backups.postgres import swap as databases
from moorage.backups.restore_journal import Restore, RestoreJournal, half_way

_IN_PLACE = ("exchanging", "exchanged", "undoing")


def swap(job: Job, identifier: str) -> None:
    """Exchange what runs with what was prepared; a swap that was cut off goes on, and one that was done is fine.

    Raises BackupError: RestoreFailed when it was not prepared to its end. `prepared` stands in the journal then when
    nothing was exchanged.
    """
    with job.workplace.only_one():
        journal = journal_of(job)
        found = journal.read(identifier)
        if found.phase not in ("prepared", "exchanging", "exchanged"):
            raise RestoreFailed(f"{identifier} can't be put in place: it is {found.phase}", "begin the restore again")
        journal.refuse_half_way(but=identifier)
        if found.phase == "prepared":
            new = databases.missing(_server(job), found.databases) if found.databases else ()
            found = journal.write(replace(found, phase="exchanging", new_databases=new))
        if found.phase == "exchanging":
            _exchange(job, journal, found)
            journal.write(replace(found, phase="exchanged"))
    job.report.done(f"{found.backup} is in place")


def _exchange(job: Job, journal: RestoreJournal, found: Restore) -> None:
    try:
        for name in found.databases:
            databases.swap(_server(job), name, found.id, is_new=name in found.new_databases)
        for volume in volumes_of(found):
            swapping.swap_in(Path(volume.path), found.id)
    except BackupError:
        if not _is_begun(job, found):
            journal.write(replace(found, phase="prepared"))
        raise


def _is_begun(job: Job, found: Restore) -> bool:
    """Whether anything of it has changed places."""
    if any(swapping.before(Path(volume.path), found.id).is_dir() for volume in volumes_of(found)):
        return True
    return any(databases.swap_state(_server(job), name, found.id) != "restored" for name in found.databases)


def undo(job: Job, identifier: str) -> None:
    """Put back what `swap` has moved aside, also one that was cut off; what was restored is kept until it is discarded.

    Raises RestoreFailed while something that was restored later is in its place.
    """
    with job.workplace.only_one():
        journal = journal_of(job)
        found = journal.read(identifier)
        if found.phase in ("preparing", "prepared", "beside"):
            raise RestoreFailed(f"{identifier} never took the place of anything", "`--discard` removes it")
        later = [item.id for item in journal.all() if item.sequence > found.sequence and item.phase in _IN_PLACE]
        if later:
            raise RestoreFailed(
                f"{later[-1]} was restored after {identifier}", f"undo that first: `--undo {later[-1]}`"
            )
        if found.phase != "undone":
            journal.write(replace(found, phase="undoing"))
            for name in found.databases:
                _undo_database(job, name, found)
            for volume in volumes_of(found):
                swapping.swap_back(Path(volume.path), identifier)
            journal.write(replace(found, phase="undone"))
    job.report.done(f"what was there before {identifier} is back")


def discard(job: Job, identifier: str) -> None:
    """Delete what a restore keeps aside, never what is in use. Raises RestoreFailed for one that is half way."""
    with job.workplace.only_one():
        found = journal_of(job).read(identifier)
        if found.is_half_way:
            raise half_way(found)
        remove(job, found)
    job.report.done(f"the restore {identifier} is discarded")


def remove(job: Job, found: Restore) -> None:
    """Delete what a restore keeps aside and forget it, never what is in use. The caller holds the lock."""
    for name in found.databases:
        discarding.discard(_server(job), name, found.id)
    for own in beside.own_names(found.into, found.databases).values() if found.into else ():
        beside.drop_copy(_server(job), own, found.id)
    for volume in volumes_of(found):
        swapping.discard(Path(volume.path), found.id)
    journal = journal_of(job)
    shutil.rmtree(journal.folder_of(found.id), ignore_errors=True)
    journal.remove(found.id)


def restored(job: Job) -> list[Restore]:
    """The restores that keep something aside, the oldest first."""
    return journal_of(job).all()


def journal_of(job: Job) -> RestoreJournal:
    """The restores of this deployment."""
    return RestoreJournal(job.workplace.folder)


def volumes_of(found: Restore) -> list[VolumePlan]:
    """The volumes that a restore is about."""
    return [VolumePlan(name, f"{VOLUMES_FOLDER}/{name}") for name in found.volumes]


def _server(job: Job) -> DatabasePlan:
    return database_of(job.plan)


def database_of(plan: BackupPlan) -> DatabasePlan:
    """The deployment's server. Raises BackupError where it has none."""
    if plan.database is None:
        raise BackupError("the backup has a database, the deployment has none", "is it the right deployment folder?")
    return plan.database


def _undo_database(job: Job, name: str, found: Restore) -> None:
    """A swap that was cut off before this database has nothing to undo here."""
    state = databases.swap_state(_server(job), name, found.id)
    if state == "swapped" or (state == "neither" and name in found.new_databases):
        databases.undo_swap(_server(job), name, found.id, is_new=name in found.new_databases)


def folder_of(job: Job, identifier: str) -> Path:
    """Where a restore keeps what it fetched. Raises BackupError for what is no name of one."""
    return journal_of(job).folder_of(identifier)
