"""The physical path on the day after: restored to a moment, to the newest state, for a drill; or refused in words."""

# docker run: --user postgres --network none

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from moorage.backups.failures import NoRoom, NoSuchBackup, RestoreFailed, WalGap
from moorage.backups.physical import folders
from moorage.backups.physical.engine import Restored
from moorage.backups.physical.recovery import recovered_server
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.quiet import quiet_settings
from tests.job.physical_cluster import Cluster, cluster_in, now, recovered_rows


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_in(tmp_path_factory.mktemp("cluster")) as made:
        made.check()
        made.run("create table notes (body text)")
        made.engine.backup("local", now())
        yield made


def _notes(server: DatabasePlan) -> list[str]:
    return [row[0] for row in recovered_rows(server, "select body from notes order by body")]


def _database(cluster: Cluster) -> DatabasePlan:
    assert cluster.plan.database is not None
    return cluster.plan.database


def _written_around(cluster: Cluster, before: str, after: str) -> datetime:
    """A moment between two rows."""
    cluster.run(f"insert into notes values ('{before}')")
    time.sleep(0.05)
    moment: datetime = cluster.run("select clock_timestamp()")[0][0]
    time.sleep(0.05)
    cluster.run(f"insert into notes values ('{after}')")
    cluster.switch()
    return moment


def test_what_was_there_at_a_moment_is_there_and_what_came_later_is_not(cluster: Cluster, tmp_path: Path) -> None:
    moment = _written_around(cluster, "A", "B")
    restored = cluster.engine.restore("local", tmp_path / "restored", moment)
    with recovered_server(restored, _database(cluster), is_drill=False) as recovered:
        notes = _notes(recovered.server)
        assert "A" in notes
        assert "B" not in notes
        assert recovered.stopped.startswith("before commit of transaction")
    # It was stopped cleanly, and nothing in it keeps a later start from archiving.
    assert not (restored.data / "postmaster.pid").exists()
    settings = (restored.data / "postgresql.auto.conf").read_text()
    assert "archive_mode" not in settings
    assert "recovery_target" not in settings
    assert "restore_command" not in settings
    assert not (restored.data / "recovery.signal").exists()


def test_the_newest_state_has_everything(cluster: Cluster, tmp_path: Path) -> None:
    _written_around(cluster, "C", "D")
    restored = cluster.engine.restore("local", tmp_path / "restored", None)
    assert restored.warnings == ()
    with recovered_server(restored, _database(cluster), is_drill=False) as recovered:
        assert {"C", "D"} <= set(_notes(recovered.server))


def test_a_drill_needs_neither_the_store_nor_its_configuration(cluster: Cluster, tmp_path: Path) -> None:
    made = cluster.engine.backup("local", now())
    cluster.run("insert into notes values ('before the mark')")
    mark = cluster.mark()
    cluster.run("insert into notes values ('after the mark')")
    cluster.switch()
    fetched = cluster.engine.fetch("local", tmp_path / "drill", made.label, mark)
    hidden = cluster.repository.rename(cluster.repository.with_name("hidden"))
    configuration = cluster.configuration.rename(cluster.folder / "hidden.conf")
    try:
        with recovered_server(fetched, _database(cluster), is_drill=True) as recovered:
            notes = _notes(recovered.server)
            assert "before the mark" in notes
            assert "after the mark" not in notes
            assert recovered.stopped
            assert recovered.seconds > 0
    finally:
        hidden.rename(cluster.repository)
        configuration.rename(cluster.configuration)


def test_before_the_first_backup_says_what_the_earliest_moment_is(cluster: Cluster, tmp_path: Path) -> None:
    first = cluster.engine.backups("local")[-1].finished
    with pytest.raises(NoSuchBackup) as caught:
        cluster.engine.restore("local", tmp_path / "restored", first - timedelta(days=1))
    assert f"{first:%Y-%m-%d %H:%M:%S}" in caught.value.hint
    assert not (tmp_path / "restored").exists()


