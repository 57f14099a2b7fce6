"""The values behind `${VARIABLE}`: the operator's, the app's defaults, the platform's, and the secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from moorage.app.extension import AppExtension
from moorage.app.interpolation import (
    Reference,
    TemplateError,
    UnsetVariable,
    parse_template,
    references,
    substitute,
)
from moorage.app.reader import Reader
from moorage.app.secrecy import looks_secret
from moorage.config.loading import LoadedConfig
from moorage.config.secrets import SecretNeed
from moorage.errors import Problem
from moorage.sensitive import Text
from moorage.words import listed, nearest

# As in Compose: the profiles whose services run, with commas between.
PROFILES = "COMPOSE_PROFILES"
_SITE = frozenset({"DEPLOYMENT_NAME", "COMPOSE_PROJECT_NAME", "DOMAIN", "BASE_URL"})
_DEFAULTS = frozenset({"ENVIRONMENT", "PROTOCOL", "IMAGE_PREFIX", "IMAGE_TAG", "TLS_MODE", "HTTPS"})
_POSTGRES = frozenset(
    {"POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "POSTGRES_TLS"}
)
_REDIS = frozenset({"REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_URL"})


def names_of_moorage(extension: AppExtension, *, builtin: bool) -> frozenset[str]:
    """The variables that moorage sets itself for this app, so that an operator's value would contradict it.

    What the site is called stands in moorage.yaml already. The rest are everyday names: in somebody's own file
    `ENVIRONMENT` or `POSTGRES_USER` is the app's, unless it asks moorage for the database.
    """
    names = _SITE | (_DEFAULTS if builtin else frozenset())
    names |= _POSTGRES if extension.requires.postgres is not None else frozenset()
    return names | (_REDIS if extension.requires.redis is not None else frozenset())


def names_with_values(extension: AppExtension) -> frozenset[str]:
    """The variables that have a value although the operator gives none."""
    return names_of_moorage(extension, builtin=True)


def names_of_address() -> frozenset[str]:
    """The variables that say where the site is: `init` asks for that, an old value would contradict the answer."""
    return _SITE | {"PROTOCOL", "HTTPS"}


def secret_needs(extension: AppExtension, loaded: LoadedConfig) -> list[SecretNeed]:
    """The secrets that the app's file asks for; platform services add their own."""
    needs = [
        SecretNeed(
            name,
            variable.describe or "the app's own secret",
            variable.generate or "",
            variable.prefix,
            optional=not variable.generate and not variable.required,
        )
        for name, variable in extension.variables.items()
        if variable.secret
    ]
    declared = {need.name for need in needs}
    needs.extend(
        SecretNeed(name, "listed under `secrets` in moorage.yaml")
        for name in loaded.config.secrets
        if name not in declared
    )
    return needs


def variable_values(
    extension: AppExtension,
    loaded: LoadedConfig,
    platform: Mapping[str, Text],
    secrets: Mapping[str, Text],
    reader: Reader,
) -> dict[str, Text]:
    """Every variable that the app's file may use. Defaults may name other variables, in any order.

    Where both moorage and the operator give a value, `env_problems` has refused it or the operator's counts.
    """
    content = reader.document.value if isinstance(reader.document.value, dict) else {}
    own = _defaults_of_file(content, loaded)
    given = {name: value for name, value in platform.items() if name not in own}
    values: dict[str, Text] = {**given, **loaded.config.env, **secrets}
    pending = {
        name: variable.default
        for name, variable in extension.variables.items()
        if variable.default is not None and name not in values
    }
    while pending:
        progress = False
        for name, default in list(pending.items()):
            path = ("x-moorage", "variables", name, "default")
            try:
                parts = parse_template(default)
                waiting = {reference.name for reference in references(parts)} & set(pending)
                if waiting - {name}:
                    continue
                values[name] = substitute(parts, values)
            except (TemplateError, UnsetVariable) as error:
                reader.report(path, str(error), value=default)
                values[name] = ""
            del pending[name]
            progress = True
        if not progress:
            for name in pending:
                reader.report(("x-moorage", "variables", name, "default"), "defines itself in a circle")
                values[name] = ""
            break
    return values


