"""A backup beside what runs, compared, then exchanged with it: databases by renaming, volumes by renaming inside of them.

Four verbs, each of which may be killed and said again: `prepare` (the app serves on), `swap` and `undo` (the app is stopped), `discard`.
What a restore has made or moved aside stands in a file of the work volume until it is discarded.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from moorage.backups import fetching, rewinding, swapping
from moorage.backups.failures import BackupError, Damaged, NoSuchBackup, RestoreFailed, RowsDiffer
from moorage.backups.files import compare_files
from moorage.backups.job_context import Job, OpenStore
from moorage.backups.manifest import Manifest
from moorage.backups.plan import VOLUMES_FOLDER, DatabasePlan, VolumePlan
from moorage.backups.postgres import discarding
from moorage.backups.postgres import swap as databases
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.restore import restore
from moorage.backups.records import CheckResult, Record, is_id
from moorage.backups.volumes import sha256_of
from moorage.durable import replace_file, sync_folder


@dataclass(frozen=True)
class Restore:
    """What a restore works on. `is_prepared` says that everything lies beside what runs, compared."""

    id: str
    databases: tuple[str, ...]
    volumes: tuple[str, ...]
    is_prepared: bool = False


def prepare(job: Job, identifier: str, store: str, moment: datetime | None = None) -> Restore:
    """Restore beside what runs and compare; with `moment` the databases are those of then, by the log.

    Raises BackupError; what runs is never touched.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        opened, record = fetching.first_that_answers(job, identifier, store)
        _clear(job, record.id)
        folder = folder_of(job, record.id)
        manifest = _databases_of(job, opened, record, folder / "input", moment)
        volumes = _of_backup(job, record)
        found = Restore(
            record.id, tuple(item.name for item in manifest.databases), tuple(item.name for item in volumes)
        )
        _write(job, found)
        _prepare_databases(job, manifest, folder / "input" / "dump", record.id)
        for volume in volumes:
            _prepare_volume(job, opened, record, volume)
        shutil.rmtree(folder / "input")
        return _write(job, replace(found, is_prepared=True))


def _databases_of(job: Job, opened: OpenStore, record: Record, folder: Path, moment: datetime | None) -> Manifest:
    """The dump below `folder` that is to be restored: that of the backup, or of a moment."""
    if moment is not None:
        return rewinding.dumped_at(job, record.id, moment, folder)
    manifest = fetching.fetch(job, opened, record, folder, with_samples=False)
    _require_whole(folder / "dump", manifest)
    return manifest


def prepare_databases_only(job: Job, manifest: Manifest, dump: Path) -> Restore:
    """The databases of a dump beside what runs, compared; the caller holds the job's lock."""
    found = _write(job, Restore(manifest.id, tuple(item.name for item in manifest.databases), ()))
    _prepare_databases(job, manifest, dump, manifest.id)
    return _write(job, replace(found, is_prepared=True))


def swap(job: Job, identifier: str) -> None:
    """Exchange what runs with what was prepared. Raises RestoreFailed when it was not prepared to its end."""
    with job.workplace.only_one():
        found = _read(job, identifier)
        if not found.is_prepared:
            raise RestoreFailed(f"{identifier} was not prepared to its end", "`moorage backup restore` begins it again")
        for name in found.databases:
            databases.swap(_server(job), name, identifier)
        for volume in _volumes(found):
            swapping.swap_in(Path(volume.path), identifier)
    job.report.done(f"{identifier} is in place")


def undo(job: Job, identifier: str) -> None:
    """Put back what `swap` has moved aside, also one that was cut off."""
    with job.workplace.only_one():
        found = _read(job, identifier)
        for name in found.databases:
            _undo_database(_server(job), name, identifier)
        for volume in _volumes(found):
            swapping.swap_back(Path(volume.path), identifier)
    job.report.done(f"what was there before {identifier} is back")


def discard(job: Job, identifier: str) -> None:
    """Delete what a restore keeps aside, never what is in use."""
    with job.workplace.only_one():
        found = _read(job, identifier)
        for name in found.databases:
            discarding.discard(_server(job), name, identifier)
        for volume in _volumes(found):
            swapping.discard(Path(volume.path), identifier)
        shutil.rmtree(folder_of(job, identifier), ignore_errors=True)
        _place(job, identifier).unlink(missing_ok=True)
        sync_folder(_place(job, identifier).parent)
    job.report.done(f"the restore of {identifier} is discarded")


def restored(job: Job) -> list[str]:
    """The restores that keep something aside, the oldest first."""
    folder = _place(job, "x").parent
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def _prepare_databases(job: Job, manifest: Manifest, dump: Path, identifier: str) -> None:
    for facts in manifest.databases:
        server = _server(job)
        name = databases.incoming_name(facts.name, identifier)
        job.report.step(f"restoring database {facts.name}")
        restore(server, facts, dump, name, parallel=job.plan.parallel, progress=job.report.progress)
        _require(compare(server, name, facts), f"database {facts.name}")
        job.report.done(f"database {facts.name}: {facts.rows} rows in {len(facts.tables)} tables, as in the manifest")


