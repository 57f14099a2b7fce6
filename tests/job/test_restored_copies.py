"""Databases of a backup under a name of their own, with a real Postgres: what runs is not touched, and nothing is mixed up."""

# bases: postgres:17
# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from moorage.backups import preparing, putting_back
from moorage.backups.failures import NoSuchBackup, RestoreFailed
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.databases import with_unnamed
from moorage.backups.postgres.swap import incoming_name
from tests.job.live_server import execute, live_server, make_database, value
from tests.job.night_site import NightSite, new_site

SCRIPT = """
CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);
INSERT INTO notes SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 2000) AS n;
"""
NAMES = "SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_database WHERE datname !~ '^(postgres|template.)$'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, server: DatabasePlan) -> Iterator[NightSite]:
    """With one good backup of 2000 rows, of which 500 are gone since then."""
    made = new_site(tmp_path, make_database(server, "notes", SCRIPT))
    assert made.night() == 0, made.said
    execute(server, "notes", "DELETE FROM notes WHERE id <= 500")
    yield made
    for name in names(server).split():
        execute(server, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


def names(server: DatabasePlan) -> str:
    """All databases that somebody has made."""
    return str(value(server, "postgres", NAMES))


def rows(server: DatabasePlan, name: str) -> object:
    return value(server, name, "SELECT count(*) FROM public.notes")


def copied(site: NightSite, into: str = "looking") -> str:
    return preparing.prepare_copy(site.job(), "", "", None, into).id


def test_it_stays_until_it_is_discarded_and_is_in_no_backup(site: NightSite, server: DatabasePlan) -> None:
    found = copied(site)
    assert (rows(server, "looking"), rows(server, "notes")) == (2000, 1500)
    assert copied(site) == found
    with pytest.raises(RestoreFailed, match="never took the place"):
        putting_back.undo(site.job(), found)
    told: list[str] = []
    assert with_unnamed(replace(server, names=("notes",)), told.append).names == ("notes",)
    assert told == ["the database `looking` is a copy that a restore has made: it is in no backup"]
    # Unless somebody has made it the app's own.
    assert with_unnamed(replace(server, names=("looking",)), told.append).names == ("looking", "notes")
    # A restore that takes the place of what runs leaves the copy alone, and so does its end.
    other = preparing.prepare(site.job(), "", "").id
    putting_back.swap(site.job(), other)
    putting_back.discard(site.job(), other)
    assert names(server) == "looking notes"
    putting_back.discard(site.job(), found)
    assert names(server) == "notes"
    with pytest.raises(NoSuchBackup):
        putting_back.discard(site.job(), found)


def test_a_name_that_is_taken_is_refused(site: NightSite, server: DatabasePlan) -> None:
    for taken in ("notes", "postgres", "template1"):
        with pytest.raises(RestoreFailed, match=f"there is a database `{taken}` already"):
            copied(site, taken)
    assert (names(server), rows(server, "notes")) == ("notes", 1500)
    with pytest.raises(RestoreFailed, match="too long"):
        copied(site, "x" * 64)
    copied(site, 'o\'er "there" $HOME;')
    assert rows(server, 'o\'er "there" $HOME;') == 2000
    putting_back.discard(site.job(), putting_back.restored(site.job())[-1].id)
    assert names(server) == "notes"


def test_what_somebody_has_put_in_its_place_is_not_dropped(site: NightSite, server: DatabasePlan) -> None:
    found = copied(site)
    execute(server, "postgres", "DROP DATABASE looking")
    execute(server, "postgres", "CREATE DATABASE looking")
    putting_back.discard(site.job(), found)
    assert names(server) == "looking notes"
    with pytest.raises(RestoreFailed, match="already"):
        copied(site)
    execute(server, "postgres", "DROP DATABASE looking")
    again = copied(site)
    execute(server, "postgres", "DROP DATABASE looking")
    assert copied(site) != again
    assert rows(server, "looking") == 2000


def test_several_databases_have_the_name_before_their_own(site: NightSite, server: DatabasePlan) -> None:
    both = make_database(server, "orders", "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1), (2)")
    site.plan = replace(site.plan, database=replace(both, names=("notes", "orders")))
    assert site.night() == 0, site.said
    found = copied(site, "then")
    assert names(server) == "notes orders then_notes then_orders"
    assert value(server, "then_orders", "SELECT count(*) FROM public.orders") == 2
    putting_back.discard(site.job(), found)
    assert names(server) == "notes orders"


def test_killed_anywhere_the_same_again_finishes_it_and_nothing_is_left_over(
    site: NightSite, server: DatabasePlan
) -> None:
    chance, hits = random.Random(3), 0
    for number in range(6):
        hits += site.killed(chance.uniform(0.3, 1.6), "prepare", "--into", "looking")
        assert rows(server, "notes") == 1500
        if number % 2:
            # Another restore may come first.
            preparing.prepare(site.job(), "", "")
        copied(site)
        assert rows(server, "looking") == 2000
        for item in putting_back.restored(site.job()):
            putting_back.discard(site.job(), item.id)
        assert names(server) == "notes"
    assert hits >= 2, "too few kills hit a program at work"


@pytest.mark.parametrize("moment", ["named", "not yet noted"])
def test_killed_around_its_naming(
    site: NightSite, server: DatabasePlan, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        """Stands for kill -9 at a moment that no clock would hit."""

    def kill(*arguments: object) -> None:
        if moment == "not yet noted":
            kept(*arguments)  # type: ignore[arg-type]
        raise Killed

    kept = preparing.beside.keep_beside
    with monkeypatch.context() as patch:
        patch.setattr(preparing.beside, "keep_beside", kill)
        with suppress(Killed):
            copied(site)
    (noted,) = putting_back.restored(site.job())
    assert noted.phase == "prepared"
    there = "looking" if moment == "not yet noted" else incoming_name("notes", noted.id)
    assert names(server) == " ".join(sorted((there, "notes")))
    assert copied(site) == noted.id
    assert names(server) == "looking notes"
    putting_back.discard(site.job(), noted.id)
    assert names(server) == "notes"
