"""Phases of the backup job as containers of the rendered Compose file, and what they say while they work."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.backups.failures import Busy
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.process import follow, printable

# Which of the job's services: their names differ where the app has one of that name (`BackupFacts.services`).
BACKUP, DRILL, RESTORE = range(3)

# Docker's own statuses: the engine refused, the program can't be run, it is not there.
_NOT_STARTED = (125, 126, 127)
_LOOK_SECONDS = 0.5


@dataclass
class JobResult:
    """How a phase ended: its status, its last words, and the data that it gave."""

    status: int = 0
    failure: str = ""
    hint: str = ""
    data: Any = None
    lines: list[str] = field(default_factory=list)

    def raise_for_status(self) -> None:
        """Raise MoorageError with the job's own reason and exit status."""
        if self.status == 0:
            return
        text = self.failure or "\n".join(self.lines[-3:]) or f"the backup job ended with status {self.status}"
        error = MoorageError(text, self.hint)
        error.exit_status = self.status
        raise error


class JobRunner:
    """Runs the job's services of one deployment: BACKUP, DRILL and RESTORE."""

    def __init__(self, compose_folder: Path, services: Sequence[str], console: Console) -> None:
        self.compose_folder = compose_folder
        self.services = services
        self.console = console

    def run(self, service: int, arguments: Sequence[str], options: Sequence[str] = ()) -> JobResult:
        """One container to its end; progress is shown, the result's failure is not raised."""
        words = [*options, self.services[service], *arguments, "--json"]
        command = ["docker", "compose", "run", "--rm", "--no-deps", "-T", *words]
        self.console.command(f"cd {self.compose_folder} && {printable(command)}")
        return follow_job(command, self.console, self.compose_folder)


def follow_job(command: Sequence[str], console: Console, folder: Path) -> JobResult:
    """Run a command that talks as the job does, to its end."""
    result = JobResult()
    listener = _Listener(console, result)
    result.status = follow(command, listener.hear, folder=folder, on_error=result.lines.append)
    if result.status in _NOT_STARTED and not result.failure:
        result.failure = "the backup job could not be started: " + " ".join(result.lines[-2:])
        result.hint = "`moorage up` builds its image; `moorage check` tells what is missing"
    return result


class _Listener:
    """Lines of JSON → the console."""

    def __init__(self, console: Console, result: JobResult) -> None:
        self.console = console
        self.result = result
        self._task = ""
        self._began = 0.0

    def hear(self, line: str) -> None:
        try:
            event = json.loads(line)
            kind = event.pop("event")
        except (ValueError, KeyError, AttributeError):
            self.result.lines.append(line)
            return
        handler: Callable[[dict[str, Any]], None] | None = {
            "step": lambda item: self.console.action(item["text"]),
            "done": lambda item: self.console.success(item["text"]),
            "warning": lambda item: self.console.warning(item["text"]),
            "failure": self._failure,
            "progress": self._progress,
            "data": self._data,
        }.get(kind)
        if handler is not None:
            handler(event)

    def _failure(self, event: dict[str, Any]) -> None:
        self.result.failure, self.result.hint = event["text"], event["hint"]

    def _data(self, event: dict[str, Any]) -> None:
        self.result.data = event["content"]

    def _progress(self, event: dict[str, Any]) -> None:
        if event["what"] != self._task:
            self._task, self._began = event["what"], time.monotonic()
        done, total = event["done"], event["total"]
        passed = time.monotonic() - self._began
        left = passed / done * (total - done) if done and passed > 1 else None
        self.console.progress(self._task, done, total, left)


@contextlib.contextmanager
def only_night(compose_folder: Path, console: Console | None = None, patience_seconds: float = 0) -> Iterator[None]:
    """Keep a second night out: the script of the timer takes the same lock, its own folder.

    Waits for a night that is under way, as long as there is patience, and tells it. Raises MoorageError then.
    """
    descriptor = os.open(compose_folder.parent / "backups", os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _locked(descriptor) and not (console and _locked_later(descriptor, console, patience_seconds)):
            error = MoorageError("a backup is running already", "`docker ps` shows it; wait for its end")
            error.exit_status = Busy.exit_status
            raise error
        yield
    finally:
        os.close(descriptor)


def _locked_later(descriptor: int, console: Console, patience_seconds: float) -> bool:
    end = time.monotonic() + patience_seconds
    with console.waiting("a backup is under way; its end is waited for", patience_seconds):
        while time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            if _locked(descriptor):
                return True
    return False


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
