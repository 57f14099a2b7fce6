"""A backup beside what runs, restored and compared: the app serves on, and nothing that it has is touched.

It may be killed and said again. What was prepared takes its place by `putting_back`, or stays under a name of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from moorage.backups import fetching, putting_back, restore_room, rewinding, swapping
from moorage.backups.failures import Damaged, RestoreFailed, RowsDiffer
from moorage.backups.files import compare_files
from moorage.backups.job_context import Job, OpenStore
from moorage.backups.manifest import DatabaseFacts, Manifest
from moorage.backups.moments import exact
from moorage.backups.plan import VOLUMES_FOLDER, BackupPlan, VolumePlan
from moorage.backups.postgres import beside
from moorage.backups.postgres import swap as databases
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.restore import restore
from moorage.backups.postgres.roles import recreate_roles
from moorage.backups.putting_back import database_of, journal_of
from moorage.backups.records import CheckResult, Record, Sample, new_id
from moorage.backups.report import Report
from moorage.backups.restore_journal import Restore, RestoreJournal
from moorage.backups.volumes import listed_samples, sha256_of


def prepare(
    job: Job, identifier: str, store: str, moment: datetime | None = None, *, on_new_machine: bool = False
) -> Restore:
    """Restore beside what runs and compare; with `moment` the databases are those of then, by the log.

    The same again is done already. A machine that is new gets the roles of the old server and its certificates, too.
    Raises BackupError; what runs is never touched.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        opened, record = _found(job, identifier, store)
        volumes = tuple(item.name for item in _of_backup(job, record, on_new_machine=on_new_machine))
        found = _begun(job, record, moment, volumes=volumes)
        if found.phase == "prepared":
            job.report.done(f"{found.backup} lies beside what runs already, restored and compared")
            return found
        return _prepared(job, opened, record, found, moment, on_new_machine=on_new_machine)


def prepare_copy(job: Job, identifier: str, store: str, moment: datetime | None, into: str) -> Restore:
    """Restore the databases beside what runs, compare, and leave them there under the name `into`, to look into them.

    One database has just that name, several have it before their own. The same again is done already. Raises
    BackupError; a database that has such a name already is never touched.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        opened, record = _found(job, identifier, store)
        server = database_of(job.plan)
        beside.own_names(into, [""])
        found = _begun(job, record, moment, into=into)
        if found.phase == "beside" and databases.missing(
            server, list(beside.own_names(into, found.databases).values())
        ):
            # Somebody has dropped the copy by hand.
            putting_back.remove(job, found)
            found = _begun(job, record, moment, into=into)
        if found.phase == "beside":
            job.report.done(f"{found.backup} lies beside what runs already as `{into}`, restored and compared")
            return found
        if found.phase == "preparing":
            beside.require_free(server, [into])
            found = _prepared(job, opened, record, found, moment)
        for name, own in beside.own_names(into, found.databases).items():
            beside.keep_beside(server, name, found.id, own)
        return journal_of(job).write(replace(found, phase="beside"))


def _found(job: Job, identifier: str, store: str) -> tuple[OpenStore, Record]:
    journal_of(job).refuse_half_way()
    return fetching.first_that_answers(job, identifier, store)


def _begun(
    job: Job, record: Record, moment: datetime | None, *, volumes: tuple[str, ...] = (), into: str = ""
) -> Restore:
    """The note of this restore: that of the same one where it was cut off, or is done, else a new one."""
    journal = journal_of(job)
    wanted = Restore(
        new_id(job.now()), record.id, journal.next_sequence(), exact(moment) if moment else "", volumes=volumes, into=into
    )  # fmt: skip
    same = _same(job, journal, wanted)
    if same is not None and same.phase != "preparing":
        return same
    _require_room(job, record, ())
    # The name of one that could not be finished stays: `cron.database_name` may have been set to it meanwhile.
    return journal.write(replace(wanted, id=same.id) if same else wanted)


def _prepared(
    job: Job,
    opened: OpenStore,
    record: Record,
    found: Restore,
    moment: datetime | None,
    *,
    on_new_machine: bool = False,
) -> Restore:
    journal = journal_of(job)
    folder = journal.folder_of(found.id)
    if moment is None:
        manifest = fetching.fetch(job, opened, record, folder / "input")
        _require_whole(folder / "input" / "dump", manifest)
        samples = listed_samples(folder / "input" / "dump", record)
    else:
        manifest = rewinding.dumped_at(job, record.id, moment, folder / "input", on_new_machine=on_new_machine)
        samples = fetching.fetch_samples(job, opened, record, folder / "samples") if found.volumes else ()
    names = tuple(item.name for item in manifest.databases)
    if found.into:
        _require_copies(job, found, names)
    found = journal.write(replace(found, databases=names))
    _require_room(job, record, manifest.databases)
    if on_new_machine and manifest.databases and database_of(job.plan).cluster_folder:
        recreate_roles(database_of(job.plan), folder / "input" / "dump")
    _prepare_databases(job, manifest, folder / "input" / "dump", found.id)
    for volume in putting_back.volumes_of(found):
        _prepare_volume(job, opened, record, volume, found.id)
        _compare_samples(samples, volume, swapping.incoming(Path(volume.path), found.id))
    shutil.rmtree(folder)
    return journal.write(replace(found, phase="prepared"))


def _require_copies(job: Job, found: Restore, names: tuple[str, ...]) -> None:
    if not names:
        raise RestoreFailed(f"{found.backup} has no database to restore", "`moorage backup export` gives its files")
    beside.require_free(database_of(job.plan), list(beside.own_names(found.into, names).values()))


def _same(job: Job, journal: RestoreJournal, wanted: Restore) -> Restore | None:
    """What a run that was cut off has made for the same. What others have begun, and nobody uses, goes."""
    same = None
    for found in journal.all():
        if found.phase in ("preparing", "prepared", "beside") and found.is_same(wanted):
            same = found
        if found.phase == "preparing" or (found.phase == "prepared" and not found.is_same(wanted)):
            putting_back.remove(job, found)
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
            putting_back.remove(job, found)
    return journal.write(Restore(identifier, identifier, journal.next_sequence(), databases=(database,)))


def finish_import(job: Job, identifier: str) -> Restore:
    """What was imported lies beside what runs, compared; what it was made from goes. The caller holds the lock."""
    journal = journal_of(job)
    found = journal.read(identifier)
    shutil.rmtree(journal.folder_of(identifier), ignore_errors=True)
    return journal.write(replace(found, phase="prepared"))


def _prepare_databases(job: Job, manifest: Manifest, dump: Path, identifier: str) -> None:
    for facts in manifest.databases:
        restore_beside(job.plan, job.report, facts, dump, identifier)


def restore_beside(plan: BackupPlan, report: Report, facts: DatabaseFacts, dump: Path, identifier: str) -> None:
    """One database of a dump beside the live one, compared. Raises BackupError."""
    server = database_of(plan)
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
