"""The values behind `${VARIABLE}`: the operator's, the app's defaults, the platform's, and the secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moorage.app.extension import AppExtension
from moorage.app.interpolation import TemplateError, UnsetVariable, parse_template, references, substitute
from moorage.app.reader import Reader
from moorage.app.secrecy import looks_secret
from moorage.config.loading import LoadedConfig
from moorage.config.secrets import SecretNeed
from moorage.errors import Problem
from moorage.sensitive import Text
from moorage.words import listed, nearest

# Set by moorage itself; an operator's value under `env` would be overwritten without a word.
PLATFORM_NAMES = frozenset(
    {
        "DEPLOYMENT_NAME", "ENVIRONMENT", "DOMAIN", "BASE_URL", "PROTOCOL", "IMAGE_PREFIX", "IMAGE_TAG", "TLS_MODE", "HTTPS",
        "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "POSTGRES_TLS",
        "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_URL",
    }
)  # fmt: skip


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
    """Every variable that the app's file may use. Defaults may name other variables, in any order."""
    values: dict[str, Text] = {**loaded.config.env, **secrets, **platform}
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


def env_problems(
    extension: AppExtension, loaded: LoadedConfig, *, builtin: bool, used: frozenset[str]
) -> Iterator[Problem]:
    """What is wrong with the operator's `env` and `secrets`, seen from the app's variables."""
    for name, value in loaded.config.env.items():
        path = ("env", name)
        variable = extension.variables.get(name)
        if name in PLATFORM_NAMES & used or (builtin and name in PLATFORM_NAMES):
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
    found: set[str] = set()
    if isinstance(value, dict):
        for key, item in value.items():
            found |= used_names(item)
            if key == "environment" and isinstance(item, dict):
                found |= {name for name, written in item.items() if written is None}
            elif key == "environment" and isinstance(item, list):
                found |= {str(name) for name in item if "=" not in str(name)}
            elif key == "environment" and isinstance(item, str):
                found.add(item)
    elif isinstance(value, list):
        for item in value:
            found |= used_names(item)
    elif isinstance(value, str) and "$" in value:
        try:
            found = {reference.name for reference in references(parse_template(value))}
        except TemplateError:
            return frozenset()
    return frozenset(found)