def _defaults_of_file(content: Mapping[str, Any], loaded: LoadedConfig) -> frozenset[str]:
    """Everyday names that somebody's own file, not written for moorage, gives a meaning: `${ENVIRONMENT:-production}`."""
    if "x-moorage" in content:
        return frozenset()
    written = {"IMAGE_TAG": "tag", "IMAGE_PREFIX": "registry"}
    chosen = {name for name, key in written.items() if key in loaded.config.images.model_fields_set}
    found = references_of(content)
    return frozenset(
        name
        for name in (_DEFAULTS - chosen) & set(found)
        if any(reference.operator in (":-", "-") and reference.argument for reference in found[name])
    )


def env_problems(
    extension: AppExtension, loaded: LoadedConfig, *, builtin: bool, used: frozenset[str]
) -> Iterator[Problem]:
    """What is wrong with the operator's `env` and `secrets`, seen from the app's variables."""
    own = names_of_moorage(extension, builtin=builtin)
    for name, value in loaded.config.env.items():
        path = ("env", name)
        variable = extension.variables.get(name)
        if name in own and (builtin or name in used):
            yield loaded.problem(path, "is set by moorage itself; it must not stand here", of_key=True)
        elif (variable is not None and variable.secret) or (variable is None and looks_secret(name, value)):
            yield loaded.problem(
                path,
                "is a secret, and this file is not secret",
                hint=f"delete the line, then run `moorage secrets set {name}`"
                + ("" if variable else f" and add {name} to `secrets`"),
                of_key=True,
            )
        elif variable is None and name not in used:
            known = sorted({*extension.variables, *used})
            yield loaded.problem(
                path,
                "is not a variable of this app",
                suggestion=nearest(name, known),
                hint=""
                if nearest(name, known) or not known
                else f"known: {', '.join(known[:12])}{'…' if len(known) > 12 else ''}",
                of_key=True,
            )
        elif variable is not None:
            yield from _value_problems(loaded, name, value, variable)
    for name, variable in extension.variables.items():
        if variable.required and not variable.secret and name not in loaded.config.env:
            about = f": {variable.describe}" if variable.describe else ""
            yield loaded.problem(("env", name), f"is required by the app{about}", hint=f"add `{name}: …` under `env`")


def _value_problems(loaded: LoadedConfig, name: str, value: str, variable: Any) -> Iterator[Problem]:
    if variable.choices and value not in variable.choices:
        yield loaded.problem(
            ("env", name),
            f"must be {listed(variable.choices)}",
            value=value,
            suggestion=nearest(value, variable.choices),
        )
    elif variable.pattern and not re.fullmatch(variable.pattern, value):
        yield loaded.problem(("env", name), f"must match {variable.pattern}", value=value)


def used_names(value: Any) -> frozenset[str]:
    """The names of all variables that a document interpolates."""
    return frozenset(references_of(value))


def references_of(value: Any) -> dict[str, list[Reference]]:
    """Every use of a variable in a document, by its name: in texts, as a name alone, as the source of a secret."""
    found: dict[str, list[Reference]] = {}
    for reference in _references(value, ""):
        found.setdefault(reference.name, []).append(reference)
    return found


def _references(value: Any, key: str) -> Iterator[Reference]:
    if key == "profiles":
        yield Reference(PROFILES, "-")
    if key in _TAKES_NAMES:
        yield from (Reference(name, "-") for name in _names_alone(value))
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _references(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _references(item, "")
    elif isinstance(value, str) and key == "environment":
        # `secrets: {token: {environment: TOKEN}}`
        yield Reference(value)
    elif isinstance(value, str) and "$" in value:
        with suppress(TemplateError):
            yield from references(parse_template(value))


# `environment: [TOKEN]` and build's `args: {TOKEN: }` pass a variable through, if it has a value.
_TAKES_NAMES = ("environment", "args")


def _names_alone(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [name for name, item in value.items() if item is None]
    return [str(item) for item in value if "=" not in str(item)] if isinstance(value, list) else []
