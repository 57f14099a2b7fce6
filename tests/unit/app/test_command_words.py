"""A database's command becomes words; a secret in it is one word, or a part of one, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.app.command_words import split_words
from moorage.sensitive import Sensitive, Text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("redis-server --save 60 1", ["redis-server", "--save", "60", "1"]),
        ("x 'two words' \"three more words\"", ["x", "two words", "three more words"]),
        ("x ${PLAIN}", ["x", "two", "words"]),
        ("x '${PLAIN}'", ["x", "two words"]),
        ("x ${SECRET}", ["x", Sensitive('it\'s "one" $word')]),
        ("x --key=${SECRET}!", ["x", Sensitive('--key=it\'s "one" $word!')]),
        ("x ${EMPTY}", ["x", Sensitive("")]),
        ("x $$HOME", ["x", "$HOME"]),
        ("", []),
    ],
)
def test_a_command_is_split_before_secrets_are_filled_in(text: str, words: list[Text]) -> None:
    values = {"PLAIN": "two words", "SECRET": Sensitive('it\'s "one" $word'), "EMPTY": Sensitive("")}
    assert list(split_words(text, values)) == words


@pytest.mark.parametrize("text", ["x 'open", 'x "open', "x \\", "x \0 y"])
def test_what_is_no_command_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        split_words(text, {})


@given(st.text())
def test_any_secret_comes_through_whole(secret: str) -> None:
    assert split_words("x a${S}b", {"S": Sensitive(secret)}) == ("x", Sensitive(f"a{secret}b"))
