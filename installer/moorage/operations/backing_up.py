"""`moorage backup run`, `list`, `show`, `verify`, `drill`, `prune`: the job's phases, and their results for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moorage.backups.moments import spans_text
from moorage.console import Console
from moorage.operations.backup_sites import BackupSite, open_site
from moorage.quantities import human_size
from moorage.targets.job_voice import BACKUP, DRILL, JobResult
from moorage.words import plural


def run(folder: Path, environment: str, console: Console, *, take_over: bool = False) -> int:
    """One whole night, now. Raises MoorageError with the night's own exit status when it is not good.

    `take_over` says that this server goes on with stores that another one wrote, or with a database that was begun anew.
    """
    site = open_site(folder, environment, console)
    with site.alone():
        site.refuse_half_exchanged()
        arguments = ["take", *(["--take-over"] if take_over else [])]
        return _proven(site, site.run(BACKUP, arguments))


def drill(folder: Path, environment: str, console: Console, identifier: str, store: str) -> int:
    """Prove one backup (the newest for an empty id) again: fetch it, restore it, compare it, write the verdict."""
    site = open_site(folder, environment, console)
    with site.alone():
        arguments = ["fetch", *([identifier] if identifier else []), *_store(store)]
        return _proven(site, site.run(BACKUP, arguments))


def _proven(site: BackupSite, made: JobResult) -> int:
    """Drill and conclude what was made or fetched; `conclude` says how all of it ended, whatever came before."""
    if made.status == 0:
        proven = site.run(DRILL, ["drill"])
        if proven.status:
            # `conclude` tells the reason that the drill wrote down; this one may have kept it from writing.
            site.console.detail("\n".join([proven.failure, *proven.lines[-5:]]))
    ended = site.run(BACKUP, ["conclude"])
    (ended if made.status == 0 else made).raise_for_status()
    return 0


def show_list(folder: Path, environment: str, console: Console) -> int:
    """The backups of all stores; gives 1 when a store does not answer."""
    rows = _data(open_site(folder, environment, console).run(BACKUP, ["list"]))
    if console.as_json:
        console.data(rows)
        return _all_answered(rows)
    heads = ("backup", "store", "state", "rows", "files", "size", "restored in", "kept as")
    console.table(heads, [_line(row) for row in rows if "id" in row])
    for row in rows:
        if "reaches_from" in row:
            console.detail(_reach(row))
        if "error" in row:
            console.failure(f"store {row['store']}: {row['error']}")
            console.detail(f"→ {row['hint']}" if row["hint"] else "")
    return _all_answered(rows)


def show_one(folder: Path, environment: str, console: Console, identifier: str) -> int:
    """Everything that is known of one backup."""
    found = _data(open_site(folder, environment, console).run(BACKUP, ["show", identifier]))
    if console.as_json:
        console.data(found)
        return 0
    for item in found:
        _show(item, console)
    return 0


def verify(folder: Path, environment: str, console: Console, identifier: str, store: str, percent: float) -> int:
    """Read stores back and check them. Raises MoorageError with the first thing that is damaged, changed or missing."""
    arguments = ["verify", *([identifier] if identifier else []), *_store(store), "--read-percent", f"{percent:g}"]
    site = open_site(folder, environment, console)
    with site.alone():
        result = site.run(BACKUP, arguments)
    if console.as_json and result.data is not None:
        console.data(result.data)
    else:
        for item in result.data or ():
            _show_verification(item, console)
    result.raise_for_status()
    return 0


def prune(folder: Path, environment: str, console: Console, store: str, *, dry_run: bool) -> int:
    """Delete what retention does not ask for; with `dry_run` only say what and why."""
    site = open_site(folder, environment, console)
    with site.alone():
        found = _data(site.run(BACKUP, ["prune", *_store(store), *(["--dry-run"] if dry_run else [])]))
    if console.as_json:
        console.data(found)
        return 0
    for name, result in sorted(found.items()):
        decisions = result["decisions"]
        console.line(f"store {name}")
        for decision in decisions:
            console.line(f"  {'keep  ' if decision['keep'] else 'delete'}  {decision['id']}  {decision['reason']}")
        going = sum(not decision["keep"] for decision in decisions)
        console.success(_prune_words(len(decisions), going, may_delete=result["may_delete"], dry_run=dry_run))
    return 0


def _prune_words(count: int, going: int, *, may_delete: bool, dry_run: bool) -> str:
    if not may_delete:
        return f"nothing is deleted here: `may_delete` is false; {plural(going, 'backup')} could go by another key"
    return f"{plural(going, 'backup')} {'would be deleted' if dry_run else 'deleted'}, {count - going} kept"


def show_schedule(folder: Path, environment: str, console: Console) -> int:
    """When nights run and who starts them; gives 1 when nobody does."""
    return open_site(folder, environment, console).show_schedule()


def _data(result: JobResult) -> Any:
    result.raise_for_status()
    return result.data


def _store(name: str) -> list[str]:
    return ["--store", name] if name else []


def _all_answered(rows: list[dict[str, Any]]) -> int:
    return 1 if any("error" in row for row in rows) else 0


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    seconds = row["restore_seconds"]
    return (
        row["id"],
        row["store"],
        _state(row["state"], row["store"], row["proven_in"]),
        f"{row['rows']}",
        f"{row['files']}",
        human_size(row["bytes"]),
        "" if seconds is None else f"{seconds:.1f} s",
        row["why"] if row["keep"] else f"goes: {row['why']}",
    )


def _state(state: str, store: str, proven_in: str) -> str:
    """Which store gave back what was proven, where it was another one."""
    return f"{state} (proven in store {proven_in})" if state == "good" and proven_in != store else state


def _reach(row: dict[str, Any]) -> str:
    """What `restore --at` can go back to."""
    if not row["reaches_from"]:
        return f"store {row['store']} gets the log; any moment after the first `moorage backup run` can be restored"
    return f"any moment {spans_text(row['spans'])} can be restored (`--at`), by the log in {row['store']}"


def _show_verification(item: dict[str, Any], console: Console) -> None:
    """What was looked at in one store, or what is wrong there."""
    for problem in item["problems"]:
        console.failure(problem["reason"])
    for name in item["bad"]:
        console.detail(f"→ {name} counts as good no longer in store {item['store']}")
    if item["problems"]:
        return
    physical = item["physical"]
    more = (
        ""
        if physical is None
        else f"; {plural(physical, 'backup')} of the cluster and the log: every byte read, as written"
    )
    console.success(
        f"store {item['store']}: {plural(item['backups'], 'backup')}: signatures of records, verdicts and manifests are "
        f"right, each has its snapshot; restic's repository is whole, {item['read_percent']:g} % of its bytes were read{more}"
    )


def _show(item: dict[str, Any], console: Console) -> None:
    record, verdict = item["record"], item["verdict"]
    state = _state(item["state"], item["store"], verdict["drilled_store"] if verdict else "")
    console.line(f"{record['id'] if record else '?'} in store {item['store']}: {state}")
    if item["problem"]:
        console.line(f"  problem    {item['problem']}")
    if record:
        console.line(f"  taken      {record['taken']} by moorage {record['moorage']}")
        console.line(
            f"  size       {human_size(record['bytes'])}, {human_size(record['added_bytes'])} new in the store"
        )
        for name, tables, rows in record["databases"]:
            console.line(f"  database   {name}: {plural(tables, 'table')}, {plural(rows, 'row')}")
        for volume in record["volumes"]:
            console.line(
                f"  volume     {volume['name']}: {plural(volume['files'], 'file')}, {human_size(volume['bytes'])}"
            )
        for warning in record["warnings"]:
            console.line(f"  warning    {warning}")
    if verdict:
        ended = "good" if verdict["good"] else f"failed: {verdict['reason']}"
        console.line(
            f"  drill      {verdict['at']} from {verdict['drilled_store']}, {verdict['restore_seconds']:.1f} s: {ended}"
        )
        for check in verdict["checks"]:
            console.line(f"             {'✓' if check['passed'] else '✗'} {check['name']}: {check['detail']}")
