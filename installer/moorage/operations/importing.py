"""`moorage backup import`: a dump of another tool into the app's database, by way of a throw-away server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.backup_sites import server_runner
from moorage.operations.exchanging import exchange
from moorage.operations.restoring import tell_ways
from moorage.targets.compose.job_runs import JobRunner, only_night
from moorage.targets.compose.place import Place
from moorage.targets.job_voice import DRILL, RESTORE
from moorage.words import plural

_SEEN_AS = "/import"
# The drill's user: it reads no secret, and of the work volume only what is its own.
_NOBODY = "999:999"
_READ_BY_OTHERS = 0o004
_SHOWN = 8
# Longer than any night; the answer was yes, so the exchange follows when it can.
_NIGHT_SECONDS = 6 * 3600


def import_dump(
    folder: Path,
    environment: str,
    console: Console,
    *,
    dump: Path,
    database: str,
    source: str,
    confirm: Callable[[str], bool],
) -> int:
    """Put what a dump holds in the place of the database (the app's first one for an empty name); gives the exit status.

    `source` is the database that is meant of a cluster's dump. The question holds no lock: a night in between runs.
    Raises MoorageError with the reason; nothing is exchanged before the dump was carried out and compared.
    """
    place = Place(folder, environment)
    runner = server_runner(place, console)
    _refuse_unreadable(dump)
    with only_night(runner.compose_folder):
        identifier, changes = _prepared(runner, console, dump, database, source)
    _tell(changes, console)
    agreed = False
    try:
        agreed = confirm("Put it in the place of the database that is there now?")
    finally:
        if not agreed:
            _discard(runner, console, identifier)
    if not agreed:
        return 1
    with only_night(runner.compose_folder, console, _NIGHT_SECONDS):
        exchange(place, runner, console, "swap", identifier)
    console.success(f"{dump.name} is in place; what was there before is kept as {identifier}")
    tell_ways(console, identifier)
    return 0


def _prepared(
    runner: JobRunner, console: Console, dump: Path, database: str, source: str
) -> tuple[str, Sequence[dict[str, Any]]]:
    """The dump beside the live database, compared: the import's name, and what it would change."""
    seen = f"{_SEEN_AS}/{dump.name}"
    mount = ["--volume", f"{dump.resolve()}:{seen}:ro"]
    into = ["--database", database] if database else []
    # Whom it is tried out by has no rights; what only its owner may read is copied for it, and nobody is made to open it.
    is_open = bool(dump.stat().st_mode & _READ_BY_OTHERS)
    given = [] if is_open else ["--into", seen]
    begun = runner.run(RESTORE, ["import-begin", *into, *given], [] if is_open else mount)
    begun.raise_for_status()
    identifier = str(begun.data)
    words = ["import-digest", identifier, *(["--into", seen] if is_open else [])]
    runner.run(
        DRILL, [*words, *(["--database", source] if source else [])], mount if is_open else []
    ).raise_for_status()
    console.action("restoring it beside what runs; the app serves on")
    restored = runner.run(RESTORE, ["import-restore", identifier, *into], ["--user", _NOBODY])
    finished = restored if restored.status else runner.run(RESTORE, ["import-finish", identifier])
    if finished.status:
        _discard(runner, console, identifier)
    finished.raise_for_status()
    return identifier, restored.data


def _refuse_unreadable(dump: Path) -> None:
    if dump.is_dir():
        raise MoorageError(
            f"{dump} is a folder, in which nobody notices when a part is missing",
            "`pg_dump --format=custom --file=dump.pgdump DATABASE` makes one file",
        )
    if not dump.is_file():
        raise MoorageError(
            f"{dump} is no file", "name a dump: plain SQL, also packed by gzip, xz or zstd, or `pg_dump -Fc`"
        )
    if ":" in dump.name:
        raise MoorageError(f"{dump} has a `:` in its name, which Docker can't mount", "give it another name")


def _tell(changes: Sequence[dict[str, Any]], console: Console) -> None:
    """Rows now and in the dump, of the biggest tables, which come first."""
    if console.as_json:
        console.data({"tables": changes})
        return
    lines = [(item["name"], _rows(item["rows_now"]), _rows(item["rows_then"])) for item in changes[:_SHOWN]]
    rest = changes[_SHOWN:]
    if rest:
        lines.append((f"{plural(len(rest), 'other table')}", *_totals(rest)))
    console.table(("table", "rows now", "rows in the dump"), [*lines, ("all", *_totals(changes))])


def _totals(changes: Sequence[dict[str, Any]]) -> tuple[str, str]:
    return (f"{sum(item['rows_now'] or 0 for item in changes)}", f"{sum(item['rows_then'] or 0 for item in changes)}")


def _rows(count: int | None) -> str:
    return "no such table" if count is None else str(count)


def _discard(runner: JobRunner, console: Console, identifier: str) -> None:
    if runner.run(RESTORE, ["discard", identifier]).status:
        console.warning(f"what was prepared takes room until `moorage backup restore --discard {identifier}`")
