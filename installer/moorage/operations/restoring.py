"""`moorage backup restore`: beside what runs, compared, then swapped in; what was there stays until it is discarded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from moorage import flow
from moorage.backups.moments import exact, parse_moment, shown
from moorage.backups.records import parse_timestamp
from moorage.backups.restore_journal import half_way_words
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.backup_sites import BackupSite, open_site
from moorage.operations.exchanging import restores_of
from moorage.operations.moving import refuse_other_secrets, refuse_unapplied
from moorage.quantities import human_size
from moorage.targets.compose.exchange_mark import Exchange
from moorage.targets.job_voice import BACKUP, RESTORE
from moorage.words import plural

Confirm = Callable[[str], bool]


@dataclass(frozen=True)
class Wanted:
    """What shall be restored: which backup ("" for the newest good one), from which store, or the moment `at`.

    `of` is another environment of the deployment, whose backup it is; with `keep_secrets` it may have other secrets.
    """

    backup: str = ""
    store: str = ""
    at: str = ""
    of: str = ""
    keep_secrets: bool = False

    def moment(self) -> datetime | None:
        """What `at` says."""
        return parse_moment(self.at, datetime.now(timezone.utc)) if self.at else None


def restore(
    folder: Path,
    environment: str,
    console: Console,
    wanted: Wanted,
    *,
    confirm: Confirm,
    dry_run: bool,
) -> int:
    """Bring a backup or a point in time back; gives the exit status.

    The app runs on until everything is restored beside it and compared; then it stops, the two change places, and it
    starts again. One that was cut off there is gone on with. Raises MoorageError with the reason; what ran before runs
    then, unless the text says otherwise.
    """
    site = open_site(folder, environment, console)
    half_way = _half_way(site)
    if half_way is not None:
        return _go_on(site, console, half_way, wanted, confirm, dry_run=dry_run)
    moment = wanted.moment()
    chosen = _chosen(site, wanted, moment, folder)
    _explain(chosen, moment, console)
    origin = chosen["environment"]
    if origin != environment:
        console.detail(f"it was made in the environment {origin}; what runs in {environment} gets its data")
        if not wanted.keep_secrets:
            refuse_other_secrets(folder, origin, environment)
            refuse_unapplied(folder, environment)
    console.detail("what was written since then is moved aside with what is there now, not deleted")
    if dry_run or not confirm(f"Put {chosen['id']} in the place of what is there now?"):
        return 0 if dry_run else 1
    with site.alone():
        arguments = [chosen["id"], "--store", chosen["store"], *_project(folder, wanted)]
        arguments += ["--at", exact(moment)] if moment else []
        console.action("restoring beside what runs; the app serves on")
        prepared = site.run(RESTORE, ["prepare", *arguments])
        prepared.raise_for_status()
        identifier = str(prepared.data["id"])
        site.exchange("swap", identifier)
    what = f"the database of {shown(moment)} and the files of {chosen['id']} are" if moment else f"{chosen['id']} is"
    console.success(f"{what} in place; what was there before is kept")
    tell_ways(console, identifier)
    if origin != environment and _share_a_folder(folder, environment, wanted):
        console.detail(
            f"→ if {environment} goes on in the place of {origin}: `moorage backup run --take-over -e {environment}`, "
            f"and end {origin}"
        )
    return 0


def restore_copy(folder: Path, environment: str, console: Console, wanted: Wanted, *, into: str, dry_run: bool) -> int:
    """Restore the databases of a backup, or of a moment, under the name `into`, and leave them there to look into.

    What runs is not touched, so nobody is asked. Gives the exit status; raises MoorageError with the reason.
    """
    site = open_site(folder, environment, console)
    site.refuse_half_exchanged()
    moment = wanted.moment()
    chosen = _chosen(site, wanted, moment, folder)
    _explain(chosen, moment, console)
    if dry_run:
        return 0
    with site.alone():
        arguments = [chosen["id"], "--store", chosen["store"], "--into", into, *_project(folder, wanted)]
        prepared = site.run(RESTORE, ["prepare", *arguments, *(["--at", exact(moment)] if moment else [])])
        prepared.raise_for_status()
    names = (
        [into] if len(prepared.data["databases"]) == 1 else [f"{into}_{name}" for name in prepared.data["databases"]]
    )
    console.success(f"restored and compared beside what runs: {', '.join(names)}")
    console.detail("a copy is in no backup, and what runs does not know of it")
    console.detail(f"→ when you have seen it: `moorage backup restore --discard {prepared.data['id']}`")
    return 0


def _half_way(site: BackupSite) -> Exchange | None:
    """An exchange that was cut off: by the host's mark, or by the job's own notes where somebody lost that."""
    marked = site.half_exchanged()
    if marked is not None:
        return marked
    for item in restores_of(site):
        if item["phase"] in ("exchanging", "undoing"):
            return Exchange("swap" if item["phase"] == "exchanging" else "undo", item["id"])
    return None


def _go_on(
    site: BackupSite,
    console: Console,
    found: Exchange,
    wanted: Wanted,
    confirm: Confirm,
    *,
    dry_run: bool,
) -> int:
    """Finish an exchange, before anything else is restored. Raises MoorageError when another one was asked for."""
    of_backup = {item["id"]: item["backup"] for item in restores_of(site)}.get(found.id, "")
    if found.verb == "undo" or wanted.at or wanted.backup not in ("", found.id, of_backup):
        raise MoorageError(*half_way_words(found.id, is_undo=found.verb == "undo"))
    console.action(f"the restore {found.id} of {of_backup or 'a backup'} was cut off while old and new changed places")
    if dry_run or not confirm("Go on with it?"):
        return 0 if dry_run else 1
    with site.alone():
        site.exchange("swap", found.id)
    console.success(f"{of_backup or found.id} is in place; what was there before is kept")
    tell_ways(console, found.id)
    return 0


def undo(folder: Path, environment: str, console: Console, *, backup: str, confirm: Confirm) -> int:
    """Put back what a restore has moved aside; gives the exit status."""
    site = open_site(folder, environment, console)
    marked = site.half_exchanged()
    if marked is not None and marked.verb == "undo" and backup in ("", marked.id):
        # All may be back already, and only the app was not started any more.
        identifier = marked.id
    else:
        identifier = _meant(site, backup, ("exchanging", "exchanged", "undoing"))
    if not confirm(f"Go back to what was there before {identifier} was restored?"):
        return 1
    with site.alone():
        site.exchange("undo", identifier)
    console.success(f"what was there before {identifier} is back; what was restored is kept until it is discarded")
    console.detail(f"→ `moorage backup restore --discard {identifier}` deletes it")
    return 0


def discard(folder: Path, environment: str, console: Console, *, backup: str, confirm: Confirm) -> int:
    """Delete what a restore has moved aside or not used; gives the exit status."""
    site = open_site(folder, environment, console)
    identifier = _meant(site, backup, ("preparing", "prepared", "beside", "exchanged", "undone"))
    if not confirm(f"Delete for good what the restore {identifier} has kept aside?"):
        return 1
    with site.alone():
        site.run(RESTORE, ["discard", identifier]).raise_for_status()
    console.success(f"what the restore {identifier} kept aside is deleted")
    return 0


_PHASES = {
    "preparing": "was cut off before it was compared",
    "prepared": "waits beside what runs",
    "beside": "lies beside what runs under a name of its own",
    "exchanging": "was cut off while old and new changed places",
    "exchanged": "is in place; what was there before is kept",
    "undoing": "was cut off while it was undone",
    "undone": "was undone; what was restored is kept",
}


def show_restores(folder: Path, environment: str, console: Console) -> int:
    """What restores keep aside, the oldest first; gives 0, or 1 when one was cut off half way."""
    known = restores_of(open_site(folder, environment, console))
    if console.as_json:
        console.data(known)
    for item in known if not console.as_json else ():
        moment = f" at {item['moment']}" if item["moment"] else ""
        into = f", {item['into']}" if item["into"] else ""
        console.line(f"{item['id']}  of {item['backup']}{moment}: {_PHASES[item['phase']]}{into}")
    if not known and not console.as_json:
        console.success("no restore keeps anything aside")
    return 1 if any(item["phase"] in ("exchanging", "undoing") for item in known) else 0


def _share_a_folder(folder: Path, environment: str, wanted: Wanted) -> bool:
    """Whether the nights of both would be written to the same place, which one of them has at a time."""
    return not wanted.of or flow.project_of(folder, wanted.of) == flow.project_of(folder, environment)


def _project(folder: Path, wanted: Wanted) -> list[str]:
    """Whose folder of the store the job looks into, where that is not its own."""
    return ["--project", flow.project_of(folder, wanted.of)] if wanted.of else []


def _chosen(site: BackupSite, wanted: Wanted, moment: datetime | None, folder: Path) -> dict[str, Any]:
    """The named backup, or the newest good one, or that whose time is nearest to the moment.

    Raises MoorageError when there is none or it is not good.
    """
    backup, store = wanted.backup, wanted.store
    listed = site.run(BACKUP, ["list", *_project(folder, wanted)])
    listed.raise_for_status()
    rows: Sequence[dict[str, Any]] = [
        row
        for row in listed.data
        if store in ("", row["store"]) and wanted.of in ("", row.get("environment", wanted.of))
    ]
    found = [row for row in rows if row.get("id") == backup] if backup else _good(rows)
    if not found:
        silent = [f"store {row['store']}: {row['error']}" for row in rows if "error" in row]
        what = f"no store has a backup {backup}" if backup else "no store has a good backup"
        if wanted.of:
            hint = f"both environments must name the same bucket under `backups.stores`; `moorage backup list -e {wanted.of}`"
            raise MoorageError("; ".join([f"{what} of {wanted.of}", *silent]), hint)
        raise MoorageError("; ".join([what, *silent]), "`moorage backup list` shows what there is")
    good = _good(found)
    if not good:
        error = MoorageError(
            f"{backup} is {found[0]['state']}: {found[0]['reason'] or 'it was never restored for proof'}",
            f"`moorage backup drill {backup}` proves it first; or take a good one: `moorage backup list`",
        )
        error.exit_status = found[0]["problem_status"] or error.exit_status
        raise error
    return min(good, key=lambda row: abs(_taken(row) - moment)) if moment else good[0]


def _taken(row: dict[str, Any]) -> datetime:
    return parse_timestamp(str(row["taken"]))


def _good(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row.get("state") == "good"]


def _meant(site: BackupSite, name: str, phases: Sequence[str]) -> str:
    """The restore that is named, by its own name or its backup's; the newest of these phases when none is named."""
    known = restores_of(site)
    found = [item for item in known if item["phase"] in phases and name in ("", item["id"], item["backup"])]
    if found and (name or len(found) == 1 or "undone" not in phases):
        return str(found[-1]["id"])
    texts = [f"{item['id']} (of {item['backup']}, {item['phase']})" for item in known]
    if not texts:
        raise MoorageError("no restore keeps anything aside")
    raise MoorageError(f"which restore is meant? There are {', '.join(texts)}", "give its name")


def _explain(chosen: dict[str, Any], moment: datetime | None, console: Console) -> None:
    rows = f"{plural(chosen['rows'], 'row')}, {plural(chosen['files'], 'file')}, {human_size(chosen['bytes'])}"
    console.action(f"{chosen['id']} from store {chosen['store']}: {rows}, taken {chosen['taken']}")
    if moment:
        console.detail(f"the database as it was at {shown(moment)}; files have no log, they are those of that backup")


def tell_ways(console: Console, identifier: str) -> None:
    console.detail(f"→ go back: `moorage backup restore --undo {identifier}`")
    console.detail(f"→ when all is well, free its room: `moorage backup restore --discard {identifier}`")
