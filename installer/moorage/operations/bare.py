"""`moorage restore --bare`: a deployment on a machine that has nothing, from a store and the recovery key."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from moorage.backups.moments import exact, parse_moment, shown
from moorage.backups.plan import read_plan
from moorage.console import Console
from moorage.errors import InputError, MoorageError
from moorage.operations import bare_attempt
from moorage.operations.backup_sites import server_runner
from moorage.operations.bare_attempt import SCRATCH, Attempt
from moorage.operations.bare_landing import carry_secrets, landing
from moorage.operations.bare_source import Source, fetch_folder, write_private
from moorage.operations.rendering import write_rendering
from moorage.quantities import human_size
from moorage.recovery_key import make_recovery_key, parse_recovery_key
from moorage.sensitive import Sensitive
from moorage.targets.compose import bare_runs, units
from moorage.targets.compose.deploy import Deployer, UpOptions
from moorage.targets.compose.docker import engine_version
from moorage.targets.compose.facts import StackFacts
from moorage.targets.compose.job_runs import JobRunner
from moorage.targets.compose.place import Place
from moorage.targets.job_voice import BACKUP, RESTORE
from moorage.targets.lock import deployment_lock
from moorage.words import plural

Confirm = Callable[[str], bool]


@dataclass(frozen=True)
class Wish:
    """What is wanted: which backup ("" for the newest good one), the moment ("" for the backup's own), for what.

    `environment` is the one that it comes up as, "" for its own.

    A rehearsal leaves the stores to the server that writes to them, and runs nothing by schedule.
    """

    source: Source
    project: str
    key: Sensitive
    backup: str
    at: str
    environment: str
    base_image: str
    is_rehearsal: bool


def restore_bare(folder: Path, console: Console, wish: Wish, confirm: Confirm) -> int:
    """Bring a deployment back into an empty folder of a machine that does not have it; gives the exit status.

    Raises MoorageError; the same command goes on where one was cut off, and what is on the machine already is refused.
    """
    engine_version()
    moment = parse_moment(wish.at, datetime.now(timezone.utc)) if wish.at else None
    attempt = bare_attempt.begun(folder)
    if attempt is None:
        attempt = _begin(folder, console, wish, moment, confirm)
        if attempt is None:
            return 1
    else:
        console.action(f"going on with {attempt.record['id']} of {attempt.project}, which was cut off")
    if attempt.phase == "moving":
        _move_in(folder / SCRATCH / "deployment", folder)
        attempt = bare_attempt.advance(folder, attempt, "filling")
    _bring_up(folder, attempt, wish, moment, console)
    bare_attempt.finish(folder)
    return 0


def _begin(folder: Path, console: Console, wish: Wish, moment: datetime | None, confirm: Confirm) -> Attempt | None:
    raw_key = parse_recovery_key(wish.key.reveal())
    source = wish.source
    name = wish.project or source.only_project()
    bare_attempt.refuse_existing(name, folder.parent, console)
    console.action(f"looking for {name} in {source.folder or source.bucket}")
    scratch = folder / SCRATCH
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = Sensitive(make_recovery_key(raw_key))
    record = fetch_folder(scratch, console, source, name, key, wish.backup, wish.base_image)
    found = landing(scratch / "deployment", record, wish.environment)
    if found.project != name:
        bare_attempt.refuse_existing(found.project, folder.parent, console)
    if moment and found.environment != record["environment"]:
        raise InputError("a moment is found by the log of the very environment", "leave out `--at` or `-e`")
    _explain(record, moment, console, is_rehearsal=wish.is_rehearsal)
    if not confirm(f"Bring {found.project} up here with these data?"):
        shutil.rmtree(scratch)
        return None
    carry_secrets(scratch / "deployment", str(record["environment"]), found.environment, key, console)
    return bare_attempt.note(folder, Attempt(name, record, found.environment))


def _explain(record: dict[str, Any], moment: datetime | None, console: Console, *, is_rehearsal: bool) -> None:
    rows, files = sum(item[2] for item in record["databases"]), sum(item["files"] for item in record["volumes"])
    console.action(
        f"{record['id']}: {plural(rows, 'row')}, {plural(files, 'file')}, {human_size(record['bytes'])}, taken {record['taken']}"
    )
    if moment:
        console.detail(f"the database as it was at {shown(moment)}; files have no log, they are those of that backup")
    if is_rehearsal:
        console.detail("a rehearsal: it makes no backups, and nothing in it runs by schedule")
    else:
        console.detail("from now on this server makes the backups; the old one, if it still runs, no longer can")


def _move_in(found: Path, folder: Path) -> None:
    """Every entry of the restored folder to its place; done again after a kill, it goes on."""
    for entry in sorted(found.iterdir()) if found.is_dir() else ():
        target = folder / entry.name
        if target.exists():
            raise MoorageError(f"{target} appeared meanwhile", "take it away, then run the same command again")
        entry.rename(target)


def _bring_up(folder: Path, attempt: Attempt, wish: Wish, moment: datetime | None, console: Console) -> None:
    """Images, the database server, its data and the volumes, and only then the app."""
    environment = attempt.environment or attempt.record["environment"]
    write_rendering(folder, environment, console, dry_run=False)
    place = Place(folder, environment)
    with deployment_lock(folder, environment, console) as descriptor:
        deployer = Deployer(place, console, descriptor)
        _make_store_folders(folder, deployer.facts, console)
        deployer.obtain_images(UpOptions())
        if deployer.facts.postgres_service:
            with console.waiting("the database starts", 330):
                deployer.docker.compose("up", "--detach", "--no-deps", "--wait", deployer.facts.postgres_service)
        runner = server_runner(place, console)
        if attempt.phase == "filling":
            _put_back(runner, place, attempt, wish.source, moment)
            bare_attempt.advance(folder, attempt, "starting")
        if not wish.is_rehearsal:
            _take_over(runner, console)
        deployer.up(UpOptions())
        if not wish.is_rehearsal:
            units.install(place, deployer.facts, console)
    what = f"the database of {shown(moment)}" if moment else f"the data of {attempt.record['taken']}"
    console.success(f"{deployer.facts.base_url} runs with {what}")
    _tell_next(console, is_rehearsal=wish.is_rehearsal)


def _tell_next(console: Console, *, is_rehearsal: bool) -> None:
    if is_rehearsal:
        console.detail("→ after the look: `moorage uninstall --purge`")
        return
    console.detail(
        "→ point its DNS name here; `moorage status` shows how it is, `moorage backup run` makes a new backup"
    )


def _put_back(runner: JobRunner, place: Place, attempt: Attempt, source: Source, moment: datetime | None) -> None:
    """From the very store that the folder came from: moorage.yaml may name it by a path of the old machine.

    What is replaced is empty: this machine had no volume of that name when the attempt began.
    """
    record = attempt.record
    plan = read_plan((place.rendered / "backups" / "plan.json").read_text(encoding="utf-8"))
    own = replace(plan, project=attempt.project, stores=(source.store_plan(record["store"]),))
    with tempfile.TemporaryDirectory(prefix="moorage-bare-", dir=place.folder / SCRATCH) as temporary:
        write_private(Path(temporary) / "plan.json", own.as_json())
        mounts = ["--volume", f"{temporary}/plan.json:/plan/bare.json:ro"]
        mounts += ["--volume", f"{source.folder}:{bare_runs.STORE_FOLDER}:ro"] if source.folder else []
        mounts += ["--volume", f"{source.credentials}:{bare_runs.CREDENTIALS_FILE}:ro"] if source.credentials else []
        if source.folder and own.physical and own.physical.folder:
            log = source.folder / Path(own.physical.folder).relative_to(Path(own.physical.folder).parents[1])
            mounts += ["--volume", f"{log}:{own.physical.folder}:ro"] if log.is_dir() else []
        bare = ["--plan", "/plan/bare.json"]
        wanted = ["--at", exact(moment)] if moment else []
        prepared = runner.run(RESTORE, ["prepare", record["id"], "--new-machine", *wanted, *bare], mounts)
        prepared.raise_for_status()
        for verb in ("swap", "discard"):
            runner.run(RESTORE, [verb, prepared.data["id"], *bare], mounts).raise_for_status()


def _take_over(runner: JobRunner, console: Console) -> None:
    """The stores and their log go on with this server: only now is it known that this is meant."""
    begun = runner.run(BACKUP, ["take-over", "--take-over"])
    if begun.status:
        console.warning(f"this server can't write to its stores yet: {begun.failure}")
        console.detail("→ `moorage backup run --take-over` tries again")


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
