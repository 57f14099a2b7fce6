"""What a foreign Compose file tells about itself: its site, its variables, its secrets."""

from __future__ import annotations

import secrets as random_source
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.app.compose_file import find_compose_file, read_app, read_extension
from moorage.app.env_file import read_env_file
from moorage.app.images import NOT_HTTP, image_kind
from moorage.app.interpolation import Reference, TemplateError, parse_template, references
from moorage.app.model import App, Notice
from moorage.app.secrecy import looks_secret
from moorage.app.variables import PLATFORM_NAMES
from moorage.assets import asset, builtin_apps
from moorage.errors import InputError, Place, Problem
from moorage.formats import Document, read_yaml
from moorage.sensitive import Sensitive, Text, reveal

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
    file = find_compose_file(folder / app)
    if file is None:
        return result
    document = read_yaml(file, app)
    extension, _ = read_extension(document, file.parent)
    _carry_variables(document, file.parent, set(extension.variables), result)
    values: dict[str, Text] = {**result.env, **result.secret_values}
    found = read_app(app, document, file.parent, _Lenient(values), adoptable=frozenset({"postgres", "redis"}))
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


def _carry_variables(document: Document, folder: Path, declared: set[str], result: Inferred) -> None:
    """Values from `.env` beside the file; missing secrets are made."""
    used = _all_references(document.value)
    present: dict[str, Text] = {}
    file = folder / ".env"
    if file.is_file():
        present, problems = read_env_file(file, ".env")
        if problems:
            raise InputError(problems)
    elif (folder / ".env.example").is_file():
        result.notices.append(
            Notice(".env", "there is no .env, only .env.example; copy and edit it, or set values under `env`")
        )
    for name, found in sorted(used.items()):
        if name in declared or name in PLATFORM_NAMES - set(present):
            continue
        if name in present:
            value = reveal(present[name])
            if looks_secret(name, value):
                result.secret_values[name] = Sensitive(value)
            else:
                result.env[name] = value
        elif _needs_value(found) and looks_secret(name, "a value"):
            result.secret_values[name] = Sensitive(random_source.token_hex(32))
            result.notices.append(Notice("secrets", f"{name} had no value; a random one was made"))
    moved = sorted(set(result.secret_values) & set(present))
    if moved:
        result.notices.append(
            Notice(
                ".env",
                f"secrets were copied to secrets/ ({', '.join(moved)}); moorage does not read .env for variables any more",
            )
        )


def _needs_value(found: list[Reference]) -> bool:
    return any(reference.operator in ("", ":?", "?") for reference in found)


def _all_references(value: Any) -> dict[str, list[Reference]]:
    result: dict[str, list[Reference]] = {}
    if isinstance(value, Mapping):
        for key, item in value.items():
            for name, found in _all_references(item).items():
                result.setdefault(name, []).extend(found)
            if key == "environment" and isinstance(item, Mapping):
                for name, written in item.items():
                    if written is None:
                        result.setdefault(name, []).append(Reference(name, "-"))
    elif isinstance(value, list):
        for item in value:
            for name, found in _all_references(item).items():
                result.setdefault(name, []).extend(found)
    elif isinstance(value, str) and "$" in value:
        try:
            for reference in references(parse_template(value)):
                result.setdefault(reference.name, []).append(reference)
        except TemplateError:
            return {}
    return result


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
    if not port.isdigit():
        known = [item for name, item in _candidates(app) if name == service]
        if len(known) != 1:
            raise InputError(
                [Problem(Place("moorage init"), "--route", "must be SERVICE:PORT or HOST=SERVICE:PORT", value=text)]
            )
        port = str(known[0])
    return InferredRoute(service, int(port), host if separator else "")


def _comment_other_ports(app: App, result: Inferred) -> None:
    """Say in moorage.yaml how the closed ports can be opened."""
    routed = {(route.service, route.port) for route in result.routes}
    for service in app.services.values():
        for port in service.ports:
            key = (service.name, port.container_port)
            if key in routed or image_kind(service.image) or service.profiles:
                continue
            if (service.name, 80) in routed and port.container_port == 443:
                continue
            routed.add(key)
            what = NOT_HTTP.get(port.container_port, "HTTP")
            if what == "HTTP" and port.protocol == "tcp":
                result.comments.append(
                    f"closed: {service.name}:{port.container_port}. To open it: `routes: {{{service.name}: {{port: {port.container_port}, host: {service.name}}}}}`"
                )
            else:
                number = port.host_port or port.container_port
                protocol = f", protocol: {port.protocol}" if port.protocol != "tcp" else ""
                result.comments.append(
                    f"closed: {service.name}:{port.container_port} ({what if port.protocol == 'tcp' else port.protocol.upper()}). "
                    f"To open it: `publish: [{{service: {service.name}, port: {number}, target: {port.container_port}{protocol}}}]`"
                )
