"""`moorage restore --bare`: a deployment on a machine that has nothing, from a store and the recovery key."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moorage import __version__
from moorage.backups.plan import BackupPlan, StorePlan, read_plan
from moorage.console import Console
from moorage.errors import InputError, MoorageError
from moorage.operations.backing_up import job_runner
from moorage.operations.rendering import write_rendering
from moorage.quantities import human_size
from moorage.recovery_key import fingerprint, make_recovery_key, parse_recovery_key
from moorage.sensitive import Sensitive
from moorage.targets.compose import bare_runs
from moorage.targets.compose.deploy import Deployer, UpOptions
from moorage.targets.compose.docker import engine_version
from moorage.targets.compose.facts import StackFacts
from moorage.targets.compose.job_runs import BACKUP, RESTORE, JobRunner
from moorage.targets.compose.lock import deployment_lock
from moorage.targets.compose.place import Place
from moorage.words import plural

Confirm = Callable[[str], bool]
_MARKER = "store.json"
_SCRATCH = ".moorage-restoring"


@dataclass(frozen=True)
class Source:
    """Where the backups are: a folder, or a bucket with its credentials file."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    credentials: Path | None = None


def read_source(text: str, endpoint: str, region: str, credentials: Path | None) -> Source:
    """`/mnt/backups` or `s3://bucket/prefix`. Raises InputError for anything else."""
    if text.startswith("s3://"):
        parts = urlsplit(text)
        if not parts.netloc:
            raise InputError(f"{text} names no bucket", "`--from s3://BUCKET/PREFIX`")
        if credentials is None or not credentials.is_file():
            raise InputError(
                "a bucket needs its keys", "`--credentials FILE`, an AWS credentials file with a [default] part"
            )
        return Source(None, parts.netloc, parts.path.strip("/"), endpoint, region, credentials.resolve())
    folder = Path(text).resolve()
    if not folder.is_dir():
        raise InputError(f"{text} is no folder", "is its disk mounted?")
    return Source(folder)


def restore_bare(
    folder: Path,
    console: Console,
    *,
    source: Source,
    project: str,
    key: Sensitive,
    backup: str,
    base: str,
    confirm: Confirm,
) -> int:
    """Bring a deployment back into an empty folder of a machine that never had it; gives the exit status.

    Raises MoorageError; what was begun is left for the same command to go on with, and nothing else is touched.
    """
    engine_version()
    raw_key = parse_recovery_key(key.reveal())
    name = project or _only_project(source)
    scratch = folder / _SCRATCH
    _require_empty(folder)
    console.action(f"looking for {name} in {source.folder or source.bucket}")
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = _fetch_folder(scratch, console, source, name, Sensitive(make_recovery_key(raw_key)), backup, base)
    rows, files = sum(item[2] for item in record["databases"]), sum(item["files"] for item in record["volumes"])
    console.action(
        f"{record['id']}: {plural(rows, 'row')}, {plural(files, 'file')}, {human_size(record['bytes'])}, taken {record['taken']}"
    )
    if not confirm(f"Bring {name} up here with these data?"):
        shutil.rmtree(scratch)
        return 1
    _move_in(scratch / "deployment", folder)
    _with_data(folder, record, source, console)
    shutil.rmtree(scratch)
    return 0


def _only_project(source: Source) -> str:
    if source.folder is None:
        raise InputError("which deployment is meant?", "`--project NAME`: the folder's name in the bucket")
    found = sorted(path.parent.name for path in source.folder.glob(f"*/{_MARKER}"))
    if len(found) != 1:
        known = ", ".join(found) or "none"
        raise InputError(f"which deployment is meant? In {source.folder}: {known}", "`--project NAME`")
    return found[0]


def _require_empty(folder: Path) -> None:
    """Only a folder that has nothing but what an earlier try left."""
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} - {_SCRATCH}:
        raise InputError(
            f"{folder} is not empty",
            "`moorage -C NEW-FOLDER restore --bare …`; on the server itself: `moorage backup restore`",
        )


def _store(source: Source, name: str, folder: str) -> StorePlan:
    if source.folder is not None:
        return StorePlan(name, directory=folder, may_delete=False)
    return StorePlan(
        name,
        bucket=source.bucket,
        prefix=source.prefix,
        endpoint=source.endpoint,
        region=source.region,
        credentials_file=bare_runs.CREDENTIALS_FILE,
        may_delete=False,
    )


