"""Signed documents, records, manifests and the plan: read back as they were written, or refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.backups import failures
from moorage.backups.failures import BackupError, Tampered
from moorage.backups.keys import derived_key
from moorage.backups.manifest import (
    DatabaseFacts,
    DatabaseProperties,
    FileFacts,
    Manifest,
    SequenceFacts,
    ServerFacts,
    TableFacts,
    read_manifest,
)
from moorage.backups.plan import (
    AssertionPlan,
    BackupPlan,
    DatabasePlan,
    PhysicalPlan,
    StorePlan,
    VolumePlan,
    read_plan,
)
from moorage.backups.records import (
    CheckResult,
    Record,
    StoredBackup,
    Verdict,
    VolumeFacts,
    is_id,
    new_id,
    parse_timestamp,
    read_record,
    read_verdict,
    timestamp,
)
from moorage.backups.retention import RetentionPolicy
from moorage.backups.signing import signed, verified
from moorage.sensitive import Sensitive

KEY = Sensitive("k" * 64)
RECORD = Record(
    id="20261122T033000Z-7f3a91",
    sequence=4,
    store="local",
    project="notes",
    deployment_id="0123456789ab",
    environment="compose",
    moorage="0.1.0",
    taken="2026-11-22T03:30:00Z",
    snapshot="ab12",
    manifest_sha256="0" * 64,
    bytes=1000,
    added_bytes=10,
    databases=(("notes", 3, 1200),),
    volumes=(VolumeFacts("uploads", 5, 900),),
    samples=(0,),
    warnings=("a little small",),
)
VERDICT = Verdict(
    RECORD.id, False, 34, "rows differ", RECORD.taken, "local", 1.5, (CheckResult("rows", False, "2 ≠ 3"),)
)
MANIFEST = Manifest(
    id=RECORD.id,
    project="notes",
    deployment_id="0123456789ab",
    environment="compose",
    target="compose",
    moorage="0.1.0",
    started=RECORD.taken,
    finished=RECORD.taken,
    databases=(
        DatabaseFacts(
            "notes", "notes", "notes", "UTF8", "C.UTF-8", 9000, "00000003-1",
            tables=(TableFacts("public.notes", 1200, "77"),), sequences=(SequenceFacts("public.s", None, 3),),
            extensions=(("pgcrypto", "1.3"),), invalid_indexes=("public.i",), large_objects=2, large_objects_check="1:00",
            objects=(("views", 3),),
            properties=DatabaseProperties(
                "C.UTF-8", "i", "und", "", 5, "c", settings=(("", "work_mem=8MB"),), privileges=(("", "CONNECT", True),)
            ),
        ),
    ),
    server=ServerFacts("17.12", 170012, "7448", True, "0/1", "boss", (("shared_preload_libraries", "x"),)),
    files=(FileFacts("notes/toc.dat", 12, "2" * 64),),
    volumes=("uploads",),
    tool={"pg_dump": "17.12"},
    warnings=("w",),
)  # fmt: skip
PLAN = BackupPlan(
    project="notes",
    deployment_id="0123456789ab",
    environment="compose",
    target="compose",
    moorage="0.1.0",
    work="/work",
    recovery_key_file="/run/secrets/recovery_key",
    stores=(
        StorePlan("local", directory="/stores/local"),
        StorePlan(
            "far",
            bucket="b",
            prefix="p",
            credentials_file="/run/secrets/far",
            may_delete=False,
            retention=RetentionPolicy(1, 2, 3, 4),
        ),
    ),
    database=DatabasePlan("/run/postgresql", 5432, "postgres", ("notes",), 17),
    physical=PhysicalPlan("notes", "/run/secrets/pgbackrest.conf", ("far",)),
    volumes=(VolumePlan("uploads", "/volumes/uploads"),),
    folder="/deployment",
    folder_excludes=("rendered",),
    assertions=(AssertionPlan("fresh", "notes", "select true"),),
)


def test_what_was_signed_is_read_back() -> None:
    assert read_record(verified(signed(RECORD.as_data(), KEY), KEY, "r")) == RECORD
    assert read_verdict(verified(signed(VERDICT.as_data(), KEY), KEY, "v")) == VERDICT
    assert read_manifest(verified(signed(MANIFEST.as_data(), KEY), KEY, "m")) == MANIFEST
    assert read_plan(PLAN.as_json()) == PLAN
    assert read_plan(replace(PLAN, database=None, physical=None).as_json()).database is None


@given(st.integers(0, 5000), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position: int, change: int) -> None:
    content = bytearray(signed(RECORD.as_data(), KEY))
    content[position % len(content)] ^= change
    try:
        assert verified(bytes(content), KEY, "record.json") == json.loads(json.dumps(RECORD.as_data()))
    except Tampered as error:
        assert "record.json" in error.message


def test_a_cut_or_foreign_document_is_refused() -> None:
    content = signed(RECORD.as_data(), KEY)
    for text in (
        b"",
        content[:-5],
        b"[]",
        b"{}",
        b'{"signature": 7}',
        b"null",
        b'{"signature": "\\ud800"}',
        b'{"signature": "", "a": ' + b"9" * 10000 + b"}",
        b"[" * 200_000,
        b'{"signature": "", "a": ' + b'{"a":' * 200_000,
        b'{"signature": "x", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        signed(RECORD.as_data(), Sensitive("x")),
    ):
        with pytest.raises(Tampered):
            verified(text, KEY, "record.json")


@pytest.mark.parametrize(
    "change", [{"schema": 2}, {"more": 1}, {"taken": "yesterday"}, {"samples": [{}]}, {"databases": [1]}]
)
def test_a_record_of_another_shape_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(Tampered):
        read_record({**json.loads(json.dumps(RECORD.as_data())), **change})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', PLAN.as_json().replace('"names"', '"nahmes"')])
def test_a_plan_of_another_shape_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(BackupError, match=r"plan\.json") as caught:
        read_plan(text)
    assert "moorage up" in caught.value.hint


def test_ids_sort_by_time_and_are_nothing_but_ids() -> None:
    now = datetime(2026, 11, 22, 5, 30, 1, tzinfo=timezone(timedelta(hours=2)))
    assert new_id(now, "7f3a91") == "20261122T033001Z-7f3a91"
    assert is_id(new_id(now))
    assert not any(is_id(text) for text in ("", "..", "20261122T033001Z-7f3a91/..", "20261122T033001Z-7f3a91\n", "x"))
    assert parse_timestamp(timestamp(now)) == now


def test_a_backup_is_good_only_after_its_drill() -> None:
    assert StoredBackup("b", RECORD).state == "unproven"
    assert StoredBackup("b", RECORD, VERDICT).state == "bad"
    assert StoredBackup("b", RECORD, replace(VERDICT, good=True)).state == "good"
    assert StoredBackup("b", RECORD, replace(VERDICT, good=True), is_expired=True).state == "expired"
    assert StoredBackup("b", None, replace(VERDICT, good=True)).state == "unproven"


def test_keys_differ_by_purpose_and_never_change() -> None:
    keys = {
        purpose: derived_key(bytes(range(32)), purpose).reveal() for purpose in ("restic", "pgbackrest", "signature")
    }
    assert len(set(keys.values())) == 3
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys.values())
    # Stores that exist can be read only while this holds.
    assert keys["restic"] == "3021f05883525b178a154532eb5d21802d65ae3efbd723e5be8ec1f9a3d9c90e"


def test_every_reason_has_an_exit_status_of_its_own() -> None:
    classes = [item for item in vars(failures).values() if isinstance(item, type) and issubclass(item, BackupError)]
    statuses = [item.exit_status for item in classes]
    assert sorted(statuses) == list(range(20, 20 + len(classes)))
