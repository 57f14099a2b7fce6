"""What a foreign Compose file tells about itself: its site, its variables, its secrets."""

from __future__ import annotations

import secrets as random_source
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.app.compose_file import read_app, read_extension
from moorage.app.env_file import read_env_file
from moorage.app.environment import names_in_env_files
from moorage.app.extension import AppExtension
from moorage.app.images import NOT_HTTP, image_kind
from moorage.app.interpolation import Reference
from moorage.app.model import App, Notice, PublishedPort
from moorage.app.opening import open_compose_file
from moorage.app.ports import port_spans
from moorage.app.secrecy import looks_secret, names_used_as_secrets
from moorage.app.variables import names_of_address, names_of_moorage, names_with_values, references_of
from moorage.assets import asset, builtin_apps
from moorage.config import rules
from moorage.errors import InputError, Place, Problem
from moorage.formats import Document, read_yaml
from moorage.sensitive import Sensitive, Text, reveal
from moorage.validation import show_value

_SITE_NAMES = ("web", "app", "frontend", "nginx", "caddy", "proxy", "server", "ui", "www")


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
    env: dict[str, str] = field(default_factory=dict)
    secret_values: dict[str, Sensitive] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    wildcard: bool = False

    @property
    def secret_names(self) -> list[str]:
        """The names for `secrets` in moorage.yaml."""
        return sorted(self.secret_values)


def infer(folder: Path, app: str, chosen: tuple[str, ...]) -> Inferred:
    """Look into the app's file; `chosen` are routes as SERVICE:PORT or HOST=SERVICE:PORT."""
    result = Inferred()
    if app in builtin_apps():
        document = read_yaml(asset("compose", "apps", app, "compose.yaml"), f"{app}/compose.yaml")
        extension, _ = read_extension(document, folder)
        result.wildcard = extension.wildcard
        return result
    opened = open_compose_file(folder, app)
    if opened is None:
        return result
    document, place = opened
    extension, _ = read_extension(document, place)
    _carry_variables(document, place, extension, result)
    values: dict[str, Text] = {**result.env, **result.secret_values}
    found = read_app(app, document, place, _Lenient(values), adoptable=frozenset({"postgres", "redis"}))
    _make_database_passwords(found, result)
    result.wildcard = extension.wildcard
    result.routes = [_chosen_route(text, found) for text in chosen]
    if not any(service.extension.route for service in found.services.values()):
        result.candidates = _candidates(found)
        if not chosen and result.candidates:
            _take_clear_one(result)
    _comment_other_ports(found, result)
    return result


class _Lenient(dict[str, Text]):
    """Unset variables read as empty here; `validate` is strict about them."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return super().get(name, "")


def _carry_variables(document: Document, folder: Path, extension: AppExtension, result: Inferred) -> None:
    """Values from `.env` beside the file; missing secrets are made."""
    present = _dot_env(folder, result)
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


def _is_secret(name: str, value: str, extension: AppExtension) -> bool:
    variable = extension.variables.get(name)
    return looks_secret(name, value) if variable is None else variable.secret


def _make_secret(name: str, result: Inferred) -> None:
    result.env.pop(name, None)
    result.secret_values[name] = Sensitive(random_source.token_hex(32))
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
        text = f"{', '.join(dropped)} are set by moorage from now on: they follow from moorage.yaml"
        result.notices.append(Notice(".env", text))


def _make_database_passwords(app: App, result: Inferred) -> None:
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


def _only_password(written: Any) -> dict[str, Any]:
    """The password as it stands in the file, out of either form of `environment`."""
    if isinstance(written, list):
        pairs = [str(item).split("=", 1) for item in written]
        written = {name: rest[0] if rest else None for name, *rest in pairs}
    if not isinstance(written, dict):
        return {}
    return {name: item for name, item in written.items() if name == "POSTGRES_PASSWORD"}


def _candidates(app: App) -> list[tuple[str, int]]:
    """Published ports that may speak HTTP, the likeliest first; exposed ones when none is published."""
    found = [
        (service.name, port.container_port)
        for service in app.services.values()
        if not image_kind(service.image) and not service.profiles
        for port in service.ports
        if port.protocol == "tcp" and port.container_port not in NOT_HTTP
    ]
    if not found:
        found = [
            (service.name, port)
            for service in app.services.values()
            for port in service.exposed
            if port not in NOT_HTTP
        ]
    unique = list(dict.fromkeys(found))
    # A proxy that publishes 80 and 443 is one site: TLS is done by Traefik in front of it.
    return [item for item in unique if item[1] != 443 or (item[0], 80) not in unique]


def _take_clear_one(result: Inferred) -> None:
    if len(result.candidates) == 1:
        service, port = result.candidates[0]
        result.routes = [InferredRoute(service, port)]
        return
    named = [item for item in result.candidates if item[0] in _SITE_NAMES or item[1] in (80, 8080)]
    if len(named) == 1:
        service, port = named[0]
        result.routes = [InferredRoute(service, port)]
        result.notices.append(
            Notice("routes", f"{service}:{port} is taken as the site; `--route SERVICE:PORT` chooses another")
        )


def _chosen_route(text: str, app: App) -> InferredRoute:
    host, separator, target = text.rpartition("=")
    service, _, port = target.partition(":")
    if service not in app.services:
        raise InputError(
            [
                Problem(
                    Place("moorage init"),
                    "--route",
                    f"names the service `{service}`, which the app does not have",
                    hint=f"services: {', '.join(app.services)}",
                )
            ]
        )
    known = [item for name, item in _candidates(app) if name == service]
    if ":" not in target and len(known) == 1:
        port = str(known[0])
    try:
        return InferredRoute(service, rules.port(port), host if separator else "")
    except ValueError:
        rule = "must be SERVICE:PORT or HOST=SERVICE:PORT"
        raise InputError([Problem(Place("moorage init"), "--route", rule, value=show_value(text))]) from None


def _comment_other_ports(app: App, result: Inferred) -> None:
    """Say in moorage.yaml how the closed ports can be opened."""
    routed = {(route.service, route.port) for route in result.routes}
    for service in app.services.values():
        if image_kind(service.image) or service.profiles:
            continue
        seen: dict[tuple[int, str], PublishedPort] = {}
        for port in service.ports:
            if (service.name, port.container_port) in routed:
                continue
            if (service.name, 80) in routed and port.container_port == 443:
                continue
            seen.setdefault((port.container_port, port.protocol), port)
        for first, last, protocol in port_spans(seen):
            result.comments.append(_closed_port(service.name, seen[first, protocol], last))


def _closed_port(service: str, port: PublishedPort, last: int) -> str:
    what = NOT_HTTP.get(port.container_port, "HTTP") if port.protocol == "tcp" else port.protocol.upper()
    number = port.container_port
    if last > number:
        return f"closed: {service}:{number}-{last} ({what}). To open them: one line under `publish` for each that is needed"
    if what == "HTTP":
        return f"closed: {service}:{number}. To open it: `routes: {{{service}: {{port: {number}, host: {service}}}}}`"
    protocol = f", protocol: {port.protocol}" if port.protocol != "tcp" else ""
    line = f"{{service: {service}, port: {port.host_port or number}, target: {number}{protocol}}}"
    return f"closed: {service}:{number} ({what}). To open it: `publish: [{line}]`"
