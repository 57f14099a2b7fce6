"""Postgres' client programs: started with nothing secret in their arguments, ended when nobody waits any more."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from moorage.backups.postgres.connections import without_values
from moorage.errors import MoorageError

_LAST_LINES = 6
_TICK_SECONDS = 0.25
_END_SECONDS = 10
# These lines show values of rows, and those that follow a statement may, too.
_VALUES = re.compile(
    r"^\s*(pg_\w+: )?(detail: (?!Error message)|DETAIL|CONTEXT|STATEMENT|QUERY|LINE \d+|Command was|hint|HINT):? ?"
)


@dataclass
class Program:
    """A program that runs, or ran."""

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self.process.poll()

    def wait(self, tick: Callable[[], None]) -> int:
        """Its exit status when it has ended; `tick` is called several times a second until then."""
        while (status := self.status) is None:
            tick()
            time.sleep(_TICK_SECONDS)
        return status

    def text(self) -> str:
        """All that it printed, on both streams."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def said(self) -> str:
        """Its last words without values of rows, in one line."""
        return last_words(self.text())


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Program]:
    """Start a program with just this environment; it is ended when it still runs at the end.

    Raises MoorageError where it is not installed.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(command), env=dict(environment), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except FileNotFoundError:
            raise MoorageError(f"the program `{command[0]}` is not installed") from None
        try:
            yield Program(command[0], process, output)
        finally:
            _end(process)


def last_words(text: str) -> str:
    """The last lines that say what went wrong, joined; lines that show values of rows are left out."""
    kept: list[str] = []
    in_statement = False
    for line in text.splitlines():
        if re.match(r"^(pg_\w+|vacuumdb|psql|initdb|postgres): ", line):
            in_statement = False
        if _VALUES.match(line):
            in_statement = True
        if not in_statement and line.strip():
            kept.append(without_values(line.strip()))
    return "; ".join(kept[-_LAST_LINES:])


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
