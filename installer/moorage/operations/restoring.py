"""`moorage backup restore`: beside what runs, compared, then swapped in; what was there stays until it is discarded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from moorage.backups.moments import exact, parse_moment, shown
from moorage.backups.records import parse_timestamp
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.backing_up import job_runner
from moorage.quantities import human_size
from moorage.targets.compose import created
from moorage.targets.compose.deploy import Deployer, UpOptions
from moorage.targets.compose.job_runs import BACKUP, RESTORE, JobRunner, only_night
from moorage.targets.compose.lock import deployment_lock
from moorage.targets.compose.place import Place
from moorage.words import plural

Confirm = Callable[[str], bool]
_STOP_SECONDS = 300


def restore(
    folder: Path,
    environment: str,
    console: Console,
    *,
    backup: str,
    store: str,
    at: str,
    confirm: Confirm,
    dry_run: bool,
) -> int:
    """Bring a backup (the newest good one for an empty name) or a point in time back; gives the exit status.

    The app runs on until everything is restored beside it and compared; then it stops, the two change places, and it
    starts again. Raises MoorageError with the reason; what ran before runs then, unless the text says otherwise.
    """
    place = Place(folder, environment)
    runner = job_runner(place, console)
    moment = parse_moment(at, datetime.now(timezone.utc)) if at else None
    chosen = _chosen(runner, backup, store, moment)
    _explain(chosen, moment, console)
    if dry_run or not confirm(f"Put {chosen['id']} in the place of what is there now?"):
        return 0 if dry_run else 1
    with only_night(runner.compose_folder):
        arguments = [chosen["id"], "--store", chosen["store"], *(["--at", exact(moment)] if moment else [])]
        console.action("restoring beside what runs; the app serves on")
        runner.run(RESTORE, ["prepare", *arguments]).raise_for_status()
        exchange(place, runner, console, "swap", chosen["id"])
    what = f"the database of {shown(moment)} and the files of {chosen['id']} are" if moment else f"{chosen['id']} is"
    console.success(f"{what} in place; what was there before is kept")
    tell_ways(console, chosen["id"])
    return 0


def undo(folder: Path, environment: str, console: Console, *, backup: str, confirm: Confirm) -> int:
    """Put back what a restore has moved aside; gives the exit status."""
    place = Place(folder, environment)
    runner = job_runner(place, console)
    identifier = _restored(runner, backup)
    if not confirm(f"Go back to what was there before {identifier} was restored?"):
        return 1
    with only_night(runner.compose_folder):
        exchange(place, runner, console, "undo", identifier)
    console.success(f"what was there before {identifier} is back; what was restored is kept until it is discarded")
    console.detail(f"→ `moorage backup restore --discard {identifier}` deletes it")
    return 0


def discard(folder: Path, environment: str, console: Console, *, backup: str, confirm: Confirm) -> int:
    """Delete what a restore has moved aside or not used; gives the exit status."""
    runner = job_runner(Place(folder, environment), console)
    identifier = _restored(runner, backup)
    if not confirm(f"Delete for good what the restore of {identifier} has kept aside?"):
        return 1
    with only_night(runner.compose_folder):
        runner.run(RESTORE, ["discard", identifier]).raise_for_status()
    console.success(f"what the restore of {identifier} kept aside is deleted")
    return 0


def exchange(place: Place, runner: JobRunner, console: Console, verb: str, identifier: str) -> None:
    """Stop the app, let the job exchange old and new, start the app; migrations of the release run again."""
    with deployment_lock(place.folder, place.environment, console) as descriptor:
        deployer = Deployer(place, console, descriptor)
        _warn_of_created(deployer, console)
        names = [item.name for item in deployer.facts.services if item.kind == "app" and not item.one_shot]
        with console.waiting("the app stops", _STOP_SECONDS):
            deployer.docker.compose("stop", *names, timeout_seconds=_STOP_SECONDS)
        exchanged = runner.run(RESTORE, [verb, identifier])
        if exchanged.status:
            console.warning("the exchange was not finished; the app stays down, so that nothing is written in between")
            exchanged.hint = exchanged.hint or f"`moorage backup restore --undo {identifier}` puts back what was there"
            exchanged.raise_for_status()
        deployer.up(UpOptions())


def _warn_of_created(deployer: Deployer, console: Console) -> None:
    running = created.find(deployer.docker, deployer.facts).running
    if running:
        console.warning(
            f"{plural(len(running), 'container')} that the app created go on with what they have; restart them afterwards"
        )


def _chosen(runner: JobRunner, backup: str, store: str, moment: datetime | None) -> dict[str, Any]:
    """The named backup, or the newest good one, or that whose time is nearest to the moment.

    Raises MoorageError when there is none or it is not good.
    """
    listed = runner.run(BACKUP, ["list"])
    listed.raise_for_status()
    rows: Sequence[dict[str, Any]] = [row for row in listed.data if not store or row["store"] == store]
    found = [row for row in rows if row.get("id") == backup] if backup else _good(rows)
    if not found:
        silent = [f"store {row['store']}: {row['error']}" for row in rows if "error" in row]
        what = f"no store has a backup {backup}" if backup else "no store has a good backup"
        raise MoorageError("; ".join([what, *silent]), "`moorage backup list` shows what there is")
    good = _good(found)
    if not good:
        raise MoorageError(
            f"{backup} is {found[0]['state']}: {found[0]['reason'] or 'it was never restored for proof'}",
            f"`moorage backup drill {backup}` proves it first; or take a good one: `moorage backup list`",
        )
    return min(good, key=lambda row: abs(_taken(row) - moment)) if moment else good[0]


def _taken(row: dict[str, Any]) -> datetime:
    return parse_timestamp(str(row["taken"]))


def _good(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("state") == "good"]


def _restored(runner: JobRunner, backup: str) -> str:
    """The restore that is meant: the only one, when none is named."""
    result = runner.run(RESTORE, ["restored"])
    result.raise_for_status()
    names: list[str] = result.data
    if backup in names:
        return backup
    if not backup and len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    raise MoorageError(f"which restore is meant? Kept aside: {known}", "give its name")


def _explain(chosen: dict[str, Any], moment: datetime | None, console: Console) -> None:
    rows = f"{plural(chosen['rows'], 'row')}, {plural(chosen['files'], 'file')}, {human_size(chosen['bytes'])}"
    console.action(f"{chosen['id']} from store {chosen['store']}: {rows}, taken {chosen['taken']}")
    if moment:
        console.detail(f"the database as it was at {shown(moment)}; files have no log, they are those of that backup")
    console.detail("what was written since then is moved aside with what is there now, not deleted")


def tell_ways(console: Console, identifier: str) -> None:
    console.detail(f"→ go back: `moorage backup restore --undo {identifier}`")
    console.detail(f"→ when all is well, free its room: `moorage backup restore --discard {identifier}`")
