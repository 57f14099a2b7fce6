"""Whole nights with a real Postgres, real restic and a real store: good ones, and each kind of bad one."""

# bases: postgres:17
# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /small:mode=1777,size=48m --tmpfs /tiny:mode=1777,size=160m --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moorage.backups import listing, metrics, pruning, verifying
from moorage.backups.failures import NoSuchBackup
from moorage.backups.fetching import newest_good
from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.plan import AssertionPlan, DatabasePlan, PhysicalPlan, StorePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.retention import RetentionPolicy
from moorage.recovery_key import make_recovery_key
from tests.job.live_server import execute, live_server, make_database, value
from tests.job.night_site import NightSite, new_site

SCRIPT = """
CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
INSERT INTO notes (body) SELECT repeat(md5(n::text), 20) FROM generate_series(1, 3000) AS n;
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield make_database(server, "notes", SCRIPT)


@pytest.fixture
def site(tmp_path: Path, database: DatabasePlan) -> NightSite:
    return new_site(tmp_path, database)


def test_a_good_night(site: NightSite) -> None:
    assert site.night() == 0, site.said
    (backup,) = site.backups()
    assert backup.state == "good"
    assert backup.record is not None
    assert backup.verdict is not None
    assert backup.record.databases == (("notes", 1, 3000),)
    assert (backup.record.volumes[0].files, len(backup.record.samples)) == (30, 20)
    assert all(check.passed for check in backup.verdict.checks)
    assert len(backup.verdict.checks) >= 6
    assert not list((site.folder / "work" / "drill").iterdir())
    assert not list((site.folder / "work" / "staging").iterdir())


def test_the_second_night_is_small_and_counts_on(site: NightSite) -> None:
    assert [site.night(), site.night()] == [0, 0]
    newest, first = (backup.record for backup in site.backups())
    assert newest is not None
    assert first is not None
    assert (newest.sequence, first.sequence) == (2, 1)
    assert newest.added_bytes < first.added_bytes


def flip(place: Path) -> None:
    place.chmod(0o600)
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(bytes(content))


def biggest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("forged", ["store.json", "backups/20261101T033000Z-aaaaaa.record.json"])
def test_what_somebody_put_into_one_store_takes_the_night_from_no_other(
    tmp_path: Path, database: DatabasePlan, forged: str
) -> None:
    for name in ("open", "store"):
        (tmp_path / name).mkdir(exist_ok=True)
    stores = (
        StorePlan("open", directory=str(tmp_path / "open")),
        StorePlan("disk", directory=str(tmp_path / "closed")),
    )
    (tmp_path / "closed").mkdir()
    shutil.rmtree(tmp_path / "store")
    site = new_site(tmp_path, database, *stores)
    assert site.night() == 0, site.said
    # Nested so deep that nobody can read it.
    (tmp_path / "open" / "notes" / forged).write_bytes(b"[" * 500_000)
    status = site.night()
    assert site.states("disk") == ["good", "good"]
    if forged == "store.json":
        assert status != 0, "that one store failed is told"
    else:
        assert status == 0
        assert site.states("open")[:2] == ["good", "good"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "added"])
def test_a_damaged_dump_is_never_good(site: NightSite, damage: str) -> None:
    def between() -> None:
        dump = site.fetched() / "dump"
        place = biggest(dump)
        if damage == "flipped":
            flip(place)
        elif damage == "cut":
            place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
        elif damage == "gone":
            place.unlink()
        else:
            (dump / "more").write_text("x")

    assert site.night(between) == 32, site.said
    assert site.states() == ["bad"]


def test_a_volume_file_that_came_back_changed_is_never_good(site: NightSite) -> None:
    assert site.night(lambda: flip(biggest(site.fetched() / "samples"))) == 34, site.said
    assert site.states() == ["bad"]


def test_an_answer_that_is_not_true_is_never_good(site: NightSite) -> None:
    question = AssertionPlan("many", "notes", "SELECT count(*) > 1000000 FROM notes")
    site.plan = replace(site.plan, assertions=(question,))
    assert site.night() == 35, site.said
    assert site.states() == ["bad"]


def test_ten_failing_nights_take_no_good_backup_away(site: NightSite) -> None:
    site.plan = replace(site.plan, stores=(replace(site.plan.stores[0], retention=RetentionPolicy(2, 0, 0, 2)),))
    assert [site.night(), site.night()] == [0, 0]
    plan = site.plan
    site.plan = replace(plan, assertions=(AssertionPlan("never", "notes", "SELECT false"),))
    assert [site.night() for _ in range(10)] == [35] * 10
    assert site.states().count("good") == 2
    site.plan = plan
    assert site.night() == 0
    # Now what failed may go, three of the newest stay for a look; restic has just what the records say.
    assert site.states() == ["good", "bad", "bad", "bad", "good"]
    assert site.snapshots() == 5


def test_a_drill_that_is_killed_leaves_the_backup_unproven_and_it_can_be_proven_later(site: NightSite) -> None:
    from moorage.backups.concluding import conclude
    from moorage.backups.drilling import drill
    from moorage.backups.repeating import fetch_again
    from moorage.backups.taking import take

    take(site.job())
    assert site.phase(lambda: conclude(site.job())) == 38
    assert site.states() == ["unproven"]
    fetch_again(site.job(), "")
    drill(site.plan, site.job().report)
    assert conclude(site.job()) == 0
    assert site.states() == ["good"]


@pytest.fixture
def two(tmp_path: Path, database: DatabasePlan) -> NightSite:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    return new_site(tmp_path, database, *(StorePlan(folder.name, directory=str(folder)) for folder in folders))


@pytest.mark.parametrize("damage", ["pack changed", "packs gone", "snapshot gone"])
def test_a_drill_that_finds_damage_takes_the_good_word_back_of_that_copy_only(two: NightSite, damage: str) -> None:
    assert two.night() == 0, two.said
    place = two.repository("second")
    if damage == "pack changed":
        flip(biggest(place / "data"))
    else:
        shutil.rmtree(place / ("data" if damage == "packs gone" else "snapshots"))
    assert two.proven_again(store="second") == 32, two.said
    assert (two.states("first"), two.states("second")) == (["good"], ["bad"])
    verdict = two.backups("second")[0].verdict
    assert verdict is not None
    assert (verdict.exit_status, verdict.drilled_store) == (32, "second")
    assert verdict.reason == two.said[0]
    with pytest.raises(NoSuchBackup):
        newest_good(two.opened("second"))


def test_stores_take_turns_and_what_each_gave_back_itself_is_told_and_kept(two: NightSite) -> None:
    first, second = (replace(store, retention=RetentionPolicy(1, 0, 0, 1)) for store in two.plan.stores)
    two.plan = replace(two.plan, stores=(first, second))
    for _ in range(4):
        assert two.night() == 0, two.said
    drilled = [backup.verdict.drilled_store for backup in two.backups("second") if backup.verdict]
    # Only the newest would stay; the one of the second night is the last that the second store gave back.
    assert drilled == ["first", "second"]
    assert len(two.backups("first")) == 1
    health = {store.name: store for store in metrics.measure(two.job(), None).stores}
    assert (health["second"].proven_in, health["second"].last_read_back) == ("first", "2026-11-04T03:30:00Z")
    assert health["first"].last_read_back == "2026-11-06T03:30:00Z"
    newest = {row["store"]: row for row in listing.listed(two.job())[:2]}
    assert {store: row["proven_in"] for store, row in newest.items()} == {"first": "first", "second": "first"}


def test_a_dump_that_came_back_changed_says_nothing_of_the_other_stores_copy(two: NightSite) -> None:
    assert two.night(lambda: flip(biggest(two.fetched() / "dump"))) == 32, two.said
    assert sorted([*two.states("first"), *two.states("second")]) == ["bad", "unproven"]


def test_a_manifest_that_is_not_the_signed_one_takes_the_good_word_back(
    site: NightSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moorage.backups.restic import Restic

    assert site.night() == 0, site.said
    original = Restic.restore

    def restore(self: Restic, snapshot: str, target: Path, *more: Any) -> None:
        original(self, snapshot, target, *more)
        flip(next(target.rglob("manifest.json")))

    with monkeypatch.context() as patch:
        patch.setattr(Restic, "restore", restore)
        assert site.proven_again() == 31, site.said
    assert site.states() == ["bad"]
    assert site.proven_again() == 0, site.said
    assert site.states() == ["good"]


def verified(site: NightSite, identifier: str = "", store: str = "") -> dict[str, Any]:
    found = verifying.verify(site.job(), identifier, store, read_percent=100)
    return {item.store: ([problem.exit_status for problem in item.problems], item.bad) for item in found}


def test_verify_reads_every_store_and_takes_the_good_word_of_a_damaged_copy_back(two: NightSite) -> None:
    assert [two.night(), two.night()] == [0, 0], two.said
    newest, first = (backup.id for backup in two.backups("second"))
    assert verified(two) == {"first": ([], []), "second": ([], [])}
    snapshots = sorted((two.repository("second") / "snapshots").iterdir(), key=lambda place: place.stat().st_mtime)
    snapshots[0].unlink()
    assert verified(two) == {"first": ([], []), "second": ([32], [first])}
    assert (two.states("first"), two.states("second")) == (["good", "good"], ["good", "bad"])
    # It is told again, and written once.
    assert verified(two, store="second") == {"second": ([32], [])}
    assert verified(two, newest, "second") == {"second": ([], [])}
    assert verified(two, "20200101T000000Z-000000", "first") == {"first": ([39], [])}


def test_verify_names_the_backups_that_need_a_damaged_file_and_no_other(
    site: NightSite, database: DatabasePlan
) -> None:
    assert site.night() == 0, site.said
    before = set((site.repository() / "data").rglob("*"))
    execute(database, "notes", "CREATE TABLE later AS SELECT md5(n::text) AS x FROM generate_series(1, 40000) AS n")
    try:
        assert site.night() == 0, site.said
    finally:
        execute(database, "notes", "DROP TABLE later")
    newest = site.backups()[0].id
    flip(max((place for place in {*(site.repository() / "data").rglob("*")} - before if place.is_file()), key=size))
    assert verified(site) == {"disk": ([32], [newest])}
    assert site.states() == ["bad", "good"]


def size(place: Path) -> int:
    return place.stat().st_size


@pytest.mark.parametrize("kind", ["record", "verdict-0002", "verdict-0001"])
def test_verify_notices_what_is_not_signed(site: NightSite, kind: str) -> None:
    assert site.night() == 0, site.said
    assert site.proven_again() == 0, site.said
    (place,) = [place for place in site.small_files() if place.name.endswith(f"{kind}.json")]
    place.chmod(0o600)
    place.write_text(place.read_text().replace("disk", "desk"))
    assert verified(site) == {"disk": ([31], [])}


def test_verify_compares_the_manifest_with_the_one_that_the_record_names(site: NightSite) -> None:
    assert [site.night(), site.night()] == [0, 0], site.said
    newest, first = (backup.record for backup in site.backups())
    assert newest is not None
    assert first is not None
    # A record of ours that names another backup's manifest: signed, and yet it does not fit.
    for place in site.small_files():
        if place.name == f"{newest.id}.record.json":
            place.unlink()
    site.opened().catalogue.add_record(replace(newest, manifest_sha256=first.manifest_sha256))
    assert verified(site) == {"disk": ([32], [newest.id])}
    assert site.states() == ["bad", "good"]


def test_verify_finds_a_store_away_and_takes_nothing_back(site: NightSite) -> None:
    assert site.night() == 0, site.said
    (site.folder / "store").rename(site.folder / "elsewhere")
    assert verified(site) == {"disk": ([26], [])}
    (site.folder / "elsewhere").rename(site.folder / "store")
    assert site.states() == ["good"]


def test_a_drill_that_finds_its_store_away_takes_nothing_back(site: NightSite) -> None:
    assert site.night() == 0
    identifier = site.backups()[0].id
    store = site.folder / "store"
    restic = site.repository()
    restic.rename(restic.with_name("aside"))
    assert site.proven_again(identifier) == 26, site.said
    restic.with_name("aside").rename(restic)
    store.rename(site.folder / "elsewhere")
    assert site.proven_again(identifier) == 26, site.said
    (site.folder / "elsewhere").rename(store)
    assert site.states() == ["good"]


def test_records_that_vanish_from_a_store_take_no_backup_with_them(site: NightSite) -> None:
    assert [site.night(), site.night()] == [0, 0]
    ids = [backup.id for backup in site.backups()]
    for place in site.small_files():
        place.unlink()
    assert site.night() == 0, site.said
    assert site.snapshots() == 3
    assert f"the data of {ids[0]}, {ids[1]} is there, but no record tells of it" in site.out.getvalue()
    plan = pruning.plan_of(site.job(), site.opened())
    assert [(orphan.id, orphan.keep) for orphan in plan.orphans] == [(ids[0], True), (ids[1], True)]
    assert [(row["id"], row["state"], row["keep"]) for row in listing.listed(site.job())[1:]] == [
        (ids[0], "no record", True),
        (ids[1], "no record", True),
    ]
    assert metrics.measure(site.job(), None).stores[0].unexplained == tuple(ids)


def test_what_a_kill_left_before_its_record_goes_with_the_next_good_night(
    site: NightSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moorage.backups.catalogue import Catalogue

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    assert site.night() == 0
    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "add_record", cut_off)
        with pytest.raises(KeyboardInterrupt):
            site.night()
    (orphan,) = pruning.plan_of(site.job(), site.opened()).orphans
    assert (orphan.keep, orphan.reason) == (False, "was cut off before it had a record")
    assert site.snapshots() == 2
    assert site.night() == 0, site.said
    assert site.snapshots() == len(site.backups()) == 2
    assert site.job().workplace.unrecorded("disk") == ()


def test_what_was_given_up_goes_even_when_its_record_is_gone_already(site: NightSite) -> None:
    assert [site.night(), site.night()] == [0, 0]
    oldest = site.backups()[-1].id
    site.opened().catalogue.give_up(oldest)
    for place in site.small_files():
        if place.name.startswith(oldest) and "expired" not in place.name:
            place.unlink()
    assert site.night() == 0, site.said
    assert site.snapshots() == len(site.backups()) == 2


def test_another_recovery_key_is_refused_and_changes_nothing(site: NightSite) -> None:
    assert site.night() == 0
    key = Path(site.plan.recovery_key_file)
    original = key.read_text()
    key.write_text(make_recovery_key(bytes(32)) + "\n")
    assert site.night() == 30, site.said
    key.write_text(original)
    assert site.states() == ["good"]
    assert site.night() == 0


def test_a_disk_that_is_not_mounted_is_not_an_empty_store(site: NightSite) -> None:
    assert site.night() == 0
    store = site.folder / "store"
    store.rename(site.folder / "elsewhere")
    store.mkdir()
    assert site.night() == 29, site.said
    assert list(store.iterdir()) == []
    store.rmdir()
    (site.folder / "elsewhere").rename(store)
    assert site.night() == 0


def test_two_servers_do_not_write_to_one_store(site: NightSite, tmp_path: Path) -> None:
    assert site.night() == 0
    (tmp_path / "other-work").mkdir()
    other = NightSite(site.folder, replace(site.plan, work=str(tmp_path / "other-work")), clock=site.clock)
    assert other.night() == 29
    assert "written by another server since" in other.said[0]
    assert site.night() == 0
    other.takes_over = True
    assert other.night() == 0, other.said
    other.takes_over = False
    assert other.night() == 0, other.said
    assert site.night() == 29
    assert "--take-over" in site.hints[0]
    assert [backup.state for backup in site.backups()] == ["good"] * 4


def no_folder(site: NightSite, patch: pytest.MonkeyPatch) -> None:
    (site.folder / "file").write_text("no folder")
    assert site.plan.physical is not None
    site.plan = replace(
        site.plan, physical=replace(site.plan.physical, folder=str(site.folder / "file" / "pgbackrest"))
    )


def no_disk(site: NightSite, patch: pytest.MonkeyPatch) -> None:
    def check(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", "/stores/disk")

    patch.setattr(PgBackRest, "check", check)


def no_answer(site: NightSite, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PgBackRest, "check", lambda _, connection, **__: connection.execute("SELECT 1/0"))


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (no_folder, 20, "pgbackrest can't be written: Not a directory"),
        (no_disk, 20, "/stores/disk: Input/output error"),
        (no_answer, 24, "the database broke off: division by zero"),
    ],
)
def test_whatever_fails_on_the_way_to_a_moment_the_dump_is_proven(
    site: NightSite, monkeypatch: pytest.MonkeyPatch, fault: Any, status: int, words: str
) -> None:
    site.plan = replace(site.plan, physical=PhysicalPlan("notes", str(site.folder / "none.conf"), ("disk",)))
    with monkeypatch.context() as patch:
        fault(site, patch)
        assert site.night() == status, site.said
        night = site.job().workplace.night()
    assert night is not None
    assert night.failure is None
    assert night.physical_failure is not None
    assert words in night.physical_failure.reason
    assert site.states() == ["good"]


def test_what_a_killed_restore_left_makes_room_for_the_night(site: NightSite) -> None:
    left = site.folder / "work" / "restore" / "20261020T033000Z-7f3a91"
    (left / "input" / "cluster").mkdir(parents=True)
    for place in (left / "input", left):
        os.utime(place, (0, 0))
    assert site.night() == 0, site.said
    assert not left.exists()


def test_two_jobs_at_once_do_not_meet(site: NightSite) -> None:
    from moorage.backups.taking import take

    with site.job().workplace.only_one():
        assert site.phase(lambda: take(site.job())) == 23
    assert site.night() == 0


def test_a_migration_that_holds_the_lock_is_named(site: NightSite, database: DatabasePlan) -> None:
    with connect(database, "postgres") as connection:
        connection.execute("SET application_name = 'moorage up'")
        connection.execute("SELECT pg_advisory_lock(hashtext('moorage:deployment'))")
        assert site.night() == 23, site.said
        assert "moorage up" in site.said[0]
    assert site.backups() == ()
    assert site.night() == 0


def test_a_server_that_is_away_is_named_and_no_backup(site: NightSite) -> None:
    assert site.plan.database is not None
    plan = site.plan
    site.plan = replace(plan, database=replace(plan.database, host=str(site.folder)))  # type: ignore[type-var]
    assert site.night() == 24, site.said
    assert site.backups() == ()


def test_a_client_older_than_the_server_is_refused(
    site: NightSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "pg_dump"
    fake.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    assert site.night() == 22, site.said
    assert site.backups() == ()


def test_no_room_for_the_work_is_said_before_anything_is_done(site: NightSite) -> None:
    shutil.rmtree("/small/work", ignore_errors=True)
    Path("/small/work").mkdir()
    site.plan = replace(site.plan, work="/small/work")
    assert site.night() == 21, site.said
    assert site.backups() == ()


@pytest.mark.parametrize("is_sudden", [False, True], ids=["before", "meanwhile"])
def test_a_store_that_is_full_fails_and_another_has_the_backup(
    tmp_path: Path, database: DatabasePlan, monkeypatch: pytest.MonkeyPatch, is_sudden: bool
) -> None:
    import moorage.backups.room as room

    shutil.rmtree("/tiny/store", ignore_errors=True)
    tiny = Path("/tiny/store")
    tiny.mkdir()
    stores = (StorePlan("tiny", directory=str(tiny)), StorePlan("disk", directory=str(tmp_path / "store")))
    site = new_site(tmp_path, database, *stores)
    filler = Path("/tiny/filler")

    def fill_up() -> None:
        status = os.statvfs("/tiny")
        filler.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - 24_000)))

    def check_and_fill(plan: StorePlan, needed: object) -> None:
        if plan.name == "tiny":
            fill_up()

    with monkeypatch.context() as patch:
        if is_sudden:
            patch.setattr(room, "check_store", check_and_fill)
        else:
            fill_up()
        assert site.night() in ((27, 28) if is_sudden else (28,)), site.said
    filler.unlink()
    assert site.states("disk") == ["good"]
    assert site.states("tiny") == []
    assert site.night() == 0, site.said
    assert site.states("tiny") == ["good"]


def test_a_clock_that_was_set_back_confuses_nothing(site: NightSite) -> None:
    assert site.night() == 0
    site.clock -= timedelta(days=300)
    assert site.night() == 0
    newest = site.backups()[0]
    assert newest.record is not None
    assert newest.record.sequence == 2
    decisions = pruning.decisions(site.job(), site.opened(), site.backups())
    assert decisions[0].keep
    assert "the newest good one" in decisions[0].reason


def test_writes_during_the_dump_are_in_it_or_not_but_never_half(site: NightSite, database: DatabasePlan) -> None:
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        with connect(database, "notes") as connection:
            while not stop.is_set():
                written.append(1)
                connection.execute(
                    "INSERT INTO public.notes (body) SELECT md5(n::text) FROM generate_series(1, 50) AS n"
                )
                connection.execute("DELETE FROM public.notes WHERE id % 97 = 0")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert [site.night() for _ in range(3)] == [0, 0, 0], site.said
    finally:
        stop.set()
        thread.join()
    assert len(written) > 20


def test_databases_that_the_configuration_does_not_name_are_in_it_too(
    site: NightSite, database: DatabasePlan, tmp_path: Path
) -> None:
    site.plan = replace(site.plan, database=replace(database, cluster_folder=str(tmp_path)))
    names = ("by hand", "notes__before_20261101T033000Z-abcdef", "closed")
    for name in names:
        execute(database, "postgres", f'CREATE DATABASE "{name}"')
    execute(database, "by hand", "CREATE TABLE x AS SELECT 1 AS y")
    execute(database, "postgres", "CREATE TABLE public.y AS SELECT generate_series(1, 7) AS z")
    execute(database, "postgres", "ALTER DATABASE closed ALLOW_CONNECTIONS false")
    rows = value(database, "notes", "SELECT count(*) FROM public.notes")
    try:
        assert site.night() == 0, site.said
        record = site.backups()[0].record
        assert record is not None
        assert record.databases == (("notes", 1, rows), ("by hand", 1, 1), ("postgres", 1, 7))
    finally:
        execute(database, "postgres", "DROP TABLE public.y")
        for name in names:
            execute(database, "postgres", f'DROP DATABASE "{name}"')
    assert site.night() == 0, site.said
    record = site.backups()[0].record
    assert record is not None
    assert record.databases == (("notes", 1, rows),)


def test_a_table_that_is_gone_from_the_dump_is_noticed(site: NightSite, database: DatabasePlan) -> None:
    execute(database, "notes", "CREATE TABLE extra AS SELECT 1 AS x")
    try:

        def between() -> None:
            import json

            manifest = site.fetched() / "dump" / "manifest.json"
            data = json.loads(manifest.read_text())
            data["databases"][0]["tables"].append({"name": "public.lost", "rows": 3, "check": ""})
            manifest.write_text(json.dumps(data))

        assert site.night(between) == 34, site.said
    finally:
        execute(database, "notes", "DROP TABLE extra")


def test_killed_at_any_moment_the_next_night_is_good_and_nothing_false_is_recorded(site: NightSite) -> None:
    assert site.night() == 0
    rounds = int(os.environ.get("MOORAGE_KILLS") or "4")
    chance = random.Random(20261122)
    hits = 0
    for _ in range(rounds):
        good = site.states().count("good")
        verb = chance.choice(["take", "take", "drill", "conclude"])
        if verb in ("drill", "conclude"):
            assert site.program("take").wait() == 0
        if verb == "conclude":
            assert site.program("drill").wait() == 0
        hits += site.killed(chance.uniform(0.05, 2.5), verb)
        assert site.states().count("good") in (good, good + (verb == "conclude"))
        assert site.program("conclude").wait() in (0, 38), verb
        assert site.night() == 0, (verb, site.said)
        assert site.states()[0] == "good"
    assert hits >= rounds // 2, "too few kills hit a program at work"
    # What a kill left in restic without a record is gone with the next good night.
    assert site.snapshots() == len(site.backups())
