"""The job's own volume: what is being made, what is being proven, and a journal that survives a kill."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from moorage.backups.failures import BackupError, Busy, DatabaseUnreachable, Unexpected, Unfinished
from moorage.backups.postgres.connections import reason_of
from moorage.backups.records import is_id
from moorage.durable import replace_file, sync_folder
from moorage.errors import MoorageError, places_of

Phase = Literal["take", "drill", "conclude", "done"]
_UNRECORDED = "unrecorded.json"
_LEFT_SECONDS = 86400.0


@dataclass(frozen=True)
class Failure:
    """Why something failed, as it is written down: no exception survives its container."""

    exit_status: int
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class StoreOutcome:
    """What one store got tonight: restic's snapshot and the record's sequence there, or why not."""

    name: str
    snapshot: str = ""
    failure: Failure | None = None
    sequence: int = 0


@dataclass(frozen=True)
class Night:
    """The journal of a night. `failure` is the first one of a phase; `drill_store` is the store that is proven.

    `is_repeat` says that an older backup is proven again, so that nothing of it is new. `physical` are store and label
    of the physical backups, `mark_at` and `mark_wal` the moment that the drill recovers them to.
    """

    id: str
    started: str
    phase: Phase = "take"
    stores: tuple[StoreOutcome, ...] = ()
    failure: Failure | None = None
    drill_store: str = ""
    is_repeat: bool = False
    physical: tuple[tuple[str, str], ...] = ()
    mark_at: str = ""
    mark_wal: str = ""
    mark_segment_bytes: int = 0
    physical_failure: Failure | None = None

    @property
    def published(self) -> tuple[str, ...]:
        """The stores that have it."""
        return tuple(store.name for store in self.stores if store.snapshot)

    @property
    def first_failure(self) -> Failure | None:
        """What the night's exit status is taken from: a phase before a store, and that before point-in-time recovery."""
        failures = [self.failure, *(store.failure for store in self.stores), self.physical_failure]
        return next((failure for failure in failures if failure is not None), None)


@dataclass(frozen=True)
class KnownStores:
    """The stores that this host has used: one of them without its marker is a disk that is not mounted."""

    names: tuple[str, ...] = field(default_factory=tuple)


