"""A backup beside what runs, compared, then exchanged with it: databases by renaming, volumes by renaming inside of them.

Four verbs, each of which may be killed and said again: `prepare` (the app serves on), `swap` and `undo` (the app is stopped), `discard`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from moorage.backups import fetching, restore_room, rewinding, swapping
from moorage.backups.failures import BackupError, Damaged, RestoreFailed, RowsDiffer
from moorage.backups.files import compare_files
from moorage.backups.job_context import Job, OpenStore
from moorage.backups.manifest import DatabaseFacts, Manifest
from moorage.backups.moments import exact
from moorage.backups.plan import VOLUMES_FOLDER, BackupPlan, DatabasePlan, VolumePlan
from moorage.backups.postgres import discarding
from moorage.backups.postgres import swap as databases
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.restore import restore
from moorage.backups.postgres.roles import recreate_roles
from moorage.backups.records import CheckResult, Record, Sample, new_id
from moorage.backups.report import Report
from moorage.backups.restore_journal import Restore, RestoreJournal, half_way
from moorage.backups.volumes import listed_samples, sha256_of

_IN_PLACE = ("exchanging", "exchanged", "undoing")


def prepare(
    job: Job, identifier: str, store: str, moment: datetime | None = None, *, on_new_machine: bool = False
) -> Restore:
    """Restore beside what runs and compare; with `moment` the databases are those of then, by the log.

    The same again is done already. A machine that is new gets the roles of the old server and its certificates, too.
    Raises BackupError; what runs is never touched.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        journal = journal_of(job)
        journal.refuse_half_way()
        opened, record = fetching.first_that_answers(job, identifier, store)
        wanted = Restore(
            new_id(job.now()), record.id, journal.next_sequence(), exact(moment) if moment else "",
            volumes=tuple(item.name for item in _of_backup(job, record, on_new_machine=on_new_machine)),
        )  # fmt: skip
        same = _same(job, journal, wanted)
        if same is not None and same.phase == "prepared":
            job.report.done(f"{same.backup} lies beside what runs already, restored and compared")
            return same
        # The name of one that could not be finished stays: `cron.database_name` may have been set to it meanwhile.
        wanted = replace(wanted, id=same.id) if same else wanted
        _require_room(job, record, ())
        return _prepared(job, opened, record, journal.write(wanted), moment, on_new_machine=on_new_machine)


def _prepared(
    job: Job, opened: OpenStore, record: Record, found: Restore, moment: datetime | None, *, on_new_machine: bool
) -> Restore:
    journal = journal_of(job)
    folder = journal.folder_of(found.id)
    if moment is None:
        manifest = fetching.fetch(job, opened, record, folder / "input")
        _require_whole(folder / "input" / "dump", manifest)
        samples = listed_samples(folder / "input" / "dump", record)
    else:
        manifest = rewinding.dumped_at(job, record.id, moment, folder / "input", on_new_machine=on_new_machine)
        samples = fetching.fetch_samples(job, opened, record, folder / "samples")
    found = journal.write(replace(found, databases=tuple(item.name for item in manifest.databases)))
    _require_room(job, record, manifest.databases)
    if on_new_machine and manifest.databases and _server(job).cluster_folder:
        recreate_roles(_server(job), folder / "input" / "dump")
    _prepare_databases(job, manifest, folder / "input" / "dump", found.id)
    for volume in _volumes(found):
        _prepare_volume(job, opened, record, volume, found.id)
        _compare_samples(samples, volume, swapping.incoming(Path(volume.path), found.id))
    shutil.rmtree(folder)
    return journal.write(replace(found, phase="prepared"))


def _same(job: Job, journal: RestoreJournal, wanted: Restore) -> Restore | None:
    """What a run that was cut off has made for the same. What others have begun, and nobody uses, goes."""
    same = None
    for found in journal.all():
        is_same = (found.backup, found.moment, found.volumes) == (wanted.backup, wanted.moment, wanted.volumes)
        if found.phase in ("preparing", "prepared") and is_same:
            same = found
        if found.phase == "preparing" or (found.phase == "prepared" and not is_same):
            _discard(job, found)
    return same


def _require_room(job: Job, record: Record, databases: Sequence[DatabaseFacts]) -> None:
    """First for what is fetched, then, when it is known, for the databases, which lie where the live ones do."""
    files = [(Path(VOLUMES_FOLDER) / item.name, item.bytes) for item in record.volumes]
    needs = [(place, size) for place, size in files if place.is_dir()]
    if databases:
        cluster = Path(job.plan.database.cluster_folder) if job.plan.database else Path()
        needs += (
            [(cluster, sum(item.bytes for item in databases))] if cluster.is_absolute() and cluster.is_dir() else []
        )
    else:
        needs.append((job.workplace.folder, max(0, record.bytes - sum(item.bytes for item in record.volumes))))
    restore_room.check(needs)


