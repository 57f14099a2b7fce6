"""Backups by the real restic of the image, to a folder and to a real S3 server, through all that can go wrong."""

# bases: postgres:17
# bases of a soak: postgres:15
# Other host names and small disks need a little more than a job does.
# docker run: --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from object_store import Answer, Drop, FaultyProxy, Hang, faulty_proxy, object_store
from role_service import role_service

from moorage.backups.failures import (
    BackupError,
    Busy,
    Damaged,
    RestoreFailed,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    WrongKey,
)
from moorage.backups.plan import StorePlan
from moorage.backups.restic import Restic
from moorage.backups.stores.base import MARKER_KEY, Store
from moorage.backups.stores.opening import open_store
from moorage.sensitive import Sensitive

PASSWORD = Sensitive("5ecret" * 10)


@dataclass
class Rig:
    """A store with a repository, files to save, and the way to the server."""

    folder: Path
    plan: StorePlan
    store_folder: Path
    proxy: FaultyProxy | None = None

    @property
    def files(self) -> Path:
        """What is saved."""
        return self.folder / "volumes"

    def store(self) -> Store:
        """The store, marked."""
        store = open_store(self.plan, "notes")
        if store.get(MARKER_KEY) is None:
            store.put(MARKER_KEY, b"mark")
        return store

    def restic(self, password: Sensitive = PASSWORD, **settings: float) -> Restic:
        """restic for the store."""
        return Restic(self.store(), password, self.folder / "run", self.folder / "cache", **settings)

    def ready(self, **settings: float) -> Restic:
        """The same, with its repository made."""
        restic = self.restic(**settings)
        restic.ensure_repository()
        return restic

    def raw(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """restic by hand."""
        restic = self.restic()
        return subprocess.run(["restic", *arguments], env=restic._environment(), capture_output=True, text=True)

    def packs(self) -> list[Path]:
        """The repository's data files."""
        return sorted(path for path in (self.store_folder / "notes/restic/data").rglob("*") if path.is_file())


def _fill(files: Path) -> None:
    (files / "uploads/ü b").mkdir(parents=True)
    (files / "uploads/a.bin").write_bytes(os.urandom(300_000))
    (files / "uploads/ü b/c [1]*.txt").write_text("c\n")
    (files / "uploads/empty").touch()
    (files / "uploads/link").symlink_to("a.bin")
    (files / "uploads/cache").mkdir()
    (files / "uploads/cache/x").write_text("x")


@pytest.fixture
def directory(tmp_path: Path) -> Rig:
    """A folder store."""
    _fill(tmp_path / "volumes")
    (tmp_path / "disk").mkdir()
    return Rig(tmp_path, StorePlan("disk", directory=str(tmp_path / "disk")), tmp_path / "disk")


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Rig]:
    """An S3 store behind a proxy that can fail."""
    _fill(tmp_path / "volumes")
    with object_store("rclone", tmp_path / "s3") as server, faulty_proxy(server.endpoint) as proxy:
        credentials = server.write_credentials(tmp_path / "credentials")
        plan = StorePlan("cloud", bucket="backups", endpoint=proxy.endpoint, credentials_file=str(credentials))
        yield Rig(tmp_path, plan, tmp_path / "s3/backups", proxy)


@pytest.fixture(params=["directory", "bucket"])
def rig(request: pytest.FixtureRequest) -> Rig:
    """Each kind of store."""
    found: Rig = request.getfixturevalue(request.param)
    return found