class Workplace:
    """The folders below `plan.work`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / "staging"
        self.drills = folder / "drill"
        self.cache = folder / "cache"

    @contextlib.contextmanager
    def only_one(self) -> Iterator[None]:
        """Keep every other phase out while one runs. Raises Busy at once; the lock goes with the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy("another backup job is running", "wait for it; `docker ps` shows its container") from None
            yield
        finally:
            os.close(descriptor)

    def clean(self) -> None:
        """Remove what nights, restores and imports that were cut off have left. Stores are not touched.

        The caller holds the lock.
        """
        for left in self._left_restores():
            shutil.rmtree(left)
        for place in (self.staging, self.drills, self.folder / "tmp"):
            if place.is_dir():
                for entry in place.iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _left_restores(self) -> list[Path]:
        """Folders of restores and imports that nobody works on: no journal names them, and they are a day old.

        An import waits for its human without a journal and without the lock.
        """
        top = self.folder / "restore"
        kept = {place.stem for place in (top / "journal").glob("*.json")}
        found = [place for place in top.glob("*") if is_id(place.name) and place.name not in kept]
        return [place for place in found if place.is_dir() and abs(time.time() - _touched(place)) > _LEFT_SECONDS]

    def staged(self, identifier: str) -> Path:
        """Where a finished dump lies."""
        return self.staging / _checked(identifier)

    def unfinished(self, identifier: str) -> Path:
        """Where a dump is made; its name says that it is no backup."""
        return self.staging / f"{_checked(identifier)}.partial"

    def publish(self, identifier: str) -> Path:
        """The dump gets its name when all of it is on the disk."""
        target = self.staged(identifier)
        sync_folder(self.unfinished(identifier))
        self.unfinished(identifier).rename(target)
        sync_folder(self.staging)
        return target

    def let_through(self, folder: Path) -> None:
        """Let another user find a folder that is its own: see the names beside it, and nothing else of the work volume."""
        folder.parent.chmod(0o755)
        self.folder.chmod(0o711)

    def drill_folder(self, identifier: str) -> Path:
        """Where a backup is proven: `input/` was fetched from a store, `result.json` says how it ended."""
        return self.drills / _checked(identifier)

    def night(self) -> Night | None:
        """The journal. Raises Unfinished when it can't be read."""
        data = self._read("night.json")
        if data is None:
            return None
        try:
            failure = data.pop("failure")
            stores = tuple(
                StoreOutcome(**{**item, "failure": _failure(item["failure"])}) for item in data.pop("stores")
            )
            physical = tuple((store, label) for store, label in data.pop("physical"))
            later = _failure(data.pop("physical_failure"))
            return Night(**data, stores=stores, failure=_failure(failure), physical=physical, physical_failure=later)
        except (KeyError, TypeError, ValueError):
            raise Unfinished(
                "the journal of the last night is of another version", "the next night begins anew"
            ) from None

    def write(self, night: Night) -> Night:
        """The journal, whole and durable."""
        self._write("night.json", asdict(night))
        return night

    def host_id(self) -> str:
        """A random name of this server, made when there is none; it goes with the volume."""
        data = self._read("host.json")
        if data is None:
            data = {"id": secrets.token_hex(8)}
            self._write("host.json", data)
        return str(data["id"])

    def known_stores(self) -> KnownStores:
        """Which stores this host has used."""
        data = self._read("stores.json")
        return KnownStores(tuple(data["names"])) if data else KnownStores()

    def remember_store(self, name: str) -> None:
        """From now on this store must have its marker."""
        known = self.known_stores()
        if name not in known.names:
            self._write("stores.json", asdict(replace(known, names=(*known.names, name))))

    def unrecorded(self, store: str) -> tuple[str, ...]:
        """The backups that this host began to write into a store and has not yet seen a record of."""
        return tuple((self._read(_UNRECORDED) or {}).get(store, ()))

    def begin_record(self, store: str, identifier: str) -> None:
        """Note a backup before its snapshot is made, so that a kill leaves none that nobody can explain."""
        self._note_unrecorded(store, {*self.unrecorded(store), identifier})

    def end_record(self, store: str, *identifiers: str) -> None:
        """Forget the note: its record is in the store, or its snapshot is not."""
        self._note_unrecorded(store, {*self.unrecorded(store)} - {*identifiers})

    def _note_unrecorded(self, store: str, identifiers: set[str]) -> None:
        known = self._read(_UNRECORDED) or {}
        if identifiers != {*known.get(store, ())}:
            self._write(_UNRECORDED, {**known, store: sorted(identifiers)})

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Unfinished(f"{name} of the work volume can't be read: {type(error).__name__}") from None
        if not isinstance(found, dict):
            raise Unfinished(f"{name} of the work volume can't be read")
        return found

    def _write(self, name: str, data: dict[str, Any]) -> None:
        replace_file(self.folder / name, (json.dumps(data, sort_keys=True, indent=1) + "\n").encode(), 0o600)
        sync_folder(self.folder)


def _touched(folder: Path) -> float:
    """When something was last put into a folder or one of those in it."""
    return max(place.lstat().st_mtime for place in (folder, *folder.iterdir()))


def failure_of(error: BaseException) -> Failure:
    """An exception as it is written down. One of an unknown kind is named by its class only: its text may hold data."""
    if isinstance(error, MoorageError):
        status = error.exit_status if isinstance(error, BackupError) else BackupError.exit_status
        return Failure(status, error.message, error.hint)
    # Its class is asked by name: not every phase has the driver.
    if type(error).__module__.partition(".")[0] == "psycopg":
        hint = "`moorage status` shows what runs, `moorage logs` of the database says why"
        return Failure(DatabaseUnreachable.exit_status, f"the database broke off: {reason_of(error)}", hint)
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return Failure(BackupError.exit_status, f"{place}{error.strerror}")
    if not isinstance(error, Exception):
        return Failure(Unfinished.exit_status, f"cut off by a {type(error).__name__}")
    return Failure(Unexpected.exit_status, f"an unexpected {places_of(error)[-1]}", "please report it")


def _failure(data: dict[str, Any] | None) -> Failure | None:
    return None if data is None else Failure(**data)


def _checked(identifier: str) -> str:
    if not is_id(identifier):
        raise BackupError(f"`{identifier}` is no name of a backup", "`moorage backup list` shows them")
    return identifier
