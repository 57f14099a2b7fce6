"""A database's command as words. It is split before secrets are filled in: a secret is one word, whatever is in it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from moorage.app.interpolation import TemplateError, UnsetVariable, parse_template, substitute
from moorage.app.reader import Reader
from moorage.formats import KeyPath
from moorage.sensitive import Sensitive, Text


def read_words(reader: Reader, value: Any, path: KeyPath, values: Mapping[str, Text]) -> tuple[Text, ...]:
    """The words of a command whose `value` has its variables filled in; some may be secret."""
    if isinstance(value, list):
        return tuple(
            item if isinstance(item, Sensitive) else reader.text(item, (*path, index))
            for index, item in enumerate(value)
        )
    if not value:
        return ()
    try:
        return split_words(str(_written(reader.document.value, path)), values)
    except (TemplateError, UnsetVariable):
        return ()
    except ValueError as error:
        reader.report(path, f"is not a valid command line: {error}", value=value)
        return ()


def split_words(text: str, values: Mapping[str, Text]) -> tuple[Text, ...]:
    """Split a template as a shell would. Raises ValueError for an open quote."""
    secrets: list[Sensitive] = []
    line = ""
    for part in parse_template(text):
        filled = part if isinstance(part, str) else substitute((part,), values)
        if isinstance(filled, Sensitive):
            secrets.append(filled)
            line += f"\0{len(secrets) - 1}\0"
        elif "\0" in filled:
            raise ValueError("a NUL character")
        else:
            line += filled
    return tuple(_with_secrets(word, secrets) for word in shlex.split(line))


def _with_secrets(word: str, secrets: list[Sensitive]) -> Text:
    pieces = word.split("\0")
    if len(pieces) == 1:
        return word
    return Sensitive(
        "".join(secrets[int(piece)].reveal() if index % 2 else piece for index, piece in enumerate(pieces))
    )


def _written(value: Any, path: KeyPath) -> Any:
    """What stands at a path of the file, variables not filled in."""
    for part in path:
        value = value[part]
    return value
