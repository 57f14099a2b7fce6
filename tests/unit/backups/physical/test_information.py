"""What pgBackRest says, read; and what it complains of, as a class of ours. Texts are the real program's."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from moorage.backups import failures
from moorage.backups.failures import Damaged, StoreUnreachable
from moorage.backups.physical.complaints import failure, printable
from moorage.backups.physical.information import corrupt_files, read_archive, read_information, verify_problems

INFO = """[{"archive":[{"database":{"id":1,"repo-key":1},"id":"17-1","max":"000000010000000000000008",
"min":"000000010000000000000003"}],"backup":[{"archive":{"start":"000000010000000000000003","stop":"000000010000000000000004"},
"backrest":{"format":5,"version":"2.55.1"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":31024581,
"repository":{"delta":3756824,"delta-map":32792,"size-map":32792},"size":31024581},"label":"20261122-075717F",
"lsn":{"start":"0/3000028","stop":"0/4000050"},"prior":null,"reference":null,"timestamp":{"start":1795334237,"stop":1795334239},
"type":"full"}],"cipher":"aes-256-cbc","db":[{"id":1,"repo-key":1,"system-id":7710901794226331681,"version":"17"}],"name":"main",
"repo":[{"cipher":"aes-256-cbc","key":1,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"message":"ok"}}]"""
MISSING = """[{"archive":[],"backup":[],"cipher":"aes-256-cbc","db":[],"name":"main","repo":[{"cipher":"aes-256-cbc","key":2,
"status":{"code":1,"message":"missing stanza path"}}],"status":{"code":1,"message":"missing stanza path"}}]"""


def test_a_backup_is_read() -> None:
    found = read_information(INFO, "local", 1)
    (backup,) = found.backups
    assert (backup.label, backup.kind, backup.archive, backup.added_bytes) == (
        "20261122-075717F",
        "full",
        "17-1",
        3789616,
    )
    assert backup.finished == datetime(2026, 11, 22, 7, 57, 19, tzinfo=timezone.utc)
    assert (backup.wal_start, backup.wal_stop, backup.prior) == (
        "000000010000000000000003",
        "000000010000000000000004",
        "",
    )
    assert found.clusters[-1].system_identifier == "7710901794226331681"
    assert found.of_today == found.backups


def test_an_error_in_a_backup_is_corruption() -> None:
    assert read_information(INFO.replace('"error":false', '"error":true'), "local", 1).backups[0].is_corrupt


def test_a_store_without_a_stanza_has_no_problem_and_no_backups() -> None:
    found = read_information(MISSING, "remote", 2)
    assert (found.has_stanza, found.backups, found.problem) == (False, (), "")


def test_a_store_that_can_not_be_read_has_a_problem_also_with_control_characters_in_it() -> None:
    text = MISSING.replace(
        '"code":1,"message":"missing stanza path"}}]', '"code":99,"message":"[FormatError] \x01\x02"}}]'
    )
    assert read_information(text, "remote", 2).problem == "[FormatError] \x01\x02"


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '[{"repo": []}]', "no JSON", MISSING.replace('"key":2', '"key":3')]
)
def test_an_answer_that_is_none_is_no_empty_store(text: str) -> None:
    with pytest.raises(StoreUnreachable):
        read_information(text, "remote", 2)


def test_files_with_wrong_checksums_are_named_where_the_version_says_them() -> None:
    assert corrupt_files(json.dumps([{"backup": [{"error-list": ["base/1/2"]}]}])) == ("base/1/2",)
    assert corrupt_files(json.dumps([{"backup": [{"error": True}]}])) == ()
    assert corrupt_files("") == ()


def test_verify_says_what_is_wrong_and_ends_with_0_whatever_it_is() -> None:
    good = "stanza: main\nstatus: ok\n  archiveId: 17-1, total WAL checked: 4, total valid WAL: 4\n    missing: 0, checksum invalid: 0"
    assert verify_problems(good) == ()
    bad = (
        "stanza: main\nstatus: error\n  archiveId: 17-1, total WAL checked: 4, total valid WAL: 4\n"
        "    missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n"
        "  backup: 20261122-075717F, status: invalid, total files checked: 9, total valid files: 8\n"
        "    missing: 0, checksum invalid: 1, size invalid: 0, other: 0\n"
    )
    assert verify_problems(bad) == (
        "backup: 20261122-075717F, status: invalid, total files checked: 9, total valid files: 8",
        "missing: 0, checksum invalid: 1, size invalid: 0, other: 0",
    )
    assert verify_problems("stanza: main\nstatus: error\n  No usable backup.info file") == (
        "No usable backup.info file",
    )
    assert verify_problems("stanza: main\nstatus: error") == ("status: error",)
    with pytest.raises(Damaged):
        verify_problems("")


def test_the_list_of_the_log_leaves_other_files_out() -> None:
    facts = {"type": "file", "size": 960, "time": 1795334237}
    names = {
        ".": {"type": "path"},
        "0000000100000000/000000010000000000000002-fafe.zst": facts,
        "0000000100000000/000000010000000000000001-55c5.zst": facts,
        "0000000100000000/000000010000000000000003.00000028.backup": facts,
        "00000002.history": facts,
    }
    assert [item.segment.number for item in read_archive(json.dumps(names))] == [1, 2]


def test_a_segment_whose_writing_was_cut_off_is_not_there() -> None:
    name = f"0000000100000000/{'0' * 7}1{'0' * 15}1-{'ab' * 20}.zst"
    facts = {"type": "file", "size": 5, "time": 1_700_000_000}
    assert len(read_archive(json.dumps({name: facts}))) == 1
    assert read_archive(json.dumps({f"{name}.pgbackrest.tmp": facts})) == ()


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (50, "P00  ERROR: [050]: unable to acquire lock on file '/tmp/main-backup-1.lock'", failures.Busy),
        (29, "P00  ERROR: [029]: unable to load info file 'x' or 'x.copy':\n FormatError: key/value found outside of section", failures.WrongKey),
        (95, "P00  ERROR: [095]: unable to load info file 'x':\n CryptoError: unable to flush", failures.WrongKey),
        (0, "[FormatError] unable to load info file 'x':\nFormatError: key/value found outside of section", failures.WrongKey),
        (0, "[ProtocolError] HTTP request failed with 403 (Forbidden)", failures.StoreRefused),
        (0, "something new", failures.StoreUnreachable),
        (47, "P00  ERROR: [047]: unable to create path '/stores': [30] Read-only file system", failures.StoreRefused),
        (41, "P00  ERROR: [041]: unable to open file: [13] Permission denied", failures.StoreRefused),
        (64, "P00  ERROR: [064]: unable to write: [28] No space left on device", failures.StoreFull),
        (27, "P00   WARN: unable to check pg1\nP00  ERROR: [027]: no database found", failures.DatabaseUnreachable),
        (56, "P00  ERROR: [056]: unable to find primary cluster - cannot proceed", failures.DatabaseUnreachable),
        (55, "P00  ERROR: [055]: unable to load info file 'x':\nFileMissingError: unable to open missing file", failures.NoSuchBackup),
        (82, "P00  ERROR: [082]: WAL segment 0001 was not archived before the 60000ms timeout", failures.WalGap),
        (40, "P00  ERROR: [040]: unable to restore to path '/x' because it contains files", failures.RestoreFailed),
        (51, "P00  ERROR: [051]: PostgreSQL version 17, system-id 1 do not match stanza", failures.ForeignStore),
        (49, "P00  ERROR: [049]: unable to connect to 'localhost:9': [111] Connection refused", failures.StoreUnreachable),
        (26, "P00  ERROR: [026]: error restoring 'x': actual checksum 'a' does not match expected checksum 'b'", failures.Damaged),
        (-9, "", failures.Unfinished),
        (122, "P00  ERROR: [122]: whatever", failures.BackupError),
    ],
)  # fmt: skip
def test_a_complaint_has_a_class_of_ours(status: int, said: str, kind: type[failures.BackupError]) -> None:
    error = failure(status, said, "doing", "local")
    assert type(error) is kind
    assert error.message.startswith("doing (store `local`)")


def test_what_a_wrong_key_decrypts_is_not_printed() -> None:
    assert printable("ERROR \x1b[31m\x00 \ufffd ok\nsecond line") == "ERROR [31m  ok"
    assert len(printable("x" * 1000)) < 250
