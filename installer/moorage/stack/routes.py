"""Routes and published ports: from the app's file, from moorage.yaml, without contradictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from moorage.app.extension import Route as RouteExtension
from moorage.app.images import DATABASE_PORTS, NOT_HTTP
from moorage.app.model import App, AppService
from moorage.config.loading import LoadedConfig
from moorage.config.schema import RouteSetting
from moorage.errors import Problem
from moorage.formats import KeyPath, dotted
from moorage.stack.model import Publication, Route

ReportProblem = Callable[[Problem], None]


def build_routes(loaded: LoadedConfig, app: App, *, wildcard: bool, report: ReportProblem) -> tuple[Route, ...]:
    """All routes; what moorage.yaml says of a service replaces what the app's file says."""
    routes: list[Route] = []
    taken: dict[tuple[str, str], str] = {}
    for service in app.services.values():
        if service.extension.build_only or loaded.config.target not in service.extension.targets:
            continue
        for index, (route, path) in enumerate(_written_routes(loaded, service)):
            port = route.port or _port_of(service)
            place = _place_of(loaded, app, path)
            if port is None:
                report(place("port", "is required: the service names no port"))
                continue
            if port in DATABASE_PORTS:
                report(
                    place(
                        "port", f"is {NOT_HTTP[port]}, which does not speak HTTP and must not be reached from outside"
                    )
                )
            built = _route(loaded, service, index, route, port)
            if built.wildcard_of and not wildcard:
                report(place("host", "is `*`, but `domain.wildcard` is false"))
            _check_taken(built, taken, place, report)
            routes.append(built)
    wanted = bool(loaded.config.routes) or any(service.extension.route for service in app.services.values())
    if not routes and not wanted and not app.problems:
        report(
            loaded.problem(
                ("routes",),
                "is needed: no service of the app has a route, so nothing would be reached",
                hint=_route_hint(app),
                of_key=True,
            )
        )
    return tuple(routes)


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


def _place_of(loaded: LoadedConfig, app: App, path: KeyPath) -> Callable[[str, str], Problem]:
    """Makes problems at a route, whichever of the two files it was written in."""

    def place(key: str, rule: str) -> Problem:
        if path[0] == "@app":
            inside = path[1:]
            return Problem(app.document.place((*inside, key)), dotted((*inside, key)), rule)
        return loaded.problem((*path, key), rule)

    return place


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
        name=f"{service.name}-{index}" if index else service.name,
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
    )


def _check_taken(
    route: Route, taken: dict[tuple[str, str], str], place: Callable[[str, str], Problem], report: ReportProblem
) -> None:
    for host in route.hosts or (f"*.{route.wildcard_of}",):
        for path in (*route.paths, *route.exact):
            key = (host, path.rstrip("/") or "/")
            if key in taken:
                report(place("paths", f"is a duplicate: {host}{path} already goes to `{taken[key]}`"))
            taken.setdefault(key, route.service)


def _route_hint(app: App) -> str:
    for service in app.services.values():
        port = _port_of(service)
        if port and port not in NOT_HTTP:
            return f"add `routes: {{{service.name}: {{port: {port}}}}}`"
    return "add `routes: {SERVICE: {port: PORT}}`"


def build_publications(loaded: LoadedConfig, *, report: ReportProblem) -> tuple[Publication, ...]:
    """Ports past the proxy, each one insisted on by the operator."""
    config = loaded.config
    taken = {config.edge.http_port: "HTTP"} | (
        {config.edge.https_port: "HTTPS"} if config.tls.mode not in ("off", "behind-proxy") else {}
    )
    result = []
    for index, item in enumerate(config.publish):
        if item.protocol == "tcp" and item.port in taken:
            report(loaded.problem(("publish", index, "port"), f"is taken by {taken[item.port]}", value=item.port))
        if item.protocol == "tcp":
            taken.setdefault(item.port, f"the service {item.service}")
        result.append(Publication(item.service, item.address, item.port, item.target or item.port, item.protocol))
    return tuple(result)
