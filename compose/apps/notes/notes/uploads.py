"""Uploaded files: received into a temporary file, then renamed, so that none is ever half there."""

import hashlib
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from notes.startup import StartError

LARGEST_FILE_BYTES = 25 * 1024 * 1024
# Beside the finished files and not in /tmp: a rename is atomic only within one file system.
INCOMING = ".incoming"
STALE_SECONDS = 60 * 60


class FileTooLarge(Exception):
    """More than LARGEST_FILE_BYTES arrived."""


@dataclass(frozen=True)
class KeptFile:
    """A finished file in the uploads directory; `file_name` is what its sender called it."""

    file_name: str
    stored_name: str
    size_bytes: int
    sha256: str


@dataclass
class IncomingFile:
    """A file that is still arriving."""

    directory: Path
    file_name: str
    stored_name: str = field(default_factory=lambda: uuid.uuid4().hex)
    size_bytes: int = 0

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256()
        self.path = self.directory / INCOMING / self.stored_name
        self.file: BinaryIO = self.path.open("xb")

    async def write(self, data: bytes) -> None:
        """Append data, or raise FileTooLarge."""
        self.size_bytes += len(data)
        if self.size_bytes > LARGEST_FILE_BYTES:
            raise FileTooLarge
        await to_thread.run_sync(self.append, data)

    def append(self, data: bytes) -> None:
        """Write and digest, in a thread: a slow disk must not stop other requests."""
        self.file.write(data)
        self.digest.update(data)

    async def keep(self) -> KeptFile:
        """Move the complete file to its place, durably, and return what to record about it."""
        await to_thread.run_sync(self.finish)
        return KeptFile(self.file_name, self.stored_name, self.size_bytes, self.digest.hexdigest())

    def finish(self) -> None:
        """Reach the disk before the name does, so that no crash leaves a name without content."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.path.rename(stored_path(self.directory, self.stored_name))
        sync_directory(self.directory)

    def discard(self) -> None:
        """Remove the temporary file; a kept file is no longer there and stays."""
        self.file.close()
        self.path.unlink(missing_ok=True)


def stored_path(directory: Path, stored_name: str) -> Path:
    """Return where a finished file lies."""
    return directory / stored_name


def sync_directory(directory: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare(directory: Path) -> None:
    """Make sure that files can be received, or raise StartError: better now than at an upload."""
    incoming = directory / INCOMING
    try:
        incoming.mkdir(parents=True, exist_ok=True)
        remove_stale(incoming)
        IncomingFile(directory, "probe").discard()
    except OSError as error:
        raise StartError(
            f"UPLOADS_DIRECTORY {directory} can't be written by user {os.getuid()}: {error.strerror}"
        ) from None


def remove_stale(incoming: Path) -> None:
    """Remove what a killed process left; younger files may be arriving at another replica."""
    for path in incoming.iterdir():
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
