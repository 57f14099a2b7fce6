"""Env files of other people, read as Compose reads them; the table is checked against Compose in tests/contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.app.env_file import read_env_file
from moorage.errors import Problem
from moorage.formats import dump_env
from moorage.sensitive import Sensitive, Text, reveal

# Content, variables of the project, what arrives.
TABLE: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("", {}, {}),
    ("# comment\n\n   \n  # another\n", {}, {}),
    ("A=b", {}, {"A": "b"}),
    ("A=b\nB=c\n", {}, {"A": "b", "B": "c"}),
    ("\ufeffA=b", {}, {"A": "b"}),
    ("A=b\r\nB=c\r\n", {}, {"A": "b", "B": "c"}),
    ("A = b ", {}, {"A": "b"}),
    ("  A=b", {}, {"A": "b"}),
    ("export A=b", {}, {"A": "b"}),
    ("export  A='b'", {}, {"A": "b"}),
    ("A: b", {}, {"A": "b"}),
    ("A=b c", {}, {"A": "b c"}),
    ("A=", {}, {"A": ""}),
    ("A=   ", {}, {"A": ""}),
    ('A=""', {}, {"A": ""}),
    ("A=''", {}, {"A": ""}),
    ("A=b=c", {}, {"A": "b=c"}),
    ("A==", {}, {"A": "="}),
    ("a.b-c_d=1", {}, {"a.b-c_d": "1"}),
    ("A=1\nA=2", {}, {"A": "2"}),
    # Comments.
    ("A=b #c", {}, {"A": "b"}),
    ("A=b  # c", {}, {"A": "b"}),
    ("A=b#c", {}, {"A": "b#c"}),
    ("A=#c", {}, {"A": "#c"}),
    ('A="b #c"', {}, {"A": "b #c"}),
    ('A="b" #c', {}, {"A": "b"}),
    ("A='b #c' # d", {}, {"A": "b #c"}),
    # Quotes and escapes.
    ('A="b c"', {}, {"A": "b c"}),
    ("A=' b '", {}, {"A": " b "}),
    ('A="it\'s"', {}, {"A": "it's"}),
    ("A='\"b\"'", {}, {"A": '"b"'}),
    ('A=x"y"', {}, {"A": 'x"y"'}),
    ('A="a\\nb\\tc\\r\\\\d\\"e"', {}, {"A": 'a\nb\tc\r\\d"e'}),
    ("A='a\\nb'", {}, {"A": "a\\nb"}),
    ("A=a\\nb", {}, {"A": "a\\nb"}),
    ('A="\\q"', {}, {"A": "\\q"}),
    ("A=C:\\dir\\", {}, {"A": "C:\\dir\\"}),
    ('A="a\nb"\nB=c', {}, {"A": "a\nb", "B": "c"}),
    ("A='a\n\nb'\nB=c", {}, {"A": "a\n\nb", "B": "c"}),
    ('A="a\n# no comment\nb"', {}, {"A": "a\n# no comment\nb"}),
    ('A="a\\\\"\nB=c', {}, {"A": "a\\", "B": "c"}),
    # Variables.
    ("A=$X", {"X": "v"}, {"A": "v"}),
    ("A=${X}y", {"X": "v"}, {"A": "vy"}),
    ('A="${X}"', {"X": "v"}, {"A": "v"}),
    ("A='${X}'", {"X": "v"}, {"A": "${X}"}),
    ("A=$X", {}, {"A": ""}),
    ("A=${X:-d}", {}, {"A": "d"}),
    ("A=${X:-a b}", {}, {"A": "a b"}),
    ("A=${X:+d}", {}, {"A": ""}),
    ("A=${X:+d}", {"X": "v"}, {"A": "d"}),
    ("A=$$X", {"X": "v"}, {"A": "$X"}),
    ('A="\\$X"', {"X": "v"}, {"A": "$X"}),
    ("A=1\nB=$A$A", {}, {"A": "1", "B": "11"}),
    ("A\n", {"A": "inherited"}, {"A": "inherited"}),
]


def read(
    folder: Path, content: str, values: dict[str, Text] | None = None, secrets: frozenset[str] = frozenset()
) -> tuple[dict[str, Text], list[Problem]]:
    file = folder / "app.env"
    file.write_bytes(content.encode())
    return read_env_file(file, "app.env", values, secrets)


@pytest.mark.parametrize(("content", "values", "meant"), TABLE)
def test_an_env_file_means_what_it_means_to_compose(
    content: str, values: dict[str, Text], meant: dict[str, str], tmp_path: Path
) -> None:
    found, problems = read(tmp_path, content, values)
    assert problems == []
    assert found == meant


# Content, variables of the project, what Compose makes of it, what we do instead.
DIFFERENT: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("A=${X-d}", {}, {"A": "d"}, "an unset variable counts as set and empty: `-` never takes its default"),
    ("A=${X+d}", {}, {"A": ""}, "an unset variable counts as set and empty: `+` always takes its word"),
    (
        "X=1\nA=$X",
        {"X": "v"},
        {"X": "1", "A": "v"},
        "earlier lines win over the project's variables; Compose has it the other way",
    ),
    (
        "A=b\u2028c",
        {},
        {"A": "b\u2028c"},
        "splitlines() also splits at U+2028, \\x0b, \\x0c and \\x85, and drops the rest",
    ),
    ("A=b\x0cc", {}, {"A": "b\x0cc"}, "splitlines() also splits at U+2028, \\x0b, \\x0c and \\x85, and drops the rest"),
    ('A="b\x85c"', {}, {"A": "b\x85c"}, "splitlines() also splits at U+2028, \\x0b, \\x0c and \\x85"),
    ("A=b\t#c", {}, {"A": "b\t#c"}, "a comment starts after a blank only, not after a tab"),
    ("A='it\\'s'", {}, {"A": "it's"}, "an escaped quote ends a single-quoted value"),
    ('A="\\a\\f\\v\\b"', {}, {"A": "\a\f\v\b"}, "these escapes are not decoded"),
    ("A:b", {}, {"A": "b"}, "a colon needs no blank behind it"),
    ("9A=1", {}, {"9A": "1"}, "a name may start with a digit"),
    ("A=5$", {}, {"A": "5$"}, "a dollar sign that starts no variable is one; such passwords are refused here"),
    ('A="pa$5"', {}, {"A": "pa$5"}, "a dollar sign that starts no variable is one; such passwords are refused here"),
]


@pytest.mark.parametrize(
    ("content", "values", "meant"),
    [
        pytest.param(content, values, meant, marks=pytest.mark.xfail(strict=True, reason=reason))
        for content, values, meant, reason in DIFFERENT
    ],
)
def test_an_env_file_means_what_it_means_to_compose_also_where_it_is_odd(
    content: str, values: dict[str, Text], meant: dict[str, str], tmp_path: Path
) -> None:
    found, problems = read(tmp_path, content, values)
    assert problems == []
    assert found == meant


@pytest.mark.parametrize("content", ["just words", "A B=c", "=b", "A,B=1", "- A=b", "'A'=b", "A=ok\n???\n"])
def test_a_line_that_is_no_assignment_is_a_problem_at_its_line(content: str, tmp_path: Path) -> None:
    _, (problem,) = read(tmp_path, content)
    assert problem.place.file == "app.env"
    assert problem.place.line == content.count("\n", 0, content.rfind("?")) + 1 if "?" in content else 1


@pytest.mark.parametrize("content", ["A=${", "A=${X", 'A="${X:-"', "A=$(x)", "\n\nA=${1}"])
def test_a_broken_variable_is_a_problem_that_names_the_one_it_is_for(content: str, tmp_path: Path) -> None:
    found, (problem,) = read(tmp_path, content)
    assert problem.key == "A"
    assert problem.place.line == content.count("\n") + 1
    assert found == {}


@pytest.mark.xfail(
    strict=True,
    reason="an open quote swallows all following lines: their variables vanish, and a secret among them is no secret any more",
)
@pytest.mark.parametrize("content", ['A="x\nPASSWORD=p', "A='tis the season\nPASSWORD=p\n", 'A="'])
def test_a_quote_that_is_not_closed_is_a_problem(content: str, tmp_path: Path) -> None:
    found, problems = read(tmp_path, content, secrets=frozenset({"PASSWORD"}))
    assert problems
    assert problems[0].place.line == 1
    assert not any("PASSWORD" in reveal(value) for value in found.values())


@pytest.mark.xfail(strict=True, reason="what follows a closing quote is dropped without a word; Compose refuses it")
@pytest.mark.parametrize("content", ["A='x' 'y'", 'A="b"junk!'])
def test_signs_behind_a_closing_quote_are_a_problem(content: str, tmp_path: Path) -> None:
    assert read(tmp_path, content)[1]


# Secrets.


def test_a_name_that_is_listed_as_secret_is_secret(tmp_path: Path) -> None:
    found, _ = read(tmp_path, "PASSWORD=p\nOTHER=x\n", secrets=frozenset({"PASSWORD"}))
    assert found == {"PASSWORD": Sensitive("p"), "OTHER": "x"}


@pytest.mark.parametrize(
    "line",
    [
        "URL=db://$PASSWORD@h",
        'URL="db://${PASSWORD}@h"',
        "URL=${NONE:-db://$PASSWORD@h}",
        "URL=${PASSWORD:+db://$PASSWORD@h}",
    ],
)
def test_a_value_that_uses_a_secret_is_secret_too(line: str, tmp_path: Path) -> None:
    within, _ = read(tmp_path, f"PASSWORD=p\n{line}\n", secrets=frozenset({"PASSWORD"}))
    outside, _ = read(tmp_path, f"{line}\n", {"PASSWORD": Sensitive("p")})
    for found in (within, outside):
        assert found["URL"] == Sensitive("db://p@h")


def test_an_inherited_secret_stays_secret(tmp_path: Path) -> None:
    assert read(tmp_path, "TOKEN\n", {"TOKEN": Sensitive("t")})[0] == {"TOKEN": Sensitive("t")}


def test_a_name_without_value_that_nobody_knows_is_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, "TOKEN\n") == ({}, [])


@pytest.mark.xfail(strict=True, reason="the text of `:?` is revealed into the message")
def test_a_problem_never_shows_a_secret(tmp_path: Path) -> None:
    _, problems = read(tmp_path, "A=${B:?needs $TOKEN}\n", {"TOKEN": Sensitive("s3cr3t")})
    assert problems
    assert "s3cr3t" not in str(problems)


# Line ends other than \n are the subject of the table above.
@given(
    values=st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,6}", fullmatch=True),
        st.text(
            st.one_of(
                st.sampled_from("\"'\\$#={}\n\t\r n"), st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp"))
            ),
            max_size=12,
        ),
        max_size=5,
    )
)
def test_what_we_write_is_what_we_read(values: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    assert read(tmp_path_factory.mktemp("env"), dump_env(values, "Header\nof two lines")) == (values, [])


@given(content=st.text(st.sampled_from("AB=:'\"\\$#{}- \n\t"), max_size=30))
def test_no_content_makes_the_reader_crash(content: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    found, problems = read(tmp_path_factory.mktemp("env"), content)
    assert all(isinstance(value, str) for value in found.values())
    assert all(problem.place.line >= 1 for problem in problems)


@pytest.mark.xfail(strict=True, raises=UnicodeDecodeError, reason="an env file that is no UTF-8 ends in a stack trace")
def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "app.env").write_bytes(b"A=\xff\n")
    assert read_env_file(tmp_path / "app.env", "app.env")[1]
