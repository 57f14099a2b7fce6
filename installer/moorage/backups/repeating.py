"""An older backup proven again, or for the first time: fetched like tonight's, with a night of its own in the journal."""

from __future__ import annotations

from dataclasses import replace

from moorage.backups import fetching
from moorage.backups.job_context import Job
from moorage.backups.records import timestamp
from moorage.backups.workplace import Night, StoreOutcome, failure_of


def fetch_again(job: Job, identifier: str, store: str = "") -> Night:
    """Fetch a backup (the newest of all for an empty id) for a drill. Raises BackupError."""
    job.prepare_runtime()
    with job.workplace.only_one():
        job.workplace.clean()
        name = identifier or _newest(job, store)
        opened, record = fetching.first_that_answers(job, name, store)
        outcome = StoreOutcome(opened.plan.name, record.snapshot)
        night = job.workplace.write(Night(record.id, timestamp(job.now()), stores=(outcome,), is_repeat=True))
        try:
            return fetching.fetch_for_drill(job, night)
        except BaseException as error:
            job.workplace.write(replace(job.workplace.night() or night, failure=failure_of(error)))
            raise


def _newest(job: Job, store: str) -> str:
    """The newest backup that can be read, proven or not; an empty text leaves it to the caller's message."""
    plans = [job.plan.store(store)] if store else list(job.plan.stores)
    for plan in plans:
        for backup in job.open(plan).catalogue.backups():
            if backup.record is not None and not backup.is_expired:
                return backup.id
    return ""
