"""Locks that killed jobs of this deployment left in a restic repository.

restic takes a lock for dead when its process is, on the same host, or after 30 minutes. A container's host name is new
each time, so what was killed an hour before dawn would hold up the next try. Here it is known which hosts were ours and,
by a lock of the kernel's on the work volume, that none of them works at the moment.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moorage.backups.stores.base import RESTIC_FOLDER, Store
from moorage.durable import make_closed_folder

_NAME = re.compile(r"[0-9a-f]{64}")
# After 30 minutes restic itself takes a lock for dead.
_REMEMBERED_SECONDS = 86400.0


class OwnLocks:
    """The hosts that took locks from this work volume, and whether one of them is at it now."""

    def __init__(self, folder: Path) -> None:
        self._hosts = folder / "hosts"
        self._in_use = folder / "in-use"

    @contextmanager
    def taking(self) -> Iterator[int]:
        """For the time of a `with` block, be somebody who holds a lock; gives the descriptor that restic must inherit."""
        make_closed_folder(self._hosts)
        (self._hosts / socket.gethostname()).touch()
        descriptor = os.open(self._in_use, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield descriptor
        finally:
            os.close(descriptor)

    def remove_dead(self, store: Store, content_of: Callable[[str], dict[str, Any]]) -> None:
        """Remove the locks of our hosts from a store, if none of them works now; `content_of` reads one by its id."""
        descriptor = os.open(self._in_use, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hosts = self._remembered()
            for key in store.keys(f"{RESTIC_FOLDER}/locks/"):
                name = key.rpartition("/")[2]
                # It becomes an argument of restic's: what else lies there may be called like an option.
                if not _NAME.fullmatch(name):
                    continue
                lock = content_of(name)
                if lock.get("hostname") in hosts and not _is_alive(lock):
                    store.delete(key)
        except BlockingIOError:
            return
        finally:
            os.close(descriptor)

    def _remembered(self) -> set[str]:
        for file in self._hosts.iterdir():
            if time.time() - file.stat().st_mtime > _REMEMBERED_SECONDS:
                file.unlink(missing_ok=True)
        return {file.name for file in self._hosts.iterdir()}


def _is_alive(lock: dict[str, Any]) -> bool:
    """Whether somebody runs restic by hand on this very host: then the lock is theirs."""
    if lock.get("hostname") != socket.gethostname():
        return False
    try:
        state = Path(f"/proc/{int(lock['pid'])}/stat").read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError):
        return False
    name, _, rest = state.partition("(")[2].rpartition(")")
    return name == "restic" and rest.split()[0] != "Z"
