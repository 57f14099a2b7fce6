"""Traefik's files: the static one by template, the routes as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from moorage.stack.model import Edge, Route, Stack

# Explicit priorities: the longest path wins, single paths win over prefixes, denials over both, named hosts
# over wildcards. Traefik's default (the length of the rule) would let a long wildcard rule win.
# The numbers are multiples of ten: a rolling update puts its copies a little above their originals and nowhere else.
_NAMED_HOST = 100_000
_WILDCARD = 10_000
_EXACT = 50_000
_DENIED = 500_000
_PER_CHARACTER = 10


@dataclass(frozen=True)
class StaticView:
    """What templates/traefik/traefik.yaml.j2 sees."""

    dashboard: bool
    trusted_proxies: tuple[str, ...]
    redirect_to: str
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
        https=edge.terminates_tls,
        resolver=acme is not None,
        wildcard_domain=stack.domain if acme and acme.challenge == "cloudflare-dns" and stack.wildcard else "",
        docker=edge.socket_proxy_image is not None,
        docker_network=f"{stack.project}_edge",
        email=acme.email if acme else "",
        ca_server=acme.server if acme else "",
        storage=acme.storage if acme else "",
        dns_challenge=bool(acme and acme.challenge == "cloudflare-dns"),
    )


def routes(stack: Stack) -> dict[str, Any]:
    """The dynamic configuration: routers, services, middlewares, certificates."""
    edge = stack.edge
    entry_point = "websecure" if edge.terminates_tls else "web"
    routers: dict[str, Any] = {}
    services: dict[str, Any] = {}
    middlewares: dict[str, Any] = {
        "security-headers": {"headers": _security_headers(edge)},
        "again": {"retry": {"attempts": 3, "initialInterval": "100ms"}},
    }
    for route in stack.routes:
        services[_service_name(route)] = _load_balancer(route)
        chain = ["security-headers", *_middlewares(route, middlewares), "again"]
        for name, rule, priority in _rules(route):
            routers[name] = {
                "entryPoints": [entry_point],
                "rule": rule,
                "priority": priority,
                "middlewares": chain,
                "service": _service_name(route),
            }
        if route.denied:
            middlewares["deny"] = {"ipAllowList": {"sourceRange": ["255.255.255.255/32"]}}
            routers[f"{route.name}-denied"] = {
                "entryPoints": [entry_point],
                "rule": f"{_host_rule(route)} && ({_denied_rule(route.denied)})",
                "priority": _DENIED,
                "middlewares": ["deny"],
                "service": _service_name(route),
            }
    if edge.dashboard_host:
        middlewares["dashboard-password"] = {
            "basicAuth": {"users": ['{{ env "DASHBOARD_USERS" }}'], "removeHeader": True}
        }
        routers["dashboard"] = {
            "entryPoints": [entry_point],
            "rule": f"Host(`{edge.dashboard_host}`)",
            "priority": _DENIED,
            "middlewares": ["security-headers", "dashboard-password"],
            "service": "api@internal",
        }
    http = {
        "routers": dict(sorted(routers.items())),
        "services": dict(sorted(services.items())),
        "middlewares": dict(sorted(middlewares.items())),
    }
    return {"http": http, **_certificates(edge)}


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


def _middlewares(route: Route, middlewares: dict[str, Any]) -> list[str]:
    chain = []
    if route.headers:
        name = f"{route.name}-headers"
        middlewares[name] = {"headers": {"customResponseHeaders": dict(sorted(route.headers.items()))}}
        chain.append(name)
    if route.compress:
        middlewares["compress"] = {"compress": {}}
        chain.append("compress")
    if route.strip_prefix and route.paths != ("/",):
        name = f"{route.name}-strip"
        middlewares[name] = {"stripPrefix": {"prefixes": list(route.paths)}}
        chain.append(name)
    return chain


def _rules(route: Route) -> list[tuple[str, str, int]]:
    """Name, rule and priority of every router of a route; one per path, so that each has its own priority."""
    base = _WILDCARD if route.wildcard_of else _NAMED_HOST
    result = []
    for index, path in enumerate(route.paths):
        name = f"{route.name}-path-{index}" if index else route.name
        rule = _host_rule(route) if path == "/" else f"{_host_rule(route)} && PathPrefix(`{path}`)"
        result.append((name, rule, base + _PER_CHARACTER * len(path)))
    for index, path in enumerate(route.exact):
        result.append(
            (
                f"{route.name}-exact-{index}",
                f"{_host_rule(route)} && Path(`{path}`)",
                base + _EXACT + _PER_CHARACTER * len(path),
            )
        )
    return result


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
