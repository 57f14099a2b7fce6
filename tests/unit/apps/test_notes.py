"""The parts of the notes app that are pure: settings, words, migrations, the form's token."""

import base64
import os
import sys
from pathlib import Path

import pytest

# The app is not part of our package. Only such of its modules are imported here as import nothing
# external: the development environment has neither starlette nor psycopg.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "compose/apps/notes"))

from notes import form_token, heartbeat, jobs
from notes.draft import Draft, DraftError, read_draft
from notes.file_names import LONGEST_NAME, safe_file_name
from notes.migration_files import MigrationFilesError, pending, read_migrations
from notes.settings import (
    SettingsError,
    read_database_url,
    read_web_settings,
    read_worker_settings,
    url_problem,
)
from notes.words import count_words

SECRET = bytes(range(16))
SESSION = "0123456789abcdef" * 2
NOW = 1_700_000_000
POSTGRES = ("postgresql",)


def environment(**changes: str) -> dict[str, str]:
    complete = {
        "DATABASE_URL": "postgresql://notes:p%40ss@postgres:5432/notes",
        "REDIS_URL": "redis://:word@redis:6379/0",
        "SECRET_KEY": SECRET.hex(),
        "NOTES_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
    }
    return complete | changes


def test_a_complete_environment_is_accepted_and_has_defaults() -> None:
    settings = read_web_settings(environment())
    assert settings.secret_key == SECRET
    assert (settings.port, settings.site_name, settings.greeting) == (8000, "Notes", "")
    assert settings.uploads_directory == Path("/srv/uploads")


def test_every_missing_variable_is_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"^required but not set: REDIS_URL, SECRET_KEY$"):
        read_web_settings(environment(REDIS_URL="", SECRET_KEY=""))


def test_each_process_asks_only_for_what_it_needs() -> None:
    only_database = {"DATABASE_URL": "postgresql://postgres/notes"}
    assert read_database_url(only_database) == only_database["DATABASE_URL"]
    with pytest.raises(SettingsError, match="REDIS_URL"):
        read_worker_settings(only_database)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://host/notes"),
        ("REDIS_URL", "redis.example:6379"),
        ("SECRET_KEY", "harbour master"),
        ("SECRET_KEY", "abcd"),
        ("NOTES_ENCRYPTION_KEY", "c2hvcnQ="),
        ("NOTES_ENCRYPTION_KEY", "no base64 ü"),
        ("PORT", "00"),
        ("PORT", "65536"),
        ("PORT", "80a"),
        ("PORT", "9" * 5000),
    ],
)
def test_a_bad_value_is_refused_by_name_and_never_quoted(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_web_settings(environment(**{name: value}))
    assert str(refusal.value).startswith(f"{name} ")
    assert value not in str(refusal.value)


@pytest.mark.parametrize("password", ["pa/ss", "pa?ss", "pa#ss", "pa@ss", "12/ss", "12?ss", "12#ss"])
def test_a_password_that_is_not_encoded_is_refused_without_a_hint_of_it(password: str) -> None:
    problem = url_problem(f"postgresql://notes:{password}@postgres/notes", POSTGRES)
    assert problem is not None
    assert "percent-encoded" in problem
    assert "pa" not in problem.replace("password", "")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://notes:p%40%2F%3Fss@postgres:5432/notes?sslmode=require",
        "postgresql:///notes?host=/run/postgresql",
        "postgresql://notes@[::1]:5432/notes",
    ],
)
def test_ordinary_database_urls_are_accepted(url: str) -> None:
    assert url_problem(url, POSTGRES) is None


def test_settings_never_show_a_secret() -> None:
    shown = repr(read_web_settings(environment())) + repr(read_worker_settings(environment()))
    for secret in ("p%40ss", "word", SECRET.hex(), repr(SECRET), "AAAA"):
        assert secret not in shown


def test_the_greeting_is_taken_exactly_as_it_is() -> None:
    spiteful = "  'a' \"b\" $HOME ${X} # = \\ %s \t ü😀 <b> "
    assert read_web_settings(environment(GREETING=spiteful)).greeting == spiteful


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" \n\t ", 0),
        ("one", 1),
        ("one two — three!", 3),
        ("it's well-known", 2),
        ("... - ?", 0),
        ("Grüße, 東京 42", 3),
    ],
)
def test_words_are_counted(text: str, words: int) -> None:
    assert count_words(text) == words


def test_jobs_survive_the_way_through_redis() -> None:
    assert jobs.decode_job(jobs.encode_job(42)) == 42


