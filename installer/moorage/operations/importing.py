"""`moorage backup import`: a dump of another tool into the app's database, by way of a throw-away server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.backing_up import job_runner
from moorage.operations.exchanging import exchange
from moorage.operations.restoring import tell_ways
from moorage.targets.compose.job_runs import DRILL, RESTORE, only_night
from moorage.targets.compose.place import Place

_SEEN_AS = "/import"


def import_dump(
    folder: Path, environment: str, console: Console, *, dump: Path, database: str, confirm: Callable[[str], bool]
) -> int:
    """Put what a dump holds in the place of the database (the app's first one for an empty name); gives the exit status.

    Raises MoorageError with the reason; nothing is exchanged before the dump was carried out and compared.
    """
    runner = job_runner(Place(folder, environment), console)
    if not dump.is_file():
        raise MoorageError(
            f"{dump} is no file", "name a dump: plain SQL, also packed by gzip, xz or zstd, or `pg_dump -Fc`"
        )
    seen = f"{_SEEN_AS}/{dump.name}"
    with only_night(runner.compose_folder):
        begun = runner.run(RESTORE, ["import-begin"])
        begun.raise_for_status()
        identifier = str(begun.data)
        options = ["--volume", f"{dump.resolve()}:{seen}:ro"]
        words = ["import-digest", identifier, "--into", seen, *(["--database", database] if database else [])]
        runner.run(DRILL, words, options).raise_for_status()
        console.action("restoring it beside what runs; the app serves on")
        runner.run(RESTORE, ["import-prepare", identifier]).raise_for_status()
        if not confirm("Put it in the place of the database that is there now?"):
            runner.run(RESTORE, ["discard", identifier])
            return 1
        exchange(Place(folder, environment), runner, console, "swap", identifier)
    console.success(f"{dump.name} is in place; what was there before is kept as {identifier}")
    tell_ways(console, identifier)
    return 0
