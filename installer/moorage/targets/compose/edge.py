"""Traefik's files: the static one by template, the routes as data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from moorage.stack.model import Edge, Route, Stack

# Explicit priorities: the longest path wins, single paths win over prefixes, denials over both, and all that
# concerns named hosts over all that concerns a wildcard. Traefik's default (the length of the rule) would let a
# long wildcard rule win. The numbers are multiples of ten: a rolling update puts its copies a little above their
# originals and nowhere else.
_NAMED_HOST = 100_000
_WILDCARD = 10_000
_EXACT = 50_000
_DENIED = 500_000
_DENIED_WILDCARD = 90_000
_PER_CHARACTER = 10
# Above a router of the same path, below the copies that a rolling update puts in.
_UNLOGGED = 1
# So that no path, however long, is lifted over the next kind.
_COUNTED_CHARACTERS = 2_000

# The sign that no name of a Compose service has: names that are made from services collide neither with
# ours nor with each other, whatever a service is called.
_SIGN = ":"


def own_name(word: str) -> str:
    """The name of a router or middleware of ours; none that is made from a service has two signs in a row."""
    return f"moorage{_SIGN}{_SIGN}{word}"


def part_name(name: str, part: str) -> str:
    """The name of something that belongs to the route or service `name`."""
    return f"{name}{_SIGN}{part}"


_HARMLESS = re.compile(r"^[A-Za-z][A-Za-z0-9@:/._-]*[A-Za-z0-9/]$")

SECURITY_HEADERS = own_name("security-headers")
# One of them, by which an answer of a route is told from the proxy's own.
ROUTED_HEADER = "Referrer-Policy"
_RETRY = own_name("retry")
_COMPRESS = own_name("compress")
_DENY = own_name("deny")
_DASHBOARD = own_name("dashboard")
_DASHBOARD_PASSWORD = own_name("dashboard-password")


@dataclass(frozen=True)
class StaticView:
    """What templates/traefik/traefik.yaml.j2 sees; what a person wrote freely is a YAML scalar already."""

    dashboard: bool
    trusted_proxies: tuple[str, ...]
    redirect_to: str
    web_port: int
    inner_entry: bool
    https: bool
    resolver: bool
    wildcard_domain: str
    docker: bool
    docker_network: str
    email: str
    ca_server: str
    storage: str
    dns_challenge: bool


def static_view(stack: Stack) -> StaticView:
    """The finished values of the static file."""
    edge, acme = stack.edge, stack.edge.acme
    redirect = ""
    if edge.terminates_tls:
        redirect = "websecure" if edge.https_port == 443 else f":{edge.https_port}"
    return StaticView(
        dashboard=bool(edge.dashboard_host),
        trusted_proxies=edge.trusted_proxies,
        redirect_to=redirect,
        web_port=container_port_of_http(edge),
        inner_entry=edge.has_inner_entry,
        https=edge.terminates_tls,
        resolver=acme is not None,
        wildcard_domain=stack.domain if acme and acme.challenge == "cloudflare-dns" and stack.wildcard else "",
        docker=edge.socket_proxy_image is not None,
        docker_network=f"{stack.project}_edge",
        email=_scalar(acme.email) if acme else "",
        ca_server=_scalar(acme.server) if acme else "",
        storage=acme.storage if acme else "",
        dns_challenge=bool(acme and acme.challenge == "cloudflare-dns"),
    )


def _scalar(text: str) -> str:
    """The text as YAML reads it back: in JSON's quotes, which are YAML's too, unless it is harmless without."""
    return text if _HARMLESS.match(text) else json.dumps(text, ensure_ascii=False)


def container_port_of_http(edge: Edge) -> int:
    """Where Traefik takes HTTP from outside: 80, unless the app itself asks port 80 for its own containers."""
    return 8080 if edge.has_inner_entry else 80


def routes(stack: Stack) -> dict[str, Any]:
    """The dynamic configuration: routers, services, middlewares, certificates."""
    edge = stack.edge
    entry_point = "websecure" if edge.terminates_tls else "web"
    routers: dict[str, Any] = {}
    services: dict[str, Any] = {}
    middlewares: dict[str, Any] = {
        SECURITY_HEADERS: {"headers": _security_headers(edge)},
        _RETRY: {"retry": {"attempts": 3, "initialInterval": "100ms"}},
    }
    for route in stack.routes:
        services[_service_name(route)] = _load_balancer(route)
        own = _middlewares(route)
        middlewares |= own
        chain = [SECURITY_HEADERS, *own, _RETRY]
        for name, rule, priority in _rules(route):
            routers[name] = _router(entry_point, rule, priority, chain, _service_name(route))
        for name, rule, priority in _unlogged_rules(route):
            router = _router(entry_point, rule, priority, chain, _service_name(route))
            routers[name] = {**router, "observability": {"accessLogs": False}}
        if route.denied:
            middlewares[_DENY] = {"ipAllowList": {"sourceRange": ["255.255.255.255/32"]}}
            rule = f"{_host_rule(route)} && ({_denied_rule(route.denied)})"
            priority = _DENIED_WILDCARD if route.wildcard_of else _DENIED
            name = part_name(route.name, "denied")
            routers[name] = _router(entry_point, rule, priority, [_DENY], _service_name(route))
    http = _literal({"routers": routers, "services": services, "middlewares": middlewares})
    if edge.dashboard_host:
        # The one text that Traefik fills in itself: a password hash belongs into no committable file.
        users = ['{{ env "DASHBOARD_USERS" }}']
        http["middlewares"][_DASHBOARD_PASSWORD] = {"basicAuth": {"users": users, "removeHeader": True}}
        http["routers"][_DASHBOARD] = _router(
            entry_point,
            f"Host(`{edge.dashboard_host}`)",
            _DENIED,
            [SECURITY_HEADERS, _DASHBOARD_PASSWORD],
            "api@internal",
        )
    return {"http": {kind: dict(sorted(found.items())) for kind, found in http.items()}, **_certificates(edge)}


def _router(entry_point: str, rule: str, priority: int, chain: list[str], service: str) -> dict[str, Any]:
    return {
        "entryPoints": [entry_point],
        "rule": rule,
        "priority": priority,
        "middlewares": chain,
        "service": service,
    }


def _literal(value: Any) -> Any:
    """The same data for a reader that takes `{{` for the start of an expression: Traefik runs its files as templates."""
    if isinstance(value, str):
        return value.replace("{{", "{{`{{`}}")
    if isinstance(value, dict):
        return {_literal(key): _literal(item) for key, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value


def _certificates(edge: Edge) -> dict[str, Any]:
    if edge.tls_mode not in ("files", "internal-ca"):
        return (
            {"tls": {"options": {"default": {"minVersion": "VersionTLS12", "sniStrict": False}}}}
            if edge.terminates_tls
            else {}
        )
    pair = {"certFile": "/tls/tls.crt", "keyFile": "/tls/tls.key"}
    return {
        "tls": {
            "certificates": [pair],
            "stores": {"default": {"defaultCertificate": pair}},
            "options": {"default": {"minVersion": "VersionTLS12", "sniStrict": False}},
        }
    }


def _service_name(route: Route) -> str:
    return f"{route.service}-{route.port}" + ("-sticky" if route.sticky else "")


def _load_balancer(route: Route) -> dict[str, Any]:
    balancer: dict[str, Any] = {"servers": [{"url": f"http://{route.service}:{route.port}"}], "passHostHeader": True}
    if route.sticky:
        balancer["sticky"] = {"cookie": {"name": "moorage_affinity", "httpOnly": True, "sameSite": "lax"}}
    return {"loadBalancer": balancer}


def _security_headers(edge: Edge) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "contentTypeNosniff": True,
        "customFrameOptionsValue": "SAMEORIGIN",
        "referrerPolicy": "strict-origin-when-cross-origin",
        "customResponseHeaders": {"Server": "", "X-Powered-By": ""},
    }
    if edge.is_https_outside and edge.hsts_seconds:
        headers["stsSeconds"] = edge.hsts_seconds
        # Behind another proxy the request itself is plain HTTP, but the browser's is not.
        headers["forceSTSHeader"] = True
    return headers


def _middlewares(route: Route) -> dict[str, Any]:
    """What a route's options ask for, in the order in which it is applied."""
    result: dict[str, Any] = {}
    if route.headers:
        headers = dict(sorted(route.headers.items()))
        result[part_name(route.name, "headers")] = {"headers": {"customResponseHeaders": headers}}
    if route.compress:
        result[_COMPRESS] = {"compress": {}}
    if route.strip_prefix and route.paths != ("/",):
        result[part_name(route.name, "strip")] = {"stripPrefix": {"prefixes": list(route.paths)}}
    return result