def begin_import(job: Job, identifier: str, database: str) -> Restore:
    """Note an import into a database; what imports and restores that were cut off have left goes. The caller holds the lock."""
    journal = journal_of(job)
    journal.refuse_half_way()
    for found in journal.all():
        if found.phase == "preparing":
            _discard(job, found)
    return journal.write(Restore(identifier, identifier, journal.next_sequence(), databases=(database,)))


def finish_import(job: Job, identifier: str) -> Restore:
    """What was imported lies beside what runs, compared; what it was made from goes. The caller holds the lock."""
    journal = journal_of(job)
    found = journal.read(identifier)
    shutil.rmtree(journal.folder_of(identifier), ignore_errors=True)
    return journal.write(replace(found, phase="prepared"))


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
        for volume in _volumes(found):
            swapping.swap_in(Path(volume.path), found.id)
    except BackupError:
        if not _is_begun(job, found):
            journal.write(replace(found, phase="prepared"))
        raise


def _is_begun(job: Job, found: Restore) -> bool:
    """Whether anything of it has changed places."""
    if any(swapping.before(Path(volume.path), found.id).is_dir() for volume in _volumes(found)):
        return True
    return any(databases.swap_state(_server(job), name, found.id) != "restored" for name in found.databases)


def undo(job: Job, identifier: str) -> None:
    """Put back what `swap` has moved aside, also one that was cut off; what was restored is kept until it is discarded.

    Raises RestoreFailed while something that was restored later is in its place.
    """
    with job.workplace.only_one():
        journal = journal_of(job)
        found = journal.read(identifier)
        if found.phase in ("preparing", "prepared"):
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
            for volume in _volumes(found):
                swapping.swap_back(Path(volume.path), identifier)
            journal.write(replace(found, phase="undone"))
    job.report.done(f"what was there before {identifier} is back")


def discard(job: Job, identifier: str) -> None:
    """Delete what a restore keeps aside, never what is in use. Raises RestoreFailed for one that is half way."""
    with job.workplace.only_one():
        found = journal_of(job).read(identifier)
        if found.is_half_way:
            raise half_way(found)
        _discard(job, found)
    job.report.done(f"the restore {identifier} is discarded")


def _discard(job: Job, found: Restore) -> None:
    for name in found.databases:
        discarding.discard(_server(job), name, found.id)
    for volume in _volumes(found):
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


def _prepare_databases(job: Job, manifest: Manifest, dump: Path, identifier: str) -> None:
    for facts in manifest.databases:
        restore_beside(job.plan, job.report, facts, dump, identifier)


def restore_beside(plan: BackupPlan, report: Report, facts: DatabaseFacts, dump: Path, identifier: str) -> None:
    """One database of a dump beside the live one, compared. Raises BackupError."""
    server = _database(plan)
    name = databases.incoming_name(facts.name, identifier)
    report.step(f"restoring database {facts.name}")
    restore(server, facts, dump, name, parallel=plan.parallel, progress=report.progress, warn=report.warning)
    _require(compare(server, name, facts), f"database {facts.name}")
    report.done(f"database {facts.name}: {facts.rows} rows in {len(facts.tables)} tables, as in the manifest")


def _prepare_volume(job: Job, opened: OpenStore, record: Record, volume: VolumePlan, identifier: str) -> None:
    """The files of one volume into a folder inside of it, so that exchanging them is a matter of names."""
    job.report.step(f"restoring volume {volume.name}")
    inside = swapping.incoming(Path(volume.path), identifier)
    raw = inside.with_name(f"{inside.name}.partial")
    for leftover in (inside, raw):
        shutil.rmtree(leftover, ignore_errors=True)
    raw.mkdir(mode=0o700)
    opened.restic.restore(record.snapshot, raw, [volume.path], job.report.progress)
    (raw / volume.path.lstrip("/")).rename(inside)
    shutil.rmtree(raw)
    facts = next(item for item in record.volumes if item.name == volume.name)
    job.report.done(f"volume {volume.name}: {facts.files} files")


def _compare_samples(samples: Sequence[Sample], volume: VolumePlan, inside: Path) -> None:
    wrong = [
        sample.path
        for sample in samples
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


def _of_backup(job: Job, record: Record, *, on_new_machine: bool) -> list[VolumePlan]:
    """The volumes of the backup that the deployment still has; others are told."""
    known = {volume.name: volume for volume in job.plan.volumes}
    for facts in record.volumes:
        if facts.name not in known:
            job.report.warning(f"volume {facts.name} is in the backup, but no longer in the deployment; it is left out")
    found = [known[facts.name] for facts in record.volumes if facts.name in known]
    return [volume for volume in found if on_new_machine or not volume.only_on_new_machine]


def _volumes(found: Restore) -> list[VolumePlan]:
    return [VolumePlan(name, f"{VOLUMES_FOLDER}/{name}") for name in found.volumes]


def _server(job: Job) -> DatabasePlan:
    return _database(job.plan)


def _database(plan: BackupPlan) -> DatabasePlan:
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
