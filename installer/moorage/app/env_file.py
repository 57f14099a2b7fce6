"""Env files of other people, read as Compose reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from moorage.app.interpolation import TemplateError, UnsetVariable, parse_template, substitute
from moorage.errors import Place, Problem
from moorage.sensitive import Text

_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_.][\w.\-]*)\s*(=|:\s|$)\s*(.*)$", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


def read_env_file(
    path: Path, name: str, values: Mapping[str, Text] | None = None, secrets: frozenset[str] = frozenset()
) -> tuple[dict[str, Text], list[Problem]]:
    """Names and values of an env file. Later lines may use earlier ones; `secrets` are names that taint."""
    from moorage.sensitive import Sensitive

    result: dict[str, Text] = {}
    problems: list[Problem] = []
    for number, line in _logical_lines(path.read_text(encoding="utf-8-sig")):
        match = _LINE.match(line)
        place = Place(name, number, 1)
        if match is None:
            problems.append(Problem(place, "", "is not a NAME=value line"))
            continue
        variable, separator, rest = match[1], match[2], match[3]
        if not separator.strip():
            inherited = (values or {}).get(variable)
            if inherited is not None:
                result[variable] = inherited
            continue
        try:
            value = _value(rest, {**(values or {}), **result})
        except (TemplateError, UnsetVariable) as error:
            problems.append(Problem(place, variable, str(error)))
            continue
        result[variable] = Sensitive(value) if variable in secrets and isinstance(value, str) else value
    return result, problems


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers; a quoted value may run over several of them."""
    lines: list[tuple[int, str]] = []
    open_line, open_number, quote = "", 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if quote:
            open_line += "\n" + line
            if _closes(line, quote):
                lines.append((open_number, open_line))
                quote = ""
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        first = match[3][:1] if match and match[2].strip() else ""
        if match and first in ("'", '"') and not _closes(match[3][1:], first):
            open_line, open_number, quote = line, number, first
            continue
        lines.append((number, line))
    if quote:
        lines.append((open_number, open_line))
    return lines


def _closes(text: str, quote: str) -> bool:
    return re.search(r"'" if quote == "'" else r'(?<!\\)(?:\\\\)*"', text) is not None


def _value(text: str, values: Mapping[str, Text]) -> Text:
    if text.startswith("'"):
        return text[1:].partition("'")[0]
    if text.startswith('"'):
        match = re.match(r'^"((?:[^"\\]|\\.)*)"', text, re.DOTALL)
        body = match[1] if match else text[1:]
        unescaped = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), body, flags=re.DOTALL)
        return substitute(parse_template(unescaped), _EmptyForUnset(values))
    plain = re.split(r"\s#", text, maxsplit=1)[0].strip()
    return substitute(parse_template(plain), _EmptyForUnset(values))


class _EmptyForUnset(dict[str, Text]):
    """In an env file an unknown variable is empty, as with Compose."""

    def get(self, name: str, default: object = None) -> Text:  # noqa: ARG002
        return super().get(name, "")
