"""Whole nights with a real Postgres, real restic and a real store: good ones, and what makes one bad."""

# bases: postgres:17
# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /small:mode=1777,size=48m --tmpfs /tiny:mode=1777,size=160m --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import os
import random
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from moorage.backups import pruning
from moorage.backups.plan import AssertionPlan, DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.retention import RetentionPolicy
from tests.job.live_server import execute, value
from tests.job.night_site import NightSite, biggest, flip


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
        found = site.states().count("good")
        if verb == "conclude":
            # With tonight's verdict it may have pruned, too: several nights of one day are more than are kept.
            assert min(good, site.plan.stores[0].retention.min_good) <= found <= good + 1
        else:
            assert found == good, verb
        assert site.program("conclude").wait() in (0, 38), verb
        assert site.night() == 0, (verb, site.said)
        assert site.states()[0] == "good"
    assert hits >= rounds // 2, "too few kills hit a program at work"
    # What a kill left in restic without a record is gone with the next good night.
    assert site.snapshots() == len(site.backups())
