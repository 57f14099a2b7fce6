"""A backup as plain files in a folder: for another system, for a look, for a shelf. It is not encrypted there."""

from __future__ import annotations

import shutil
from pathlib import Path

from moorage.backups import fetching
from moorage.backups.catalogue import read_marker
from moorage.backups.failures import BackupError, Damaged, RestoreFailed, WrongKey
from moorage.backups.files import compare_files
from moorage.backups.job_context import Job
from moorage.backups.plan import VOLUMES_FOLDER, StorePlan
from moorage.backups.records import Record
from moorage.durable import sync_folder


def export(job: Job, identifier: str, store: str, target: Path) -> str:
    """Write a backup below `target` as `<id>/{dump,volumes,deployment}`, checked; gives its name.

    Raises BackupError; a folder of that name appears only when it is whole.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        opened, record = fetching.first_that_answers(job, identifier, store)
        place, partial = target / record.id, target / f".{record.id}.partial"
        if place.exists():
            raise BackupError(f"{record.id} is in that folder already", "choose another folder, or take it away")
        shutil.rmtree(partial, ignore_errors=True)
        raw = partial / "raw"
        raw.mkdir(mode=0o700, parents=True)
        opened.restic.restore(record.snapshot, raw, [], job.report.progress)
        _arrange(raw, partial, str(job.workplace.staged(record.id)), job.plan.folder)
        manifest = fetching.read_verified(job, partial / "dump", record)
        result = compare_files(partial / "dump", manifest.files)
        if not result.passed:
            raise Damaged(f"{record.id}: {result.detail}")
        shutil.rmtree(raw)
        partial.rename(place)
        sync_folder(target)
    job.report.done(f"{record.id} is exported: {len(manifest.databases)} databases, {len(record.volumes)} volumes")
    return record.id


def _arrange(raw: Path, partial: Path, staged: str, folder: str) -> None:
    """Out of the paths that they had in the job, into names that speak for themselves."""
    for source, name in ((staged, "dump"), (VOLUMES_FOLDER, "volumes"), (folder, "deployment")):
        place = raw / source.lstrip("/")
        if source and place.is_dir():
            place.rename(partial / name)
    if not (partial / "dump").is_dir():
        raise RestoreFailed("the store gave no dump back")


def fetch_folder(job: Job, identifier: str, target: Path) -> Record:
    """The deployment's folder of a backup (the newest good one for an empty id) as `target/deployment`.

    For a machine that has nothing yet. Raises BackupError; the folder appears only when it is whole.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        for plan in job.plan.stores:
            _require_key(job, plan)
        opened, record = fetching.first_that_answers(job, identifier)
        raw = target / ".restored"
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir(mode=0o700, parents=True)
        opened.restic.restore(record.snapshot, raw, [job.plan.folder], job.report.progress)
        (raw / job.plan.folder.lstrip("/")).rename(target / "deployment")
        shutil.rmtree(raw)
        sync_folder(target)
    return record


def _require_key(job: Job, plan: StorePlan) -> None:
    """On a bare machine the key is all that is known: another one must not look like an empty store."""
    marker = read_marker(job.open(plan).store)
    if marker is not None and marker.deployment_id != job.plan.deployment_id:
        raise WrongKey(
            f"this recovery key is {job.plan.deployment_id}, the backups of {marker.project} were made with {marker.deployment_id}",
            "the name of the right one stands on the page that was printed with it",
        )
    job.open(plan).catalogue.claim(create=False)
