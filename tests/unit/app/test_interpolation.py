"""`${VARIABLE}` as the Compose specification has it, and what becomes of secrets in it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.app.interpolation import (
    Part,
    Reference,
    TemplateError,
    UnsetVariable,
    parse_template,
    references,
    substitute,
)
from moorage.sensitive import Sensitive, Text, reveal


def filled(text: str, values: Mapping[str, Text] | None = None) -> Text:
    return substitute(parse_template(text), values or {})


VALUES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$SET", "value"),
        ("${SET}", "value"),
        ("a$SET.b", "avalue.b"),
        ("${SET}SET", "valueSET"),
        ("$SET$SET", "valuevalue"),
        ("$EMPTY|", "|"),
        ("${SET:-x}", "value"),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-x}", "x"),
        ("${SET-x}", "value"),
        ("${EMPTY-x}", ""),
        ("${NONE-x}", "x"),
        ("${NONE:-}", ""),
        ("${NONE-}", ""),
        ("${SET:+x}", "x"),
        ("${EMPTY:+x}", ""),
        ("${NONE:+x}", ""),
        ("${SET+x}", "x"),
        ("${EMPTY+x}", "x"),
        ("${NONE+x}", ""),
        ("${SET:?message}", "value"),
        ("${SET?message}", "value"),
        ("${EMPTY?message}", ""),
        ("$$", "$"),
        ("$$SET", "$SET"),
        ("$${SET}", "${SET}"),
        ("$$$SET", "$value"),
        ("$$$$", "$$"),
        ("${NONE:-$$}", "$"),
        ("${NONE:-${SET}}", "value"),
        ("${NONE:-$SET}", "value"),
        ("${NONE:-a${NONE:-b${SET}c}d}", "abvaluecd"),
        ("${NONE:-${EMPTY:-${NONE-deep}}}", "deep"),
        ("${SET:+${EMPTY:-other}}", "other"),
        ("${NONE:-x:-y}", "x:-y"),
        ("${NONE:-a b#c}", "a b#c"),
        ("${NONE:--x}", "-x"),
        ("${NONE--}", "-"),
        ("${NONE:-http://h:80/p?q}", "http://h:80/p?q"),
        ('${NONE:-{"a":1}}', '{"a":1}'),
        ("${NONE:-a}b}", "ab}"),
        ("a}b{c", "a}b{c"),
        ("${NONE:-\n}", "\n"),
        ("${SET:?}", "value"),
        ("ü$SET", "üvalue"),
        ("$SETü", "valueü"),
    ],
)
def test_every_form_gives_what_compose_gives(text: str, result: str) -> None:
    assert filled(text, VALUES) == result


# Refused by Compose as well, see tests/contract.
BROKEN = [
    "${", "${}", "${1}", "${SET", "${SET:", "${SET:x}", "${SET!x}", "${SET x}", "${SET.x}", "${SET:-", "${SET:-${NONE}", "${ SET}",
    "${-x}", "a ${", "${NONE:-${}}", "${NONE:-${1}}", "${SET:+${1}}",
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_reference_is_refused(text: str) -> None:
    with pytest.raises(TemplateError) as error:
        parse_template(text)
    assert str(error.value).startswith("has a ")


# What a dollar sign is to Compose that starts neither a name nor a brace.
LITERAL = [
    "$", "a$", "$ ", "$1", "$-", "$(x)", "test $(redis-cli ping) = PONG", "$ü", "5$ and more", "$.a", "$}", "${NONE:-$}", "${NONE:-$(x)}",
]  # fmt: skip


@pytest.mark.parametrize("text", LITERAL)
def test_a_dollar_sign_that_starts_no_variable_is_one(text: str) -> None:
    assert filled(text) == text.removeprefix("${NONE:-").removesuffix("}" if text.startswith("${") else "")


@pytest.mark.parametrize("name", ["lower", "_under", "MiXed9", "__", "A1_b2"])
def test_a_name_is_letters_digits_and_underscores(name: str) -> None:
    assert filled(f"${name}/${{{name}}}", {name: "x"}) == "x/x"


@pytest.mark.parametrize(
    ("text", "required"),
    [("$NONE", False), ("${NONE}", False), ("${NONE:?}", True), ("${NONE?}", True), ("${EMPTY:?}", True)],
)
def test_a_variable_without_value_and_default_is_named(text: str, required: bool) -> None:
    with pytest.raises(UnsetVariable) as error:
        filled(text, VALUES)
    assert error.value.name in ("NONE", "EMPTY")
    assert error.value.required is required
    assert error.value.name in str(error.value)


def test_the_message_of_a_required_variable_is_told() -> None:
    with pytest.raises(UnsetVariable, match=r"^set it to value$"):
        filled("${NONE:?set it to $SET}", VALUES)


def test_the_message_of_a_required_variable_needs_no_values() -> None:
    with pytest.raises(UnsetVariable, match=r"^look at .$") as error:
        filled("${NONE:?look at $OTHER.}", VALUES)
    assert error.value.name == "NONE"


@pytest.mark.parametrize(
    ("text", "result"),
    [("a$NONE", "a"), ("${NONE}b", "b"), ("${NONE-x$OTHER}", "x"), ("${NONE+x}", ""), ("${SET:+$NONE}", "")],
)
def test_what_is_unset_may_be_empty_where_nothing_else_is_said(text: str, result: str) -> None:
    assert substitute(parse_template(text), VALUES, unset_is_empty=True) == result
    with pytest.raises(UnsetVariable):
        substitute(parse_template(text + "${NONE:?}"), VALUES, unset_is_empty=True)


def test_a_part_that_is_not_used_needs_no_value() -> None:
    assert filled("${SET:-$NONE}", VALUES) == "value"
    assert filled("${NONE:+$OTHER}", VALUES) == ""


def test_every_variable_of_a_template_is_found_also_in_defaults() -> None:
    found = references(parse_template("$A ${B:-${C:-$D}} ${E:?$F} $$G"))
    assert [reference.name for reference in found] == ["A", "B", "C", "D", "E", "F"]


# Secrets.

SECRET = "s3cr3t-Zq"


@pytest.mark.parametrize(
    "text",
    ["$S", "${S}", "a${S}b", "${S:-x}", "${S-x}", "${S:?x}", "${NONE:-$S}", "${NONE:-${NONE-${S}}}", "${SET:+$S}", "${SET+a${S}b}",
     "$SET$S", "${S:+$S}"],
)  # fmt: skip
def test_a_text_that_contains_a_secret_is_secret(text: str) -> None:
    result = filled(text, {**VALUES, "S": Sensitive(SECRET)})
    assert isinstance(result, Sensitive)
    assert SECRET in result.reveal()


@pytest.mark.parametrize(
    ("text", "result"), [("${SET:-$S}", "value"), ("${S:+x}", "x"), ("${NONE:+$S}", ""), ("$$S", "$S")]
)
def test_a_text_that_only_could_have_contained_a_secret_is_not(text: str, result: str) -> None:
    assert filled(text, {**VALUES, "S": Sensitive(SECRET)}) == result


@pytest.mark.parametrize("text", ["${NONE:?ask with $S}", "${NONE?${S}}", "${EMPTY:?${NONE:-$S}}"])
def test_the_message_of_a_required_variable_never_shows_a_secret(text: str) -> None:
    with pytest.raises(UnsetVariable) as error:
        filled(text, {**VALUES, "S": Sensitive(SECRET)})
    assert SECRET not in str(error.value)
    assert SECRET not in repr(error.value)


NAMES = st.sampled_from(["A", "B", "C", "D", "E"])
LITERALS = st.text(st.sampled_from("abc -:?+/ü#"), max_size=4)
TEMPLATES = st.recursive(
    st.lists(st.one_of(LITERALS, NAMES.map(lambda name: f"${{{name}}}"), st.just("$$")), max_size=3).map("".join),
    lambda inner: st.lists(
        st.one_of(
            LITERALS,
            # `?` is left out: its message is the subject of the test above.
            st.tuples(NAMES, st.sampled_from([":-", "-", ":+", "+"]), inner).map(
                lambda it: f"${{{it[0]}{it[1]}{it[2]}}}"
            ),
        ),
        max_size=3,
    ).map("".join),
    max_leaves=8,
)
SECRETS = {name: f"<<{name}-secret>>" for name in "ABCDE"}


@given(TEMPLATES, st.dictionaries(NAMES, st.sampled_from(["plain", "secret", "empty", "empty secret"])))
def test_a_result_is_secret_exactly_when_a_secret_was_filled_in(text: str, kinds: dict[str, str]) -> None:
    kind_values: dict[str, Text] = {
        name: {
            "plain": "p",
            "secret": Sensitive(SECRETS[name]),
            "empty": "",
            "empty secret": Sensitive(""),
        }[kind]
        for name, kind in kinds.items()
    }
    try:
        result = filled(text, kind_values)
    except UnsetVariable as error:
        assert not any(secret in str(error) for secret in SECRETS.values())
        return
    shown = reveal(result)
    if any(secret in shown for secret in SECRETS.values()):
        assert isinstance(result, Sensitive)
        assert str(result) == repr(result) == f"{result}" == "[secret]"
    elif "empty secret" not in kinds.values():
        assert isinstance(result, str)


@given(TEMPLATES)
def test_what_is_secret_does_not_change_what_the_text_is(text: str) -> None:
    plain = dict.fromkeys("ABC", "x")
    secret: dict[str, Text] = {name: Sensitive(value) for name, value in plain.items()}
    try:
        expected = reveal(filled(text, plain))
    except UnsetVariable as error:
        with pytest.raises(UnsetVariable, match=error.name):
            filled(text, secret)
        return
    assert reveal(filled(text, secret)) == expected


def written(parts: tuple[Part, ...]) -> str:
    """The parts as a text again."""
    return "".join(
        part.replace("$", "$$") if isinstance(part, str) else f"${{{part.name}{part.operator}{written(part.argument)}}}"
        for part in parts
    )


@given(TEMPLATES)
def test_parsing_loses_nothing(text: str) -> None:
    parts = parse_template(text)
    assert parse_template(written(parts)) == parts
    assert all(isinstance(part, (str, Reference)) for part in parts)


@given(st.text(max_size=40))
def test_a_text_with_doubled_dollar_signs_is_itself(text: str) -> None:
    assert filled(text.replace("$", "$$")) == text


@given(st.text(st.sampled_from("${}:-+?AB a"), max_size=20))
def test_no_text_makes_the_parser_raise_anything_but_a_template_error(text: str) -> None:
    try:
        parts = parse_template(text)
    except TemplateError:
        return
    try:
        substitute(parts, {"A": "x"})
    except UnsetVariable:
        return


def test_defaults_in_defaults_without_end_are_refused_and_no_crash() -> None:
    with pytest.raises(TemplateError):
        parse_template("${A:-" * 2000 + "}" * 2000)
