"""YAML as Compose reads it: YAML 1.2 words, places of everything, clear messages for what is broken."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import InputError
from moorage.formats import dotted, parse_yaml, read_yaml
from tests.unit.given import problems


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("TRUE", True),
        ("tRue", "tRue"),
        ("22:22", "22:22"),
        ("8080:80", "8080:80"),
        ("1:30:00", "1:30:00"),
        ("0755", "0755"),
        ("-0755", "-0755"),
        ("08", "08"),
        ("007", "007"),
        ("00", "00"),
        ("0", 0),
        ("-0", 0),
        ("+1", 1),
        ("12345678901234567890", 12345678901234567890),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("1.2.3", "1.2.3"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("", None),
        ("nUll", "nUll"),
        ('"null"', "null"),
        ("'0x1F'", "0x1F"),
        ("'1'", "1"),
        ("=", "="),
        ("<", "<"),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("!!str 12", "12"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        (">-\n  two\n  lines\n", "two lines"),
    ],
)
def test_a_plain_word_means_what_yaml_1_2_says(written: str, meant: object) -> None:
    value = parse_yaml(f"key: {written}", "file").value["key"]
    assert value == meant
    assert type(value) is type(meant)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(parse_yaml("key: .nan", "file").value["key"])


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert parse_yaml("1: a\ntrue: b\nno: c\n0755: d\n~: e\n", "file").value == {
        "1": "a",
        "true": "b",
        "no": "c",
        "0755": "d",
        "~": "e",
    }


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n"])
def test_an_empty_file_is_an_empty_document(text: str) -> None:
    document = parse_yaml(text, "file")
    assert document.value is None
    assert document.place(("missing",)).file == "file"


@pytest.mark.parametrize("text", ["a: 1\nb: 2\n", "a: 1\r\nb: 2\r\n", "\ufeffa: 1\nb: 2\n", "--- \na: 1\nb: 2\n..."])
def test_line_ends_byte_order_mark_and_document_marks_do_not_matter(text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(text.encode())
    assert read_yaml(file).value == {"a": 1, "b": 2}


def test_a_byte_order_mark_does_not_move_the_place_of_the_first_key() -> None:
    assert str(parse_yaml("\ufeffa: 1", "file").place(("a",), of_key=True)) == "file:1:1"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\na: 2\n", "file:2:1"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "file:4:3"),
        ("a: {b: 1, b: 2}\n", "file:1:11"),
        ('a: 1\n"a": 2\n', "file:2:1"),
        ("1: a\n'1': b\n", "file:2:1"),
    ],
)
def test_a_key_written_twice_is_refused_at_the_second_place(text: str, place: str) -> None:
    (problem,) = problems(lambda: parse_yaml(text, "file"))
    assert str(problem.place) == place
    assert "twice" in problem.rule
    assert "line" in problem.rule


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c", 1),
        ("a:\n\t- b", 2),
        ("\ta: 1", 1),
        ("a: [1, 2", 1),
        ("{a: b", 1),
        ("a: *nowhere", 1),
        ("ok: 1\na: 'unclosed\nb: 2\n", 2),
        ("a: @x", 1),
        ("a: 1\n b: 2", 2),
        ("a: 1\n- b", 2),
    ],
)
def test_broken_yaml_is_refused_with_its_place(text: str, line: int) -> None:
    (problem,) = problems(lambda: parse_yaml(text, "file"))
    assert "not valid YAML" in problem.rule
    # A thing that is not closed is noticed at the end of the file at the latest.
    assert line <= problem.place.line <= text.count("\n") + 2


@pytest.mark.parametrize("text", ["a: \x07", 'a: "\x00"', "\x01"])
def test_control_characters_are_refused(text: str) -> None:
    (problem,) = problems(lambda: parse_yaml(text, "file"))
    assert "control characters" in problem.rule


def test_a_second_document_is_refused_in_a_whole_sentence() -> None:
    (problem,) = problems(lambda: parse_yaml("a: 1\n---\nb: 2\n", "file"))
    assert problem.place.line == 2
    assert "document" in problem.rule
    assert ": but " not in problem.rule


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "does not exist"), (b"a: \xff\xfe", "UTF-8"), ("a: ä".encode("utf-16"), "UTF-8")],
)
def test_a_file_that_cannot_be_read_is_a_problem_of_the_input(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "moorage.yaml"
    if content is not None:
        file.write_bytes(content)
    (problem,) = problems(lambda: read_yaml(file))
    assert words in problem.rule
    assert problem.place.file == "moorage.yaml"


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    (problem,) = problems(lambda: read_yaml(tmp_path, "app"))
    assert "directory" in problem.rule


def test_a_file_below_a_file_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert problems(lambda: read_yaml(tmp_path / "file" / "compose.yaml"))


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "a: &x {b: *x}",
        "a: &x {<<: *x}",
        "a: &x\n  b:\n    c: [1, *x]\n",
        "a: &x {<<: [{b: 1}, *x]}",
    ],
)
def test_an_anchor_that_contains_itself_is_refused(text: str) -> None:
    assert any("contains itself" in problem.rule for problem in problems(lambda: parse_yaml(text, "file")))


def test_aliases_are_copies() -> None:
    value = parse_yaml("a: &x {list: [1]}\nb: *x\n", "file").value
    assert value == {"a": {"list": [1]}, "b": {"list": [1]}}
    value["a"]["list"].append(2)
    assert value["b"]["list"] == [1]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("x: &x {a: 1, b: 2}\nm: {<<: *x, b: 3}", {"a": 1, "b": 3}),
        ("x: &x {a: 1, b: 2}\nm: {b: 3, <<: *x}", {"a": 1, "b": 3}),
        ("x: &x {a: 1}\ny: &y {a: 2, c: 3}\nm: {<<: [*x, *y]}", {"a": 1, "c": 3}),
        ("x: &x {a: 1}\ny: &y {<<: *x, b: 2}\nm: {<<: *y}", {"a": 1, "b": 2}),
        ("m: {<<: {a: {deep: 1}}, b: 2}", {"a": {"deep": 1}, "b": 2}),
        ("x: &x {a: {p: 1, q: 2}}\nm: {<<: *x, a: {p: 3}}", {"a": {"p": 3}}),
        ('m: {"<<": 1}', {"<<": 1}),
        ("m: {<<: []}", {}),
    ],
)
def test_merge_keys_give_what_the_mapping_itself_does_not_say(text: str, meant: object) -> None:
    assert parse_yaml(text, "file").value["m"] == meant


@pytest.mark.parametrize("source", ["5", "text", "[1]", "[{a: 1}, b]", "~"])
def test_only_mappings_are_merged(source: str) -> None:
    (problem,) = problems(lambda: parse_yaml(f"m:\n  <<: {source}\n", "file"))
    assert "only a mapping" in problem.rule
    assert problem.place.line == 2
    assert problem.key == "m.<<"


def test_what_was_merged_stands_where_it_was_written() -> None:
    document = parse_yaml(
        "x-base: &base\n  image: nginx\n  env: {A: 1}\nweb:\n  <<: *base\n  ports:\n    - 80\n", "file"
    )
    assert str(document.place(("web", "image"))) == "file:2:10"
    assert str(document.place(("web", "image"), of_key=True)) == "file:2:3"
    assert str(document.place(("web", "env", "A"))) == "file:3:12"
    assert str(document.place(("web", "ports", 0))) == "file:7:7"
    assert str(document.place(("web", "ports"), of_key=True)) == "file:6:3"


def test_the_place_of_what_is_not_written_is_that_of_its_nearest_parent() -> None:
    document = parse_yaml("a:\n  b: [1, {c: 2}]\n", "file")
    assert str(document.place(("a", "b", 1, "c"))) == "file:2:14"
    assert str(document.place(("a", "b", 1, "d", "e"))) == "file:2:10"
    assert str(document.place(("a", "z"), of_key=True)) == "file:1:1"
    assert str(document.place(("z",))) == "file:1:1"


@pytest.mark.parametrize("key", ["[a]", "{a: b}"])
def test_a_key_must_be_a_word(key: str) -> None:
    (problem,) = problems(lambda: parse_yaml(f"? {key}\n: value\n", "file"))
    assert "plain word" in problem.rule


@pytest.mark.parametrize("value", ["!!binary aGVsbG8=", "!reset null", "!custom text", "!!timestamp 2024-01-01"])
def test_tags_that_change_the_meaning_are_refused_on_words(value: str) -> None:
    (problem,) = problems(lambda: parse_yaml(f"key: {value}", "file"))
    assert "tag" in problem.rule
    assert problem.key == "key"


@pytest.mark.parametrize("value", ["!reset []", "!override {a: 1}", "!custom [1]", "!!set {a, b}"])
def test_tags_that_change_the_meaning_are_refused_on_lists_and_mappings(value: str) -> None:
    (problem,) = problems(lambda: parse_yaml(f"key: {value}", "file"))
    assert "tag" in problem.rule


@pytest.mark.parametrize("value", ["!!int twelve", "!!float abc", "!!int ''", "!!int 0b11"])
def test_a_number_by_tag_that_is_none_is_a_problem_and_no_crash(value: str) -> None:
    assert problems(lambda: parse_yaml(f"key: {value}", "file"))


def test_a_truth_value_by_tag_that_is_none_is_a_problem() -> None:
    assert problems(lambda: parse_yaml("key: !!bool maybe", "file"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [("!!int 12", 12), ("!!bool true", True), ("!!null ~", None), ("!!str true", "true"), ("<<", "<<")],
)
def test_a_tag_that_says_what_stands_there_is_accepted(written: str, meant: object) -> None:
    assert parse_yaml(f"key: {written}", "file").value == {"key": meant}


@pytest.mark.parametrize("value", ["!!null text", "!private:str x", "!x:null ~"])
def test_a_tag_that_only_looks_like_a_known_one_is_refused(value: str) -> None:
    assert problems(lambda: parse_yaml(f"key: {value}", "file"))


def test_numbers_are_shown_as_they_were_written() -> None:
    document = parse_yaml("base: &b {a: 1.50}\nlist: [+49, 0x1F, true, ~, text, 0755]\nmerged: {<<: *b}\n", "file")
    value = document.with_numbers_as_written()
    assert [str(item) for item in value["list"]] == ["+49", "0x1F", "True", "None", "text", "0755"]
    assert (str(value["base"]["a"]), str(value["merged"]["a"]), value["base"]["a"]) == ("1.50", "1.50", 1.5)
    assert value == document.value


def test_a_number_without_end_is_a_problem_and_no_crash() -> None:
    assert problems(lambda: parse_yaml("key: " + "9" * 5000, "file"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000 + "]" * 3000,
        "{a: " * 3000 + "}" * 3000,
        "- " * 3000,
        "[" * 200_000,
        "{a: " * 200_000,
        "? " * 200_000,
        "a: &a\n" + "".join(" " * level + "a:\n" for level in range(1, 400)),
    ],
)
def test_nesting_without_end_is_a_problem_and_no_crash(text: str) -> None:
    assert problems(lambda: parse_yaml(text, "file"))


def test_ordinary_nesting_is_no_problem() -> None:
    value = parse_yaml("[" * 100 + "]" * 100, "file").value
    depth = 0
    while value:
        (value,) = value
        depth += 1
    assert depth == 99


def test_merges_that_multiply_without_end_are_refused() -> None:
    lines = ["a0: &a0 {}"] + [f"a{level}: &a{level} {{<<: [*a{level - 1}, *a{level - 1}]}}" for level in range(1, 40)]
    (problem,) = problems(lambda: parse_yaml("\n".join(lines), "file"))
    assert "aliases" in problem.rule


def test_ordinary_aliases_are_no_problem() -> None:
    services = "".join(f"  s{number}: {{<<: *common, environment: *env}}\n" for number in range(60))
    text = "x: &common {restart: always, logging: {driver: local, options: {a: 1, b: 2}}}\ny: &env {"
    text += ", ".join(f"V{number}: {number}" for number in range(80)) + "}\nservices:\n" + services
    assert len(parse_yaml(text, "file").value["services"]) == 60


def test_aliases_that_multiply_without_end_are_refused() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{level}: &a{level} [*a{level - 1}, *a{level - 1}]" for level in range(1, 13)]
    assert problems(lambda: parse_yaml("\n".join(lines), "file"))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("services", "web", "ports", 0), "services.web.ports[0]"),
        ((0, "a"), "[0].a"),
        ((), ""),
        (("a", 1, 2), "a[1][2]"),
    ],
)
def test_a_path_is_written_as_people_write_it(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_raise_anything_but_a_problem_of_the_input(text: str) -> None:
    try:
        document = parse_yaml(text, "file")
    except InputError as error:
        assert error.problems
        assert all(problem.place.file == "file" for problem in error.problems)
    else:
        assert document.name == "file"


@given(content=st.binary(max_size=60))
def test_no_bytes_make_the_reader_raise_anything_but_a_problem_of_the_input(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    try:
        read_yaml(file)
    except InputError as error:
        assert error.problems