def _same(left: Path, right: Path) -> None:
    done = subprocess.run(["diff", "--recursive", "--no-dereference", left, right], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# What works.


def test_what_was_saved_comes_back(rig: Rig, tmp_path: Path) -> None:
    restic, steps = rig.ready(), []
    snapshot = restic.back_up([str(rig.files)], "night-1", progress=lambda *step: steps.append(step))
    assert len(snapshot.id) == 64
    assert (snapshot.files, snapshot.bytes) == (4, 300_003)
    assert snapshot.added_bytes > 300_000
    assert restic.snapshots() == {"night-1": (snapshot.id,)}
    restic.restore(snapshot.id, tmp_path / "out")
    _same(rig.files, tmp_path / f"out{rig.files}")
    restic.check(read_percent=100)
    restic.check(read_percent=12.5)
    restic.check(read_percent=0)


def test_progress_tells_bytes(rig: Rig) -> None:
    (rig.files / "big").write_bytes(os.urandom(80_000_000))
    steps: list[tuple[int, int, str]] = []
    rig.ready().back_up([str(rig.files)], "a", progress=lambda *step: steps.append(step))
    assert all(done <= total for done, total, _ in steps)
    assert steps[-1][0] == steps[-1][1] >= 80_000_000


def test_a_second_night_reads_only_what_changed_from_whatever_container(rig: Rig) -> None:
    (rig.files / "big").write_bytes(os.urandom(30_000_000))
    restic = rig.ready()
    restic.back_up([str(rig.files)], "a")
    (rig.folder / "staging-2").mkdir()
    (rig.folder / "staging-2/dump").write_text("2")
    summary = restic.back_up([str(rig.folder / "staging-2"), str(rig.files)], "b")
    assert summary.added_bytes < 100_000
    listed = json.loads(rig.raw("snapshots", "--json").stdout)
    assert listed[1]["parent"] == listed[0]["id"]
    assert {item["hostname"] for item in listed} == {"moorage"}


def test_excluded_patterns_stay_out_and_nothing_else(rig: Rig) -> None:
    (rig.files / "uploads/c.txt").touch()
    restic = rig.ready()
    patterns = [str(rig.files / "uploads/cache"), str(rig.files / "uploads/**/c *.txt")]
    snapshot = restic.back_up([str(rig.files)], "a", patterns)
    found = {path for path, _ in restic.files(snapshot.id, str(rig.files))}
    assert found == {str(rig.files / "uploads" / name) for name in ("a.bin", "empty", "c.txt")}


def test_files_of_a_snapshot_are_told_with_their_size(rig: Rig) -> None:
    restic = rig.ready()
    snapshot = restic.back_up([str(rig.files)], "a")
    found = dict(restic.files(snapshot.id, str(rig.files / "uploads")))
    assert found[str(rig.files / "uploads/a.bin")] == 300_000
    assert found[str(rig.files / "uploads/ü b/c [1]*.txt")] == 2
    assert dict(restic.files(snapshot.id, str(rig.files / "uploads/a.bin"))) == {
        str(rig.files / "uploads/a.bin"): 300_000
    }


def test_only_what_is_asked_for_is_restored(rig: Rig, tmp_path: Path) -> None:
    restic = rig.ready()
    snapshot = restic.back_up([str(rig.files)], "a")
    wanted = [str(rig.files / "uploads/ü b"), str(rig.files / "uploads/empty")]
    restic.restore(snapshot.id, tmp_path / "out", wanted)
    restored = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert restored == {"c [1]*.txt", "empty"}
    with pytest.raises(Damaged, match="has no /nowhere"):
        restic.restore(snapshot.id, tmp_path / "out2", ["/nowhere"])


def test_forgotten_snapshots_give_their_room_back(rig: Rig) -> None:
    restic = rig.ready()
    one = restic.back_up([str(rig.files)], "a")
    (rig.files / "uploads/a.bin").write_bytes(os.urandom(300_000))
    two = restic.back_up([str(rig.files)], "b")
    before = sum(path.stat().st_size for path in rig.packs())
    restic.forget([one.id, "f" * 64])
    assert restic.snapshots() == {"b": (two.id,)}
    assert sum(path.stat().st_size for path in rig.packs()) < before - 250_000
    restic.forget([one.id])
    restic.check(read_percent=100)


def test_making_the_repository_twice_is_making_it_once(rig: Rig) -> None:
    both = [threading.Thread(target=rig.ready) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(list((rig.store_folder / "notes/restic/keys").iterdir())) == 1
    rig.ready().back_up([str(rig.files)], "a")


# What is refused and told.


def test_another_key_is_told(rig: Rig) -> None:
    rig.ready()
    with pytest.raises(WrongKey, match="another recovery key"):
        rig.restic(Sensitive("other" * 10)).ensure_repository()


def test_a_repository_that_is_gone_is_told(rig: Rig) -> None:
    restic = rig.restic()
    with pytest.raises(StoreUnreachable):
        restic.snapshots()


def test_a_repository_without_its_configuration_is_not_made_anew(directory: Rig) -> None:
    directory.ready().back_up([str(directory.files)], "a")
    (directory.store_folder / "notes/restic/config").unlink()
    with pytest.raises(Damaged, match="`config` is gone"):
        directory.restic().ensure_repository()
    assert directory.packs()


def test_a_half_made_repository_is_made_anew(directory: Rig) -> None:
    directory.ready()
    (directory.store_folder / "notes/restic/config").unlink()
    restic = directory.ready()
    restic.back_up([str(directory.files)], "a")
    assert len(list((directory.store_folder / "notes/restic/keys").iterdir())) == 1


def test_a_path_that_is_missing_is_told_before_anything_is_saved(rig: Rig) -> None:
    restic = rig.ready()
    with pytest.raises(BackupError, match="/nowhere is not there"):
        restic.back_up([str(rig.files), "/nowhere"], "a")
    assert restic.snapshots() == {}


def test_a_file_that_cannot_be_read_makes_the_backup_fail(directory: Rig) -> None:
    for path in (directory.folder, *directory.folder.rglob("*")):
        os.chown(path, 999, 999, follow_symlinks=False)
    for path in directory.folder.parents:
        path.chmod(path.stat().st_mode | 0o055)
    (directory.files / "uploads/secret").write_text("x")
    (directory.files / "uploads/secret").chmod(0o600)
    os.seteuid(999)
    try:
        restic = directory.ready()
        with pytest.raises(BackupError, match=r"uploads/secret can't be read: .*does not count"):
            restic.back_up([str(directory.files)], "a")
        assert restic.snapshots() == {}
    finally:
        os.seteuid(0)


def test_a_file_that_vanished_is_as_if_the_backup_were_later(directory: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race can't be forced, so restic's own words for it are put behind those of the real one."""
    fake = directory.folder / "bin"
    fake.mkdir()
    gone = json.dumps({"message_type": "error", "error": {}, "during": "archival", "item": "/gone/file"})
    script = (
        f'#!/bin/sh\n{shutil.which("restic")} "$@" || exit\ncase "$*" in *backup*) echo \'{gone}\' >&2; exit 3;; esac\n'
    )
    (fake / "restic").write_text(script)
    (fake / "restic").chmod(0o755)
    restic = directory.ready()
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    snapshot = restic.back_up([str(directory.files)], "a")
    assert restic.snapshots() == {"a": (snapshot.id,)}
    script = script.replace("/gone/file", str(directory.files / "uploads/a.bin"))
    (fake / "restic").write_text(script)
    with pytest.raises(BackupError, match=r"a\.bin can't be read"):
        restic.back_up([str(directory.files)], "b")
    assert set(restic.snapshots()) == {"a"}


# Programs lie.


def _lying(rig: Rig, monkeypatch: pytest.MonkeyPatch, word: str, instead: str) -> None:
    """A restic that does `instead` for one word, and ends well."""
    folder = rig.folder / "lying"
    folder.mkdir()
    real = shutil.which("restic")
    (folder / "restic").write_text(f'#!/bin/sh\ncase "$*" in *{word}*) {instead}; exit 0;; esac\nexec {real} "$@"\n')
    (folder / "restic").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_snapshot_that_is_only_claimed_is_no_backup(directory: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    restic = directory.ready()
    claimed = '{"message_type":"summary","snapshot_id":"abcdef12","total_files_processed":5,"total_bytes_processed":9,"data_added":9}'
    _lying(directory, monkeypatch, "backup", f"echo '{claimed}'")
    with pytest.raises(BackupError, match="`abcdef12`, which is not there"):
        restic.back_up([str(directory.files)], "a")


def test_a_restore_that_ends_well_and_does_nothing_is_told(
    directory: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Old ones ended with 0 when a restore failed."""
    restic = directory.ready()
    snapshot = restic.back_up([str(directory.files)], "a")
    # With blanks around it, for the folder's name has the word in it, too.
    _lying(directory, monkeypatch, '" restore "', "true")
    for chosen in ([], [str(directory.files / "uploads")], [str(directory.files / "uploads" / "a.bin")]):
        with pytest.raises(RestoreFailed, match="did not restore"):
            restic.restore(snapshot.id, tmp_path / "out", chosen)
    shutil.copytree("/", tmp_path / "half", ignore=lambda folder, names: names)
    half = tmp_path / f"half{directory.files}/uploads"
    shutil.copytree(directory.files / "uploads", half, symlinks=True)
    (half / "a.bin").write_bytes(b"cut")
    with pytest.raises(RestoreFailed, match=r"a\.bin whole"):
        restic.restore(snapshot.id, tmp_path / "half")


def test_forgetting_that_does_nothing_is_told(directory: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    restic = directory.ready()
    snapshot = restic.back_up([str(directory.files)], "a")
    _lying(directory, monkeypatch, "forget", "true")
    with pytest.raises(BackupError, match="remove 1 snapshots"):
        restic.forget([snapshot.id])


# Damage.


@pytest.mark.parametrize("how", ["flip", "remove"])
def test_damage_is_found_and_its_pack_named(rig: Rig, tmp_path: Path, how: str) -> None:
    restic = rig.ready()
    snapshot = restic.back_up([str(rig.files)], "a")
    pack = max(rig.packs(), key=lambda path: path.stat().st_size)
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.chmod(0o600)
    if how == "flip":
        pack.write_bytes(content)
    else:
        rig.store().delete(pack.relative_to(rig.store_folder / "notes").as_posix())
    with pytest.raises(Damaged, match=f"pack {pack.name[:8]}"):
        restic.check(read_percent=100)
    with pytest.raises(BackupError) as caught:
        restic.restore(snapshot.id, tmp_path / "out")
    assert isinstance(caught.value, (Damaged, RestoreFailed)), caught.value


# Locks and kills.

_BACK_UP = """
import sys
from pathlib import Path
from moorage.backups.plan import StorePlan
from moorage.backups.restic import Restic
from moorage.backups.stores.opening import open_store
from moorage.sensitive import Sensitive
store = open_store(StorePlan(**eval(sys.argv[1])), "notes")
restic = Restic(store, Sensitive(sys.argv[2] * 10), Path(sys.argv[3], "run"), Path(sys.argv[3], "cache"))
restic.back_up([sys.argv[4]], "killed", progress=lambda done, total, what: print(done, flush=True))
"""


def _begin(rig: Rig) -> subprocess.Popen[str]:
    plan = {name: getattr(rig.plan, name) for name in ("name", "directory", "bucket", "endpoint", "credentials_file")}
    command = [sys.executable, "-c", _BACK_UP, repr(plan), "5ecret", str(rig.folder), str(rig.files)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_night_that_was_killed_leaves_all_usable(rig: Rig, tmp_path: Path, number: signal.Signals) -> None:
    restic = rig.ready()
    before = restic.back_up([str(rig.files)], "before")
    (rig.files / "big").write_bytes(os.urandom(150_000_000))
    running = _begin(rig)
    assert running.stdout is not None
    for line in running.stdout:
        if int(line) > 20_000_000:
            break
    os.killpg(running.pid, number)
    running.wait()
    assert set(restic.snapshots()) == {"before"}
    (rig.files / "big").unlink()
    after = rig.ready().back_up([str(rig.files)], "after")
    restic.forget([before.id])
    restic.check(read_percent=100)
    restic.restore(after.id, tmp_path / "out")
    _same(rig.files, tmp_path / f"out{rig.files}")


def test_the_lock_of_a_dead_process_does_not_stop_the_next_night(rig: Rig) -> None:
    restic = rig.ready()
    one = restic.back_up([str(rig.files)], "a")
    holder = _hold_lock(rig)
    holder.kill()
    holder.wait()
    assert _locks(rig)
    restic.back_up([str(rig.files)], "b")
    restic.forget([one.id])
    restic.check(read_percent=0)
    assert not _locks(rig)


def test_the_lock_of_a_container_that_was_killed_does_not_stop_the_next_one(rig: Rig) -> None:
    """Its host name is another one, so restic itself would wait for half an hour."""
    restic = rig.ready()
    one = restic.back_up([str(rig.files)], "a")
    _leave_lock_of(rig, "foreign-host")
    with pytest.raises(Busy, match="foreign-host"):
        restic.forget([one.id])
    (rig.folder / "cache/hosts/foreign-host").touch()
    with restic._own_locks.taking(), pytest.raises(Busy, match="foreign-host"):
        restic.forget([one.id])
    restic.forget([one.id])
    assert not _locks(rig)


def test_the_name_of_a_lock_is_never_an_option(rig: Rig) -> None:
    restic = rig.ready()
    restic.back_up([str(rig.files)], "a")
    planted = rig.store_folder / "notes/restic/locks/--password-command=touch owned"
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_bytes(b"")
    asked: list[str] = []
    restic._own_locks.remove_dead(restic._store, lambda name: asked.append(name) or {})  # type: ignore[func-returns-value]
    assert asked == []
    assert planted.exists()


def _leave_lock_of(rig: Rig, host: str) -> None:
    """The lock of a restic that was killed on another host."""
    line = f"hostname {host} && exec restic check --read-data"
    holder = _hold_lock(rig, command=("unshare", "--uts", "sh", "-c", line))
    holder.kill()
    holder.wait()


def test_a_lock_that_is_held_is_busy_and_stays(rig: Rig) -> None:
    restic = rig.ready()
    restic.back_up([str(rig.files)], "a")
    holder = _hold_lock(rig)
    try:
        with pytest.raises(Busy, match=r"is locked exclusively by PID .*; lock was created at"):
            restic.back_up([str(rig.files)], "b")
        assert _locks(rig)
    finally:
        holder.send_signal(signal.SIGCONT)
        holder.kill()
        holder.wait()


def _locks(rig: Rig) -> list[Path]:
    folder = rig.store_folder / "notes/restic/locks"
    # A longer name is one that is being written.
    return [path for path in folder.iterdir() if len(path.name) == 64] if folder.is_dir() else []


def _hold_lock(rig: Rig, command: tuple[str, ...] = ("restic", "check", "--read-data")) -> subprocess.Popen[bytes]:
    """A restic that stands still with its lock in the store."""
    for _ in range(50):
        holder = subprocess.Popen(
            command,
            env=rig.restic()._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while holder.poll() is None:
            if _locks(rig):
                holder.send_signal(signal.SIGSTOP)
                if _locks(rig) and holder.poll() is None:
                    return holder
                holder.send_signal(signal.SIGCONT)
    raise AssertionError("the lock was never seen")


# A disk with faults.


def test_a_full_disk_is_told_and_what_was_there_stays(directory: Rig, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(directory.store_folder)], check=True)
    try:
        restic = directory.ready(patience_seconds=20)
        before = restic.back_up([str(directory.files)], "before")
        (directory.files / "big").write_bytes(os.urandom(20_000_000))
        with pytest.raises(StoreFull, match="no space left on device"):
            restic.back_up([str(directory.files)], "a")
        (directory.files / "big").unlink()
        assert set(restic.snapshots()) == {"before"}
        restic.restore(before.id, tmp_path / "out")
        subprocess.run(["mount", "-o", "remount,size=40m", str(directory.store_folder)], check=True)
        restic.back_up([str(directory.files)], "after")
        restic.check(read_percent=100)
    finally:
        subprocess.run(["umount", "--lazy", str(directory.store_folder)], check=True)


def test_a_disk_that_is_not_mounted_gets_no_new_repository(directory: Rig) -> None:
    restic = directory.ready()
    (directory.store_folder / "notes").rename(directory.folder / "elsewhere")
    with pytest.raises(StoreUnreachable, match="not marked"):
        restic.ensure_repository()
    with pytest.raises(StoreUnreachable):
        restic.back_up([str(directory.files)], "a")
    assert list(directory.store_folder.iterdir()) == []


# A bucket with faults.


def _refused(rig: Rig) -> Rig:
    assert rig.proxy is not None
    rig.proxy.refuse_deletes()
    return replace(rig, plan=replace(rig.plan, may_delete=False))


def test_a_key_that_may_not_delete_does_several_nights(bucket: Rig, tmp_path: Path) -> None:
    rig = _refused(bucket)
    restic = rig.ready(lock_seconds=3)
    for night in ("a", "b", "c"):
        (rig.files / night).write_text(night)
        snapshot = restic.back_up([str(rig.files)], night)
        restic.check(read_percent=100)
        restic.restore(snapshot.id, tmp_path / night)
        _same(rig.files, tmp_path / f"{night}{rig.files}")
    assert set(restic.snapshots()) == {"a", "b", "c"}
    assert len(_locks(rig)) == 3
    with pytest.raises(StoreRefused, match="may not delete there"):
        restic.forget([snapshot.id])
    # The one who may delete is not stopped by what was left: its owners are gone.
    assert bucket.proxy is not None
    bucket.proxy.fault = lambda method, path: None
    bucket.restic().forget([snapshot.id])
    bucket.restic().check(read_percent=100)


def test_a_store_that_goes_down_half_way_is_told_and_the_next_night_goes_on(
    bucket: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bucket.proxy is not None
    monkeypatch.setattr("moorage.backups.stores.s3._READ_SECONDS", 2)
    (bucket.files / "big").write_bytes(os.urandom(60_000_000))
    restic = bucket.ready(patience_seconds=4)
    for fault in (Answer(503, "SlowDown"), Drop(), Hang()):
        seen: list[str] = []

        def half_way(method: str, path: str, fault: Answer | Drop | Hang = fault, seen: list[str] = seen) -> object:
            seen += [path] if method == "PUT" and "/data/" in path else []
            return fault if len(seen) > 1 else None

        bucket.proxy.fault = half_way  # type: ignore[assignment]
        with pytest.raises(StoreUnreachable):
            restic.back_up([str(bucket.files)], "a")
        bucket.proxy.fault = lambda method, path: None
        assert restic.snapshots() == {}
    snapshot = bucket.ready().back_up([str(bucket.files)], "b")
    assert snapshot.bytes > 60_000_000
    bucket.restic().check(read_percent=100)


def test_a_short_fault_is_ridden_out(bucket: Rig) -> None:
    assert bucket.proxy is not None
    restic = bucket.ready()
    left = [Answer(503, "SlowDown"), Drop(), Answer(500, "InternalError")]
    bucket.proxy.fault = lambda method, path: left.pop() if method == "PUT" and "/data/" in path and left else None
    restic.back_up([str(bucket.files)], "a")
    assert not left
    restic.check(read_percent=100)


@pytest.mark.parametrize(("code", "words"), [("ExpiredToken", "has expired"), ("InvalidAccessKeyId", "not accepted")])
def test_a_key_that_ends_half_way_is_told(bucket: Rig, code: str, words: str) -> None:
    assert bucket.proxy is not None
    restic = bucket.ready(patience_seconds=4)
    seen: list[str] = []

    def half_way(method: str, path: str) -> Answer | None:
        seen.extend([path] if method == "PUT" and "/data/" in path else [])
        return Answer(403, code) if seen else None

    bucket.proxy.fault = half_way
    with pytest.raises(StoreRefused, match=words):
        restic.back_up([str(bucket.files)], "a")


def test_a_full_bucket_is_told(bucket: Rig) -> None:
    assert bucket.proxy is not None
    restic = bucket.ready(patience_seconds=4)
    bucket.proxy.fault = lambda method, path: (
        Answer(403, "QuotaExceeded") if method == "PUT" and "/data/" in path else None
    )
    with pytest.raises(StoreFull):
        restic.back_up([str(bucket.files)], "a")


# Secrets.


def test_no_argument_list_shows_a_secret(rig: Rig, tmp_path: Path) -> None:
    secrets = [PASSWORD.reveal()]
    if rig.plan.credentials_file:
        secrets.append(Path(rig.plan.credentials_file).read_text().split()[-1])
    (rig.files / "big").write_bytes(os.urandom(50_000_000))
    shown, looked, stop = [], set(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = file.read_bytes().decode(errors="replace").replace("\0", " ")
                except OSError:
                    continue
                if line.startswith("restic"):
                    looked.add(next((word for word in ("backup", "restore", "check", "forget") if word in line), ""))
                if "serve s3" not in line:
                    shown.extend(secret for secret in secrets if secret in line)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        restic = rig.ready()
        snapshot = restic.back_up([str(rig.files)], "a")
        restic.restore(snapshot.id, tmp_path / "out")
        restic.check(read_percent=100)
        restic.forget([snapshot.id])
    finally:
        stop.set()
        watcher.join()
    assert not shown
    assert looked >= {"backup", "restore", "check", "forget"}


def test_the_password_lies_in_a_closed_file_and_no_secret_in_the_environment(rig: Rig) -> None:
    environment = rig.restic()._environment()
    file = Path(environment["RESTIC_PASSWORD_FILE"])
    assert file.is_relative_to(rig.folder / "run")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert PASSWORD.reveal() not in str(environment)


def test_the_machines_own_settings_are_not_used(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESTIC_REPOSITORY_FILE", "RESTIC_PASSWORD_COMMAND", "RESTIC_PACK_SIZE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "MINIO_ACCESS_KEY"):  # fmt: skip
        monkeypatch.setenv(name, "wrong")
    rig.ready().back_up([str(rig.files)], "a")


# The cache.


def test_the_cache_stays_in_bounds(bucket: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    restic = bucket.ready()
    restic.back_up([str(bucket.files)], "a")
    cache = bucket.folder / "cache/restic"
    assert any(path.is_file() for path in cache.rglob("*"))
    left = cache / "restic-check-cache-1"
    left.mkdir()
    os.utime(left, (0, 0))
    restic.ensure_repository()
    assert not left.exists()
    monkeypatch.setattr("moorage.backups.restic._CACHE_BYTES", 10)
    restic.ensure_repository()
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) < 10_000
    restic.back_up([str(bucket.files)], "b")


def test_a_folder_needs_no_cache(directory: Rig) -> None:
    directory.ready().back_up([str(directory.files)], "a")
    assert not any(path.is_file() for path in (directory.folder / "cache/restic").rglob("*"))


def test_a_bucket_without_a_credentials_file_is_opened_by_the_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(tmp_path / "volumes")
    with object_store("rclone", tmp_path / "s3") as server, role_service(server) as address:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
        rig = Rig(tmp_path, StorePlan("cloud", bucket="backups", endpoint=server.endpoint), tmp_path / "s3/backups")
        restic = rig.ready()
        made = restic.back_up([str(rig.files)], "20261122T033000Z-7f3a91")
        restic.restore(made.id, tmp_path / "back")
        _same(rig.files, Path(f"{tmp_path / 'back'}{rig.files}"))
