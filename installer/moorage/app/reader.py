"""Reads typed values out of a document and collects what is wrong, instead of stopping at the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from moorage.app.interpolation import TemplateError, UnsetVariable, parse_template, substitute
from moorage.app.model import Notice
from moorage.app.subset import Rule
from moorage.config.kinds import Model
from moorage.errors import Problem
from moorage.formats import Document, KeyPath, dotted, show_number
from moorage.sensitive import MASK, Sensitive, Text
from moorage.validation import explain, show_value
from moorage.words import nearest

M = TypeVar("M", bound=Model)


class Reader:
    """One pass over one document."""

    def __init__(self, document: Document, folder: Path) -> None:
        self.document = document
        self.folder = folder
        self.problems: list[Problem] = []
        self.notices: list[Notice] = []
        # The places of texts whose variables could not be filled in.
        self.unfilled: set[str] = set()
        self._unset: set[str] = set()

    def problem(
        self,
        path: KeyPath,
        rule: str,
        *,
        value: object = "",
        suggestion: str = "",
        hint: str = "",
        of_key: bool = False,
    ) -> Problem:
        """A problem at a path, not yet collected."""
        shown = MASK if isinstance(value, Sensitive) else show_value(value) if value != "" else ""
        return Problem(self.document.place(path, of_key=of_key), dotted(path), rule, shown, suggestion, hint)

    def report(
        self,
        path: KeyPath,
        rule: str,
        *,
        value: object = "",
        suggestion: str = "",
        hint: str = "",
        of_key: bool = False,
    ) -> None:
        """Collect a problem at a path."""
        self.problems.append(self.problem(path, rule, value=value, suggestion=suggestion, hint=hint, of_key=of_key))

    @contextmanager
    def apart(self, when: bool = True) -> Iterator[list[Problem]]:
        """Collect what is found wrong inside the block in a list of its own, if `when` is true."""
        found: list[Problem] = []
        usual = self.problems
        if when:
            self.problems = found
        try:
            yield found
        finally:
            self.problems = usual

    def notice(self, subject: str, text: str, *, is_minor: bool = False) -> None:
        """Tell of something that was adapted."""
        self.notices.append(Notice(subject, text, is_minor))

    def interpolate(self, value: Any, path: KeyPath, values: Mapping[str, Text], skip: frozenset[str]) -> Any:
        """Fill in the variables of every text below `path`; keys in `skip` stay as they are."""
        if isinstance(value, dict):
            return {
                key: item if key in skip else self.interpolate(item, (*path, key), values, skip)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.interpolate(item, (*path, index), values, skip) for index, item in enumerate(value)]
        if not isinstance(value, str) or "$" not in value:
            return value
        try:
            return substitute(parse_template(value), values)
        except TemplateError as error:
            self.report(path, str(error), value=value)
        except UnsetVariable as error:
            self._report_unset(error, path, values)
        self.unfilled.add(dotted(path))
        return ""

    def _report_unset(self, error: UnsetVariable, path: KeyPath, values: Mapping[str, Text]) -> None:
        """Report a variable without a value where it is used first: one mistake, however often it shows."""
        if error.name not in self._unset:
            hint = f"add {error.name} under `env` in moorage.yaml, or write ${{{error.name}:-}} if empty is meant"
            self.report(path, str(error), suggestion=nearest(error.name, values, 0.8), hint=hint)
        self._unset.add(error.name)

    def keys(self, value: Any, path: KeyPath, rules: Mapping[str, Rule], subject: str) -> dict[str, Any]:
        """The keys of a mapping that are in the subset; the others are reported with their reason."""
        kept: dict[str, Any] = {}
        for key, item in self.mapping(value, path).items():
            rule = rules.get(key)
            if key.startswith("x-"):
                if key == "x-moorage":
                    kept[key] = item
            elif rule is None:
                self.report(
                    (*path, key),
                    "is not a key of the Compose specification",
                    suggestion=nearest(key, rules),
                    of_key=True,
                )
            elif rule.verdict == "refused":
                if not rule.asks_for_nothing(item):
                    self.report((*path, key), f"is not supported: {rule.note}", of_key=True)
            else:
                kept[key] = item
                if rule.verdict == "adapted":
                    self.notice(subject, f"`{key}`: {rule.note}", is_minor=rule.is_minor)
        return kept

    def mapping(self, value: Any, path: KeyPath) -> dict[str, Any]:
        """A mapping; nothing written counts as an empty one."""
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self.report(path, "must be a mapping", value=value)
        return {}

    def sequence(self, value: Any, path: KeyPath) -> list[Any]:
        """A list; a single text counts as a list of one."""
        if value is None:
            return []
        if isinstance(value, list):
            return value
        if isinstance(value, (str, int, float, Sensitive)) and not isinstance(value, bool):
            return [value]
        self.report(path, "must be a list", value=value)
        return []

    def text(self, value: Any, path: KeyPath, default: str = "") -> str:
        """A text that must not be secret: it ends up where other users of the host can read it."""
        if isinstance(value, Sensitive):
            self.report(
                path,
                "uses a secret outside of `environment`, where others could read it",
                hint="put it into `environment` and let the program read it there (`$$NAME` in a shell command)",
            )
            return default
        if value is None:
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return show_number(value)
        if isinstance(value, (str, int)):
            return str(value)
        self.report(path, "must be a text", value=value)
        return default

    def texts(self, value: Any, path: KeyPath) -> tuple[str, ...]:
        """A list of texts."""
        return tuple(self.text(item, (*path, index)) for index, item in enumerate(self.sequence(value, path)))

    def boolean(self, value: Any, path: KeyPath, default: bool = False) -> bool:
        """True or false, also as the words that an interpolated variable gives."""
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "1", "0"):
            return value.lower() in ("true", "yes", "1")
        self.report(path, "must be true or false", value=value)
        return default

    def parsed(self, value: Any, path: KeyPath, parse: Callable[[object], Any]) -> Any:
        """A value in its own form (size, duration, port…), or None when absent or wrong."""
        if value is None or value == "":
            return None
        if isinstance(value, Sensitive):
            return self.text(value, path) or None
        try:
            return parse(value)
        except ValueError as error:
            self.report(path, str(error), value=value)
            return None

    def pairs(self, value: Any, path: KeyPath) -> dict[str, Any]:
        """`NAME: value` or `- NAME=value`; a name alone gives None. A secret is never taken for a name."""
        if not isinstance(value, list):
            return self.mapping(value, path)
        result: dict[str, Any] = {}
        for index, item in enumerate(value):
            here = (*path, index)
            if isinstance(item, Sensitive):
                result.update(self._secret_pair(item, here))
                continue
            problems = len(self.problems)
            name, separator, rest = self.text(item, here).partition("=")
            if len(self.problems) > problems:
                continue
            if name:
                result[name] = rest if separator else None
            else:
                self.report(here, "must be NAME=value")
        return result

    def _secret_pair(self, item: Sensitive, path: KeyPath) -> dict[str, Sensitive]:
        """`NAME=…${SECRET}…`: the name is what stands in the file before the first variable."""
        name, separator, _ = str(self._written(path)).partition("=")
        if not separator or "$" in name:
            self.report(
                path,
                "uses a secret in the place of a name, where others could read it",
                hint="write the name out: `NAME=${VARIABLE}`",
            )
            return {}
        return {name: Sensitive(item.reveal().partition("=")[2])}

    def _written(self, path: KeyPath) -> Any:
        """What stands at a path of the file, variables not filled in."""
        value = self.document.value
        for part in path:
            value = value[part]
        return value

    def plain_pairs(self, value: Any, path: KeyPath) -> dict[str, str | None]:
        """Like `pairs`, of texts that must not be secret."""
        pairs = self.pairs(value, path)
        return {name: None if item is None else self.text(item, (*path, name)) for name, item in pairs.items()}

    def no_secret(self, value: Any, path: KeyPath) -> None:
        """Report every secret at or below `path`."""
        if isinstance(value, dict):
            for key, item in value.items():
                self.no_secret(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.no_secret(item, (*path, index))
        elif isinstance(value, Sensitive):
            self.text(value, path)

    def names(self, value: Any, path: KeyPath) -> dict[str, KeyPath]:
        """Names of a list with their places; what is no name is reported and left out."""
        found: dict[str, KeyPath] = {}
        for index, item in enumerate(self.sequence(value, path)):
            here = (*path, index)
            problems = len(self.problems)
            name = self.text(item, here)
            if not name and len(self.problems) == problems:
                self.report(here, "must be a name")
            elif name:
                found.setdefault(name, here)
        return found

    def model(self, kind: type[M], value: Any, path: KeyPath) -> M:
        """An `x-moorage` block; wrong parts are reported and left out."""
        content = self.mapping(value, path)
        for _ in range(4):
            try:
                return kind.model_validate(content)
            except ValidationError as error:
                details = error.errors(include_url=False)
                self.problems.extend(explain(detail, kind, self.problem, path) for detail in details)
                wrong = {detail["loc"][0] for detail in details if detail["loc"]}
                content = {key: item for key, item in content.items() if key not in wrong} if wrong else {}
        return kind()


def slug(text: str) -> str:
    """A name for volumes and files: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
