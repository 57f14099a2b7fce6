"""Phases of the backup job as containers of the rendered Compose file, and what they say while they work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from moorage.backups.failures import Busy
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.process import follow, printable
from moorage.targets.job_voice import JobResult, Listener

# Docker's own statuses: the engine refused, the program can't be run, it is not there.
_NOT_STARTED = (125, 126, 127)
_LOOK_SECONDS = 0.5


class JobRunner:
    """Runs the job's services of one deployment: BACKUP, DRILL and RESTORE."""

    def __init__(self, compose_folder: Path, services: Sequence[str], console: Console) -> None:
        self.compose_folder = compose_folder
        self.services = services
        self.console = console

    def run(self, kind: int, arguments: Sequence[str], options: Sequence[str] = ()) -> JobResult:
        """One container to its end; progress is shown, the result's failure is not raised."""
        words = [*options, self.services[kind], *arguments, "--json"]
        command = ["docker", "compose", "run", "--rm", "--no-deps", "-T", *words]
        self.console.command(f"cd {self.compose_folder} && {printable(command)}")
        return follow_job(command, self.console, self.compose_folder)


def follow_job(command: Sequence[str], console: Console, folder: Path) -> JobResult:
    """Run a command that talks as the job does, to its end."""
    result = JobResult()
    listener = Listener(console, result)
    result.status = follow(command, listener.hear, folder=folder, on_error=result.lines.append)
    if result.status in _NOT_STARTED and not result.failure:
        result.failure = "the backup job could not be started: " + " ".join(result.lines[-2:])
        result.hint = "`moorage up` builds its image; `moorage check` tells what is missing"
    return result


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