def _fetch_folder(
    scratch: Path, console: Console, source: Source, project: str, key: Sensitive, backup: str, base: str
) -> dict[str, Any]:
    shutil.rmtree(scratch / "deployment", ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="moorage-bare-", dir=scratch) as temporary:
        place = Path(temporary)
        (place / "work").mkdir()
        _write_private(place / "key", f"{key.reveal()}\n")
        plan = BackupPlan(
            project=project,
            deployment_id=fingerprint(key),
            environment="",
            target="compose",
            moorage=__version__,
            work="/work",
            recovery_key_file=bare_runs.KEY_FILE,
            stores=(_store(source, "source", bare_runs.STORE_FOLDER),),
            folder="/deployment",
        )
        _write_private(place / "plan.json", plan.as_json())
        files = bare_runs.BareFiles(
            place / "plan.json", place / "key", place / "work", scratch, source.folder, source.credentials
        )
        arguments = ["fetch-folder", *([backup] if backup else []), "--into", "/restore"]
        result = bare_runs.run(console, base, files, arguments)
        result.raise_for_status()
    record: dict[str, Any] = result.data
    return record


def _write_private(place: Path, text: str) -> None:
    place.touch(mode=0o600)
    place.write_text(text, encoding="utf-8")


def _move_in(found: Path, folder: Path) -> None:
    """Every entry of the restored folder to its place; done again after a kill, it goes on."""
    for entry in sorted(found.iterdir()):
        target = folder / entry.name
        if not target.exists():
            entry.rename(target)


def _with_data(folder: Path, record: dict[str, Any], source: Source, console: Console) -> None:
    """Images, the database server, its data and the volumes, and only then the app."""
    environment = record["environment"]
    write_rendering(folder, environment, console, dry_run=False)
    place = Place(folder, environment)
    with deployment_lock(folder, environment, console) as descriptor:
        deployer = Deployer(place, console, descriptor)
        _make_store_folders(folder, deployer.facts, console)
        deployer.obtain_images(UpOptions())
        if deployer.facts.postgres_service:
            with console.waiting("the database starts", 330):
                deployer.docker.compose("up", "--detach", "--no-deps", "--wait", deployer.facts.postgres_service)
        runner = job_runner(place, console)
        _put_back(runner, place, record, source)
        _begin_log(runner, deployer.facts, console)
        deployer.up(UpOptions())
    console.success(f"{deployer.facts.base_url} runs with the data of {record['taken']}")
    console.detail(
        "→ point its DNS name here; `moorage status` shows how it is, `moorage backup run` makes a new backup"
    )


def _put_back(runner: JobRunner, place: Place, record: dict[str, Any], source: Source) -> None:
    """From the very store that the folder came from: moorage.yaml may name it by a path of the old machine."""
    plan = read_plan((place.rendered / "backups" / "plan.json").read_text(encoding="utf-8"))
    own = replace(plan, stores=(_store(source, record["store"], bare_runs.STORE_FOLDER),))
    with tempfile.TemporaryDirectory(prefix="moorage-bare-", dir=place.folder / _SCRATCH) as temporary:
        _write_private(Path(temporary) / "plan.json", own.as_json())
        mounts = ["--volume", f"{temporary}/plan.json:/plan/bare.json:ro"]
        mounts += ["--volume", f"{source.folder}:{bare_runs.STORE_FOLDER}:ro"] if source.folder else []
        mounts += ["--volume", f"{source.credentials}:{bare_runs.CREDENTIALS_FILE}:ro"] if source.credentials else []
        for verb in ("prepare", "swap", "discard"):
            words = [verb, record["id"], "--plan", "/plan/bare.json"]
            runner.run(RESTORE, words, mounts).raise_for_status()


def _begin_log(runner: JobRunner, facts: StackFacts, console: Console) -> None:
    """The server is another one than the store's log is of: only now is it known that this is meant."""
    if facts.backups is None or not facts.backups.log_store:
        return
    begun = runner.run(BACKUP, ["prepare-archive", "--new-cluster"])
    if begun.status:
        console.warning(f"point-in-time recovery does not work yet: {begun.failure}")
        console.detail("→ `moorage backup run --new-cluster` tries again")


def _make_store_folders(folder: Path, facts: StackFacts, console: Console) -> None:
    """The stores that moorage.yaml names are of the old machine: empty folders here, until somebody mounts a disk there."""
    if facts.backups is None:
        raise MoorageError("backups are off in this deployment", "`backups: {enabled: true}` in moorage.yaml")
    for text in facts.backups.directories:
        if not Path(text).is_dir():
            Path(text).mkdir(mode=0o700, parents=True)
            console.warning(f"the store's folder {text} was made here; mount the disk that it is meant for")
    if facts.backups.default_folder:
        (folder / facts.backups.default_folder).mkdir(mode=0o700, exist_ok=True)
