"""Extensions that can be made in a database of one name only, as pg_cron: told before anything is done, or by its name."""

# docker run: --network none

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moorage.backups.failures import RestoreFailed
from moorage.backups.manifest import DatabaseFacts
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.bound import warning_of
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.restore import restore
from moorage.backups.postgres.swap import incoming_name
from tests.job.live_server import execute, live_server, make_database, value

ID = "20261122T033000Z-7f3a91"
INCOMING = incoming_name("notes", ID)
_REFUSE = """
DO $$ BEGIN
    IF current_database() <> current_setting('cron.database_name') THEN
        RAISE EXCEPTION 'can only create extension in database %', current_setting('cron.database_name');
    END IF;
END $$;
"""


def install(name: str) -> None:
    """An extension that behaves as pg_cron does, and is none: its library is not needed."""
    place = Path(f"/usr/share/postgresql/{os.environ['PG_MAJOR']}/extension")
    (place / f"{name}.control").write_text("default_version = '1.0'\nrelocatable = false\n")
    (place / f"{name}--1.0.sql").write_text(_REFUSE)


if os.geteuid() == 0:
    # Only root may install extensions, and only somebody else may start a server.
    for stand_in in ("pg_cron", "fastidious"):
        install(stand_in)
    os.setgroups([])
    os.setgid(999)
    os.setuid(999)
    os.environ["HOME"] = "/tmp"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live"), "cron.database_name=notes") as server:
        yield make_database(server, "notes", "CREATE TABLE t AS SELECT 1 AS x")


@pytest.fixture
def extension(live: DatabasePlan, request: pytest.FixtureRequest) -> Iterator[str]:
    execute(live, "notes", f"CREATE EXTENSION {request.param}")
    yield request.param
    execute(live, "notes", f"DROP EXTENSION {request.param}")
    execute(live, "postgres", f'DROP DATABASE IF EXISTS "{INCOMING}"')


def dumped(live: DatabasePlan, folder: Path) -> DatabaseFacts:
    (facts,) = dump(live, folder, parallel=2, lock_wait_seconds=5)
    return facts


def names(live: DatabasePlan) -> object:
    return value(live, "postgres", "SELECT count(*) FROM pg_database")


@pytest.mark.parametrize("extension", ["pg_cron"], indirect=True)
def test_a_bound_extension_is_told_before_anything_is_done(live: DatabasePlan, extension: str, tmp_path: Path) -> None:
    facts, before = dumped(live, tmp_path), names(live)
    with pytest.raises(
        RestoreFailed, match=r"pg_cron can only be made in database `notes` .*nothing was changed"
    ) as told:
        restore(live, facts, tmp_path, INCOMING, parallel=2)
    assert f"write `cron.database_name: {INCOMING}` below `postgres.parameters`" in told.value.hint
    assert names(live) == before


@pytest.mark.parametrize("extension", ["pg_cron"], indirect=True)
def test_what_the_message_says_to_do_does_it(live: DatabasePlan, extension: str, tmp_path: Path) -> None:
    facts = dumped(live, tmp_path)
    # As a server that was started with it: in the sessions of the restore, the setting names the other database.
    execute(live, "postgres", f"ALTER ROLE {live.user} SET cron.database_name = '{INCOMING}'")
    try:
        restore(live, facts, tmp_path, INCOMING, parallel=2)
        assert all(check.passed for check in compare(live, INCOMING, facts))
    finally:
        execute(live, "postgres", f"ALTER ROLE {live.user} RESET cron.database_name")


@pytest.mark.parametrize("extension", ["fastidious"], indirect=True)
def test_one_that_nobody_knows_is_named_with_the_way_by_hand(
    live: DatabasePlan, extension: str, tmp_path: Path
) -> None:
    facts, before = dumped(live, tmp_path), names(live)
    with pytest.raises(RestoreFailed, match="can only create extension in database notes") as told:
        restore(live, facts, tmp_path, INCOMING, parallel=2)
    assert told.value.hint.startswith("does extension fastidious work here, in a database of any name?")
    assert names(live) == before


@pytest.mark.parametrize("extension", ["pg_cron"], indirect=True)
def test_a_backup_warns_of_it_before_the_day_of_its_restore(live: DatabasePlan, extension: str, tmp_path: Path) -> None:
    facts, settings = dumped(live, tmp_path), {"cron.database_name": "notes"}
    assert "`cron.database_name` binds extension pg_cron to the name of database notes" in warning_of(facts, settings)
    assert warning_of(replace(facts, extensions=()), settings) == ""
    assert warning_of(facts, {}) == ""
