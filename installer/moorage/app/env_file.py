"""Env files of other people, read as Compose reads them (compose-go, package dotenv)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moorage.app.interpolation import TemplateError, UnsetVariable, parse_template, substitute
from moorage.errors import Place, Problem
from moorage.sensitive import Sensitive, Text, reveal

# What Go takes for white space, with and without the line end; Python's own list is another one.
_SPACE_IN_LINE = "\t\v\f\r \x85\xa0"
_SPACE = (
    _SPACE_IN_LINE
    + "\n\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_EXPORT = re.compile(r"export[\t\f\r ]+")
_NAME = re.compile(rf"(?:\w|[.\-\[\]{_SPACE_IN_LINE}])*")
_ESCAPE = re.compile(r'\\(?:[abfnrtv$"\\]|0[0-9]{0,3})')
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\", "$": "$$",
}  # fmt: skip


class _LineError(ValueError):
    """What is wrong with a value, as a sentence that follows the name; never a part of the value itself."""


def read_env_file(
    path: Path, name: str, values: Mapping[str, Text] | None = None, secrets: frozenset[str] = frozenset()
) -> tuple[dict[str, Text], list[Problem]]:
    """Names and values of an env file. `values` win over earlier lines; `secrets` are names that taint."""
    try:
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        return {}, [Problem(Place(name), "", f"is not UTF-8 text (byte {error.start})", hint="save it as UTF-8")]
    except OSError as error:
        return {}, [Problem(Place(name), "", f"can't be read: {error.strerror}")]
    file = _EnvFile(text, name, values or {}, secrets)
    file.read()
    return file.result, file.problems


@dataclass
class _EnvFile:
    """One pass over the text; `position` is what was read so far."""

    text: str
    name: str
    values: Mapping[str, Text]
    secrets: frozenset[str]
    position: int = 0
    result: dict[str, Text] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self) -> None:
        quote_end = -1
        while self._to_statement():
            start = self.position
            behind_quote = quote_end >= 0 and "\n" not in self.text[quote_end:start]
            variable, separator = self._variable()
            if not variable or (behind_quote and not separator):
                rule = "has something behind its closing quote" if behind_quote else "is not a NAME=value line"
                self._report(start, "", rule)
                self._skip_line()
            elif separator:
                quote_end = self._assign(start, variable)
            elif variable in self.values:
                self.result[variable] = self.values[variable]

    def _to_statement(self) -> bool:
        """Skip blanks and comments; whether anything follows."""
        while True:
            self._skip(_SPACE)
            if not self.text.startswith("#", self.position):
                return self.position < len(self.text)
            self._skip_line()

    def _variable(self) -> tuple[str, str]:
        """The name and the sign behind it; no name when the line is no assignment, no sign when it stands alone."""
        export = _EXPORT.match(self.text, self.position)
        if export:
            self.position = export.end()
            self._skip(_SPACE_IN_LINE)
        match = _NAME.match(self.text, self.position)
        end = match.end() if match else self.position
        variable, separator = self.text[self.position : end].strip(_SPACE), self.text[end : end + 1]
        if separator not in ("=", ":", "\n", "") or any(sign in variable for sign in _SPACE_IN_LINE):
            return "", ""
        self.position = end + len(separator)
        return variable, separator.strip("\n")

    def _assign(self, start: int, variable: str) -> int:
        """Read a value; gives the position behind its closing quote, or -1 without one."""
        self._skip(_SPACE_IN_LINE)
        quote = self.text[self.position : self.position + 1]
        is_quoted = quote in ("'", '"') and quote != ""
        try:
            raw = self._quoted(quote) if is_quoted else self._unquoted()
            value: Text = raw if quote == "'" else substitute(parse_template(raw), self._known(), unset_is_empty=True)
            if "\0" in reveal(value):
                raise _LineError("must not contain a NUL character")
            self.result[variable] = Sensitive(reveal(value)) if variable in self.secrets else value
        except (TemplateError, UnsetVariable, _LineError) as error:
            self._report(start, variable, str(error))
        return self.position if is_quoted else -1

    def _known(self) -> dict[str, Text]:
        return {**self.result, **self.values}

    def _unquoted(self) -> str:
        start = self.position
        self._skip_line()
        return self.text[start : self.position].partition("\n")[0].partition(" #")[0].rstrip(_SPACE)

    def _quoted(self, quote: str) -> str:
        body = re.compile(rf"{quote}((?:[^{quote}\\]|\\.)*){quote}", re.DOTALL).match(self.text, self.position)
        if body is None:
            self.position = len(self.text)
            raise _LineError(f"has a {quote} that is never closed; the lines below it were not read")
        self.position = body.end()
        # The quote loses its backslash first: what is left of `\\"` is one escape, not two.
        text = re.sub(r"\\(.)", lambda it: quote if it[1] == quote else it[0], body[1], flags=re.DOTALL)
        return text if quote == "'" else _ESCAPE.sub(_unescaped, text)

    def _skip(self, signs: str) -> None:
        while self.position < len(self.text) and self.text[self.position] in signs:
            self.position += 1

    def _skip_line(self) -> None:
        end = self.text.find("\n", self.position)
        self.position = len(self.text) if end < 0 else end + 1

    def _report(self, start: int, variable: str, rule: str) -> None:
        line = self.text.count("\n", 0, start) + 1
        self.problems.append(Problem(Place(self.name, line, start - self.text.rfind("\n", 0, start)), variable, rule))


def _unescaped(escape: re.Match[str]) -> str:
    """The sign behind a backslash; `\\$` stays doubled for the interpolation that follows."""
    letters = escape[0][1:]
    if not letters.startswith("0"):
        return _ESCAPES[letters]
    # An octal number has three digits behind its zero; of anything else Compose takes the zero away.
    is_octal = re.fullmatch(r"0[0-3][0-7]{2}", letters) is not None
    return chr(int(letters, 8)) if is_octal else "\\" + letters[1:]
