"""Copies of backups that lie in stores: damaged, changed, gone, of several stores; and what is told of them then."""

# bases: postgres:17
# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /small:mode=1777,size=48m --tmpfs /tiny:mode=1777,size=160m --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.backups import listing, metrics, pruning, verifying
from moorage.backups.failures import NoSuchBackup
from moorage.backups.fetching import newest_good
from moorage.backups.plan import DatabasePlan, StorePlan
from moorage.backups.retention import RetentionPolicy
from tests.job.live_server import execute
from tests.job.night_site import NightSite, biggest, flip, new_site, size


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
