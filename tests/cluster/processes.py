"""Processes of a cluster: each in a group of its own, none outliving the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rig import RigError, last_lines

# The kernel ends the program when the thread that started it is gone, however that came about.
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


@dataclass(frozen=True)
class Part:
    """A running program of the cluster and where it writes its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise with the end of its log when the program has ended."""
        status = self.process.poll()
        if status is not None:
            raise RigError(f"{self.name} ended with status {status}:\n{self.story()}")

    def story(self) -> str:
        """Return the last lines that the program wrote."""
        return last_lines(self.log.read_text(errors="replace"))

    def end(self) -> None:
        """End the program and what it started, at once: its data go with it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self.process.wait()


def start(name: str, command: Sequence[str | Path], folder: Path, *, holds_stdin: bool = False) -> Part:
    """Start a program with its log in `folder`, with nothing to read or with an input that closes when we end.

    Call it from the main thread.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*DIE_WITH_PARENT, *map(str, command)],
            stdin=subprocess.PIPE if holds_stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    return Part(name, process, log)


def wait_until(what: str, is_so: Callable[[], bool], parts: Sequence[Part], limit_seconds: float) -> None:
    """Wait for something that the parts bring about; raise when one of them ends, or when it takes too long."""
    deadline = time.monotonic() + limit_seconds
    while not is_so():
        for part in parts:
            part.check()
        if time.monotonic() > deadline:
            stories = "\n".join(f"{part.name}:\n{part.story()}" for part in parts)
            raise RigError(f"{what}: not so after {limit_seconds:.0f} s\n{stories}")
        time.sleep(0.1)
