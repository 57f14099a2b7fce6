"""One change at a time per environment, even after a kill -9."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moorage.console import Console
from moorage.errors import MoorageError


@contextmanager
def deployment_lock(folder: Path, environment: str, console: Console, limit_seconds: float = 120) -> Iterator[int]:
    """Hold the lock of an environment; gives its file descriptor, which child programs inherit.

    So the lock outlives a killed moorage as long as a `docker compose` that it started is still at work.
    Raises MoorageError when another run holds it for longer than `limit_seconds`.
    """
    descriptor = _locked(folder / "releases" / environment / ".lock", console, limit_seconds)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        os.set_inheritable(descriptor, True)
        yield descriptor
    finally:
        # Closing our copy is enough; unlinking would let a third run lock another file.
        os.close(descriptor)


def _locked(path: Path, console: Console, limit_seconds: float) -> int:
    """A descriptor of the file that has this path when the lock is ours."""
    while True:
        descriptor = _open(path)
        try:
            _acquire(descriptor, console, limit_seconds)
            if _is_there(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # While we waited, `uninstall --purge` took the file away: others would lock another one.
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError:
        raise MoorageError(
            f"{path} may not be written by this user", "use the user that installed it, or sudo"
        ) from None


def _is_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _acquire(descriptor: int, console: Console, limit_seconds: float) -> None:
    if _try(descriptor):
        return
    holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
    with console.waiting(f"another moorage is at work here (process {holder})", limit_seconds):
        end = time.monotonic() + limit_seconds
        while time.monotonic() < end:
            time.sleep(0.2)
            if _try(descriptor):
                return
    raise MoorageError(
        f"another moorage (process {holder}), or a program that it started, is still at work on this environment",
        "wait for it to end; `ps` tells what it does",
    )


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
