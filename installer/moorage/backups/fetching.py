"""Out of a store again: the dump and the sample files, checked against what was signed, for a drill or a restore."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from moorage.backups import physical_night
from moorage.backups.failures import BackupError, Damaged, NoSuchBackup, Tampered
from moorage.backups.job_context import Job, OpenStore
from moorage.backups.manifest import MANIFEST_FILE, Manifest, read_manifest
from moorage.backups.plan import VOLUMES_FOLDER
from moorage.backups.records import Record, Sample
from moorage.backups.signing import signed, verified
from moorage.backups.volumes import SAMPLES_FILE, listed_samples, sha256_of
from moorage.backups.workplace import Night
from moorage.durable import replace_file

# The drill works as this user: the one of the public Postgres image.
DRILL_USER = 999
_NIGHTS = 7


def fetch_for_drill(job: Job, night: Night, listed: Sequence[Sample] | None = None) -> Night:
    """Restore tonight's backup from one of its stores into the drill's folder, which the drill's user then owns.

    `listed` is the list of its samples, where it is known; else the store is asked for that first.

    What one store gives back says nothing of the others' disks, so each has its turn: see `store_to_drill`.
    """
    name = store_to_drill([store.name for store in job.plan.stores], night)
    night = job.workplace.write(replace(night, drill_store=name))
    opened = job.open(job.plan.store(name))
    record = record_of(opened, night.id)
    folder = job.workplace.drill_folder(night.id)
    job.report.step(f"fetching it back from {name}")
    if listed is None:
        samples = fetch_samples(job, opened, record, folder / "list")
    else:
        samples = tuple(listed[number] for number in record.samples)
    fetch(job, opened, record, folder / "input", samples=samples)
    _give_to_drill(folder / "input")
    _give_to_drill(folder, only_itself=True)
    # pgBackRest writes below it as `postgres`, which is another user on Alpine; what is inside is closed by itself.
    folder.chmod(0o711)
    job.workplace.let_through(folder)
    night = physical_night.fetch(job, night, folder)
    if (folder / physical_night.FOLDER).is_dir():
        _give_to_drill(folder / physical_night.FOLDER)
    return job.workplace.write(replace(night, phase="drill"))


def store_to_drill(names: Sequence[str], night: Night) -> str:
    """Of seven nights each store of the plan gets one, and the first, which is the nearest, those that are left.

    The sequence decides, not the calendar: a week of failed nights skips nobody. The first that has the backup steps in
    where the one whose turn it is has not.
    """
    sequence = max(store.sequence for store in night.stores if store.snapshot)
    turn = (sequence - 1) % max(_NIGHTS, len(names))
    name = names[turn] if turn < len(names) else names[0]
    return name if name in night.published else night.published[0]


def record_of(opened: OpenStore, identifier: str) -> Record:
    """The record of a backup in one store. Raises NoSuchBackup, or what is wrong with it."""
    for backup in opened.catalogue.backups():
        if backup.id == identifier:
            if backup.record is None:
                kind = Tampered if backup.problem_status == Tampered.exit_status else Damaged
                raise kind(f"store {opened.plan.name}: {identifier} can't be read: {backup.problem}")
            return backup.record
    raise NoSuchBackup(
        f"store {opened.plan.name} has no backup {identifier}", "`moorage backup list` shows what there is"
    )


def fetch(job: Job, opened: OpenStore, record: Record, target: Path, *, samples: Sequence[Sample] = ()) -> Manifest:
    """The dump of a backup below `target`: `dump/`, with samples `samples/<volume>/…`. Gives its verified manifest.

    Raises Tampered when the manifest is not the signed one, Damaged when something is not there.
    """
    raw = target / "restored"
    shutil.rmtree(target, ignore_errors=True)
    raw.mkdir(parents=True)
    staged = str(job.workplace.staged(record.id))
    paths = [f"{VOLUMES_FOLDER}/{item.volume}/{item.path}" for item in samples]
    opened.restic.restore(record.snapshot, raw, [staged, *paths], job.report.progress)
    _move(raw / staged.lstrip("/"), target / "dump", record)
    if paths:
        (raw / VOLUMES_FOLDER.lstrip("/")).rename(target / "samples")
    shutil.rmtree(raw)
    manifest = read_verified(job, target / "dump", record)
    # The drill has no key: what it compares samples with is told beside them, by whoever checked the signature.
    replace_file(target / "record.json", signed(record.as_data(), job.signature_key()), 0o600)
    return manifest


def fetch_samples(job: Job, opened: OpenStore, record: Record, target: Path) -> tuple[Sample, ...]:
    """Which files of the volumes a backup's drill compares, with their hashes, out of the store; none without asking."""
    if not record.samples:
        return ()
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    staged = job.workplace.staged(record.id)
    wanted = [str(staged / name) for name in (MANIFEST_FILE, SAMPLES_FILE)]
    opened.restic.restore(record.snapshot, target, wanted)
    folder = Path(f"{target}{staged}")
    manifest = read_verified(job, folder, record)
    known = next((item.sha256 for item in manifest.files if item.path == SAMPLES_FILE), "")
    if sha256_of(folder / SAMPLES_FILE) != known:
        raise Damaged(f"{record.id}: the list of its samples came back changed")
    found = listed_samples(folder, record)
    shutil.rmtree(target)
    return found


def read_verified(job: Job, folder: Path, record: Record) -> Manifest:
    """The manifest of a fetched dump: signed, and the very one that the record was made for."""
    try:
        content = (folder / MANIFEST_FILE).read_bytes()
    except OSError:
        raise Damaged(f"{record.id}: the store gave no manifest back") from None
    data = verified(content, job.signature_key(), f"the manifest of {record.id}")
    if hashlib.sha256(content).hexdigest() != record.manifest_sha256 or data.get("id") != record.id:
        raise Damaged(f"{record.id}: the manifest in the store is not the one of its record")
    return read_manifest(data)


def _move(source: Path, target: Path, record: Record) -> None:
    if not source.is_dir():
        raise Damaged(f"{record.id}: the store gave no dump back")
    source.rename(target)


def _give_to_drill(folder: Path, *, only_itself: bool = False) -> None:
    """Whoever proves it owns it."""
    if os.geteuid() != 0:
        return
    if only_itself:
        os.chown(folder, DRILL_USER, DRILL_USER)
        return
    for root, _, names in os.walk(folder):
        os.chown(root, DRILL_USER, DRILL_USER)
        for name in names:
            os.chown(Path(root, name), DRILL_USER, DRILL_USER, follow_symlinks=False)


def newest_good(opened: OpenStore) -> Record:
    """The newest good backup of a store. Raises NoSuchBackup."""
    for backup in opened.catalogue.backups():
        if backup.state == "good" and backup.record is not None:
            return backup.record
    raise NoSuchBackup(f"store {opened.plan.name} has no good backup", "`moorage backup list` shows what there is")


def first_that_answers(job: Job, identifier: str, store: str = "") -> tuple[OpenStore, Record]:
    """The backup (the newest good one for an empty id) from the named store, or the first store that has it.

    Raises the first store's reason when none has it.
    """
    plans = [job.plan.store(store)] if store else list(job.plan.stores)
    reason: BackupError | None = None
    for plan in plans:
        opened = job.open(plan)
        try:
            return opened, record_of(opened, identifier) if identifier else newest_good(opened)
        except BackupError as error:
            reason = reason or error
    assert reason is not None
    raise reason
