"""restic's words, as the versions of the job images said them, and the failure that each becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from moorage.backups.failures import (
    BackupError,
    Busy,
    Damaged,
    NoRoom,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    WrongKey,
)
from moorage.backups.plan import StorePlan
from moorage.backups.restic_failures import failure_of, unreadable_files
from moorage.backups.restic_process import Outcome
from moorage.backups.stores.base import MARKER_KEY
from moorage.backups.stores.directory import DirectoryStore

_PACK = "b28a81fd1b5654eeee56d92c8a00577d3eacd46f6ccd0b5a14c54039ad22d60f"


class _Cloud(DirectoryStore):
    """A folder that says it is a bucket: only the words differ."""


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """A store that answers."""
    store = DirectoryStore(StorePlan("disk", directory=str(tmp_path)), "notes")
    store.put(MARKER_KEY, b"mark")
    return store


@pytest.fixture
def cloud(store: DirectoryStore) -> _Cloud:
    """The same, whose plan names a bucket."""
    cloud = _Cloud(store.plan, "notes")
    cloud.plan = StorePlan("cloud", bucket="backups", directory="", may_delete=False)
    cloud._must_be_there = lambda: None  # type: ignore[method-assign]
    return cloud


LOCKED = (
    "unable to create lock in backend: repository is already locked exclusively by PID 32 on box by root (UID 0, GID 0)\n"
    "lock was created at 2026-11-22 08:05:13 (2.9s ago)\nstorage ID 2440f56b\n"
    "the `unlock` command can be used to remove stale locks"
)


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (11, LOCKED, Busy, "locked exclusively by PID 32 on box by root (UID 0, GID 0); lock was created at 2026-11-22"),
        (1, LOCKED, Busy, "locked exclusively by PID 32"),
        (12, "Fatal: wrong password or no key found", WrongKey, "another recovery key"),
        (1, "Fatal: wrong password or no key found", WrongKey, "another recovery key"),
        (10, "Fatal: repository does not exist: unable to open config file", StoreUnreachable, "does not answer or is not there"),
        (1, "Fatal: unable to open config file: stat /x/config\nIs there a repository at the following location?\n/x", StoreUnreachable, "not there"),
        (1, f"error for pack {_PACK}:\nPack ID does not match, want {_PACK[:8]}, got 0b3fb6cb\nFatal: repository contains errors", Damaged, _PACK),
        (1, f"Pack ID does not match, want {_PACK[:8]}, got 0b3fb6cb\nFatal: repository contains errors", Damaged, f"pack {_PACK[:8]}"),
        (1, f"Load(<data/{_PACK[:10]}>, 0, 0) returned error: ciphertext verification failed", Damaged, _PACK[:10]),
        (1, f"Load(<data/{_PACK[:10]}>, 200047, 0) failed: open /x/restic/data/db/{_PACK}: no such file or directory", Damaged, _PACK[:10]),
        (1, "Load(<snapshot/f09b1b0455>, 0, 0) failed: The specified key does not exist.", Damaged, "<snapshot/f09b1b0455>"),
        (1, 'invalid id "088201cf": no matching ID found for prefix "088201cf"', Damaged, "no matching ID found"),
        (1, "lchown /work/drill/a: no such file or directory", BackupError, "lchown"),
        (1, "Fatal: write /disk/notes/restic/data/x: no space left on device", StoreFull, "no space left"),
        (1, "something new\n\tat main.go:3", BackupError, "(status 1): something new"),
        (-9, "", BackupError, "it said nothing"),
    ],
)  # fmt: skip
def test_restics_words_become_the_right_failure(
    store: DirectoryStore, status: int, said: str, kind: type[BackupError], words: str
) -> None:
    error = failure_of(store, "save a backup", Outcome(status, tuple(said.splitlines())))
    assert type(error) is kind
    assert words in error.message
    assert error.hint


def test_json_around_the_words_is_taken_off(store: DirectoryStore) -> None:
    line = '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}'
    assert isinstance(failure_of(store, "open", Outcome(1, (line,))), WrongKey)


def test_a_long_backup_that_could_not_renew_its_lock_names_the_right_that_it_needs(cloud: _Cloud) -> None:
    """What restic 0.18 said after 22 minutes with a key that may delete nothing at all."""
    said = (
        "Remove(<lock/9814a96bf9>) failed: client.RemoveObject: AccessDenied",
        "unable to refresh lock: client.RemoveObject: AccessDenied",
        "failed to refresh stale lock: client.RemoveObject: AccessDenied",
        "Fatal: unable to save snapshot: context canceled",
    )
    error = failure_of(cloud, "save a backup", Outcome(1, said))
    assert isinstance(error, StoreRefused)
    assert "delete below `restic/locks/`" in error.hint


def test_the_jobs_own_full_disk_is_not_the_buckets(cloud: _Cloud) -> None:
    error = failure_of(cloud, "save", Outcome(1, ("Fatal: write /work/cache/x: no space left on device",)))
    assert isinstance(error, NoRoom)


def test_what_stood_still_is_told(cloud: _Cloud) -> None:
    assert isinstance(failure_of(cloud, "save", Outcome(-9, (), is_overdue=True)), StoreUnreachable)


def test_a_store_that_fails_gives_its_own_reason(store: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "notes" / MARKER_KEY).unlink()
    (tmp_path / "notes").rmdir()
    tmp_path.rmdir()
    error = failure_of(store, "save a backup", Outcome(1, ("Fatal: something",)))
    assert isinstance(error, StoreUnreachable)
    assert "could not save a backup: store `disk`: the folder" in error.message


def test_unreadable_files_are_those_of_saving_not_of_counting() -> None:
    lines = (
        '{"message_type":"error","error":{"message":"open /a: permission denied"},"during":"archival","item":"/a"}',
        '{"message_type":"error","error":{"Op":"open","Path":"/b","Err":13},"during":"archival","item":"/b"}',
        '{"message_type":"error","error":{"message":"x"},"during":"scan","item":"/c"}',
        "Warning: at least one source file could not be read",
        "{torn",
    )
    assert unreadable_files(lines) == (("/a", "open /a: permission denied"), ("/b", "can't be read"))