def _rules(route: Route) -> list[tuple[str, str, int]]:
    """Name, rule and priority of every router of a route; one per path, so that each has its own priority."""
    result = []
    for index, path in enumerate(route.paths):
        name = part_name(route.name, f"path-{index}") if index else route.name
        result.append((name, _prefix_rule(route, path), _priority(route, path)))
    for index, path in enumerate(route.exact):
        name = part_name(route.name, f"exact-{index}")
        result.append((name, f"{_host_rule(route)} && Path(`{path}`)", _EXACT + _priority(route, path)))
    return result


def _unlogged_rules(route: Route) -> list[tuple[str, str, int]]:
    """Routers like the route's own for what shall leave no line in the log, just above those of the same length."""
    return [
        (part_name(route.name, f"unlogged-{index}"), _prefix_rule(route, path), _priority(route, path) + _UNLOGGED)
        for index, path in enumerate(route.unlogged)
    ]


def _prefix_rule(route: Route, path: str) -> str:
    return _host_rule(route) if path == "/" else f"{_host_rule(route)} && PathPrefix(`{path}`)"


def _priority(route: Route, path: str) -> int:
    base = _WILDCARD if route.wildcard_of else _NAMED_HOST
    return base + _PER_CHARACTER * min(len(path), _COUNTED_CHARACTERS)


def _host_rule(route: Route) -> str:
    if route.wildcard_of:
        return f"HostRegexp(`^[a-z0-9-]+\\.{re.escape(route.wildcard_of)}$`)".replace("\\-", "-")
    return _any("Host", route.hosts)


def _denied_rule(paths: tuple[str, ...]) -> str:
    """Denied prefixes, also when a slash is written as %2F: the router would not see a slash there, the app might."""
    matchers = [f"PathPrefix(`{path}`)" for path in paths]
    for path in paths:
        pattern = re.escape(path.rstrip("/")).replace("\\-", "-").replace("/", "(?:/|%2F)+")
        matchers.append(f"PathRegexp(`(?i)^{pattern}(?:/|%2F|$)`)")
    return " || ".join(matchers)


def _any(matcher: str, values: tuple[str, ...]) -> str:
    text = " || ".join(f"{matcher}(`{value}`)" for value in values)
    return f"({text})" if len(values) > 1 else text