def test_after_the_last_transaction_says_which_that_is(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run("insert into notes values ('last')")
    cluster.switch()
    restored = cluster.engine.restore("local", tmp_path / "restored", now() + timedelta(hours=1))
    with pytest.raises(RestoreFailed) as caught, recovered_server(restored, _database(cluster), is_drill=False):
        pass
    assert f"{now():%Y-%m-%d %H:}" in caught.value.message
    assert "newest state" in caught.value.hint


def test_a_folder_with_anything_in_it_is_never_touched(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "precious").write_text("mine")
    with pytest.raises(RestoreFailed):
        cluster.engine.restore("local", folder, None)
    assert [path.name for path in folder.iterdir()] == ["precious"]
    with pytest.raises(RestoreFailed):
        cluster.engine.restore("local", cluster.data, None)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RestoreFailed):
        cluster.engine.restore("local", tmp_path / "link", None)


def test_a_running_cluster_is_never_recovered(cluster: Cluster) -> None:
    backup = cluster.engine.backups("local")[0]
    with (
        pytest.raises(RestoreFailed),
        recovered_server(Restored(cluster.data, backup), _database(cluster), is_drill=True),
    ):
        pass
    assert cluster.run("select 1") == [(1,)]


def test_too_little_room_is_said_before_anything_is_written(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "free_bytes", lambda place: 1000)
    with pytest.raises(NoRoom):
        cluster.engine.restore("local", tmp_path / "restored", None)
    assert not list((tmp_path / "restored").iterdir())


def test_log_that_the_drill_needs_and_that_is_missing_is_a_gap(cluster: Cluster, tmp_path: Path) -> None:
    made = cluster.engine.backup("local", now())
    mark = cluster.mark()
    cluster.wait_for_archiver(mark.wal)
    (segment,) = cluster.repository.rglob(f"{mark.wal}-*")
    hidden = segment.rename(tmp_path / "hidden")
    try:
        with pytest.raises(WalGap):
            cluster.engine.fetch("local", tmp_path / "drill", made.label, mark)
    finally:
        hidden.rename(segment)


def test_a_cluster_that_was_restored_archives_again_and_its_log_is_whole(tmp_path: Path) -> None:
    with cluster_in(tmp_path / "first") as cluster:
        cluster.check()
        cluster.run("create table notes (body text)")
        cluster.engine.backup("local", now())
        moment = _written_around(cluster, "kept", "undone")
        cluster.stop()
        restored = cluster.engine.restore("local", tmp_path / "restored", moment)
        with recovered_server(restored, _database(cluster), is_drill=False):
            pass
        cluster.data.rename(tmp_path / "old")
        restored.data.rename(cluster.data)
        cluster.start()
        assert cluster.run("select body from notes") == [("kept",)]
        cluster.check()
        made = cluster.engine.backup("local", now())
        assert made.wal_start.startswith("00000002")
        moment = _written_around(cluster, "after the restore", "later")
        assert cluster.health().open_gaps == ()
        assert cluster.health().healed_gaps == ()
        second = cluster.engine.restore("local", tmp_path / "again", moment)
        with recovered_server(second, _database(cluster), is_drill=False) as recovered:
            assert _notes(recovered.server) == ["after the restore", "kept"]


def test_a_recovered_cluster_does_nothing_by_itself(tmp_path: Path) -> None:
    with cluster_in(tmp_path / "live", parameters={"wal_level": "logical"}) as cluster:
        cluster.check()
        where = f"host={cluster.socket} dbname=app user=app"
        cluster.run(
            "create table notes (body text)",
            "create publication p for table notes",
            "select pg_create_logical_replication_slot('s', 'pgoutput')",
            f"create subscription s connection '{where}' publication p with (connect = false, slot_name = 's')",
            "alter subscription s enable",
        )
        cluster.engine.backup("local", now())
        cluster.switch()
        restored = cluster.engine.restore("local", tmp_path / "restored", None)
        with recovered_server(restored, _database(cluster), is_drill=True) as recovered:
            assert recovered_rows(recovered.server, "select subenabled from pg_subscription") == [(True,)]
            # Who would go to the publisher, and move on the place in the stream that the original holds.
            workers = "select backend_type from pg_stat_activity where backend_type like 'logical replication%'"
            assert recovered_rows(recovered.server, workers) == []
            assert cluster.run(workers) != []
            known = {
                row[0]: row[1] for row in recovered_rows(recovered.server, "select name, setting from pg_settings")
            }
            for name, expected in quiet_settings(recovered.server.major).items():
                assert known.get(name, expected) == expected, name
