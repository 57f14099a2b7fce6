"""Traefik's files: the static one by template, the routes as data."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from moorage.stack.model import Edge, Route, Stack
from moorage.targets.routers import Router, middlewares, routers_of, sticky_cookie
from moorage.targets.traefik_file import add_dashboard, entry_point, literal, router, tls_options

_HARMLESS = re.compile(r"^[A-Za-z][A-Za-z0-9@:/._-]*[A-Za-z0-9/]$")


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
    found: dict[str, Any] = {}
    services: dict[str, Any] = {}
    for route in stack.routes:
        services[_service_name(route)] = _load_balancer(route)
        for item in routers_of(route):
            found[item.name] = router(
                entry_point(edge), _rule(item), item.priority, list(item.middlewares), _service_name(route)
            )
            if not item.is_logged:
                found[item.name]["observability"] = {"accessLogs": False}
    http = literal({"routers": found, "services": services, "middlewares": middlewares(edge, stack.routes)})
    add_dashboard(edge, http)
    return {"http": {kind: dict(sorted(found.items())) for kind, found in http.items()}, **_certificates(edge)}


def _certificates(edge: Edge) -> dict[str, Any]:
    options = tls_options(edge)
    if edge.tls_mode not in ("files", "internal-ca"):
        return {"tls": {"options": options}} if options else {}
    pair = {"certFile": "/tls/tls.crt", "keyFile": "/tls/tls.key"}
    return {
        "tls": {"certificates": [pair], "stores": {"default": {"defaultCertificate": pair}}, "options": options},
    }


def _service_name(route: Route) -> str:
    return f"{route.service}-{route.port}" + ("-sticky" if route.sticky else "")


def _load_balancer(route: Route) -> dict[str, Any]:
    balancer: dict[str, Any] = {"servers": [{"url": f"http://{route.service}:{route.port}"}], "passHostHeader": True}
    if route.sticky:
        balancer["sticky"] = {"cookie": sticky_cookie()}
    return {"loadBalancer": balancer}


_MATCHERS = {"prefix": "PathPrefix", "exact": "Path", "expression": "PathRegexp"}


def _rule(item: Router) -> str:
    hosts = _host_rule(item.route)
    paths = " || ".join(f"{_MATCHERS[match.kind]}(`{match.path}`)" for match in item.matches)
    if not paths:
        return hosts
    return f"{hosts} && ({paths})" if item.is_denial else f"{hosts} && {paths}"


def _host_rule(route: Route) -> str:
    if route.wildcard_of:
        return f"HostRegexp(`^[a-z0-9-]+\\.{re.escape(route.wildcard_of)}$`)".replace("\\-", "-")
    return _any("Host", route.hosts)


def _any(matcher: str, values: tuple[str, ...]) -> str:
    text = " || ".join(f"{matcher}(`{value}`)" for value in values)
    return f"({text})" if len(values) > 1 else text
