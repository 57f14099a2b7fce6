"""The physical path on good days: a stanza is made, full and incremental backups, expiry, the log's health."""

# docker run: --user postgres --network none

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from moorage.backups.failures import Busy, DatabaseUnreachable, ForeignStore, NoSuchBackup, WalGap, WrongKey
from moorage.backups.keys import derived_key
from tests.job.physical_cluster import KEY, Cluster, cluster_in, now


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_in(tmp_path_factory.mktemp("cluster")) as made:
        made.run("create table notes (id int primary key, body text)")
        made.run("insert into notes select n, md5(n::text) || repeat('x', 300) from generate_series(1, 60000) n")
        made.check()
        yield made


def test_the_first_is_full_the_next_is_incremental_and_smaller(cluster: Cluster) -> None:
    first = cluster.engine.backup("local", now())
    cluster.run("update notes set body = 'changed' where id < 50")
    second = cluster.engine.backup("local", now())
    assert (first.kind, second.kind, second.prior) == ("full", "incr", first.label)
    assert second.added_bytes < first.added_bytes / 3
    assert first.database_bytes > 20_000_000
    assert cluster.engine.backups("local") == (second, first)
    assert cluster.engine.verify("local").is_good


def test_the_log_in_the_store_is_whole_and_up_to_date(cluster: Cluster) -> None:
    cluster.switch()
    health = cluster.health()
    assert (health.open_gaps, health.healed_gaps, health.waiting, health.lag_seconds) == ((), (), 0, 0.0)
    assert health.archived
    assert health.archived <= health.current
    assert health.days_until_full > 0
    health.refuse_gaps()


def test_nothing_readable_lies_in_the_store(cluster: Cluster) -> None:
    for file in (path for path in cluster.repository.rglob("*") if path.is_file()):
        content = file.read_bytes()
        # Neither words nor the beginning of compressed data, which whoever finds it could unpack.
        assert not any(word in content for word in (b"\x28\xb5\x2f\xfd", b"[backup", b"notes")), file


def test_no_secret_stands_in_an_argument_list(cluster: Cluster) -> None:
    secret = derived_key(KEY, "pgbackrest").reveal().encode()
    seen: list[bytes] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(line.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    cluster.check()
    cluster.engine.backup("local", now())
    done.set()
    watcher.join()
    # A program that forgets its arguments proves nothing: pgBackRest and its workers must have been seen.
    assert any(b"--stanza=demo" in line and b"backup" in line for line in seen)
    assert not any(secret in line for line in seen)


def test_a_backup_beside_another_is_busy(cluster: Cluster) -> None:
    program = cluster.engine._program
    environment = {**program._environment(), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(program.arguments("backup", "--type=full", store="local"), env=environment) as other:
        deadline = time.monotonic() + 30
        while not list((cluster.folder / "work" / "locks").glob("*.lock")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(Busy):
            cluster.engine.backup("local", now())
        other.wait()
    assert other.returncode == 0


def test_another_recovery_key_is_named_and_nothing_is_written(cluster: Cluster) -> None:
    cluster.configure(key=b"\1" * 32)
    try:
        with pytest.raises(WrongKey):
            cluster.engine.backups("local")
        with pytest.raises(WrongKey) as caught:
            cluster.check()
        assert caught.value.message.isprintable()
        with pytest.raises(WrongKey):
            cluster.engine.backup("local", now())
    finally:
        cluster.configure()
    assert cluster.engine.verify("local").is_good


def test_a_server_that_is_down_is_named(cluster: Cluster) -> None:
    cluster.stop()
    try:
        with pytest.raises(DatabaseUnreachable):
            cluster.engine.backup("local", now())
    finally:
        cluster.start()


def test_expiry_keeps_the_good_ones_and_the_log_that_they_need(tmp_path: Path) -> None:
    with cluster_in(tmp_path / "expiring") as cluster:
        cluster.check()
        labels = []
        for _ in range(4):
            # Eight days later each time: a full one is due.
            labels.append(cluster.engine.backup("local", now() + timedelta(days=8)).label)
            cluster.run("create table if not exists t (i int)", "insert into t values (1)")
            cluster.switch()
        assert all(label.endswith("F") for label in labels)
        # The newest is no good: two good ones stay beside it.
        expiry = cluster.engine.expire("local", bad={labels[3]})
        assert expiry.removed == (labels[0],)
        assert expiry.kept == (labels[3], labels[2], labels[1])
        assert expiry.wal_from == cluster.engine.backups("local")[-1].wal_start
        again = cluster.engine.expire("local")
        assert again.kept == (labels[3], labels[2])
        assert cluster.health().open_gaps == ()
        assert cluster.engine.verify("local").is_good


def test_another_cluster_is_refused_unless_it_was_said(tmp_path: Path, cluster: Cluster) -> None:
    with cluster_in(tmp_path / "new", cluster.stores) as other:
        with pytest.raises(ForeignStore) as caught:
            other.check()
        assert "another cluster" in caught.value.message
        before = cluster.engine.backups("local")
        other.check(is_new_cluster=True)
        made = other.engine.backup("local", now())
        assert made.kind == "full"
        assert before[0] in other.engine.backups("local")
        assert other.health().open_gaps == ()


def test_a_store_without_a_backup_says_so(tmp_path: Path) -> None:
    with cluster_in(tmp_path / "empty") as cluster:
        assert cluster.engine.backups("local") == ()
        with pytest.raises(NoSuchBackup):
            cluster.engine.backup("local", now())
        cluster.check()
        with pytest.raises(NoSuchBackup):
            cluster.engine.restore("local", tmp_path / "restored", None)
        assert not (tmp_path / "restored").exists()
        assert cluster.health().open_gaps == ()


def test_a_server_that_does_not_archive_fails_the_check(tmp_path: Path) -> None:
    with cluster_in(tmp_path / "silent") as cluster:
        cluster.check()
        cluster.run("alter system set archive_command = '/bin/true'", "select pg_reload_conf()")
        with pytest.raises(WalGap):
            cluster.check()
