"""Routes and published ports: from the app's file, from moorage.yaml, without contradictions."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from moorage.app.extension import Route as RouteExtension
from moorage.app.images import DATABASE_PORTS, NOT_HTTP
from moorage.app.model import App, AppService
from moorage.config.loading import LoadedConfig
from moorage.config.schema import RouteSetting
from moorage.errors import Problem
from moorage.formats import KeyPath, dotted
from moorage.stack.model import Publication, Route
from moorage.stack.platform import edge as edge_platform
from moorage.stack.services import run_count

ReportProblem = Callable[[Problem], None]


@dataclass(frozen=True)
class _Place:
    """Where a route was written, in whichever of the two files."""

    loaded: LoadedConfig
    app: App
    path: KeyPath

    def __call__(self, key: str, rule: str, hint: str = "") -> Problem:
        """A problem with one key of the route."""
        if self.path[0] != "@app":
            return self.loaded.problem((*self.path, key), rule, hint=hint)
        inside = (*self.path[1:], key)
        return Problem(self.app.document.place(inside), dotted(inside), rule, hint=hint)


def build_routes(
    loaded: LoadedConfig, app: App, included: Collection[str], *, wildcard: bool, report: ReportProblem
) -> tuple[Route, ...]:
    """All routes of the services that run here; what moorage.yaml says of a service replaces what the app's file says."""
    routes: list[Route] = []
    taken: dict[tuple[str, str], str] = {}
    services = [service for service in app.services.values() if service.name in included]
    for service in services:
        for index, (route, path) in enumerate(_written_routes(loaded, service)):
            place = _Place(loaded, app, path)
            if service.network_mode:
                report(place("port", f"leads to {service.name}, {_without_network(service)}"))
                continue
            port = route.port or _port_of(service)
            if port is None:
                report(place("port", "is required: the service names no port"))
                continue
            if port in DATABASE_PORTS:
                rule = f"is {NOT_HTTP[port]}, which does not speak HTTP and must not be reached from outside"
                report(place("port", rule))
            built = _route(loaded, service, index, route, port)
            if built.wildcard_of and not wildcard:
                report(place("host", "is `*`, but `domain.wildcard` is false"))
            _check_dashboard(loaded, built, place, report)
            _check_taken(built, taken, place, report)
            routes.append(built)
    for name in loaded.config.routes:
        why = _why_absent(loaded, app, included, name)
        if why:
            report(loaded.problem(("routes", name), f"leads to {name}, which does not run: {why}", of_key=True))
    wanted = bool(loaded.config.routes) or any(service.extension.route for service in services)
    if not routes and not wanted and not app.problems:
        report(
            loaded.problem(
                ("routes",),
                "is needed: no service of the app has a route, so nothing would be reached",
                hint=_route_hint(services),
                of_key=True,
            )
        )
    return tuple(routes)


def _without_network(service: AppService) -> str:
    """Why nobody reaches a service by its name, and what to name instead."""
    kind, _, other = service.network_mode.partition(":")
    if kind == "service":
        return f"which shares the network of {other}: name {other} instead"
    return f"which has no network of its own (`network_mode: {service.network_mode}`)"


def _why_absent(loaded: LoadedConfig, app: App, included: Collection[str], name: str) -> str:
    """Why a service never runs, or an empty text; one that runs on other targets only is passed over."""
    service = app.services.get(name)
    if service is None or name in included or loaded.config.target not in service.extension.targets:
        return ""
    return "it is `build_only`" if service.extension.build_only else "its `profiles` leave it out"


def _check_dashboard(loaded: LoadedConfig, route: Route, place: _Place, report: ReportProblem) -> None:
    host = edge_platform.dashboard_host(loaded)
    if host and host in route.hosts:
        hint = "another host for one of them: `edge.dashboard.host`"
        report(place("host", f"is {host}, where Traefik's dashboard answers", hint))


def _written_routes(loaded: LoadedConfig, service: AppService) -> Iterator[tuple[RouteExtension, KeyPath]]:
    settings = loaded.config.routes.get(service.name)
    if settings is None:
        for index, route in enumerate(service.extension.route):
            yield route, ("@app", *service.path, "x-moorage", "route", index)
        return
    for index, setting in enumerate(settings):
        yield _from_setting(setting), ("routes", service.name, index)


