"""Dumps of other tools on their way in: every kind that fits, and every cut or wrong one, which must change nothing."""

# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.backups import importing, putting_back
from moorage.backups.failures import BackupError, Tampered
from moorage.backups.manifest import MANIFEST_FILE
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.properties import identity, properties
from tests.job.live_server import execute, live_server, make_database, value
from tests.job.night_site import NightSite, new_site

NOTES = """
CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL, more bytea);
INSERT INTO notes SELECT n, md5(n::text) || E'\\n\\\\connect elsewhere', decode(md5(n::text), 'hex') FROM generate_series(1, {rows}) AS n;
CREATE TABLE tags (id int PRIMARY KEY, note int REFERENCES notes);
INSERT INTO tags SELECT n, n FROM generate_series(1, {tags}) AS n;
CREATE FUNCTION shown(text) RETURNS text LANGUAGE sql AS $$ SELECT 'shown: ' || $1 $$;
"""
ROWS, TAGS = 4000, 1000
WHOLE = ("notes", ROWS, "tags", TAGS)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    """The deployment's server."""
    with live_server(tmp_path_factory.mktemp("live"), "listen_addresses=") as server:
        execute(server, "postgres", "CREATE ROLE app LOGIN")
        yield make_database(server, "notes", NOTES.format(rows=10, tags=0), "OWNER app")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    """Another server, whose dumps are brought: databases `notes` and `shop`, with roles of its own."""
    with live_server(tmp_path_factory.mktemp("other"), "listen_addresses=") as server:
        execute(server, "postgres", "CREATE ROLE seller LOGIN PASSWORD 'x'; CREATE ROLE reader")
        make_database(server, "notes", NOTES.format(rows=ROWS, tags=TAGS))
        make_database(server, "shop", NOTES.format(rows=7, tags=3), "OWNER seller")
        execute(server, "shop", "ALTER TABLE tags OWNER TO seller; GRANT SELECT ON notes TO reader")
        yield server


@pytest.fixture
def site(tmp_path: Path, live: DatabasePlan) -> Iterator[NightSite]:
    made = new_site(tmp_path, live)
    yield made
    for identifier in [item.id for item in putting_back.restored(made.job())]:
        putting_back.discard(made.job(), identifier)


@pytest.fixture
def bring(site: NightSite, other: DatabasePlan) -> Any:
    return Bringer(site, other)


class Bringer:
    """Makes dumps with the real programs and imports them."""

    def __init__(self, site: NightSite, other: DatabasePlan) -> None:
        self.site, self.other = site, other

    def made(self, name: str, *words: str, program: str = "pg_dump", packed: str = "") -> Path:
        """A dump in a file."""
        where = [f"--host={self.other.host}", f"--username={self.other.user}"]
        content = subprocess.run([program, *where, *words], capture_output=True, check=True).stdout
        if packed:
            content = subprocess.run([packed, "-c"], input=content, capture_output=True, check=True).stdout
        return self.written(name, content)

    def written(self, name: str, content: bytes) -> Path:
        place = self.site.folder / name
        place.write_bytes(content)
        return place

    def digested(self, dump: Path, database: str = "", into: str = "") -> str:
        job = self.site.job()
        identifier = importing.begin(job, into)
        importing.digest(self.site.plan, job.report, identifier, dump, database)
        return identifier

    def prepared(self, identifier: str, into: str = "") -> tuple[importing.TableChange, ...]:
        """What it would change, now that it lies beside."""
        changes = importing.restore(self.site.plan, self.site.job().report, identifier, into)
        importing.finish(self.site.job(), identifier)
        return changes

    def tables(self, dump: Path, database: str = "", into: str = "") -> tuple[object, ...]:
        """Names and rows of what would be put in place, in the order of names."""
        identifier = self.digested(dump, database, into)
        changes = self.prepared(identifier, into)
        then = sorted((change.name, change.rows_then) for change in changes)
        return tuple(word for name, rows in then for word in (name.removeprefix("public."), rows))

    def refused(self, dump: Path, *database: str) -> str:
        """Why, and that nothing came of it."""
        with pytest.raises(BackupError) as failure:
            self.digested(dump, *database)
        assert not list((self.site.folder / "work" / "restore").glob(f"*/input/dump/{MANIFEST_FILE}"))
        assert not list((self.site.folder / "work" / "restore").glob("*/scratch"))
        return f"{failure.value.message} → {failure.value.hint}"


