"""Whole nights that go wrong outside of us: programs that lie, a bucket that goes away half way. Each by its own status."""

# bases: postgres:17
# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import Answer, Drop, Fault, FaultyProxy, faulty_proxy, object_store

from moorage.backups.plan import VOLUMES_FOLDER, DatabasePlan, StorePlan
from moorage.backups.restic import Restic
from tests.job.live_server import live_server, make_database
from tests.job.night_site import NightSite, new_site

SCRIPT = """
CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);
INSERT INTO notes SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 3000) AS n;
CREATE TABLE tags AS SELECT generate_series(1, 50) AS id;
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield make_database(server, "notes", SCRIPT)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ('exec {real} --schema-only "$@"', 25, "counted, but not dumped"),
        ('exec {real} --exclude-table=public.tags "$@"', 25, "1 table counted, but not dumped: public.tags"),
        (
            '{real} "$@" && for f in "$@"; do case $f in --file=*) rm "${{f#--file=}}"/[0-9]*.dat* ;; esac; done',
            25,
            "without a file",
        ),
        ("exit 0", 25, ""),
        ('{real} "$@" & sleep 0.05; kill -9 $!; wait $!', 25, ""),
    ],
    ids=["empty", "a table less", "without its data", "nothing", "killed"],
)
def test_a_dump_that_is_not_whole_ends_the_night(
    tmp_path: Path, database: DatabasePlan, monkeypatch: pytest.MonkeyPatch, words: str, status: int, said: str
) -> None:
    """Whatever `pg_dump` says of itself; the night before stays, and the next one is good."""
    site = new_site(tmp_path, database)
    assert site.night() == 0, site.said
    real = shutil.which("pg_dump")
    programs = tmp_path / "programs"
    programs.mkdir()
    lying = programs / "pg_dump"
    lying.write_text(f'#!/bin/sh\ncase "$*" in *--version*) exec {real} --version ;; esac\n{words.format(real=real)}\n')
    lying.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        assert site.night() == status, site.said
    assert said in site.said[0]
    assert site.states() == ["good"]
    assert site.snapshots() == 1
    assert site.night() == 0, site.said


@pytest.fixture
def cloud(
    tmp_path: Path, database: DatabasePlan, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[NightSite, FaultyProxy]]:
    """A site whose only store is a bucket; who waits for it is not as patient as at night."""
    monkeypatch.setitem(Restic.__init__.__kwdefaults__, "patience_seconds", 15.0)
    with object_store("rclone", tmp_path / "s3") as server, faulty_proxy(server.endpoint) as proxy:
        keys = server.write_credentials(tmp_path / "credentials")
        store = StorePlan("disk", bucket="backups", endpoint=proxy.endpoint, credentials_file=str(keys))
        site = new_site(tmp_path, database, store)
        assert site.night() == 0, site.said
        yield site, proxy


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Answer(503, "SlowDown"), 26),
        (Drop(), 26),
        (Answer(403, "ExpiredToken"), 27),
        (Answer(507, "InsufficientStorage"), 28),
    ],
    ids=["busy", "down", "expired", "full"],
)
@pytest.mark.parametrize("path", ["/restic/data/", ".record.json"])
def test_a_bucket_that_fails_half_way_records_nothing_false(
    cloud: tuple[NightSite, FaultyProxy], fault: Fault, status: int, path: str
) -> None:
    site, proxy = cloud
    (Path(VOLUMES_FOLDER) / "uploads" / "more").write_bytes(os.urandom(3_000_000))
    # From the first thing of that kind on that is written, nothing works any more.
    failed: list[str] = []

    def choose(method: str, place: str) -> Fault | None:
        if method == "PUT" and path in place:
            failed.append(place)
        return fault if failed else None

    proxy.fault = choose
    night = site.night()
    proxy.fault = lambda method, place: None
    assert failed
    assert night == status, site.said
    assert site.states() == ["good"]
    assert site.night() == 0, site.said
    assert site.states() == ["good", "good"]
