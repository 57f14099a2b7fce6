"""The first phase of a night: dump, count, publish into every store, fetch back what the drill will prove."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from moorage import __version__
from moorage.backups import fetching, physical_night, room, swapping, volumes
from moorage.backups.failures import BackupError
from moorage.backups.files import seal_files
from moorage.backups.job_context import Job, OpenStore
from moorage.backups.manifest import MANIFEST_FILE, DatabaseFacts, Manifest, ServerFacts
from moorage.backups.plan import StorePlan
from moorage.backups.postgres.bound import warning_of
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.databases import with_unnamed
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.lock import deployment_lock
from moorage.backups.postgres.server import (
    Room,
    client_version,
    known_hole,
    refuse_other_client,
    server_facts,
)
from moorage.backups.records import Record, VolumeFacts, new_id, timestamp
from moorage.backups.signing import signed
from moorage.backups.workplace import Night, StoreOutcome, failure_of
from moorage.durable import replace_file
from moorage.quantities import human_size
from moorage.words import plural


def take(job: Job) -> Night:
    """Make tonight's backup and put it into every store that takes it.

    Raises BackupError when no store has it. A store that fails does not stop the others: it stands in the journal, and
    `conclude` ends with its status.
    """
    job.prepare_runtime()
    with job.workplace.only_one():
        job.workplace.clean()
        night = job.workplace.write(Night(new_id(job.now()), timestamp(job.now())))
        try:
            return _take(job, night)
        except BaseException as error:
            current = job.workplace.night() or night
            job.workplace.write(replace(current, failure=current.failure or failure_of(error)))
            raise


def _take(job: Job, night: Night) -> Night:
    if job.plan.database is not None and job.plan.database.cluster_folder:
        job.plan = replace(job.plan, database=with_unnamed(job.plan.database, job.report.warning))
    needed = room.check(job)
    candidates = volumes.draw(job.plan.volumes, job.plan.samples, random.Random(night.id))  # noqa: S311 - a sample, no secret
    manifest = _dump(job, night, candidates)
    content = signed(manifest.as_data(), job.signature_key())
    replace_file(job.workplace.unfinished(night.id) / MANIFEST_FILE, content, 0o600)
    job.workplace.publish(night.id)
    night = _publish(job, night, manifest, hashlib.sha256(content).hexdigest(), needed, candidates)
    # The drill proves what a store gives back; the original only takes the room that it needs.
    shutil.rmtree(job.workplace.staged(night.id))
    if not night.published:
        raise _untaken(night)
    listed = [item.sample for item in candidates]
    return fetching.fetch_for_drill(job, physical_night.take(job, night), listed)


def _untaken(night: Night) -> BackupError:
    """That no store has it, with the first one's reason and status."""
    failure = night.first_failure
    assert failure is not None
    error = BackupError(f"no store took tonight's backup: {failure.reason}", failure.hint)
    error.exit_status = failure.exit_status
    return error


def _dump(job: Job, night: Night, candidates: Sequence[volumes.Candidate]) -> Manifest:
    """The databases into `<id>.partial`, and what is in them."""
    folder = job.workplace.unfinished(night.id)
    folder.mkdir(parents=True)
    volumes.write_samples(folder, candidates)
    databases: tuple[DatabaseFacts, ...] = ()
    server: ServerFacts | None = None
    plan = job.plan.database
    if plan is not None:
        with connect(plan, plan.maintenance) as connection, deployment_lock(connection, job.plan.lock_wait_seconds):
            server = server_facts(connection)
            refuse_other_client(server, client_version())
            job.report.step(f"dumping {', '.join(plan.names)}")
            databases = dump(
                plan,
                folder,
                parallel=job.plan.parallel,
                lock_wait_seconds=job.plan.lock_wait_seconds,
                progress=job.report.progress,
            )
        rows = sum(database.rows for database in databases)
        job.report.done(
            f"{plural(len(databases), 'database')} dumped, {plural(rows, 'row')} counted in the same snapshot"
        )
    return Manifest(
        id=night.id,
        project=job.plan.project,
        deployment_id=job.plan.deployment_id,
        environment=job.plan.environment,
        target=job.plan.target,
        moorage=__version__,
        started=night.started,
        finished=timestamp(job.now()),
        databases=databases,
        server=server,
        files=seal_files(folder, parallel=job.plan.parallel),
        volumes=tuple(volume.name for volume in job.plan.volumes),
        tool=_tools(job),
        warnings=(*_warnings(job), *_bound(job, databases, server)),
    )


