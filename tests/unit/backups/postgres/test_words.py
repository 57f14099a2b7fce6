"""What can be told of Postgres without one: names, messages, sequences."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.backups.files import compare_files, seal_files
from moorage.backups.manifest import SequenceFacts
from moorage.backups.postgres.archive import folder_name
from moorage.backups.postgres.compare import fits
from moorage.backups.postgres.programs import last_words
from moorage.backups.postgres.swap import before_name, incoming_name

ID = "20261122T033000Z-7f3a91"
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=63)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("shop", "shop"),
        ("..", "%2E%2E"),
        ("a/b", "a%2Fb"),
        ("globals.sql", "globals%2Esql"),
        ("Ä", "%C3%84"),
        ("a~b", "a%7Eb"),
    ],
)
def test_the_folder_of_a_database(name: str, folder: str) -> None:
    assert folder_name(name) == folder


@given(NAMES, NAMES)
def test_two_databases_never_share_a_folder(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one == other)
    assert "/" not in folder_name(one)
    assert folder_name(one) not in (".", "..", "globals.sql", "manifest.json")


@given(NAMES)
def test_names_beside_a_database_are_names(name: str) -> None:
    for beside in (incoming_name(name, ID), before_name(name, ID)):
        assert len(beside.encode()) <= 63
        assert beside.endswith(ID)


DUMP_ERROR = """\
pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.
pg_dump: detail: Error message from server: ERROR:  invalid page in block 3 of relation base/5/16388
pg_dump: detail: Command was: COPY public.t (i, "?column?") TO stdout;
"""
RESTORE_ERROR = """\
pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "4711"
CONTEXT:  COPY t, line 1, column i: "4711"
pg_restore: error: could not execute query: ERROR:  could not create unique index "t_pkey"
DETAIL:  Key (i)=(4711) is duplicated.
Command was: ALTER TABLE ONLY public.t
    ADD CONSTRAINT t_pkey CHECK (i <> 4711);
pg_restore: warning: the end
"""


def test_last_words_tell_why() -> None:
    assert "invalid page in block 3" in last_words(DUMP_ERROR)
    assert "COPY public.t" not in last_words(DUMP_ERROR)


def test_last_words_show_no_values() -> None:
    said = last_words(RESTORE_ERROR)
    assert "4711" not in said
    assert 'invalid input syntax for type integer: "…"' in said
    assert 'could not create unique index "t_pkey"' in said
    assert said.endswith("pg_restore: warning: the end")


@pytest.mark.parametrize(
    ("before", "after", "restored", "expected"),
    [
        (5, 5, 5, True), (5, 5, 4, False), (5, 5, 6, False), (5, 5, None, False),
        (5, 9, 5, True), (5, 9, 7, True), (5, 9, 9, True), (5, 9, 10, False), (5, 9, 4, False), (5, 9, None, False),
        (-5, -9, -7, True), (-5, -9, -4, False),
        (None, None, None, True), (None, None, 1, False),
        (None, 3, None, True), (None, 3, 2, True), (None, 3, 3, True),
        (5, None, 5, True), (5, None, None, True), (5, None, 6, False),
    ],
)  # fmt: skip
def test_where_a_restored_sequence_may_stand(
    before: int | None, after: int | None, restored: int | None, expected: bool
) -> None:
    assert fits(SequenceFacts("s", before, after), restored) is expected


def test_files_are_compared_by_name_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "1.dat").write_bytes(b"x" * 3_000_000)
    (tmp_path / "shop" / "toc.dat").write_bytes(b"")
    files = seal_files(tmp_path)
    assert [item.path for item in files] == ["shop/1.dat", "shop/toc.dat"]
    assert compare_files(tmp_path, files).passed
    (tmp_path / "shop" / "1.dat").write_bytes(b"x" * 2_999_999 + b"y")
    (tmp_path / "shop" / "toc.dat").unlink()
    (tmp_path / "shop" / "more").touch()
    result = compare_files(tmp_path, files)
    assert not result.passed
    assert result.detail == (
        "shop/1.dat holds other bytes; shop/toc.dat can't be read: No such file or directory; shop/more is not of the backup"
    )
