"""moorage.yaml → Config per environment, with all its problems at once, each at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from moorage.config import rules
from moorage.config.schema import Config, Domain
from moorage.errors import Problem
from moorage.formats import Document, KeyPath, dotted, read_yaml
from moorage.validation import explain, show_value
from moorage.words import listed, nearest

CONFIG_FILE = "moorage.yaml"
TARGETS = ("compose", "minikube", "eks")
_NOT_PER_ENVIRONMENT = ("name", "environments")


# Stands in until the file itself is read; its values are never used.
_STAND_IN = Config(name="unnamed", app="notes", domain=Domain(name="unnamed.example.com"))


@dataclass
class LoadedConfig:
    """One environment's configuration and where each of its values was written."""

    config: Config
    environment: str
    document: Document
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)

    def source(self, path: KeyPath) -> KeyPath:
        """The path in the file that the value at `path` of the merged configuration comes from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return (*self.origins[path[:length]], *path[length:])
        return path

    def _written(self, path: KeyPath) -> KeyPath:
        """The path as the operator wrote it: `domain: x` is short for `domain: {name: x}`."""
        value: Any = self.document.value
        for index, part in enumerate(path):
            if isinstance(value, (str, int, float)):
                return path[:index]
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return path
        return path

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
        """A problem of the value (or key) at `path`."""
        source = self._written(self.source(path))
        # Where names of secrets belong, people write the secrets themselves.
        shown = show_value(value) if value != "" and path[:1] != ("secrets",) else ""
        return Problem(self.document.place(source, of_key=of_key), dotted(source), rule, shown, suggestion, hint)


def load_document(folder: Path) -> Document:
    """Read moorage.yaml of a deployment folder. Raises InputError when it is missing or not YAML."""
    return read_yaml(folder / CONFIG_FILE, CONFIG_FILE)


def environment_names(document: Document) -> tuple[str, ...]:
    """The default environment (named after the target) first, then the named ones in file order."""
    content = document.value if isinstance(document.value, dict) else {}
    named = content.get("environments")
    names = [str(name) for name in named] if isinstance(named, dict) else []
    default = content.get("target", "compose")
    return tuple(dict.fromkeys([str(default), *names]))


def load_config(document: Document, environment: str) -> tuple[LoadedConfig | None, list[Problem]]:
    """The configuration of one environment and everything that is wrong with it.

    With problems, what is given back is the best reading of the rest (defaults where a value was wrong),
    so that the app's file can be checked in the same run; None when not even that is possible.
    """
    if not isinstance(document.value, dict):
        return None, [Problem(document.place(()), "", "must be a mapping of settings; `moorage init` writes one")]
    # `VERSION: 1.50` is a text to whoever wrote it, and must not lose its zero.
    merged, origins = _with_overrides(document.with_numbers_as_written(), environment)
    loaded = LoadedConfig(_STAND_IN, environment, document, origins)
    problems = list(_environment_problems(document))
    config, found = _validate(merged, loaded)
    problems.extend(found)
    if config is None:
        return None, problems
    loaded.config = config
    return loaded, problems


def _with_overrides(content: dict[str, Any], environment: str) -> tuple[dict[str, Any], dict[KeyPath, KeyPath]]:
    origins: dict[KeyPath, KeyPath] = {}
    named = content.get("environments")
    overrides = named.get(environment) if isinstance(named, dict) else None
    if overrides is None:
        overrides = {}
    if not isinstance(overrides, dict):
        return content, origins
    source: KeyPath = ("environments", environment)
    if environment in TARGETS and "target" not in overrides:
        # An environment that carries the name of a target is for that target.
        overrides = {"target": environment, **overrides}
    allowed = {key: value for key, value in overrides.items() if key not in _NOT_PER_ENVIRONMENT}
    return _merge(content, allowed, (), source, origins), origins


def _merge(
    base: dict[str, Any], override: dict[str, Any], path: KeyPath, source: KeyPath, origins: dict[KeyPath, KeyPath]
) -> dict[str, Any]:
    """Mappings merge key by key; anything else is replaced, lists included."""
    result = dict(base)
    for key, value in override.items():
        here, there = (*path, key), (*source, key)
        below = result.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            result[key] = _merge(below, value, here, there, origins)
        else:
            result[key] = value
            origins[here] = there
    return result


def _environment_problems(document: Document) -> Iterator[Problem]:
    named = document.value.get("environments")
    if not isinstance(named, dict):
        return
    for name, overrides in named.items():
        if not isinstance(overrides, dict):
            continue
        for key in _NOT_PER_ENVIRONMENT:
            if key in overrides:
                path: KeyPath = ("environments", name, key)
                yield Problem(document.place(path, of_key=True), dotted(path), "may not differ between environments")


def _validate(content: dict[str, Any], loaded: LoadedConfig) -> tuple[Config | None, list[Problem]]:
    problems: list[Problem] = []
    removed: set[KeyPath] = set()
    for _ in range(4):
        try:
            return Config.model_validate(content), problems
        except ValidationError as error:
            details = error.errors(include_url=False)
            wrong = {_written_location(detail) for detail in details}
            problems.extend(
                explain(detail, Config, loaded.problem) for detail in details if not _follows(detail, removed, wrong)
            )
            content = _without(content, wrong)
            removed |= wrong
    return None, problems


def _follows(detail: ErrorDetails, removed: set[KeyPath], wrong: set[KeyPath]) -> bool:
    """Whether it is wrong only because something in it is, which is reported itself or was taken out before."""
    here = _written_location(detail)
    return any(path[: len(here)] == here for path in removed) or any(
        len(path) > len(here) and path[: len(here)] == here for path in wrong
    )


def _written_location(detail: ErrorDetails) -> KeyPath:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _without(content: dict[str, Any], wrong: set[KeyPath]) -> dict[str, Any]:
    """A copy with the wrong values taken out and stand-ins for what is required."""
    copy: dict[str, Any] = _deep_copy(content)
    stand_ins = {"name": _STAND_IN.name, "app": _STAND_IN.app, "domain": {"name": _STAND_IN.domain.name}}
    # Deepest and last list items first, so that indexes stay right.
    for clean in sorted(wrong, key=_removal_order, reverse=True):
        parent: Any = copy
        try:
            for part in clean[:-1]:
                parent = parent[part]
            del parent[clean[-1]]
        except (KeyError, IndexError, TypeError):
            if len(clean) > 1:
                copy.pop(str(clean[0]), None)
    for key, value in stand_ins.items():
        if not isinstance(copy.get(key), (str, dict)) or copy.get(key) in ("", {}):
            copy[key] = value
    return copy


def _removal_order(location: tuple[int | str, ...]) -> tuple[int, list[tuple[int, str]]]:
    return len(location), [(part, "") if isinstance(part, int) else (-1, part) for part in location]


def _deep_copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _deep_copy(item) for key, item in value.items()}
    return [_deep_copy(item) for item in value] if isinstance(value, list) else value


def environment_problem(document: Document, environment: str) -> Problem | None:
    """The problem of asking for an environment that the file doesn't have."""
    names = environment_names(document)
    if environment in names:
        return None
    return Problem(
        document.place(("environments",), of_key=True),
        "environments",
        f"has no environment `{environment}`; there are {listed(names)}",
        suggestion=nearest(environment, names),
    )


def is_builtin_name(text: str) -> bool:
    """Whether `app:` names a built-in app rather than a file."""
    try:
        rules.name(text)
    except ValueError:
        return False
    return True


def settings_of_environment(loaded: LoadedConfig) -> dict[str, str]:
    """What moorage.yaml says for this environment alone: dotted key → value as text."""
    named = loaded.document.value.get("environments")
    own = named.get(loaded.environment) if isinstance(named, dict) else None
    return dict(_flat(own, ())) if isinstance(own, dict) else {}


def _flat(value: object, path: KeyPath) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, (*path, key))
    else:
        yield dotted(path), str(value)
