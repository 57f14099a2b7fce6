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
    ("A=${X-d}", {}, {"A": "d"}),
    ("A=${X+d}", {}, {"A": ""}),
    ("A=${X-d}", {"X": ""}, {"A": ""}),
    ("X=1\nA=$X", {"X": "v"}, {"X": "1", "A": "v"}),
    # Odd ones.
    ("A=b\u2028c", {}, {"A": "b\u2028c"}),
    ("A=b\x0cc", {}, {"A": "b\x0cc"}),
    ("A=b\x0c\x1d", {}, {"A": "b\x0c\x1d"}),
    ("A=b\u2028", {}, {"A": "b"}),
    ('A="b\x85c"', {}, {"A": "b\x85c"}),
    ("A=b\t#c", {}, {"A": "b\t#c"}),
    ("A= #c", {}, {"A": "#c"}),
    ("A='it\\'s'", {}, {"A": "it's"}),
    ("A='a\\\\b'", {}, {"A": "a\\\\b"}),
    ('A="\\a\\f\\v\\b"', {}, {"A": "\a\f\v\b"}),
    ('A="\\0101 \\0377 \\0 \\012 \\0777 \\c \\x41"', {}, {"A": "A ÿ \\ \\12 \\777 \\c \\x41"}),
    ('A="\\\\\\"b"', {}, {"A": '\\"b'}),
    ('A="a\\\nb"', {}, {"A": "a\\\nb"}),
    ('A="a" B=b', {}, {"A": "a", "B": "b"}),
    ("A:b", {}, {"A": "b"}),
    ("9A=1", {}, {"9A": "1"}),
    ("A[0]=1", {}, {"A[0]": "1"}),
    ("Ä=1", {}, {"Ä": "1"}),
    ("A=5$", {}, {"A": "5$"}),
    ("A=$(x)", {}, {"A": "$(x)"}),
    ('A="pa$5"', {}, {"A": "pa$5"}),
    ("A=b\r", {}, {"A": "b"}),
    ('A="b\r\nc"\r\nB=d\r\n', {}, {"A": "b\r\nc", "B": "d"}),
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


@pytest.mark.parametrize("content", ["just words", "A B=c", "=b", "A,B=1", "- A=b", "'A'=b", "A=ok\n???\n"])
def test_a_line_that_is_no_assignment_is_a_problem_at_its_line(content: str, tmp_path: Path) -> None:
    _, (problem,) = read(tmp_path, content)
    assert problem.place.file == "app.env"
    assert problem.place.line == content.count("\n", 0, content.rfind("?")) + 1 if "?" in content else 1


@pytest.mark.parametrize("content", ["A=${", "A=${X", 'A="${X:-"', "\n\nA=${1}", 'A="\\0000"'])
def test_a_broken_variable_is_a_problem_that_names_the_one_it_is_for(content: str, tmp_path: Path) -> None:
    found, (problem,) = read(tmp_path, content)
    assert problem.key == "A"
    assert problem.place.line == content.count("\n") + 1
    assert found == {}


@pytest.mark.parametrize(
    "content", ['A="x\nPASSWORD=p', "A='x\"\nPASSWORD=p", "A='tis the season\nPASSWORD=p\n", 'A="']
)
def test_a_quote_that_is_not_closed_is_a_problem(content: str, tmp_path: Path) -> None:
    found, problems = read(tmp_path, content, secrets=frozenset({"PASSWORD"}))
    assert problems
    assert problems[0].place.line == 1
    assert not any("PASSWORD" in reveal(value) for value in found.values())


@pytest.mark.parametrize("content", ["A='x' 'y'", 'A="b"junk!', 'A="b"junk', "A='b' c d\n"])
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


def test_a_problem_never_shows_a_secret(tmp_path: Path) -> None:
    _, problems = read(tmp_path, "A=${B:?needs $TOKEN}\n", {"TOKEN": Sensitive("s3cr3t")})
    assert problems
    assert "s3cr3t" not in str(problems)


@given(
    values=st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,6}", fullmatch=True),
        st.text(
            st.one_of(
                st.sampled_from("\"'\\$#={}\n\t\r n\x85\u2028\x0b"),
                st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
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


@pytest.mark.parametrize("content", [b"A=\xff\n", "A=ä\n".encode("utf-16"), "A=b\n".encode("utf-16-le"), b"A=b\0c\n"])
def test_a_file_that_is_no_text_is_a_problem(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "app.env").write_bytes(content)
    assert read_env_file(tmp_path / "app.env", "app.env")[1]


def test_a_folder_is_no_env_file(tmp_path: Path) -> None:
    (_, (problem,)) = read_env_file(tmp_path, "app.env")
    assert "can't be read" in problem.rule


def test_a_problem_stands_at_its_name(tmp_path: Path) -> None:
    _, problems = read(tmp_path, 'A="\n"\n  B=${\nC="x" junk\n')
    assert [str(problem.place) for problem in problems] == ["app.env:3:3", "app.env:4:7"]