@pytest.mark.parametrize("packed", ["", "gzip", "xz", "zstd"])
def test_plain_sql_comes_in(bring: Bringer, packed: str) -> None:
    assert bring.tables(bring.made("dump.sql", "notes", packed=packed)) == WHOLE


@pytest.mark.parametrize("words", [["--inserts"], ["--clean", "--if-exists"], ["--no-owner", "--no-privileges"]])
def test_options_of_pg_dump_make_no_difference(bring: Bringer, words: list[str]) -> None:
    assert bring.tables(bring.made("dump.sql", "notes", *words)) == WHOLE


@pytest.mark.parametrize("packed", ["", "gzip"])
def test_an_archive_comes_in(bring: Bringer, packed: str) -> None:
    assert bring.tables(bring.made("dump", "notes", "--format=custom", packed=packed)) == WHOLE


@pytest.mark.parametrize("words", [["--create"], ["--create", "--clean", "--if-exists"]])
def test_a_dump_that_makes_its_own_database_comes_in_under_the_name_that_is_meant(
    bring: Bringer, words: list[str]
) -> None:
    assert bring.tables(bring.made("dump.sql", "shop", *words)) == ("notes", 7, "tags", 3)
    assert bring.tables(bring.made("dump.sql", "notes", *words)) == WHOLE


def test_a_dump_of_a_database_postgres_comes_in(bring: Bringer) -> None:
    execute(bring.other, "postgres", "CREATE TABLE own AS SELECT 1")
    try:
        assert bring.tables(bring.made("dump.sql", "postgres", "--create")) == ("notes", None, "own", 1, "tags", None)
        assert bring.tables(bring.made("all.sql", program="pg_dumpall"), "postgres")[2:4] == ("own", 1)
    finally:
        execute(bring.other, "postgres", "DROP TABLE own")


@pytest.mark.parametrize("packed", ["", "gzip"])
def test_of_a_cluster_the_database_of_the_same_name_comes_in_or_the_named_one(bring: Bringer, packed: str) -> None:
    dump = bring.made("all.sql", program="pg_dumpall", packed=packed)
    assert bring.tables(dump) == WHOLE
    assert bring.tables(dump, "shop") == ("notes", 7, "tags", 3)
    assert "--from postgres or shop" in bring.refused(dump, "blog").replace("notes or ", "").replace(
        "template1 or ", ""
    )
    cleaned = bring.made("clean.sql", "--clean", "--if-exists", program="pg_dumpall")
    assert bring.tables(cleaned, "shop") == ("notes", 7, "tags", 3)


@pytest.mark.parametrize("packed", ["", "gzip"])
def test_a_cluster_that_is_cut_anywhere_is_refused(bring: Bringer, packed: str) -> None:
    whole = bring.made("all.sql", program="pg_dumpall").read_bytes()
    second = whole.index(b'-- Database "shop" dump')
    lost = whole.index(b"-- PostgreSQL database dump complete", whole.index(b'-- Database "notes" dump'))
    for content in (
        whole[:-60],
        whole[:second],
        whole[:lost] + whole[second:],
        whole[: whole.index(b"-- Databases\n")],
    ):
        made = subprocess.run([packed, "-c"], input=content, capture_output=True).stdout if packed else content
        assert "does not end as `pg_dump` ends" in bring.refused(bring.written("cut.sql", made))


@pytest.mark.parametrize("packed", ["", "gzip"])
@pytest.mark.parametrize("words", [[], ["--create"], ["--inserts"]])
def test_plain_sql_that_is_cut_anywhere_is_refused(bring: Bringer, words: list[str], packed: str) -> None:
    """Also when the packed file itself is whole: a script whose `pg_dump` failed packs what there was."""
    whole = bring.made("dump.sql", "notes", *words).read_bytes()
    rows = whole.index(b"3000\t") if not words or words == ["--create"] else whole.index(b"(3000,")
    for content in (whole[:rows], whole[: whole.index(b"ADD CONSTRAINT")], whole[: whole.index(b"dump complete")]):
        made = subprocess.run([packed, "-c"], input=content, capture_output=True).stdout if packed else content
        assert "does not end as `pg_dump` ends" in bring.refused(bring.written("cut.sql", made))


