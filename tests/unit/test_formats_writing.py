"""What is written is read back the same, by us, by other YAML readers and by Compose's env reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moorage.formats import dump_env, dump_json, dump_yaml, parse_yaml, show_number

# Signs that YAML readers treat in a special way, mixed with ordinary ones.
SPITEFUL = st.text(
    st.sampled_from("a1 \n\r\t:-#'\"\\{}[],&*!|>%@`?=~$<.+eExobyYnN_0\x00\x07\x7f\x85\u2028\u2029\ufeffü🙂"),
    max_size=14,
)
TEXTS = st.one_of(st.text(max_size=30), SPITEFUL)
PLAIN = st.recursive(
    st.one_of(TEXTS, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_dumped_means_the_same_to_pyyaml(value: Any) -> None:
    assert yaml.safe_load(dump_yaml({"value": value})) == {"value": value}


@given(TEXTS)
def test_every_text_comes_back_from_our_own_reader(text: str) -> None:
    assert parse_yaml(dump_yaml({"value": text, text: [text]}), "file").value == {"value": text, text: [text]}


@pytest.mark.parametrize(
    "text",
    ["1e3", "1E5", "0o17", "0x1F", "0b11", "1_000", "22:22", "0755", "yes", "No", "ON", "y", "n", "~", "null", "", "1.0",
     ".5", "-1", "+.5", "1_0", "0b1_1", "0x_F", "2024-01-01", "=", "<<", ".inf", ".NaN", "-", "---", "...", "- a", "a: b", "a #b", "#a", "true"],
)  # fmt: skip
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    written = dump_yaml({"value": text})
    assert parse_yaml(written, "file").value == {"value": text}
    assert yaml.safe_load(written) == {"value": text}


@pytest.mark.parametrize("text", ["1e-3", "1E+5", "2e-7", "+.5", "-2e+10"])
def test_a_number_with_a_signed_exponent_stays_a_text(text: str) -> None:
    assert parse_yaml(dump_yaml({"value": text}), "file").value == {"value": text}


@given(PLAIN)
def test_the_same_value_gives_the_same_bytes(value: Any) -> None:
    assert dump_yaml({"value": value}) == dump_yaml({"value": value})
    assert dump_json({"value": value}) == dump_json({"value": value})


def test_yaml_keeps_the_order_and_never_uses_anchors() -> None:
    shared = {"z": 1, "a": [1]}
    assert list(yaml.safe_load(dump_yaml({"z": shared, "a": shared}))) == ["z", "a"]
    assert "&" not in dump_yaml({"z": shared, "a": shared})


@given(st.dictionaries(TEXTS, st.integers(), max_size=5))
def test_json_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert dump_json(value) == dump_json(backwards)
    assert json.loads(dump_json(value)) == value
    assert dump_json(value).endswith("}\n")


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "1"), (1e3, "1000"), (999999.5, "999999.5"), (1e6, "1e+06"), (1234567.0, "1.234567e+06"), (0.0001, "0.0001"),
     (0.00001, "1e-05"), (-0.0, "-0"), (0.5, "0.5"), (1e21, "1e+21"), (1.5e-10, "1.5e-10"), (float("inf"), "+Inf"),
     (float("-inf"), "-Inf"), (float("nan"), "NaN")],
)  # fmt: skip
def test_a_decimal_number_becomes_the_text_that_compose_makes_of_it(number: float, text: str) -> None:
    assert show_number(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_decimal_number_loses_nothing(number: float) -> None:
    assert float(show_number(number)) == number


@pytest.mark.parametrize("header", ["", "one line", "two\nlines", "with a blank\n\nline", "with\ttab: {and} [signs]"])
def test_a_header_is_comments_only(header: str) -> None:
    assert yaml.safe_load(dump_yaml({"a": 1}, header)) == {"a": 1}
    assert len(dump_yaml({"a": 1}, header).splitlines()) == len(header.splitlines()) + 1
    assert all(line.startswith("#") for line in dump_env({}, header).splitlines())


def test_several_lines_are_written_as_a_block_that_people_can_read() -> None:
    assert dump_yaml({"script": "one\ntwo\n"}) == "script: |\n  one\n  two\n"


def compose_env_value(quoted: str) -> str:
    """What Compose's reader makes of a double-quoted value (compose-go, dotenv/parser.go), without variables."""
    assert quoted[0] == quoted[-1] == '"'
    result, position = "", 1
    known = {
        "n": "\n",
        "r": "\r",
        "t": "\t",
        "a": "\a",
        "b": "\b",
        "v": "\v",
        "f": "\f",
        '"': '"',
        "\\": "\\",
        "$": "$",
    }
    while position < len(quoted) - 1:
        character = quoted[position]
        assert character not in '"\n', "ends the value or the line"
        assert character != "$", "starts a variable"
        if character == "\\":
            assert quoted[position + 1] in known, "an escape that Compose does not know"
            result += known[quoted[position + 1]]
            position += 2
            continue
        result += character
        position += 1
    return result


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), TEXTS, max_size=5))
def test_every_value_of_an_env_file_arrives_unchanged(values: dict[str, str]) -> None:
    lines = dump_env(values).split("\n")
    assert lines.pop() == ""
    assert [line.partition("=")[0] for line in lines] == sorted(values)
    for line in lines:
        name, _, quoted = line.partition("=")
        assert compose_env_value(quoted) == values[name]


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.text(max_size=5)))
def test_an_env_file_does_not_depend_on_the_order_of_names(values: dict[str, str]) -> None:
    assert dump_env(values) == dump_env(dict(reversed(values.items())))
