"""Point-in-time recovery of a running site: its log goes to a store, a moment comes back, a store in trouble stops nothing."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.docker.site import Site, docker, note, secrets_of, site_with_store, titles, watched_arguments

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A notes site whose store nobody but root may look into, as `moorage check` tells to make it."""
    with site_with_store(tmp_path_factory.mktemp("moments")) as made:
        yield made


def log_folder(site: Site) -> Path:
    return site.folder.parent / "store" / site.name / "pgbackrest"


def sql(site: Site, statement: str) -> str:
    words = ["exec", site.container("postgres"), "psql", "-qtA", "-U", "postgres", "-d", "notes", "-c", statement]
    return docker(*words).strip()


def moment(site: Site) -> str:
    """Now, by the database's clock, with a breath before and after it."""
    time.sleep(1)
    found = sql(site, "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    time.sleep(1)
    return found


def archiving_fails(site: Site) -> bool:
    return sql(site, "SELECT last_failed_time > coalesce(last_archived_time, 'epoch') FROM pg_stat_archiver") == "t"


def test_a_moment_comes_back_and_an_undo_takes_it_back(site: Site) -> None:
    assert sql(site, "SHOW archive_mode") == "on"
    with watched_arguments(secrets_of(site)) as seen:
        night = site.moorage("backup", "run")
        assert night.status == 0, night.text
        assert "point in time" in night.text
        note(site, "A")
        wanted = moment(site)
        note(site, "B")
        outcome = site.moorage("backup", "restore", "--at", wanted, "--yes")
    assert outcome.status == 0, outcome.text
    assert seen == []
    assert not [secret for secret in secrets_of(site) if secret in night.text + outcome.text]
    assert "A" in titles(site)
    assert "B" not in titles(site)
    undone = site.moorage("backup", "restore", "--undo", "--yes")
    assert undone.status == 0, undone.text
    assert {"A", "B"} <= titles(site)
    site.must("backup", "restore", "--discard", "--yes")
    # The reachable span is told, and what lies outside of it is refused with it.
    reach = json.loads(site.must("--json", "backup", "list").output)[-1]
    assert reach["reaches_from"] < wanted < reach["reaches_to"]
    early = site.moorage("backup", "restore", "--at", "2020-01-01T00:00:00Z", "--yes")
    assert (early.status, "what can be reached is from" in early.text) == (39, True), early.text
    assert site.moorage("backup", "restore", "--at", "2026-01-01 00:00", "--yes").status == 2
    assert site.moorage("plan").status == 0


def test_a_store_that_refuses_the_log_stops_nothing_and_the_next_night_heals_it(site: Site) -> None:
    started = sql(site, "SELECT pg_postmaster_start_time()")
    container = site.container("postgres")
    folder = log_folder(site)
    hidden = folder / "archive.hidden"
    (folder / "archive").rename(hidden)
    (folder / "archive").touch()
    try:
        for number in range(5):
            note(site, f"while it is away {number}")
            sql(site, "SELECT pg_switch_wal()")
        deadline = time.monotonic() + 60
        while not archiving_fails(site):
            assert time.monotonic() < deadline
            time.sleep(1)
        status = site.moorage("--json", "status")
        texts = [item["text"] for item in json.loads(status.output)["backups"]["findings"]]
        assert [text for text in texts if "write-ahead log" in text], status.text
        assert status.status == 1
        assert site.moorage("backup", "run").status != 0
        # Two ways that do not depend on each other: the dump of that night is proven all the same.
        assert json.loads(site.moorage("--json", "backup", "list").output)[0]["state"] == "good"
    finally:
        (folder / "archive").unlink()
        hidden.rename(folder / "archive")
    assert len(titles(site)) >= 5
    assert (sql(site, "SELECT pg_postmaster_start_time()"), site.container("postgres")) == (started, container)
    night = site.moorage("backup", "run")
    assert night.status == 0, night.text
    assert not archiving_fails(site)
    status = site.moorage("--json", "status")
    assert status.status == 0, status.text


def test_switching_it_off_is_one_restart_and_loses_nothing(site: Site) -> None:
    store = site.settings["backups"]["stores"]
    site.write(backups={"stores": store, "point_in_time": "off"})
    plan = site.moorage("plan")
    assert "the database restarts" in plan.text, plan.text
    assert site.up().status == 0
    assert sql(site, "SHOW archive_mode") == "off"
    assert "A" in titles(site)
    refused = site.moorage("backup", "restore", "--at", datetime.now(timezone.utc).isoformat(), "--yes")
    assert "point-in-time recovery is off" in refused.text
    assert refused.status != 0
    kept = subprocess.run(["find", str(log_folder(site)), "-name", "backup.info"], capture_output=True, check=True)
    assert kept.stdout
