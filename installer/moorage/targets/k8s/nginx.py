"""The same routes for an ingress-nginx that a cluster still runs: its annotations in the place of Traefik's middlewares.

What it can't do is a row of `moorage parity`: a failed request is not tried again elsewhere by our rule but by its own.
"""

from __future__ import annotations

import re
from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import Route, Stack
from moorage.targets.k8s import names
from moorage.targets.routers import Router, part_name, response_headers, routers_of, sticky_cookie

_OPTION = "nginx.ingress.kubernetes.io/"
# Uploads of any size, and answers that stream for an hour: as with Traefik, where neither has a limit.
_NO_LIMITS = {
    "proxy-body-size": "0",
    "proxy-buffering": "off",
    "proxy-read-timeout": "3600",
    "proxy-request-buffering": "off",
    "proxy-send-timeout": "3600",
}
_NOBODY = "255.255.255.255/32"


def options(stack: Stack, cluster: Cluster, router: Router, kind: str) -> dict[str, str]:
    """All that one Ingress says to ingress-nginx."""
    route = router.route
    found = {**_NO_LIMITS, "ssl-redirect": str(stack.edge.terminates_tls).lower()}
    if router.is_denial:
        found["whitelist-source-range"] = _NOBODY
    else:
        # The controller takes no more of them than its own `global-allowed-response-headers` lists.
        found["custom-headers"] = f"{cluster.namespace}/{_map_name(route)}"
    if _strips(router) or kind == "expression":
        found["use-regex"] = "true"
    if _strips(router):
        found["rewrite-target"] = "/$2"
    if route.sticky:
        cookie = sticky_cookie()
        found |= {
            "affinity": "cookie",
            # Without it the cookie would have the path that matched, which may be an expression.
            "session-cookie-path": "/",
            "session-cookie-name": str(cookie["name"]),
            "session-cookie-samesite": str(cookie["sameSite"]).capitalize(),
        }
    if not router.is_logged:
        found["enable-access-log"] = "false"
    return {f"{_OPTION}{name}": value for name, value in sorted(found.items())}


def path(router: Router, text: str, kind: str, *, is_expression: bool) -> str:
    """A path as nginx matches it; its regular expressions ignore capitals, and begin where the path does."""
    if kind == "expression":
        return text.removeprefix("(?i)").removeprefix("^")
    prefix, rest = _taken_off(router, text, kind)
    if prefix:
        return f"{_literal(prefix)}(/|$)({_literal(rest)}" + (")$" if kind == "exact" else ".*)")
    return _literal(text) + ("$" if kind == "exact" else "") if is_expression else text


def takes_expressions(stack: Stack, route: Route) -> bool:
    """Whether ingress-nginx reads every path of a route as an expression: it does so when one path of its host is one."""
    return any(
        _strips(router) or any(match.kind == "expression" for match in router.matches)
        for other in stack.routes
        if _hosts(other) & _hosts(route)
        for router in routers_of(other)
    )


def _hosts(route: Route) -> set[str]:
    return {f"*.{route.wildcard_of}"} if route.wildcard_of else set(route.hosts)


def _literal(text: str) -> str:
    return re.escape(text).replace("\\-", "-")


def header_maps(stack: Stack) -> list[dict[str, Any]]:
    """The response headers of each route as the ConfigMap that its Ingresses name."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": _map_name(route), "labels": names.labels(stack, route.service)},
            "data": dict(sorted(response_headers(stack.edge, route).items())),
        }
        for route in stack.routes
    ]


def _map_name(route: Route) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", part_name(route.name, "headers").lower()).strip("-")


def _strips(router: Router) -> bool:
    """Whether the beginning of its path is taken off."""
    return any(_taken_off(router, match.path, match.kind)[0] for match in router.matches)


def _taken_off(router: Router, text: str, kind: str) -> tuple[str, str]:
    """The prefix of the route that is taken off a path, and what stays of it; the first that fits, as with Traefik."""
    if kind == "expression" or router.is_denial or not router.route.strip_prefix:
        return "", text
    found = next(
        (item for item in router.route.paths if text == item or text.startswith(f"{item.rstrip('/')}/")), ""
    ).rstrip("/")
    rest = text[len(found) :].strip("/")
    # Just the prefix itself can't be told from what is below it.
    return (found, rest) if found and (rest or kind == "prefix") else ("", text)
