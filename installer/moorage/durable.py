"""Files and folders on a disk, such that a process may be killed and the power may fail between any two steps."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moorage.errors import MoorageError

# The end of the name of a file that is not whole yet; the next run removes what a killed one left.
_UNFINISHED = ".being-written"


@contextmanager
def named_failure(path: Path) -> Iterator[None]:
    """Turn what the system refuses (a full disk, another owner) into a MoorageError that names the file."""
    try:
        yield
    except OSError as error:
        hint = "look at the free space and at the owner of its folder, then run the same command again"
        raise MoorageError(f"{path} can't be written: {error.strerror or error}", hint) from None


def replace_file(path: Path, content: bytes, mode: int, owner: int | None = None) -> None:
    """Replace one file, whole or not at all; its folder is made when missing, its name lasts after `sync_folder`."""
    with named_failure(path):
        place_file(path, content, mode, owner)


def place_file(path: Path, content: bytes, mode: int, owner: int | None = None) -> None:
    """Like `replace_file`, but raises the OSError itself, for callers who tell its reasons apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:200]}.", suffix=_UNFINISHED)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            if owner is not None and os.geteuid() == 0:
                os.fchown(stream.fileno(), owner, -1)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def make_closed_folder(folder: Path) -> None:
    """Make a folder that only its owner may look into, and all above it that are missing."""
    # `mkdir(parents=True, mode=…)` would give the mode to the last one only.
    for place in reversed([folder, *folder.parents]):
        if not place.is_dir():
            place.mkdir(mode=0o700, exist_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last: without it a power cut may bring an old file back."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems can't; there it is as safe as it can be.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make `folder` when missing and keep other writers out of it; the lock goes with the process."""
    with named_failure(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Relative path and place of every file; links are not followed, also not those to folders."""
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        for name in (*names, *links):
            path = Path(root, name)
            yield path.relative_to(folder).as_posix(), path


def is_real_folder(path: Path) -> bool:
    """Whether a folder stands there, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def remove_file(path: Path, stop: Path) -> None:
    """Remove a file that may be gone already, then the folders that are empty without it, up to `stop`."""
    parents = parents_below(path, stop)
    if any(parent.is_symlink() for parent in parents) or is_real_folder(path):
        return
    with named_failure(path), suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()
    for parent in parents:
        with suppress(OSError):
            parent.rmdir()


def remove_empty_folders(folder: Path) -> None:
    """Remove a folder in which there are only folders; nothing happens where none is."""
    if is_real_folder(folder):
        for root, _, _ in os.walk(folder, topdown=False):
            Path(root).rmdir()


def is_unfinished(path: Path) -> bool:
    """Whether it is a file that a killed process had begun to write, or that somebody writes just now."""
    return path.name.endswith(_UNFINISHED)


def remove_unfinished(folders: Iterable[Path]) -> None:
    """Remove what a killed process had begun to write into these folders: it may hold a secret."""
    for folder in folders:
        for found in folder.glob(f".*{_UNFINISHED}") if is_real_folder(folder) else ():
            found.unlink(missing_ok=True)


def parents_below(path: Path, stop: Path) -> list[Path]:
    """The folders between a file and `stop`, the innermost first."""
    return [parent for parent in path.parents if stop in parent.parents]
