"""The ground the test rig stands on: its cache folder, its lock, running programs, talking."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class RigError(Exception):
    """Something the rig needs is missing or failed; the message carries the next step."""


def say(message: str) -> None:
    """Talk to the person on stderr; stdout is kept for data."""
    print(message, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Return the folder for everything downloaded or unpacked, creating it when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "moorage-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def require_root(what: str) -> None:
    """Raise unless this process may change the machine."""
    if os.geteuid() != 0:
        raise RigError(f"{what} needs root: run this again with sudo")


@contextmanager
def exclusively(name: str) -> Iterator[None]:
    """Let one process at a time pass; the kernel drops the lock when its holder dies."""
    with (cache_folder() / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {handle.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def last_lines(text: str, count: int = 20) -> str:
    """Return the last lines of a log, indented for use below a message."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-count:])


def run(
    arguments: Sequence[str | Path],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program and return its stdout; raise `RigError` with its last lines on failure."""
    words = [str(word) for word in arguments]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            check=False,
        )
    except FileNotFoundError as error:
        raise RigError(f"{words[0]} is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise RigError(f"`{' '.join(words)}` took longer than {timeout_seconds:.0f} s") from error
    if done.returncode != 0:
        raise RigError(f"`{' '.join(words)}` failed:\n{last_lines(done.stdout + done.stderr)}")
    return done.stdout
