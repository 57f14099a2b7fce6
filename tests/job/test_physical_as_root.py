"""A job that runs as root, with the few rights that a container leaves it, and a log of unusual segments."""

# docker run: --network none --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add SETUID --cap-add SETGID --cap-add KILL

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.backups.physical.recovery import recovered_server
from tests.job.physical_cluster import Cluster, cluster_in, now, recovered_rows


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where `postgres` may go in; pytest's own folders are root's alone."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("megabytes", [16, 1])
def test_everything_belongs_to_postgres(folder: Path, megabytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert os.geteuid() == 0
    monkeypatch.setattr(Cluster, "segment_megabytes", megabytes)
    with cluster_in(folder / "cluster") as cluster:
        cluster.check()
        cluster.run("create table notes (body text)", "insert into notes values ('A')")
        made = cluster.engine.backup("local", now())
        cluster.run("insert into notes select md5(n::text) || repeat('x', 200) from generate_series(1, 20000) n")
        mark = cluster.mark()
        cluster.run("insert into notes values ('B')")
        cluster.switch()
        assert cluster.health().open_gaps == ()
        assert cluster.plan.database is not None
        restored = cluster.engine.restore("local", folder / "restored", None)
        assert restored.warnings == ()
        fetched = cluster.engine.fetch("local", folder / "drill", made.label, mark)
        query = "select count(*) from notes"
        for item, rows in ((restored, 20002), (fetched, 20001)):
            with recovered_server(item, cluster.plan.database, is_drill=item is fetched) as recovered:
                assert recovered_rows(recovered.server, query) == [(rows,)]
        owner = cluster.data.stat().st_uid
        assert owner != 0
        assert {path.stat().st_uid for path in (*cluster.repository.rglob("*"), *restored.data.rglob("*"))} == {owner}
