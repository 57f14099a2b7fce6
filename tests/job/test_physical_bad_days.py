"""The physical path on bad days: a store that is gone under load, damage in the store and in the cluster, kill -9."""

# docker run: --user postgres --network none

from __future__ import annotations

import io
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.backups.failures import BackupError, Corrupt, Damaged, NoSuchBackup, WalGap
from moorage.backups.job_context import Job
from moorage.backups.physical.recovery import recovered_server
from moorage.backups.report import Report
from moorage.backups.verifying import StoreVerification, ask_physical
from tests.job.physical_cluster import Cluster, cluster_in, flip, kill_group, now, recovered_rows

MEBIBYTE = 2**20


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_in(tmp_path / "cluster") as made:
        made.check()
        made.run("create table notes (id int, body text)")
        made.run("insert into notes select n, repeat(md5(n::text), 8) from generate_series(1, 30000) n", "checkpoint")
        yield made


def _load(cluster: Cluster, seconds: int) -> subprocess.Popen[bytes]:
    """Writing without a pause; ends with 0 when no statement failed."""
    base = ["pgbench", "-h", str(cluster.socket), "-U", "app"]
    subprocess.run([*base, "-i", "-q", "-s", "2", "app"], check=True, capture_output=True)
    # A switch after every transaction fills the log faster than any disk could.
    script = cluster.folder / "load.sql"
    script.write_text(
        "update pgbench_accounts set abalance = abalance + 1 where aid % 500 = 0;\nselect pg_switch_wal();\n"
    )
    return subprocess.Popen(
        [*base, "-n", "-c", "2", "-T", str(seconds), "-f", str(script), "app"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_a_store_that_is_gone_never_stops_the_database_and_the_next_backup_heals_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    first = cluster.engine.backup("local", now())
    hidden = cluster.repository.rename(cluster.repository.with_name("hidden"))
    with _load(cluster, 15) as load:
        most = 0
        while load.poll() is None:
            # Log that waits for the store (64 MiB at most) and what checkpoints need (64 MB): a multiple of it is too much.
            most = max(most, cluster.run("select sum(size)::bigint from pg_ls_waldir()")[0][0])
            assert cluster.run("insert into notes values (0, 'still serving') returning id") == [(0,)]
            time.sleep(0.2)
        assert load.stderr is not None
        assert load.returncode == 0, load.stderr.read().decode()
    assert most < 400 * MEBIBYTE
    hidden.rename(cluster.repository)
    said = (cluster.folder / "server.log").read_text()
    assert "dropped WAL file" in said
    assert "terminating any other active server processes" not in said

    cluster.check()
    health = cluster.health()
    assert health.open_gaps
    assert sum(gap.count for gap in health.open_gaps) >= 3
    with pytest.raises(WalGap):
        health.refuse_gaps()
    assert cluster.engine.restore("local", tmp_path / "old", None).warnings

    (before,) = cluster.engine.reach("local")
    away = now()
    assert first.finished == before.first <= before.last < away

    second = cluster.engine.backup("local", now())
    cluster.mark()
    assert [(reach.first, reach.last > away) for reach in cluster.engine.reach("local")] == [
        (first.finished, False),
        (second.finished, True),
    ]
    health = cluster.health()
    assert health.open_gaps == ()
    assert health.healed_gaps
    health.refuse_gaps()
    restored = cluster.engine.restore("local", tmp_path / "healed", None)
    assert restored.backup.label == second.label != first.label
    assert restored.warnings == ()
    assert cluster.plan.database is not None
    with recovered_server(restored, cluster.plan.database, is_drill=False) as recovered:
        query = "select count(*) from notes where body = 'still serving'"
        assert recovered_rows(recovered.server, query) == cluster.run(query)


def test_a_byte_that_changed_in_the_store_is_found(cluster: Cluster, tmp_path: Path) -> None:
    cluster.engine.backup("local", now())
    bundle = max(cluster.repository.glob("backup/demo/*F/**/*"), key=lambda path: path.stat().st_size)
    assert cluster.engine.verify("local").is_good
    flip(bundle)
    verification = cluster.engine.verify("local")
    assert not verification.is_good
    assert any("checksum invalid: 1" in problem or "other: 1" in problem for problem in verification.problems)
    assert not any("missing: 0, checksum invalid: 0, size invalid: 0, other: 0" in one for one in verification.problems)
    with pytest.raises(BackupError):
        cluster.engine.restore("local", tmp_path / "restored", None)


def test_a_byte_that_changed_in_the_log_is_found(cluster: Cluster) -> None:
    cluster.engine.backup("local", now())
    cluster.run("insert into notes select n, md5(n::text) from generate_series(1, 1000) n")
    mark = cluster.mark()
    (segment,) = cluster.repository.rglob(f"{mark.wal}-*")
    flip(segment)
    assert not cluster.engine.verify("local").is_good


def test_verify_reads_the_clusters_part_of_a_store_too(cluster: Cluster) -> None:
    job = Job(cluster.plan, Report(as_json=True, out=io.StringIO()))
    found = StoreVerification("local", 100)
    ask_physical(job, found)
    assert found.physical == 0
    backup = cluster.engine.backup("local", now())
    ask_physical(job, found)
    assert found.physical == 1
    flip(max(cluster.repository.glob(f"backup/demo/{backup.label}/**/*"), key=lambda path: path.stat().st_size))
    with pytest.raises(Damaged, match="log are damaged"):
        ask_physical(job, found)


def test_a_page_that_is_corrupt_in_the_cluster_makes_the_backup_corrupt(cluster: Cluster) -> None:
    good = cluster.engine.backup("local", now())
    (path,) = cluster.run("select pg_relation_filepath('notes')")[0]
    cluster.stop()
    flip(cluster.data / path, at=5 * 8192 + 4000)
    cluster.start()
    cluster.run("insert into notes values (0, 'on another page')", "checkpoint")
    with pytest.raises(Corrupt) as caught:
        cluster.engine.backup("local", now())
    assert path in caught.value.message
    bad, *_ = cluster.engine.backups("local")
    assert bad.is_corrupt
    # It neither takes the good one's place nor is it restored from.
    assert good.label in cluster.engine.expire("local").kept
    with pytest.raises(Corrupt):
        assert cluster.engine.backup("local", now()).kind == "full"


def test_kill_9_at_any_moment_leaves_what_was_there_and_the_next_night_works(cluster: Cluster) -> None:
    first = cluster.engine.backup("local", now())
    program = cluster.engine._program
    dice = random.Random(7)
    for _ in range(6):
        cluster.run("update notes set body = md5(body) where id % 3 = 0")
        environment = {**program._environment(), "PATH": "/usr/bin:/bin"}
        arguments = program.arguments("backup", "--type=full", store="local")
        process = subprocess.Popen(arguments, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.02, 1.2))
        kill_group(process)
        assert first in cluster.engine.backups("local")
        assert not any(backup.is_corrupt for backup in cluster.engine.backups("local"))
    made = cluster.engine.backup("local", now())
    assert cluster.engine.backups("local")[0] == made
    assert cluster.engine.verify("local").is_good


def test_a_store_that_is_not_mounted_is_not_taken_for_an_empty_one(cluster: Cluster) -> None:
    cluster.engine.backup("local", now())
    store = Path(cluster.stores[0].directory)
    hidden = store.rename(store.with_name("hidden"))
    try:
        with pytest.raises(BackupError):
            cluster.engine.backup("local", now())
        with pytest.raises(NoSuchBackup):
            cluster.engine.restore("local", cluster.folder / "restored", None)
        assert not store.exists()
    finally:
        hidden.rename(store)
    assert cluster.engine.verify("local").is_good
