"""Nights that must not be, or can not: another key, another server, no room, a lock, programs of another version."""

# bases: postgres:17
# docker run: --user 999:999 --tmpfs /volumes:mode=1777 --tmpfs /small:mode=1777,size=48m --tmpfs /tiny:mode=1777,size=160m --tmpfs /tmp:mode=1777,exec

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.backups.physical.pgbackrest import PgBackRest
from moorage.backups.plan import DatabasePlan, PhysicalPlan, StorePlan
from moorage.backups.postgres.connections import connect
from moorage.recovery_key import make_recovery_key
from tests.job.night_site import NightSite, new_site


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
