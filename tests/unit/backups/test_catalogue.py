"""The catalogue of a store: what is torn, edited or foreign is told, and never hides the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.backups.catalogue import Catalogue, Marker, read_marker
from moorage.backups.failures import BackupError, ForeignStore, NoSuchBackup, Tampered, WrongKey
from moorage.backups.plan import StorePlan
from moorage.backups.records import Record, StoredBackup, Verdict
from moorage.backups.retention import BackupAge, RetentionPolicy, decide
from moorage.backups.signing import signed
from moorage.backups.stores.base import MARKER_KEY
from moorage.backups.stores.directory import DirectoryStore
from moorage.sensitive import Sensitive

KEY = Sensitive("k" * 64)
OTHER_KEY = Sensitive("o" * 64)
IDS = ("20261120T033000Z-aaaaaa", "20261121T033000Z-bbbbbb", "20261122T033000Z-cccccc")


def _record(number: int, **changes: Any) -> Record:
    known = Record(
        id=IDS[number],
        sequence=number + 1,
        store="disk",
        project="notes",
        deployment_id="aaa",
        environment="compose",
        moorage="0.1.0",
        taken="2026-11-22T03:30:00Z",
        snapshot="ab" * 32,
        manifest_sha256="0" * 64,
        bytes=1,
        added_bytes=1,
    )
    return replace(known, **changes)


def _verdict(number: int) -> Verdict:
    return Verdict(IDS[number], True, 0, "", "2026-11-22T04:00:00Z", "disk", 1.0)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty folder as a store."""
    return DirectoryStore(StorePlan("disk", directory=str(tmp_path)), "notes")


@pytest.fixture
def catalogue(store: DirectoryStore) -> Catalogue:
    """Three backups, all good."""
    catalogue = Catalogue(store, KEY, "notes", "aaa")
    catalogue.claim(create=True)
    for number in range(3):
        catalogue.add_record(_record(number))
        catalogue.add_verdict(_verdict(number))
    return catalogue


def _file(store: DirectoryStore, key: str) -> Path:
    return Path(store.plan.directory, "notes", key)


def _by_id(catalogue: Catalogue) -> dict[str, StoredBackup]:
    return {item.id: item for item in catalogue.backups()}


def test_backups_come_newest_first_by_sequence_whatever_the_clock_said(catalogue: Catalogue) -> None:
    catalogue.add_record(_record(0, id="20250101T000000Z-dddddd", sequence=catalogue.next_sequence()))
    assert [item.id for item in catalogue.backups()] == ["20250101T000000Z-dddddd", *reversed(IDS)]
    assert catalogue.next_sequence() == 5
    assert [item.state for item in catalogue.backups()] == ["unproven", "good", "good", "good"]
    assert not any(item.problem for item in catalogue.backups())


def test_the_first_sequence_is_one(store: DirectoryStore) -> None:
    catalogue = Catalogue(store, KEY, "notes", "aaa")
    catalogue.claim(create=True)
    assert catalogue.next_sequence() == 1
    assert catalogue.backups() == ()


def _edited(content: bytes) -> bytes:
    return content.replace(b'"bytes": 1', b'"bytes": 2')


def _of_another_backup(content: bytes) -> bytes:
    return signed(_record(0).as_data(), KEY)


def _of_another_deployment(content: bytes) -> bytes:
    return signed(_record(1, deployment_id="bbb").as_data(), KEY)


def _of_a_newer_version(content: bytes) -> bytes:
    return signed({**_record(1).as_data(), "schema": 2}, KEY)


def _of_another_shape(content: bytes) -> bytes:
    return signed({"schema": 1, "id": IDS[1]}, KEY)