@pytest.mark.parametrize("packed", ["gzip", "xz", "zstd"])
def test_a_packed_file_that_is_cut_or_damaged_is_refused(bring: Bringer, packed: str) -> None:
    for words in ([], ["--format=custom", "--compress=0"]):
        whole = bring.made("dump", "notes", *words, packed=packed).read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 0xFF
        for content in (whole[:-20], whole[: len(whole) // 2], bytes(damaged)):
            assert "dump" in bring.refused(bring.written("dump", content))


def test_an_archive_that_is_cut_anywhere_is_refused(bring: Bringer) -> None:
    whole = bring.made("dump", "notes", "--format=custom").read_bytes()
    for part in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        assert "can't be carried out" in bring.refused(bring.written("cut", whole[: int(len(whole) * part)]))
    assert "can't be carried out" in bring.refused(bring.written("cut", whole[:-1]))


def test_what_is_no_dump_is_refused(bring: Bringer) -> None:
    assert "is empty" in bring.refused(bring.written("a", b""))
    empty = subprocess.run(["gzip", "-c"], input=b"", capture_output=True, check=True).stdout
    assert "does not end as `pg_dump` ends" in bring.refused(bring.written("b", empty))
    assert "does not end as `pg_dump` ends" in bring.refused(bring.written("c", b"CREATE TABLE a (b int);\n"))
    assert "is a tar" in bring.refused(bring.made("d", "notes", "--format=tar"))
    assert "is a tar" in bring.refused(bring.made("e", "notes", "--format=tar", packed="gzip"))
    assert "no database is in it" in bring.refused(bring.made("f", "--globals-only", program="pg_dumpall"))
    two = bring.made("g", "shop", "--create").read_bytes() + bring.made("h", "notes", "--create").read_bytes()
    assert "more than one database: notes, shop" in bring.refused(bring.written("i", two))
    assert "makes no table" in bring.refused(bring.written("j", b"SELECT 1;\n-- PostgreSQL database dump complete\n"))
    assert "so none can be chosen" in bring.refused(bring.made("k", "notes"), "shop")


def test_what_is_told_before_the_exchange_are_the_rows_of_both(bring: Bringer) -> None:
    identifier = bring.digested(bring.made("dump.sql", "notes"))
    changes = bring.prepared(identifier)
    assert [(item.name, item.rows_now, item.rows_then) for item in changes] == [
        ("public.notes", 10, ROWS),
        ("public.tags", 0, TAGS),
    ]


def test_what_a_dump_names_no_owner_for_is_the_live_owners(bring: Bringer, live: DatabasePlan) -> None:
    identifier = bring.digested(bring.made("dump.sql", "shop", "--no-owner"))
    bring.prepared(identifier)
    putting_back.swap(bring.site.job(), identifier)
    try:
        assert value(live, "notes", "SELECT count(*) FROM public.notes") == 7
        assert value(live, "notes", "SELECT tableowner FROM pg_tables WHERE tablename = 'tags'") == "app"
    finally:
        putting_back.undo(bring.site.job(), identifier)
    assert value(live, "notes", "SELECT count(*) FROM public.notes") == 10


@pytest.fixture
def particular(live: DatabasePlan, site: NightSite) -> Iterator[str]:
    """A live database that was given much by hand, and the site's first."""
    make_database(
        live,
        "particular",
        "CREATE TABLE notes ()",
        "OWNER app TEMPLATE template0 LC_COLLATE 'C.utf8' LC_CTYPE 'C.utf8'",
    )
    for statement in (
        "ALTER DATABASE particular SET timezone TO 'Europe/Berlin'",
        "ALTER DATABASE particular SET default_transaction_read_only TO on",
        "ALTER DATABASE particular CONNECTION LIMIT 17",
        "COMMENT ON DATABASE particular IS 'of the shop'",
        "CREATE ROLE visitor",
        "ALTER ROLE visitor IN DATABASE particular SET work_mem TO '8MB'",
        "REVOKE CONNECT ON DATABASE particular FROM PUBLIC",
        "GRANT CONNECT ON DATABASE particular TO visitor",
    ):
        execute(live, "postgres", statement)
    site.plan = replace(site.plan, database=replace(live, names=("particular",)))
    yield "particular"
    for statement in ("DROP DATABASE particular WITH (FORCE)", "DROP ROLE visitor"):
        execute(live, "postgres", statement)


def told(server: DatabasePlan, name: str) -> tuple[object, ...]:
    with connect(server, name) as connection:
        return (*identity(connection), properties(connection))


@pytest.mark.parametrize("words", [[], ["--format=custom"]])
def test_a_dump_that_says_nothing_of_its_database_leaves_that_as_it_was(
    bring: Bringer, live: DatabasePlan, particular: str, words: list[str]
) -> None:
    before = told(live, particular)
    assert before[:3] == ("app", "UTF8", "C.utf8")
    identifier = bring.digested(bring.made("dump", "notes", *words))
    bring.prepared(identifier)
    putting_back.swap(bring.site.job(), identifier)
    assert value(live, particular, "SELECT count(*) FROM public.notes") == ROWS
    assert told(live, particular) == before
    putting_back.undo(bring.site.job(), identifier)
    putting_back.discard(bring.site.job(), identifier)


def test_what_a_dump_says_of_its_database_is_what_it_becomes(
    bring: Bringer, live: DatabasePlan, particular: str
) -> None:
    for statement in ("SET work_mem TO '7MB'", "CONNECTION LIMIT 3"):
        execute(bring.other, "postgres", f"ALTER DATABASE shop {statement}")
    execute(
        bring.other, "postgres", "COMMENT ON DATABASE shop IS 'what is sold'; REVOKE TEMP ON DATABASE shop FROM PUBLIC"
    )
    theirs = told(bring.other, "shop")
    identifier = bring.digested(bring.made("dump.sql", "shop", "--create"))
    bring.prepared(identifier)
    putting_back.swap(bring.site.job(), identifier)
    assert told(live, particular) == theirs
    putting_back.undo(bring.site.job(), identifier)
    putting_back.discard(bring.site.job(), identifier)


def test_a_database_that_is_not_there_is_told_before_anything_begins(bring: Bringer) -> None:
    with pytest.raises(BackupError, match="no database `blog` here"):
        importing.begin(bring.site.job(), "blog")


def test_what_a_killed_import_left_goes_with_the_next_one(bring: Bringer) -> None:
    left = importing.begin(bring.site.job(), "")
    kept = bring.digested(bring.made("dump.sql", "shop"))
    bring.prepared(kept)
    importing.begin(bring.site.job(), "")
    there = {path.name for path in (bring.site.folder / "work" / "restore").iterdir()}
    assert left not in there
    assert kept in {item.id for item in putting_back.restored(bring.site.job())}


def test_what_came_of_a_dump_is_held_against_the_live_server(bring: Bringer, live: DatabasePlan) -> None:
    """Whatever ran in the throw-away server may have written anything: a name, a path, an owner, a link."""
    identifier = bring.digested(bring.made("dump.sql", "notes"))
    place = bring.site.folder / "work" / "restore" / identifier / "input" / "dump" / MANIFEST_FILE
    original = json.loads(place.read_text())
    for key, forged in (("folder", "../../../../etc"), ("name", "postgres")):
        changed = json.loads(json.dumps(original))
        changed["databases"][0][key] = forged
        place.write_text(json.dumps(changed))
        with pytest.raises(Tampered):
            bring.prepared(identifier)
    changed = json.loads(json.dumps(original))
    changed["databases"][0]["owner"] = live.user
    place.write_text(json.dumps(changed))
    link = place.parent / "notes" / "4711.dat"
    link.symlink_to("/etc/passwd")
    with pytest.raises(Tampered, match=r"4711\.dat"):
        bring.prepared(identifier)
    link.unlink()
    bring.prepared(identifier)
    putting_back.swap(bring.site.job(), identifier)
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'notes'"
    assert value(live, "postgres", owner) == "app"
    putting_back.undo(bring.site.job(), identifier)
