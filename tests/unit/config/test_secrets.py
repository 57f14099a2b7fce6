"""Secrets: made once, kept privately, the same for everyone who asks at the same moment."""

from __future__ import annotations

import base64
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config.secrets import SecretNeed, SecretStore
from moorage.errors import MoorageError
from moorage.recovery_key import fingerprint, make_recovery_key, parse_recovery_key
from moorage.sensitive import Sensitive
from tests.unit.given import folder_with, repeatable_bytes

NEED = SecretNeed("TOKEN", "for a test", "hex32")
RAW = bytes(range(32))


def store(folder: Path, seed: str = "") -> SecretStore:
    return SecretStore(folder, "compose", repeatable_bytes(seed))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_missing_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    first = store(tmp_path).resolve([NEED], write=True)
    assert first.generated == ["TOKEN"]
    again = store(tmp_path, "other").resolve([NEED], write=True)
    assert again.generated == []
    assert again.values["TOKEN"] == first.values["TOKEN"]
    assert again.deployment_id == first.deployment_id
    assert store(tmp_path).names() == ("TOKEN",)


def test_without_writing_nothing_is_made(tmp_path: Path) -> None:
    found = store(tmp_path).resolve([NEED, SecretNeed("GIVEN", "by hand")], write=False)
    assert list(tmp_path.iterdir()) == []
    assert found.generated == ["TOKEN"]
    assert [need.name for need in found.missing] == ["GIVEN"]
    assert found.values["TOKEN"].reveal()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_secrets(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        store(tmp_path).resolve([NEED], write=True)
        store(tmp_path).replace("OTHER", Sensitive("x"))
    finally:
        os.umask(before)
    for path in (tmp_path / "secrets").rglob("*"):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path
    assert mode(tmp_path / "secrets") == 0o700


def test_a_folder_of_secrets_that_was_open_to_all_is_closed(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o755)
    store(tmp_path).resolve([NEED], write=True)
    assert mode(tmp_path / "secrets") == 0o700


@given(value=st.text(st.characters(blacklist_categories=("Cs",)), min_size=1))
def test_a_value_that_was_set_is_read_back(value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    store(folder).replace("NAME", Sensitive(value))
    read = store(folder).read("NAME")
    assert read is not None
    assert read.reveal() == value


@pytest.mark.parametrize("value", ["a\r\nb", "a\rb", "a\r"])
def test_a_value_with_carriage_returns_is_read_back(value: str, tmp_path: Path) -> None:
    store(tmp_path).replace("NAME", Sensitive(value))
    assert store(tmp_path).read("NAME") == Sensitive(value)


def test_one_line_end_at_the_end_of_a_file_is_not_part_of_the_secret(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        {"secrets/compose/values/A": "x\n", "secrets/compose/values/B": "x", "secrets/compose/values/C": "x\n\n"},
    )
    assert [store(tmp_path).read(name) for name in "ABC"] == [Sensitive("x"), Sensitive("x"), Sensitive("x\n")]


def test_replacing_a_value_forgets_the_old_one(tmp_path: Path) -> None:
    store(tmp_path).resolve([NEED], write=True)
    store(tmp_path).replace("TOKEN", Sensitive("new"))
    assert store(tmp_path).resolve([NEED], write=True).values["TOKEN"] == Sensitive("new")
    assert len(list((tmp_path / "secrets/compose/values").iterdir())) == 1


def test_given_values_count_until_one_is_kept(tmp_path: Path) -> None:
    given_store = SecretStore(tmp_path, "compose", repeatable_bytes(), {"TOKEN": Sensitive("given")})
    assert given_store.resolve([NEED], write=False).values["TOKEN"] == Sensitive("given")
    store(tmp_path).replace("TOKEN", Sensitive("kept"))
    assert given_store.read("TOKEN") == Sensitive("kept")


def test_environments_have_secrets_of_their_own_and_one_recovery_key(tmp_path: Path) -> None:
    first = SecretStore(tmp_path, "compose", repeatable_bytes("a")).resolve([NEED], write=True)
    second = SecretStore(tmp_path, "staging", repeatable_bytes("b")).resolve([NEED], write=True)
    assert first.values["TOKEN"] != second.values["TOKEN"]
    assert first.deployment_id == second.deployment_id


def test_a_secret_that_may_not_be_read_is_an_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(MoorageError) as error:
        store(tmp_path).read("TOKEN")
    assert "TOKEN" in error.value.message
    assert error.value.hint


def test_a_recovery_key_that_may_not_be_read_is_an_error_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(MoorageError):
        store(tmp_path).recovery_key(write=False)


def test_a_secret_that_is_no_text_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder_with(tmp_path, {"secrets/compose/values/TOKEN": b"\xff\xfe\x00"})
    with pytest.raises(MoorageError, match="TOKEN"):
        store(tmp_path).read("TOKEN")


def test_a_secret_that_cannot_be_written_is_an_error_that_names_its_file_and_not_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(MoorageError, match="TOKEN") as error:
        store(tmp_path).replace("TOKEN", Sensitive("s3cr3t"))
    assert "s3cr3t" not in error.value.message + error.value.hint
    assert list((tmp_path / "secrets/compose/values").iterdir()) == []


# Racing and being killed: with real processes.


def resolve_in_step(folder: str, seed: str, barrier: object, answers: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    found = SecretStore(Path(folder), "compose", repeatable_bytes(seed)).resolve([NEED], write=True)
    answers.put((found.values["TOKEN"].reveal(), found.deployment_id))  # type: ignore[attr-defined]


def test_processes_that_race_all_get_the_one_value_that_is_kept(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(6), context.SimpleQueue()
    workers = [
        context.Process(target=resolve_in_step, args=(str(tmp_path), f"seed{number}", barrier, answers))
        for number in range(6)
    ]
    for worker in workers:
        worker.start()
    got = {answers.get() for _ in workers}
    for worker in workers:
        worker.join(timeout=30)
        assert worker.exitcode == 0
    kept = store(tmp_path).resolve([NEED], write=False)
    assert got == {(kept.values["TOKEN"].reveal(), kept.deployment_id)}
    assert sorted(path.name for path in (tmp_path / "secrets/compose/values").iterdir()) == ["TOKEN"]


@pytest.mark.parametrize("moment", ["fsync", "link", "replace"])
def test_a_process_killed_while_writing_leaves_no_half_secret(moment: str, tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "from moorage.config.secrets import SecretNeed, SecretStore\n"
        "from moorage.sensitive import Sensitive\n"
        "die = lambda *arguments, **more: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"os.{moment} = die\n"
        "pathlib.Path.replace = die if sys.argv[2] == 'replace' else pathlib.Path.replace\n"
        "store = SecretStore(pathlib.Path(sys.argv[1]), 'compose')\n"
        "store.replace('TOKEN', Sensitive('s' * 100000)) if sys.argv[2] == 'replace' else "
        "store.resolve([SecretNeed('TOKEN', '', 'hex32')], write=True)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script, str(tmp_path), moment], check=False)
    assert finished.returncode == -signal.SIGKILL
    assert store(tmp_path).names() == ()
    assert store(tmp_path).read("TOKEN") is None
    healed = store(tmp_path).resolve([NEED], write=True)
    assert re.fullmatch(r"[0-9a-f]{64}", healed.values["TOKEN"].reveal())


# Generators.


def made(folder: Path, generator: str, seed: str = "", prefix: str = "") -> str:
    need = SecretNeed("MADE", "", generator, prefix)
    return store(folder, seed).resolve([need], write=False).values["MADE"].reveal()


@pytest.mark.parametrize(
    ("generator", "form"),
    [
        ("hex32", r"[0-9a-f]{64}"),
        ("hex16", r"[0-9a-f]{32}"),
        ("urlsafe32", r"[A-Za-z0-9_-]{43}"),
        ("fernet", r"[A-Za-z0-9_-]{43}="),
        ("alphanumeric48", r"[A-Za-z0-9]{48}"),
        ("password", r"[a-km-zA-HJ-NP-Z2-9]{20}"),
        ("uuid4", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
    ],
)
def test_a_generated_secret_has_the_form_that_its_name_says(generator: str, form: str, tmp_path: Path) -> None:
    values = {made(tmp_path, generator, str(number)) for number in range(50)}
    assert len(values) == 50
    assert all(re.fullmatch(form, value) for value in values)
    assert made(tmp_path, generator, "", "sk-").startswith("sk-")


def test_a_fernet_key_is_one(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    Fernet(made(tmp_path, "fernet").encode())
    assert len(base64.urlsafe_b64decode(made(tmp_path, "urlsafe32") + "=")) == 32
    assert uuid.UUID(made(tmp_path, "uuid4")).version == 4


def test_a_password_has_no_letters_that_are_mistaken_for_others(tmp_path: Path) -> None:
    letters = set("".join(made(tmp_path, "password", str(number)) for number in range(200)))
    assert not letters & set("0O1lI")
    assert len(letters) > 50


@pytest.mark.parametrize(("generator", "letters"), [("alphanumeric48", 62), ("password", 56)])
def test_every_letter_is_equally_likely(generator: str, letters: int, tmp_path: Path) -> None:
    even_store = SecretStore(tmp_path, "compose", random.Random(1).randbytes)
    need = SecretNeed("MADE", "", generator)
    counts: Counter[str] = Counter()
    for _ in range(4000):
        counts.update(even_store.resolve([need], write=False).values["MADE"].reveal())
    usual = counts.total() / letters
    # The remainder of a division by the number of letters would make some of them a quarter more likely.
    assert len(counts) == letters
    assert all(0.88 * usual < count < 1.12 * usual for count in counts.values())


def test_a_bcrypt_entry_fits_its_password(tmp_path: Path) -> None:
    needs = [SecretNeed("USERS", "", "bcrypt", source="PASSWORD"), SecretNeed("PASSWORD", "", "password")]
    found = store(tmp_path).resolve(needs, write=True).values
    user, _, entry = found["USERS"].reveal().partition(":")
    assert user == "admin"
    assert bcrypt.checkpw(found["PASSWORD"].reveal().encode(), entry.encode())
    assert store(tmp_path).resolve(needs, write=True).values == found


def test_a_bcrypt_entry_follows_a_changed_password(tmp_path: Path) -> None:
    needs = [SecretNeed("PASSWORD", "", "password"), SecretNeed("USERS", "", "bcrypt", source="PASSWORD")]
    before = store(tmp_path).resolve(needs, write=True).values["USERS"]
    store(tmp_path).replace("PASSWORD", Sensitive("another one"))
    assert store(tmp_path).resolve(needs, write=True).values["USERS"] != before


def entry_of(password: str, store_of: SecretStore) -> str:
    store_of.replace("PASSWORD", Sensitive(password))
    return store_of.resolve(DASHBOARD, write=True).values["USERS"].reveal()


DASHBOARD = [SecretNeed("USERS", "", "bcrypt", source="PASSWORD"), SecretNeed("PASSWORD", "", "password")]


def test_a_bcrypt_entry_is_of_the_password_that_was_set_last(tmp_path: Path) -> None:
    entries = [entry_of(password, store(tmp_path)) for password in ("one", "two", "one")]
    assert entries[0] == entries[2] != entries[1]
    for password, entry in zip(("one", "two"), entries, strict=False):
        assert bcrypt.checkpw(password.encode(), entry.removeprefix("admin:").encode())
    again = store(tmp_path).resolve(DASHBOARD, write=True)
    assert again.generated == []


def test_a_changed_password_is_seen_without_writing_anything(tmp_path: Path) -> None:
    before = entry_of("one", store(tmp_path))
    store(tmp_path).replace("PASSWORD", Sensitive("two"))
    found = store(tmp_path).resolve(DASHBOARD, write=False)
    assert found.values["USERS"].reveal() != before
    assert found.generated == ["USERS"]
    assert store(tmp_path).read("USERS") == Sensitive(before)


@pytest.mark.parametrize("entry", ["ops:$2y$05$own", "admin:$2b$12$" + "a" * 53, "admin:x\nops:y"])
def test_an_entry_that_the_operator_set_is_kept(entry: str, tmp_path: Path) -> None:
    store(tmp_path).replace("USERS", Sensitive(entry))
    assert entry_of("one", store(tmp_path)) == entry
    assert entry_of("two", store(tmp_path)) == entry


@pytest.mark.parametrize("password", ["x" * 73, "ü" * 37])
def test_a_password_too_long_for_bcrypt_is_an_error_with_the_way_out(password: str, tmp_path: Path) -> None:
    store(tmp_path).replace("PASSWORD", Sensitive(password))
    with pytest.raises(MoorageError, match="PASSWORD") as error:
        store(tmp_path).resolve(DASHBOARD, write=True)
    assert "moorage secrets set PASSWORD" in error.value.hint
    assert password not in error.value.message + error.value.hint


def test_files_that_others_could_read_are_closed(tmp_path: Path) -> None:
    store(tmp_path).resolve([NEED], write=True)
    for path in (tmp_path / "secrets").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    store(tmp_path).resolve([NEED], write=True)
    assert {mode(path) for path in (tmp_path / "secrets").rglob("*")} == {0o700, 0o600}


# The recovery key.


def test_a_recovery_key_is_fourteen_groups_of_four_letters() -> None:
    assert re.fullmatch(r"([A-Z2-7]{4}-){13}[A-Z2-7]{4}", make_recovery_key(RAW))


@given(st.binary(min_size=32, max_size=32))
def test_a_recovery_key_gives_its_bytes_back(raw: bytes) -> None:
    assert parse_recovery_key(make_recovery_key(raw)) == raw


@given(st.binary(min_size=32, max_size=32))
def test_a_recovery_key_may_be_typed_carelessly(raw: bytes) -> None:
    key = make_recovery_key(raw)
    assert parse_recovery_key(key.lower()) == raw
    assert parse_recovery_key(f"  {key.replace('-', ' ')}\n") == raw
    assert parse_recovery_key(key.replace("-", "")) == raw
    assert parse_recovery_key(key.replace("O", "0").replace("I", "1").replace("B", "8")) == raw


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def accepted_as(text: str) -> bytes | None:
    try:
        return parse_recovery_key(text)
    except MoorageError:
        return None


@pytest.mark.parametrize("raw", [RAW, bytes(32), b"\xff" * 32, repeatable_bytes("key")(32)])
def test_every_single_wrong_letter_is_noticed(raw: bytes) -> None:
    text = make_recovery_key(raw).replace("-", "")
    for position, right in enumerate(text):
        for letter in LETTERS:
            if letter != right:
                # The last letter of the body has bits to spare; what is accepted must be the key all the same.
                found = accepted_as(text[:position] + letter + text[position + 1 :])
                assert found in (None, raw)
                assert found is None or position == 51


@pytest.mark.parametrize("raw", [RAW, repeatable_bytes("key")(32), repeatable_bytes("other")(32)])
def test_swapped_neighbours_are_noticed(raw: bytes) -> None:
    text = make_recovery_key(raw).replace("-", "")
    for position in range(55):
        if text[position] != text[position + 1]:
            swapped = text[:position] + text[position + 1] + text[position] + text[position + 2 :]
            assert accepted_as(swapped) is None


@given(st.text(max_size=80))
def test_anything_else_is_no_recovery_key(text: str) -> None:
    with pytest.raises(MoorageError, match="not a recovery key"):
        parse_recovery_key(text)


@pytest.mark.parametrize(
    "change", [lambda key: key[:-1], lambda key: key + "A", lambda key: key[5:], lambda key: key + key]
)
def test_a_key_of_another_length_is_refused(change: object) -> None:
    with pytest.raises(MoorageError):
        parse_recovery_key(change(make_recovery_key(RAW)))  # type: ignore[operator]


def test_the_fingerprint_says_nothing_of_the_key() -> None:
    key = make_recovery_key(RAW)
    assert re.fullmatch(r"[0-9a-f]{12}", fingerprint(Sensitive(key)))
    assert fingerprint(Sensitive(key)) == fingerprint(Sensitive(key.lower()))
    assert fingerprint(Sensitive(make_recovery_key(bytes(32)))) != fingerprint(Sensitive(key))


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b"\xff\xfe", b"AAAA-BBBB\n"])
def test_a_broken_recovery_key_file_is_never_overwritten(content: bytes, tmp_path: Path) -> None:
    folder_with(tmp_path, {"secrets/recovery.key": content})
    with pytest.raises(MoorageError) as error:
        store(tmp_path).resolve([NEED], write=True)
    assert "recovery" in error.value.message
    assert error.value.hint
    assert (tmp_path / "secrets/recovery.key").read_bytes() == content
