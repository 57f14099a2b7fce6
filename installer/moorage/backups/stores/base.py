"""The contract of a store: small files that are written once, whole or not at all, and the place of the big ones."""

from __future__ import annotations

import re
from typing import Protocol

from moorage.backups.failures import BackupError, Tampered
from moorage.backups.plan import StorePlan

MARKER_KEY = "store.json"
RESTIC_FOLDER = "restic"
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_LONGEST = 500
# Far more than any small file of ours has; whoever can write into a store must not fill our memory.
LARGEST_BYTES = 8 << 20


class Store(Protocol):
    """A project's place in a directory or a bucket. Every method raises a BackupError of the class that tells why."""

    plan: StorePlan

    def put(self, key: str, content: bytes) -> None:
        """Write a small file, whole or not at all, durably; the same content again is fine, other content raises."""

    def get(self, key: str) -> bytes | None:
        """The content of a small file, None where there is none. Raises Tampered for one that is none of ours by its size."""

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin with `prefix`, sorted, relative to the project's folder."""

    def delete(self, key: str) -> None:
        """Remove a small file; gone already is fine."""

    def free_bytes(self) -> int | None:
        """The room that is left; None where that can't be known."""

    def restic_repository(self) -> str:
        """The address of the restic repository, as restic reads it."""

    def environment(self) -> dict[str, str]:
        """Variables that restic needs for this store: names of files and regions, no secret."""


def checked_key(key: str) -> str:
    """The key, if it names a file below the project's folder; raises BackupError else.

    Ids of backups become part of keys, and some ids come from people and from what lies in a store.
    """
    if len(key) > _LONGEST or not all(_PART.fullmatch(part) for part in key.split("/")):
        raise BackupError(
            f"`{key[:100]}` can't be a name in a store", "look at the id of the backup that was asked for"
        )
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix, if nothing above the project's folder begins with it; raises BackupError else."""
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix


def must_be_same(store: str, key: str, before: bytes, after: bytes) -> None:
    """Raises Tampered when a file that is written once has other content than what shall be written."""
    if before != after:
        raise Tampered(
            f"store `{store}`: {key} is there already, with other content; it was left as it is",
            "did two servers run the same deployment, or did somebody change the file?",
        )


def must_be_small(store: str, key: str, content: bytes) -> bytes:
    """The content as far as it was read; raises Tampered when that is more than `LARGEST_BYTES`."""
    if len(content) > LARGEST_BYTES:
        raise Tampered(
            f"store `{store}`: {key} is larger than any file that moorage writes there ({LARGEST_BYTES >> 20} MiB)",
            "who else can write into this store?",
        )
    return content