def _of_another_key(content: bytes) -> bytes:
    return signed(_record(1).as_data(), OTHER_KEY)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:100], "is cut"),
        (lambda content: b"", "is cut"),
        (lambda content: b"\xff\xfe", "is cut"),
        (lambda content: b"[1]", "is cut"),
        (_edited, "was changed"),
        (_of_another_backup, "is that of '20261120T033000Z-aaaaaa'"),
        (_of_another_deployment, "is that of deployment bbb of project notes"),
        (_of_a_newer_version, "has schema 2"),
        (_of_another_shape, "another shape"),
        (_of_another_key, "another recovery key"),
    ],
)
def test_a_record_that_cannot_be_trusted_is_told_and_hides_nothing(
    store: DirectoryStore, catalogue: Catalogue, change: Callable[[bytes], bytes], words: str
) -> None:
    file = _file(store, f"backups/{IDS[1]}.record.json")
    file.write_bytes(change(file.read_bytes()))
    found = catalogue.backups()
    assert [item.id for item in found] == [IDS[2], IDS[0], IDS[1]]
    assert found[2].record is None
    assert words in found[2].problem
    assert [item.problem for item in found[:2]] == ["", ""]
    assert catalogue.next_sequence() == 4
    ages = [BackupAge(item.id, item.record.sequence if item.record else 0, None, item.state) for item in found]
    assert all(decision.keep for decision in decide(ages, RetentionPolicy(), _now()))


def _now() -> Any:
    from datetime import datetime, timezone

    return datetime(2030, 1, 1, tzinfo=timezone.utc)


def test_a_verdict_that_cannot_be_trusted_proves_nothing(store: DirectoryStore, catalogue: Catalogue) -> None:
    file = _file(store, f"backups/{IDS[2]}.verdict-0001.json")
    file.write_bytes(file.read_bytes().replace(b"true", b"false"))
    item = _by_id(catalogue)[IDS[2]]
    assert item.state == "unproven"
    assert "was changed" in item.problem


def test_a_forged_tombstone_gives_nothing_up(store: DirectoryStore, catalogue: Catalogue) -> None:
    record = _file(store, f"backups/{IDS[2]}.record.json").read_bytes()
    for content in (b"", b"{}", record, signed({"schema": 1, "id": IDS[2]}, OTHER_KEY), signed({"id": IDS[1]}, KEY)):
        _file(store, f"backups/{IDS[2]}.expired.json").write_bytes(content)
        item = _by_id(catalogue)[IDS[2]]
        assert item.state == "good"
        assert item.problem


def test_foreign_files_are_told(store: DirectoryStore, catalogue: Catalogue) -> None:
    for name in ("notes.txt", ".DS_Store", "README", f"{IDS[0]}.record.json.bak", "x y"):
        _file(store, f"backups/{name}").write_text("x")
    problems = {item.id: item.problem for item in catalogue.backups() if item.problem}
    assert problems["notes"] == "backups/notes.txt is no file of moorage"
    assert set(problems) == {"notes", "", "README", IDS[0], "x y"}


def test_a_verdict_without_a_record_is_told(store: DirectoryStore, catalogue: Catalogue) -> None:
    _file(store, f"backups/{IDS[1]}.record.json").unlink()
    assert _by_id(catalogue)[IDS[1]].problem == f"the record of {IDS[1]} is missing"


def test_what_is_written_once_is_not_written_over(catalogue: Catalogue) -> None:
    catalogue.add_record(_record(0))
    with pytest.raises(Tampered, match="other content"):
        catalogue.add_record(_record(0, bytes=7))


def test_of_several_verdicts_the_last_one_counts_whatever_the_clock_said(catalogue: Catalogue) -> None:
    catalogue.add_verdict(replace(_verdict(0), good=False, at="1999-01-01T00:00:00Z"))
    assert _by_id(catalogue)[IDS[0]].state == "bad"
    catalogue.add_verdict(_verdict(0))
    assert _by_id(catalogue)[IDS[0]].state == "good"
    catalogue.give_up(IDS[0])
    catalogue.forget(IDS[0])
    assert IDS[0] not in _by_id(catalogue)