def _tools(job: Job) -> dict[str, str]:
    if job.plan.database is None:
        return {}
    major, minor = client_version()
    return {"pg_dump": f"{major}.{minor}"}


def _warnings(job: Job) -> tuple[str, ...]:
    hole = known_hole(client_version()) if job.plan.database else ""
    if hole:
        job.report.warning(f"{hole}: take a newer image of Postgres, then `moorage up`")
    return (hole,) if hole else ()


def _bound(job: Job, databases: tuple[DatabaseFacts, ...], server: ServerFacts | None) -> tuple[str, ...]:
    settings = dict(server.settings) if server else {}
    found = tuple(text for facts in databases if (text := warning_of(facts, settings)))
    for text in found:
        job.report.warning(text)
    return found


def _publish(
    job: Job, night: Night, manifest: Manifest, digest: str, needed: Room, candidates: Sequence[volumes.Candidate]
) -> Night:
    """Into every store, one after the other; then the records, with the samples that stood still meanwhile."""
    found = tuple(volumes.facts(volume) for volume in job.plan.volumes)
    records: list[tuple[OpenStore, Record]] = []
    for plan in job.plan.stores:
        outcome, made = _into_store(job, night, manifest, digest, plan, found, needed)
        night = job.workplace.write(replace(night, stores=(*night.stores, outcome)))
        records += [made] if made else []
    samples = volumes.unchanged(candidates)
    for opened, record in records:
        try:
            opened.catalogue.add_record(replace(record, samples=samples))
            job.workplace.end_record(opened.plan.name, night.id)
            job.report.done(f"store {opened.plan.name} has it, {human_size(record.added_bytes)} new")
        except Exception as error:
            failure = failure_of(error)
            stores = tuple(
                StoreOutcome(item.name, "", failure) if item.name == opened.plan.name else item for item in night.stores
            )
            night = job.workplace.write(replace(night, stores=stores))
            job.report.warning(f"store {opened.plan.name}: {failure.reason}")
    return night


def _into_store(
    job: Job,
    night: Night,
    manifest: Manifest,
    digest: str,
    plan: StorePlan,
    found: tuple[VolumeFacts, ...],
    needed: Room,
) -> tuple[StoreOutcome, tuple[OpenStore, Record] | None]:
    job.report.step(f"storing in {plan.name}")
    try:
        opened = job.claimed(plan)
        room.check_store(plan, needed)
        sequence = opened.catalogue.next_sequence()
        opened.restic.ensure_repository()
        job.workplace.begin_record(plan.name, night.id)
        snapshot = opened.restic.back_up(_paths(job, night), night.id, _excludes(job), job.report.progress)
    except Exception as error:
        # Whatever is wrong with one store, the others get their backup.
        failure = failure_of(error)
        job.report.warning(f"store {plan.name}: {failure.reason}")
        return StoreOutcome(plan.name, "", failure), None
    record = Record(
        id=night.id,
        sequence=sequence,
        store=plan.name,
        project=manifest.project,
        deployment_id=manifest.deployment_id,
        environment=manifest.environment,
        moorage=manifest.moorage,
        taken=manifest.finished,
        snapshot=snapshot.id,
        manifest_sha256=digest,
        bytes=snapshot.bytes,
        added_bytes=snapshot.added_bytes,
        databases=tuple((item.name, len(item.tables), item.rows) for item in manifest.databases),
        volumes=found,
        warnings=manifest.warnings,
    )
    return StoreOutcome(plan.name, snapshot.id, sequence=sequence), (opened, record)


def _paths(job: Job, night: Night) -> list[str]:
    folder = [job.plan.folder] if job.plan.folder else []
    return [str(job.workplace.staged(night.id)), *(volume.path for volume in job.plan.volumes), *folder]


def _excludes(job: Job) -> list[str]:
    """What is left out: of the deployment's folder, of volumes as the app file says, and what a restore keeps aside."""
    own = [str(Path(job.plan.folder) / name) for name in job.plan.folder_excludes] if job.plan.folder else []
    aside = [f"{volume.path}/{swapping.EXCLUDED}" for volume in job.plan.volumes]
    return [*own, *aside, *(_pattern(volume.path, name) for volume in job.plan.volumes for name in volume.excludes)]


def _pattern(folder: str, name: str) -> str:
    """As people know it from .gitignore: with a slash in front from the top of the volume, else anywhere in it."""
    return f"{folder}{name}" if name.startswith("/") else f"{folder}/**/{name}"
