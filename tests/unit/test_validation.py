"""Pydantic's errors in the words of this program."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from moorage.errors import Place, Problem
from moorage.formats import KeyPath, dotted
from moorage.validation import explain, show_value


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    mode: Literal["letsencrypt", "files"] = "files"
    count: int = Field(1, ge=1, le=9)
    ratio: float = 1.0
    flag: bool = False
    word: str = Field("x", min_length=1, max_length=5)
    code: str = Field("a", pattern="^[a-z]+$")


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    needed: str
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    perhaps: Annotated[Inner | None, Field(description="x")] = None
    filled: tuple[str, ...] = Field(("a",), min_length=1)


def report(
    path: KeyPath, rule: str, *, value: object = "", suggestion: str = "", hint: str = "", of_key: bool = False
) -> Problem:
    return Problem(Place("f"), dotted(path), rule, "" if value == "" else show_value(value), suggestion, hint)


def explained(**content: Any) -> dict[str, Problem]:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({"needed": "x", **content})
    found = [explain(detail, Outer, report, ("base",)) for detail in error.value.errors()]
    return {problem.key: problem for problem in found}


@pytest.mark.parametrize(
    ("content", "key", "rule"),
    [
        ({"needed": 5}, "needed", "must be a text"),
        ({"inner": 5}, "inner", "must be a mapping"),
        ({"several": 5}, "several", "must be a list"),
        ({"named": []}, "named", "must be a mapping"),
        ({"filled": []}, "filled", "must not be empty"),
        ({"inner": {"mode": "x"}}, "inner.mode", "must be letsencrypt or files"),
        ({"inner": {"count": 0}}, "inner.count", "must be at least 1"),
        ({"inner": {"count": 10}}, "inner.count", "must be at most 9"),
        ({"inner": {"count": "x"}}, "inner.count", "must be a whole number"),
        ({"inner": {"count": 1.5}}, "inner.count", "must be a whole number"),
        ({"inner": {"flag": "perhaps"}}, "inner.flag", "must be true or false"),
        ({"inner": {"flag": []}}, "inner.flag", "must be true or false"),
        ({"inner": {"word": ""}}, "inner.word", "must not be empty"),
        ({"inner": {"word": "too long"}}, "inner.word", "must have at most 5 characters"),
        ({"inner": {"code": "A"}}, "inner.code", "must match ^[a-z]+$"),
        ({"several": [{}, {"count": 0}]}, "several[1].count", "must be at least 1"),
        ({"named": {"a": {"count": 0}}}, "named.a.count", "must be at least 1"),
        ({"perhaps": {"count": 0}}, "perhaps.count", "must be at least 1"),
    ],
)
def test_a_rule_is_told_in_words(content: dict[str, Any], key: str, rule: str) -> None:
    (problem,) = explained(**content).values()
    assert (problem.key, problem.rule) == (f"base.{key}", rule)


def test_what_is_missing_is_required() -> None:
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({})
    (detail,) = error.value.errors()
    assert explain(detail, Outer, report).rule == "is required"


@pytest.mark.parametrize(
    ("content", "key", "suggestion"),
    [
        ({"iner": {}}, "iner", "inner"),
        ({"inner": {"cuont": 1}}, "inner.cuont", "count"),
        ({"several": [{"cuont": 1}]}, "several[0].cuont", "count"),
        ({"named": {"a": {"cuont": 1}}}, "named.a.cuont", "count"),
        ({"perhaps": {"cuont": 1}}, "perhaps.cuont", "count"),
        ({"inner": {"mode": "letsencript"}}, "inner.mode", "letsencrypt"),
        ({"perhaps": {"mode": "fils"}}, "perhaps.mode", "files"),
    ],
)
def test_the_nearest_right_word_is_suggested_at_every_depth(content: dict[str, Any], key: str, suggestion: str) -> None:
    problem = explained(**content)[f"base.{key}"]
    assert problem.suggestion == suggestion
    assert problem.hint == ""


def test_without_a_near_word_all_are_named() -> None:
    problem = explained(inner={"zzz": 1})["base.inner.zzz"]
    assert problem.suggestion == ""
    assert all(name in problem.hint for name in ("mode", "count", "flag"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "'x'"),
        ("it's", '"it\'s"'),
        ("two\nlines", "'two\\nlines'"),
        (5, "5"),
        (True, "true"),
        (None, "nothing"),
        ({"a": 1}, "a mapping"),
        ([1], "a list"),
        ((1,), "a list"),
        ("", "''"),
    ],
)
def test_a_value_is_shown_in_one_short_line(value: object, text: str) -> None:
    assert show_value(value) == text


def test_a_long_value_is_cut() -> None:
    shown = show_value("x" * 1000)
    assert len(shown) <= 60
    assert shown.startswith("'xxx")
    assert shown.endswith("…'")


@pytest.mark.parametrize(
    "value",
    [
        "https://user:hunter2@host/path",
        "postgres://u:hun/ter2@h/db",
        "postgres://u:hun@ter2@h/db",
        "see x://:hunter2@h",
        "x://hunter2@",
    ],
)
def test_a_password_in_an_address_is_not_shown(value: str) -> None:
    assert "ter2" not in show_value(value)
    assert "[secret]@" in show_value(value)