@pytest.mark.parametrize("strange", ["", "../x", "latest", IDS[0] + "\n", "20261120T033000Z-AAAAAA"])
def test_only_ids_become_part_of_a_path(catalogue: Catalogue, strange: str) -> None:
    for action in (catalogue.give_up, catalogue.forget):
        with pytest.raises(NoSuchBackup):
            action(strange)
    with pytest.raises(NoSuchBackup):
        catalogue.add_record(_record(0, id=strange))


def test_what_was_given_up_can_be_forgotten(store: DirectoryStore, catalogue: Catalogue) -> None:
    with pytest.raises(NoSuchBackup, match="was not given up"):
        catalogue.forget(IDS[0])
    assert len(catalogue.backups()) == 3
    catalogue.give_up(IDS[0])
    catalogue.give_up(IDS[0])
    assert _by_id(catalogue)[IDS[0]].state == "expired"
    catalogue.forget(IDS[0])
    catalogue.forget(IDS[0])
    assert set(_by_id(catalogue)) == set(IDS[1:])
    assert catalogue.next_sequence() == 4


class _Killed(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize("steps", range(4))
def test_killed_while_it_forgets_a_backup_stays_given_up(
    store: DirectoryStore, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    catalogue.give_up(IDS[2])
    left = [steps]
    delete = store.delete

    def killed_after(key: str) -> None:
        if left[0] == 0:
            raise _Killed
        left[0] -= 1
        delete(key)

    monkeypatch.setattr(store, "delete", killed_after)
    try:
        catalogue.forget(IDS[2])
    except _Killed:
        found = _by_id(catalogue)[IDS[2]]
        assert (found.state, found.problem) == ("expired", "")
    else:
        assert steps == 3
        assert IDS[2] not in _by_id(catalogue)
    left[0] = 9
    catalogue.forget(IDS[2])
    assert set(_by_id(catalogue)) == set(IDS[:2])
    assert store.keys("backups/") == tuple(
        sorted(f"backups/{name}.{kind}.json" for name in IDS[:2] for kind in ("record", "verdict-0001"))
    )


# The marker.


def test_the_marker_tells_whose_store_it_is_without_the_key(store: DirectoryStore, catalogue: Catalogue) -> None:
    assert read_marker(store) == Marker("notes", "aaa")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"project": "notes"}'])
def test_a_cut_marker_is_told(store: DirectoryStore, catalogue: Catalogue, content: bytes) -> None:
    _file(store, MARKER_KEY).write_bytes(content)
    for create in (True, False):
        with pytest.raises(Tampered, match=r"store\.json is cut or no marker"):
            catalogue.claim(create=create)


def test_a_marker_that_was_edited_opens_for_nobody(store: DirectoryStore, catalogue: Catalogue) -> None:
    file = _file(store, MARKER_KEY)
    file.write_text(json.dumps({**json.loads(file.read_text()), "deployment_id": "bbb"}))
    with pytest.raises(ForeignStore):
        catalogue.claim(create=False)
    with pytest.raises(WrongKey):
        Catalogue(store, KEY, "notes", "bbb").claim(create=False)


def test_backups_without_a_marker_are_not_taken_over(tmp_path: Path, store: DirectoryStore) -> None:
    (tmp_path / "notes/restic").mkdir(parents=True)
    (tmp_path / "notes/restic/config").touch()
    with pytest.raises(ForeignStore, match=r"its marker store\.json is gone"):
        Catalogue(store, KEY, "notes", "aaa").claim(create=True)
    assert not (tmp_path / "notes" / MARKER_KEY).exists()


def test_every_refusal_names_a_next_step(store: DirectoryStore, catalogue: Catalogue) -> None:
    for other in (Catalogue(store, KEY, "notes", "bbb"), Catalogue(store, OTHER_KEY, "notes", "aaa")):
        with pytest.raises(BackupError) as caught:
            other.claim(create=False)
        assert caught.value.hint