@pytest.mark.parametrize("job", ["", "42", "count-words:", "count-words:x", "rm:42", "count-words:" + "9" * 19])
def test_a_job_that_is_not_ours_is_recognised(job: str) -> None:
    assert jobs.decode_job(job) is None


def test_the_shipped_migrations_make_a_sequence() -> None:
    migrations = read_migrations()
    assert [step.version for step in migrations] == list(range(1, len(migrations) + 1))
    assert all(step.sql.strip() for step in migrations)


def test_migrations_are_ordered_by_number_and_applied_ones_left_out(tmp_path: Path) -> None:
    for name in ("0003_c.sql", "0001_a.sql", "0002_b.sql"):
        (tmp_path / name).write_text("SELECT 1;\n")
    migrations = read_migrations(tmp_path)
    assert [step.label for step in migrations] == ["0001 a", "0002 b", "0003 c"]
    assert [step.version for step in pending(migrations, {1, 3})] == [2]
    assert pending(migrations, {1, 2, 3, 4}) == ()


@pytest.mark.parametrize(
    "names",
    [("0002_a.sql",), ("0001_a.sql", "0001_b.sql"), ("0001_a.sql", "0003_b.sql"), ("1_a.sql",)],
)
def test_gaps_pairs_and_bad_names_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;\n")
    with pytest.raises(MigrationFilesError):
        read_migrations(tmp_path)


def test_a_token_is_good_for_its_session_and_its_time() -> None:
    token = form_token.make_token(SECRET, SESSION, NOW)
    lifetime = form_token.LIFETIME_SECONDS
    assert form_token.token_is_valid(SECRET, SESSION, token, NOW)
    assert form_token.token_is_valid(SECRET, SESSION, token, NOW + lifetime)
    assert not form_token.token_is_valid(SECRET, SESSION, token, NOW + lifetime + 1)
    assert not form_token.token_is_valid(SECRET, SESSION, token, NOW - 1)
    assert not form_token.token_is_valid(SECRET, "f" * 32, token, NOW)
    assert not form_token.token_is_valid(b"x" * 16, SESSION, token, NOW)


@pytest.mark.parametrize("token", ["", ".", "1", "x.y", "1.é", "²." + "0" * 64, "9" * 5000 + ".0"])
def test_nonsense_is_no_token(token: str) -> None:
    assert not form_token.token_is_valid(SECRET, SESSION, token, NOW)


def test_the_time_in_a_token_is_signed() -> None:
    _, _, signature = form_token.make_token(SECRET, SESSION, NOW - 100_000).partition(".")
    assert not form_token.token_is_valid(SECRET, SESSION, f"{NOW}.{signature}", NOW)


def test_sessions_are_random_and_recognised() -> None:
    assert form_token.session_is_plausible(form_token.new_session())
    assert form_token.new_session() != form_token.new_session()
    assert not form_token.session_is_plausible("x" * 32)


def test_a_draft_needs_only_a_title() -> None:
    assert read_draft({"title": "t"}) == Draft("t", "", "")
    assert read_draft({"title": "t", "body": "b", "private": None}) == Draft("t", "b", "")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "expected an object"),
        ({}, "title is empty"),
        ({"title": " \n"}, "title is empty"),
        ({"title": 3}, "title is not text"),
        ({"title": "t" * 201}, "longer than 200"),
        ({"title": "t", "body": "\0"}, "body holds"),
        ({"title": "\ud800"}, "title holds"),
        ({"title": "t", "owner": "me"}, "unknown: owner"),
    ],
)
def test_what_is_no_note_is_refused_with_the_reason(values: object, problem: str) -> None:
    with pytest.raises(DraftError, match=problem):
        read_draft(values)


@pytest.mark.parametrize(
    ("sent", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.txt", "a.txt"),
        ("a\r\nb\0.txt", "ab.txt"),
        ("..", "file"),
        ("", "file"),
        ("Grüße ü.txt", "Grüße ü.txt"),
    ],
)
def test_file_names_are_made_safe(sent: str, safe: str) -> None:
    assert safe_file_name(sent) == safe


@pytest.mark.parametrize("sent", ["x" * 999 + ".pdf", "x" * 999, "x." + "y" * 999])
def test_long_file_names_are_cut(sent: str) -> None:
    assert len(safe_file_name(sent)) <= LONGEST_NAME
    assert safe_file_name("x" * 999 + ".pdf").endswith(".pdf")


def test_a_heartbeat_is_fresh_for_half_a_minute(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    assert not heartbeat.is_fresh(file)
    heartbeat.beat(file)
    assert heartbeat.is_fresh(file)
    os.utime(file, (NOW, NOW))
    assert not heartbeat.is_fresh(file)
