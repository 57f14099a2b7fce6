"""One run of restic: its lines as they come, and an end when nothing moves any more."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from moorage.backups.failures import BackupError

# Enough for every reason that restic gives, and for the files of a folder that it can't read.
_KEPT_LINES = 2000
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `errors` are the last lines on stderr; `is_overdue` says that we ended it."""

    status: int
    errors: tuple[str, ...]
    is_overdue: bool = False


class Patience:
    """How long a run may still go on."""

    def __init__(self) -> None:
        self._deadline = float("inf")

    def give(self, seconds: float) -> None:
        """From now on so many seconds, then it is ended."""
        self._deadline = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Whether they have passed."""
        return time.monotonic() > self._deadline


def run_restic(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    patience: Patience,
    on_line: Callable[[str], object],
    keep_open: Sequence[int] = (),
) -> Outcome:
    """Run to the end, and give every line on stdout to `on_line`. Never leaves restic behind, whatever is raised.

    restic inherits the descriptors in `keep_open`.
    """
    try:
        process = subprocess.Popen(
            ["restic", *arguments],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=tuple(keep_open),
        )
    except FileNotFoundError:
        raise BackupError("the program `restic` is not installed", "the job's image brings it: rebuild it") from None
    with process:
        return _watched(process, patience, on_line)


def _watched(process: subprocess.Popen[str], patience: Patience, on_line: Callable[[str], object]) -> Outcome:
    errors: deque[str] = deque(maxlen=_KEPT_LINES)
    overdue, ended = threading.Event(), threading.Event()
    threads = (
        threading.Thread(target=_collect, args=(process.stderr, errors), daemon=True),
        threading.Thread(target=_watch, args=(process, patience, overdue, ended), daemon=True),
    )
    for thread in threads:
        thread.start()
    try:
        for line in process.stdout or ():
            on_line(line)
        process.wait()
    finally:
        ended.set()
        _end(process)
        for thread in threads:
            thread.join()
    return Outcome(process.returncode, tuple(errors), overdue.is_set())


def _collect(stream: IO[str], lines: deque[str]) -> None:
    lines.extend(line.rstrip() for line in stream if line.strip())


def _watch(
    process: subprocess.Popen[str], patience: Patience, overdue: threading.Event, ended: threading.Event
) -> None:
    while not ended.wait(_LOOK_SECONDS):
        if patience.is_over() and process.poll() is None:
            overdue.set()
            _end(process)
            return


def _end(process: subprocess.Popen[str]) -> None:
    """Let restic remove its lock, but not for long. SIGINT, because older ones don't clean up on SIGTERM."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    process.kill()
