"""A backup beside what runs and in its place, with a real Postgres: killed anywhere, said again, undone, discarded."""

# bases: postgres:17
# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /tiny:mode=1777,size=160m --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moorage.backups import preparing, putting_back, restore_room, swapping
from moorage.backups.failures import BackupError, NoRoom, NoSuchBackup, RestoreFailed
from moorage.backups.plan import VOLUMES_FOLDER, DatabasePlan
from moorage.backups.postgres import swap as databases
from moorage.backups.restore_journal import Restore
from tests.job.live_server import execute, live_server, make_database, value
from tests.job.night_site import NightSite, new_site

SCRIPT = """
CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);
INSERT INTO notes SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 2000) AS n;
"""
UPLOADS = Path(VOLUMES_FOLDER) / "uploads"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, server: DatabasePlan) -> Iterator[NightSite]:
    """With one good backup of 2000 rows and 30 files; since then a row is gone, and a file is new."""
    made = new_site(tmp_path, make_database(server, "notes", SCRIPT))
    assert made.night() == 0, made.said
    execute(server, "notes", "DELETE FROM notes WHERE id <= 500")
    (UPLOADS / "later").write_text("written after the backup")
    yield made
    rows = (
        server,
        "postgres",
        "SELECT coalesce(string_agg(quote_ident(datname), ','), '') FROM pg_database WHERE datname ~ '^notes'",
    )
    for name in str(value(*rows)).split(","):
        execute(server, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


def prepared(site: NightSite, backup: str = "") -> Restore:
    return preparing.prepare(site.job(), backup, "")


def rows(server: DatabasePlan) -> object:
    return value(server, "notes", "SELECT count(*) FROM public.notes")


def is_old(server: DatabasePlan) -> bool:
    """What ran before the restore; anything else must be what was backed up, and nothing in between."""
    found = rows(server), (UPLOADS / "later").exists(), len(list((UPLOADS / "deep").iterdir()))
    assert found in ((1500, True, 30), (2000, False, 30)), found
    return found[0] == 1500


def test_there_and_back_and_what_was_written_in_between_is_kept(site: NightSite, server: DatabasePlan) -> None:
    found = prepared(site)
    assert is_old(server)
    putting_back.swap(site.job(), found.id)
    putting_back.swap(site.job(), found.id)
    assert not is_old(server)
    execute(server, "notes", "INSERT INTO notes VALUES (9000, 'written on the restored one')")
    putting_back.undo(site.job(), found.id)
    putting_back.undo(site.job(), found.id)
    assert is_old(server)
    # The same backup again does not touch what the first time kept aside.
    again = prepared(site)
    assert again.id != found.id
    putting_back.swap(site.job(), again.id)
    assert not is_old(server)
    kept = f"notes__incoming_{found.id}"
    assert value(server, kept, "SELECT body FROM public.notes WHERE id = 9000") == "written on the restored one"
    with pytest.raises(RestoreFailed, match="was restored after"):
        _undo_below(site, found)
    putting_back.discard(site.job(), found.id)
    putting_back.discard(site.job(), again.id)
    assert not is_old(server)
    assert putting_back.restored(site.job()) == []
    assert value(server, "postgres", "SELECT count(*) FROM pg_database WHERE datname ~ '^notes__'") == 0
    assert not list(UPLOADS.glob(".moorage-*"))


def _undo_below(site: NightSite, found: Restore) -> None:
    """An older one that is still in place can't be undone below a newer one."""
    journal = putting_back.journal_of(site.job())
    known = journal.read(found.id)
    journal.write(replace(known, phase="exchanged"))
    try:
        putting_back.undo(site.job(), found.id)
    finally:
        journal.write(known)


def test_a_night_in_between_keeps_what_is_aside_out_of_the_backup(site: NightSite) -> None:
    found = prepared(site)
    putting_back.swap(site.job(), found.id)
    assert site.night() == 0, site.said
    record = site.backups()[0].record
    assert record is not None
    assert record.databases == (("notes", 1, 2000),)
    assert record.volumes[0].files == 30


def test_what_was_prepared_once_is_not_restored_again_and_another_one_takes_its_place(site: NightSite) -> None:
    first = prepared(site)
    assert prepared(site).id == first.id
    assert site.night() == 0, site.said
    other = prepared(site, site.backups()[0].id)
    assert other.id != first.id
    with pytest.raises(NoSuchBackup):
        putting_back.swap(site.job(), first.id)


def test_killed_anywhere_the_same_again_finishes_it(site: NightSite, server: DatabasePlan) -> None:
    rounds, chance, hits = int(os.environ.get("MOORAGE_KILLS") or "6"), random.Random(20261123), 0
    for number in range(rounds):
        verb = ("prepare", "swap", "undo")[number % 3]
        if verb == "prepare":
            hits += site.killed(chance.uniform(0.2, 3.0), "prepare")
            assert is_old(server)
        found = prepared(site)
        if verb == "swap":
            hits += site.killed(chance.uniform(0.15, 0.6), "swap", found.id)
        putting_back.swap(site.job(), found.id)
        assert not is_old(server)
        if verb == "undo":
            hits += site.killed(chance.uniform(0.15, 0.6), "undo", found.id)
        putting_back.undo(site.job(), found.id)
        assert is_old(server)
        putting_back.discard(site.job(), found.id)
    assert hits >= rounds // 3, "too few kills hit a program at work"


class Killed(BaseException):
    """Stands for kill -9 at a moment that no clock would hit."""


@pytest.mark.parametrize("where", ["swap", "swap_in"], ids=["before the database", "between database and files"])
def test_a_swap_that_was_killed_can_be_undone_and_is_never_discarded(
    site: NightSite, server: DatabasePlan, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    found = prepared(site)
    with monkeypatch.context() as patch:
        patch.setattr(swapping if where == "swap_in" else databases, where, kill)
        with pytest.raises(Killed):
            putting_back.swap(site.job(), found.id)
    assert putting_back.journal_of(site.job()).read(found.id).phase == "exchanging"
    with pytest.raises(RestoreFailed, match="cut off"):
        putting_back.discard(site.job(), found.id)
    with pytest.raises(RestoreFailed, match="cut off"):
        prepared(site)
    putting_back.undo(site.job(), found.id)
    assert is_old(server)
    putting_back.discard(site.job(), found.id)


def test_killed_by_the_clock_it_can_always_be_undone(site: NightSite, server: DatabasePlan) -> None:
    for step in range(12):
        found = prepared(site)
        site.killed(0.15 + step * 0.04, "swap", found.id)
        if putting_back.journal_of(site.job()).read(found.id).phase != "prepared":
            putting_back.undo(site.job(), found.id)
        assert is_old(server)
        putting_back.discard(site.job(), found.id)


def test_a_session_that_cannot_be_ended_changes_nothing(
    site: NightSite, server: DatabasePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moorage.backups.failures import Busy
    from moorage.backups.postgres import swap

    def refuse(*_: object) -> None:
        raise Busy("somebody is in it")

    found = prepared(site)
    with monkeypatch.context() as patch:
        patch.setattr(swap, "_rename", refuse)
        with pytest.raises(Busy):
            putting_back.swap(site.job(), found.id)
    assert putting_back.journal_of(site.job()).read(found.id).phase == "prepared"
    assert is_old(server)
    putting_back.swap(site.job(), found.id)
    assert not is_old(server)


def test_a_database_that_is_gone_comes_back_and_an_undo_takes_it_away_again(
    site: NightSite, server: DatabasePlan
) -> None:
    execute(server, "postgres", "DROP DATABASE notes")
    found = prepared(site)
    putting_back.swap(site.job(), found.id)
    putting_back.swap(site.job(), found.id)
    assert rows(server) == 2000
    putting_back.undo(site.job(), found.id)
    assert value(server, "postgres", "SELECT count(*) FROM pg_database WHERE datname = 'notes'") == 0


def test_what_was_kept_aside_is_not_discarded_while_it_is_all_that_there_is(
    site: NightSite, server: DatabasePlan
) -> None:
    found = prepared(site)
    putting_back.swap(site.job(), found.id)
    execute(server, "postgres", "DROP DATABASE notes WITH (FORCE)")
    with pytest.raises(RestoreFailed, match="all that there is of it"):
        putting_back.discard(site.job(), found.id)
    putting_back.undo(site.job(), found.id)
    assert is_old(server)


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NoRoom) as caught:
        restore_room.check([(Path("/tiny"), 100_000_000), (tmp_path, 1), (Path("/tiny"), 60_000_000)])
    assert "free" in caught.value.message
    assert caught.value.exit_status == 21
    restore_room.check([(tmp_path, 1)])
    assert sorted(tmp_path.iterdir()) == before


def test_no_room_leaves_what_runs_as_it_is(
    site: NightSite, server: DatabasePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_room, "_SPARE", 10**15)
    with pytest.raises(NoRoom):
        prepared(site)
    assert putting_back.restored(site.job()) == []
    assert is_old(server)


def test_a_cut_journal_is_told_and_nothing_is_guessed(site: NightSite) -> None:
    found = prepared(site)
    place = Path(site.plan.work) / "restore" / "journal" / f"{found.id}.json"
    place.write_text("{")
    with pytest.raises(BackupError, match="can't be read"):
        putting_back.swap(site.job(), found.id)
    with pytest.raises(BackupError, match="can't be read"):
        prepared(site)
