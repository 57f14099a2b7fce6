"""The values and secrets around a foreign Compose file, on their way into moorage.yaml and secrets/."""

from __future__ import annotations

import re
import secrets as random_source
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.app.env_file import read_env_file
from moorage.app.environment import names_in_env_files, names_that_follow_others
from moorage.app.extension import AppExtension
from moorage.app.images import image_kind
from moorage.app.interpolation import Reference
from moorage.app.model import App, Notice
from moorage.app.secrecy import looks_secret, names_used_as_secrets
from moorage.app.variables import names_of_address, names_of_moorage, names_with_values, references_of
from moorage.errors import InputError, Place, Problem
from moorage.formats import Document
from moorage.sensitive import Sensitive, Text, reveal


@dataclass(frozen=True)
class InferredRoute:
    """A service's port that becomes the site, or a subdomain of it."""

    service: str
    port: int
    host: str = ""


@dataclass
class Inferred:
    """What is carried from a foreign file into moorage.yaml."""

    routes: list[InferredRoute] = field(default_factory=list)
    candidates: list[tuple[str, int]] = field(default_factory=list)
    likely_services: list[str] = field(default_factory=list)
    needs_route: bool = False
    env: dict[str, str] = field(default_factory=dict)
    secret_values: dict[str, Sensitive] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    comments: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    wildcard: bool = False

    @property
    def secret_names(self) -> list[str]:
        """The names for `secrets` in moorage.yaml."""
        return sorted(self.secret_values)


def carry_variables(document: Document, folder: Path, extension: AppExtension, result: Inferred) -> None:
    """Values from `.env` beside the file; missing secrets are made."""
    present = _dot_env(folder, result)
    _tell_of_other_files(folder, reveal(present.get("COMPOSE_FILE", "")), result)
    used = references_of(document.value)
    content = document.value if isinstance(document.value, dict) else {}
    for name in names_in_env_files(content.get("services"), folder) - set(used):
        used[name] = [Reference(name, "-")]
    as_secrets = names_used_as_secrets(content.get("services")) - set(extension.variables)
    left = names_of_moorage(extension, builtin=False) | names_of_address()
    known = names_with_values(extension) | set(extension.variables)
    for name, found in sorted(used.items()):
        if name in present and name not in left:
            value = reveal(present[name])
            if _is_secret(name, value, extension) or (name in as_secrets and looks_secret("PASSWORD", value)):
                result.secret_values[name] = Sensitive(value)
            else:
                result.env[name] = value
        elif name not in known and name not in present and _needs_value(found) and looks_secret(name, "a value"):
            _make_secret(name, result)
    _tell_of_env_file(present, set(left & set(used)), result)


def _dot_env(folder: Path, result: Inferred) -> dict[str, Text]:
    """The values that Compose would fill in. Raises InputError when the file is broken."""
    file = folder / ".env"
    if file.is_file():
        present, problems = read_env_file(file, ".env")
        if problems:
            raise InputError(problems)
        return present
    if (folder / ".env.example").is_file():
        text = "there is no .env, only .env.example; copy and edit it, or set values under `env`"
        result.notices.append(Notice(".env", text))
    return {}


def _tell_of_other_files(folder: Path, named: str, result: Inferred) -> None:
    """Say what plain `docker compose up` would have read besides the one file."""
    merge = "merge them with `docker compose config --no-interpolate --no-path-resolution > merged.yaml` and give that"
    if re.search(r"[:;,]", named):
        result.notices.append(Notice(".env", f"its COMPOSE_FILE names several files, of which one is read; {merge}"))
        return
    for stem in ("compose.override", "docker-compose.override"):
        for file in (f"{stem}.yaml", f"{stem}.yml"):
            if (folder / file).is_file():
                result.notices.append(Notice(file, f"is not read, although plain Compose merges it; {merge}"))


def _is_secret(name: str, value: str, extension: AppExtension) -> bool:
    variable = extension.variables.get(name)
    return looks_secret(name, value) if variable is None else variable.secret


def _make_secret(name: str, result: Inferred) -> None:
    result.env.pop(name, None)
    result.secret_values[name] = Sensitive(random_source.token_hex(32))
    result.made.add(name)


def tell_of_made_secrets(result: Inferred) -> None:
    """Say which secrets nobody had given."""
    for name in sorted(result.made):
        result.notices.append(Notice("secrets", f"{name} had no value; a random one was made"))


def _needs_value(found: list[Reference]) -> bool:
    return any(reference.operator in ("", ":?", "?") for reference in found)


def _tell_of_env_file(present: Mapping[str, Text], left: set[str], result: Inferred) -> None:
    """What became of the values of .env that are not under `env`."""
    moved = sorted(set(result.secret_values) & set(present))
    if moved:
        text = (
            f"secrets were copied to secrets/ ({', '.join(moved)}); moorage does not read .env for variables any more"
        )
        result.notices.append(Notice(".env", text))
    dropped = sorted(left & set(present))
    if dropped:
        text = f"{', '.join(dropped)}: set by moorage from now on, after what moorage.yaml says"
        result.notices.append(Notice(".env", text))


def make_database_passwords(app: App, result: Inferred) -> None:
    """A Postgres that takes its password from a variable without a value would never start."""
    for service in app.services.values():
        settings = service.environment
        if image_kind(service.image) != "postgres" or reveal(settings.get("POSTGRES_PASSWORD", "")):
            continue
        if "POSTGRES_PASSWORD_FILE" in settings or "POSTGRES_HOST_AUTH_METHOD" in settings:
            continue
        written = app.document.value["services"][service.name].get("environment")
        for name in references_of({"environment": _only_password(written)}):
            _make_secret(name, result)


def move_secrets_of_env_files(app: App, result: Inferred) -> None:
    """Secrets of env files are kept with the others, so that `moorage secrets set` changes them everywhere."""
    given = set(result.secret_values) - result.made
    secrets = {
        name: {reveal(value) for value in values}
        for name, values in sorted(app.env_file_values.items())
        if name in result.secret_values or any(isinstance(value, Sensitive) for value in values)
    }
    # What is put together of others stays in its file, where it follows them.
    composed = names_that_follow_others(app.document.value.get("services"), app.folder)
    moved = {
        name: next(iter(values))
        for name, values in secrets.items()
        # `spring.datasource.password` is no name for a secret of moorage.
        if len(values) == 1 and values != {""} and name.isascii() and name.isidentifier() and name not in composed
    }
    # An env file's value is better than a random one.
    result.made -= set(moved)
    for name, kept in result.secret_values.items():
        is_given = name not in moved or name in given
        if is_given and not secrets.get(name, set()) <= {"", kept.reveal()}:
            rule = f"{name} has another value in an env file, and a secret has one value only"
            raise InputError([Problem(Place(".env"), "", rule, hint="give one of the two another name")])
    told = [name for name in moved if name not in given]
    result.secret_values.update({name: Sensitive(value) for name, value in moved.items()})
    if told:
        text = f"secrets were copied to secrets/ ({', '.join(told)}), which count from now on: `moorage secrets set`"
        result.notices.append(Notice("env files", text))


def _only_password(written: Any) -> dict[str, Any]:
    """The password as it stands in the file, out of either form of `environment`."""
    if isinstance(written, list):
        pairs = [str(item).split("=", 1) for item in written]
        written = {name: rest[0] if rest else None for name, *rest in pairs}
    if not isinstance(written, dict):
        return {}
    return {name: item for name, item in written.items() if name == "POSTGRES_PASSWORD"}
