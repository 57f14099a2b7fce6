"""A secret cannot be printed, logged, serialised or compared by accident."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.sensitive import MASK, Sensitive, reveal

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        lambda value: f"{value}",
        lambda value: f"{value!r:>40}",
        lambda value: f"{value:>40}",
        lambda value: f"{value:s}",
        lambda value: "%s %r" % (value, value),  # noqa: UP031 - old code does it
        lambda value: str([value, {value: value}, (value,)]),
        lambda value: json.dumps({"value": value}, default=str),
    ],
)
def test_no_way_of_printing_shows_a_secret(show: object) -> None:
    text = show(Sensitive(SECRET))  # type: ignore[operator]
    assert SECRET not in text
    assert MASK in text


def test_a_dataclass_around_a_secret_does_not_show_it() -> None:
    @dataclass(frozen=True)
    class Holder:
        password: Sensitive

    assert SECRET not in repr(Holder(Sensitive(SECRET)))


def test_a_log_line_does_not_show_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("moorage").warning("password %s %r", Sensitive(SECRET), Sensitive(SECRET))
    assert SECRET not in caplog.text


def test_an_exception_that_carries_a_secret_does_not_show_it() -> None:
    try:
        raise ValueError(Sensitive(SECRET))
    except ValueError:
        assert SECRET not in traceback.format_exc()


@pytest.mark.parametrize("serialise", [pickle.dumps, json.dumps, copy.deepcopy, copy.copy])
def test_a_secret_is_not_serialised_or_copied(serialise: object) -> None:
    with pytest.raises(TypeError) as refused:
        serialise(Sensitive(SECRET))  # type: ignore[operator]
    assert SECRET not in str(refused.value)


def test_a_secret_is_no_text() -> None:
    secret = Sensitive(SECRET)
    assert not isinstance(secret, str)
    with pytest.raises(TypeError):
        "".join(["a", secret])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        _ = "a" + secret  # type: ignore[operator]
    assert not hasattr(secret, "__dict__")


@given(st.text(), st.text())
def test_secrets_are_equal_exactly_when_their_texts_are(first: str, second: str) -> None:
    assert (Sensitive(first) == Sensitive(second)) == (first == second)
    assert Sensitive(first) != first
    assert len({Sensitive(first), Sensitive(first)}) == 1


def test_secrets_of_any_bytes_can_be_compared() -> None:
    binary = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert Sensitive(binary) == Sensitive(binary)


@given(st.text())
def test_only_reveal_gives_the_text_out(text: str) -> None:
    assert reveal(Sensitive(text)) == Sensitive(text).reveal() == reveal(text) == text
