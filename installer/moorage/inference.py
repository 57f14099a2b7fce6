"""What a foreign Compose file tells about itself: its site, its variables, its secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from moorage.app.compose_file import read_app, read_extension
from moorage.app.images import NOT_HTTP, image_kind
from moorage.app.model import App, Notice, PublishedPort
from moorage.app.opening import open_compose_file
from moorage.app.ports import is_https, port_spans
from moorage.assets import asset, builtin_apps
from moorage.carrying import (
    Inferred,
    InferredRoute,
    carry_variables,
    make_database_passwords,
    move_secrets_of_env_files,
    tell_of_made_secrets,
)
from moorage.config import rules
from moorage.errors import InputError, Place, Problem
from moorage.formats import read_yaml
from moorage.sensitive import Text
from moorage.sites import candidates, is_clear, is_like_a_proxy, likely_services
from moorage.validation import show_value


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
    carry_variables(document, place, extension, result)
    values: dict[str, Text] = {**result.env, **result.secret_values}
    found = read_app(app, document, place, _Lenient(values), adoptable=frozenset({"postgres", "redis"}))
    if not found.services:
        raise InputError(found.problems)
    make_database_passwords(found, result)
    move_secrets_of_env_files(found, result)
    tell_of_made_secrets(result)
    result.wildcard = extension.wildcard
    result.routes = [_chosen_route(text, found) for text in chosen]
    if not any(service.extension.route for service in found.services.values()):
        _choose(found, result)
    _comment_other_ports(found, result)
    return result


class _Lenient(dict[str, Text]):
    """Unset variables read as empty here; `validate` is strict about them."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return super().get(name, "")


def _choose(found: App, result: Inferred) -> None:
    """Take the site that is clear, and tell of it; else it has to be asked."""
    result.candidates = candidates(found)
    result.likely_services = likely_services(found)
    if not result.routes and result.candidates and is_clear(found, result.candidates):
        service, port = result.candidates[0]
        result.routes = [InferredRoute(service, port)]
        text = f"{service}:{port} is taken as the site; `--route SERVICE:PORT` chooses another"
        result.notices.append(Notice("routes", text))
    result.needs_route = not result.routes
    for route in result.routes:
        if is_like_a_proxy(found, (route.service, route.port)):
            text = (
                f"{route.service} publishes HTTPS of its own as well, which Traefik does for it now: "
                "if it redirects HTTP to HTTPS, tell it not to, or browsers go in a circle"
            )
            result.notices.append(Notice("routes", text))


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
    known = [item for name, item in candidates(app) if name == service]
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
            if is_https(port.container_port) and any(name == service.name for name, _ in routed):
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