def _from_setting(setting: RouteSetting) -> RouteExtension:
    return RouteExtension(host=setting.host, paths=setting.paths, port=setting.port)


def _port_of(service: AppService) -> int | None:
    if service.extension.port:
        return service.extension.port
    candidates = [port.container_port for port in service.ports if port.container_port not in NOT_HTTP] or list(
        service.exposed
    )
    return candidates[0] if len(set(candidates)) == 1 else None


def _route(loaded: LoadedConfig, service: AppService, index: int, route: RouteExtension, port: int) -> Route:
    domain = loaded.config.domain.name
    hosts: tuple[str, ...] = ()
    if route.host != "*":
        hosts = (route.host if "." in route.host else f"{route.host}.{domain}" if route.host else domain,)
    https = loaded.config.tls.mode != "off"
    return Route(
        # No service has a dot in its name: `web-1` is never taken for the second route of `web`.
        name=f"{service.name}.{index}" if index else service.name,
        service=service.name,
        port=port,
        hosts=hosts,
        wildcard_of=domain if route.host == "*" else "",
        paths=route.paths,
        exact=route.exact,
        denied=route.deny,
        strip_prefix=route.strip_prefix,
        headers={**route.headers, **(route.https_headers if https else {})},
        compress=route.compress,
        sticky=route.sticky,
        unlogged=route.unlogged,
    )


def _check_taken(route: Route, taken: dict[tuple[str, str], str], place: _Place, report: ReportProblem) -> None:
    for host in route.hosts or (f"*.{route.wildcard_of}",):
        for path in (*route.paths, *route.exact):
            key = (host, path.rstrip("/") or "/")
            if key in taken:
                report(place("paths", f"is a duplicate: {host}{path} already goes to `{taken[key]}`"))
            taken.setdefault(key, route.service)


def _route_hint(services: list[AppService]) -> str:
    for service in services:
        port = _port_of(service)
        if port and port not in NOT_HTTP:
            return f"add `routes: {{{service.name}: {{port: {port}}}}}`"
    return "add `routes: {SERVICE: {port: PORT}}`"


def build_publications(
    loaded: LoadedConfig, app: App, included: Collection[str], *, report: ReportProblem
) -> tuple[Publication, ...]:
    """Ports past the proxy, each one insisted on by the operator."""
    result: list[Publication] = []
    for index, item in enumerate(loaded.config.publish):
        built = Publication(item.service, item.address, item.port, item.target or item.port, item.protocol)
        taker = _taker_of_edge(loaded, built) or next(
            (f"the service {other.service}" for other in result if _overlap(built, other)), ""
        )
        if taker:
            report(loaded.problem(("publish", index, "port"), f"is taken by {taker}", value=item.port))
        rule = _why_not_published(loaded, app, included, item.service)
        if rule:
            report(loaded.problem(("publish", index, "service"), rule))
        result.append(built)
    return tuple(result)


def _why_not_published(loaded: LoadedConfig, app: App, included: Collection[str], name: str) -> str:
    """What hinders a port of a service, or an empty text."""
    service, absent = app.services.get(name), _why_absent(loaded, app, included, name)
    if absent:
        return f"is {name}, which does not run: {absent}"
    if service is not None and service.network_mode:
        return f"is {name}, {_without_network(service)}"
    if service is not None and run_count(loaded, service) > 1:
        return f"is {name}, which has several containers; only one of them could have the port"
    return ""


def _taker_of_edge(loaded: LoadedConfig, wanted: Publication) -> str:
    """What Traefik uses the port for, if it does."""
    config = loaded.config
    ports = {"HTTP": config.edge.http_port}
    if config.tls.mode not in ("off", "behind-proxy"):
        ports["HTTPS"] = config.edge.https_port
    for name, port in ports.items():
        if _overlap(wanted, Publication("", config.edge.address, port, port, "tcp")):
            return name
    return ""


def _overlap(first: Publication, second: Publication) -> bool:
    """Whether the kernel gives the one port to only one of the two."""
    if (first.protocol, first.host_port) != (second.protocol, second.host_port):
        return False
    one, other = ipaddress.ip_address(first.address), ipaddress.ip_address(second.address)
    return one.version == other.version and (one == other or one.is_unspecified or other.is_unspecified)