def _prepare_volume(job: Job, opened: OpenStore, record: Record, volume: VolumePlan) -> None:
    """The files of one volume into a folder inside of it, so that exchanging them is a matter of names."""
    job.report.step(f"restoring volume {volume.name}")
    inside = swapping.incoming(Path(volume.path), record.id)
    raw = inside.with_name(f"{inside.name}.partial")
    for leftover in (inside, raw):
        shutil.rmtree(leftover, ignore_errors=True)
    raw.mkdir(mode=0o700)
    opened.restic.restore(record.snapshot, raw, [volume.path], job.report.progress)
    (raw / volume.path.lstrip("/")).rename(inside)
    shutil.rmtree(raw)
    _compare_samples(record, volume, inside)
    facts = next(item for item in record.volumes if item.name == volume.name)
    job.report.done(f"volume {volume.name}: {facts.files} files")


def _compare_samples(record: Record, volume: VolumePlan, inside: Path) -> None:
    wrong = [
        sample.path
        for sample in record.samples
        if sample.volume == volume.name
        and (not (inside / sample.path).is_file() or sha256_of(inside / sample.path) != sample.sha256)
    ]
    if wrong:
        raise RowsDiffer(f"volume {volume.name}: restored files differ: {', '.join(wrong[:3])}")


def _require_whole(dump: Path, manifest: Manifest) -> None:
    result = compare_files(dump, manifest.files)
    if not result.passed:
        raise Damaged(f"{manifest.id}: {result.detail}", "take another backup or store: `moorage backup list`")


def _require(results: tuple[CheckResult, ...], what: str) -> None:
    wrong = [f"{check.name}: {check.detail}" for check in results if not check.passed]
    if wrong:
        raise RowsDiffer(f"{what}: {'; '.join(wrong)}", "nothing was exchanged; take another backup")


def _of_backup(job: Job, record: Record) -> list[VolumePlan]:
    """The volumes of the backup that the deployment still has; others are told."""
    known = {volume.name: volume for volume in job.plan.volumes}
    for facts in record.volumes:
        if facts.name not in known:
            job.report.warning(f"volume {facts.name} is in the backup, but no longer in the deployment; it is left out")
    return [known[facts.name] for facts in record.volumes if facts.name in known]


def _volumes(found: Restore) -> list[VolumePlan]:
    return [VolumePlan(name, f"{VOLUMES_FOLDER}/{name}") for name in found.volumes]


def _server(job: Job) -> DatabasePlan:
    if job.plan.database is None:
        raise BackupError("the backup has a database, the deployment has none", "is it the right deployment folder?")
    return job.plan.database


def _clear(job: Job, identifier: str) -> None:
    """What an earlier try has left; one that is exchanged already must be undone or discarded first."""
    if identifier not in restored(job):
        return
    found = _read(job, identifier)
    for volume in _volumes(found):
        if swapping.before(Path(volume.path), identifier).is_dir():
            raise _kept_aside(identifier)
    for name in found.databases:
        if databases.swap_state(_server(job), name, identifier) == "swapped":
            raise _kept_aside(identifier)
        discarding.discard(_server(job), name, identifier)


def _kept_aside(identifier: str) -> RestoreFailed:
    return RestoreFailed(
        f"{identifier} was restored already, and what was there before is kept aside",
        f"`moorage backup restore --undo {identifier}`, or `--discard {identifier}`, then again",
    )


def _undo_database(server: DatabasePlan, name: str, identifier: str) -> None:
    """A swap that was cut off before this database has nothing to undo here."""
    if databases.swap_state(server, name, identifier) == "swapped":
        databases.undo_swap(server, name, identifier)


def folder_of(job: Job, identifier: str) -> Path:
    """Where a restore keeps what it fetched. Raises BackupError for what is no name of a backup."""
    if not is_id(identifier):
        raise BackupError(f"`{identifier}` is no name of a backup", "`moorage backup list` shows them")
    return job.workplace.folder / "restore" / identifier


def _place(job: Job, identifier: str) -> Path:
    return job.workplace.folder / "restore" / "journal" / f"{identifier}.json"


def _write(job: Job, found: Restore) -> Restore:
    place = _place(job, found.id)
    replace_file(place, (json.dumps(asdict(found), sort_keys=True) + "\n").encode(), 0o600)
    sync_folder(place.parent)
    return found


def _read(job: Job, identifier: str) -> Restore:
    try:
        data = json.loads(_place(job, identifier).read_text(encoding="utf-8"))
        return Restore(data["id"], tuple(data["databases"]), tuple(data["volumes"]), data["is_prepared"])
    except FileNotFoundError:
        raise NoSuchBackup(f"no restore of {identifier} keeps anything aside") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise RestoreFailed(f"the notes of the restore of {identifier} can't be read") from None
