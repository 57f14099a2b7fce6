"""Restored files into a volume that is in use, by renaming inside of it: nothing is copied over, nothing deleted.

A volume has, beside what the app sees, `.moorage-incoming-<id>` (restored, being checked) and `.moorage-before-<id>` (what was
there, until it is discarded). Each step can be cut off anywhere and done again: what tells how far it came is where
the entries are.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from moorage.backups.failures import RestoreFailed
from moorage.durable import sync_folder

_PREFIX = ".moorage-"
EXCLUDED = f"{_PREFIX}*"


def incoming(volume: Path, identifier: str) -> Path:
    """Where a restore puts its files first."""
    return volume / f"{_PREFIX}incoming-{identifier}"


def before(volume: Path, identifier: str) -> Path:
    """Where what was there lies, until somebody discards it."""
    return volume / f"{_PREFIX}before-{identifier}"


def swap_in(volume: Path, identifier: str) -> None:
    """Move what is there aside and what was restored into its place. Raises RestoreFailed when nothing was restored.

    A file `complete` in the folder of what was there says that moving aside is over; from then on entries of the volume
    are restored ones. The volume gets the restored owner, mode and attributes of its own, too.
    """
    source, aside = incoming(volume, identifier), before(volume, identifier)
    if not source.is_dir():
        if _is_complete(aside):
            return
        raise RestoreFailed(f"nothing was restored for the volume at {volume}", "begin the restore again")
    if not _is_complete(aside):
        _make_like(volume, aside / "files")
        _move_all(volume, aside / "files")
        _complete(aside)
    _move_all(source, volume)
    _copy_attributes(source, volume)
    source.rmdir()
    sync_folder(volume)


def swap_back(volume: Path, identifier: str) -> None:
    """Undo: what was there comes back, what was restored lies in `.moorage-incoming-<id>` again."""
    source, aside = incoming(volume, identifier), before(volume, identifier)
    if not aside.is_dir():
        return
    if _is_complete(aside):
        _make_like(volume, source)
        _move_all(volume, source)
        (aside / "complete").unlink()
        sync_folder(aside)
    if (aside / "files").is_dir():
        _move_all(aside / "files", volume)
        _copy_attributes(aside / "files", volume)
        (aside / "files").rmdir()
    shutil.rmtree(aside / "files.unfinished", ignore_errors=True)
    aside.rmdir()
    sync_folder(volume)


def discard(volume: Path, identifier: str) -> None:
    """Delete what is left of a restore: what was there before, or what was restored and not used.

    Raises RestoreFailed when both are there: then it is half way, and some of it is all that there is.
    """
    if incoming(volume, identifier).is_dir() and before(volume, identifier).is_dir():
        raise RestoreFailed(f"the files of {volume.name} are exchanged half way", "finish it, or undo it, first")
    for folder in (incoming(volume, identifier), before(volume, identifier)):
        if folder.is_dir():
            shutil.rmtree(folder)


def _make_like(model: Path, folder: Path) -> None:
    """An empty folder with the owner, mode and attributes of another; it has its name only when it has those."""
    if folder.is_dir():
        return
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
    _copy_attributes(model, unfinished)
    unfinished.rename(folder)


def _move_all(source: Path, target: Path) -> None:
    """Every entry but those of ours; one that is in both places came with a cut-off move and can't be told apart."""
    for entry in sorted(source.iterdir()):
        if not entry.name.startswith(_PREFIX):
            place = target / entry.name
            if os.path.lexists(place):
                raise RestoreFailed(
                    f"{place} is there already", "was the app running? Stop it and run the same command again"
                )
            entry.rename(place)
    sync_folder(source)
    sync_folder(target)


def _copy_attributes(source: Path, target: Path) -> None:
    status = source.stat()
    os.chown(target, status.st_uid, status.st_gid)
    # After the owner: a change of it takes the mark away that gives a folder's group to its files.
    shutil.copystat(source, target)


def _is_complete(aside: Path) -> bool:
    return (aside / "complete").is_file()


def _complete(aside: Path) -> None:
    (aside / "complete").touch(mode=0o600)
    sync_folder(aside)
