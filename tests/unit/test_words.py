"""The nearest right word, for messages that help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.backups.report import Report
from moorage.console import Console
from moorage.words import abridged, listed, nearest, plural, printable


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("domian", "domain"),
        ("DOMAIN", "domain"),
        ("postgress", "postgres"),
        ("challange", "challenge"),
        ("post", "postgres"),
        ("xyz", ""),
        ("", ""),
        ("do", ""),
    ],
)
def test_the_nearest_word_is_suggested_and_nothing_far_off(word: str, meant: str) -> None:
    assert nearest(word, ["domain", "postgres", "challenge", "tls"]) == meant


def test_the_suggestion_is_written_as_the_choice_is() -> None:
    assert nearest("smtp_hots", ["SMTP_HOST", "SMTP_PORT"]) == "SMTP_HOST"


def test_without_choices_there_is_no_suggestion() -> None:
    assert nearest("anything", []) == ""


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=5))
def test_a_suggestion_is_always_one_of_the_choices(word: str, choices: list[str]) -> None:
    assert nearest(word, choices) in {*choices, ""}


@given(
    st.from_regex(r"[a-z_]{3,20}", fullmatch=True), st.lists(st.from_regex(r"[a-z_]{3,20}", fullmatch=True), max_size=4)
)
def test_a_right_word_is_its_own_nearest(word: str, others: list[str]) -> None:
    assert nearest(word, [*others, word]) == word


@pytest.mark.parametrize(
    ("items", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c"), (iter("ab"), "a or b")]
)
def test_choices_are_listed_as_a_sentence(items: list[str], text: str) -> None:
    assert listed(items) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_one_is_not_several(count: int, text: str) -> None:
    assert plural(count, "file") == text


def test_a_noun_may_have_its_own_plural() -> None:
    assert (plural(1, "entry", "entries"), plural(3, "entry", "entries")) == ("1 entry", "3 entries")


@pytest.mark.parametrize(
    ("count", "most", "text"),
    [(0, 2, ""), (2, 2, "0, 1"), (3, 2, "0, 1 and 1 more"), (5, 2, "0, 1 and 3 more"), (3, None, "0, 1, 2")],
)
def test_a_long_list_is_abridged(count: int, most: int | None, text: str) -> None:
    assert abridged([str(number) for number in range(count)], most) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größe ☃ 👩‍👩‍👧\n\tnext", "plain, größe ☃ 👩‍👩‍👧\n\tnext"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\rover", "�]0;title�x�over"),
        ("\x1b[2J\x9b2J\x7f\x00", "�[2J�2J��"),
        ("a\u202eb\u2066", "a�b�"),
    ],
)
def test_nothing_that_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_others_named_is_shown_so_by_the_console_and_by_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "x\x1b]0;\x07\x9b2J"
    console = Console()
    for say in (console.action, console.success, console.warning, console.failure, console.detail, console.line):
        say(evil)
    console.table(["name"], [[evil]])
    report = Report()
    for tell in (report.step, report.done, report.warning, report.failure, report.data):
        tell(evil)
    said = "".join(capsys.readouterr())
    assert said.count("x") == 12
    assert not set(said) & set("\x1b\x07\x9b")
