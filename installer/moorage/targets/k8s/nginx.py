"""The same routes for an ingress-nginx that a cluster still runs: its annotations in the place of Traefik's middlewares.

What it can't do is a row of `moorage parity`: a failed request is not tried again elsewhere by our rule but by its own.
"""

from __future__ import annotations

import re
from typing import Any

from moorage.parity.reasons import Allowed, Pair
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
    if _strips(router):
        return f"{_literal(text.rstrip('/'))}(/|$)(.*)"
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
    """Whether the beginning of its paths is taken off; a single path stays as it is."""
    is_below = any(match.kind == "prefix" for match in router.matches)
    return router.route.strip_prefix and is_below and not router.is_denial


_OPTIONS = {
    **{f"option.{_OPTION}{name}": value for name, value in _NO_LIMITS.items()},
    f"option.{_OPTION}ssl-redirect": "true",
}
_HEADERS = {
    "headers.contentTypeNosniff": ("X-Content-Type-Options", "nosniff"),
    "headers.customFrameOptionsValue": ("X-Frame-Options", ""),
    "headers.referrerPolicy": ("Referrer-Policy", ""),
    "headers.stsSeconds": ("Strict-Transport-Security", ""),
}
_LACKS = {
    "headers.customResponseHeaders.Server": '""',
    "headers.customResponseHeaders.X-Powered-By": '""',
    "headers.forceSTSHeader": "yes",
    "retry.attempts": "3",
    "retry.initialInterval": "100ms",
}


def _is_nginx(pair: Pair) -> bool:
    """Whether the second of both is served by ingress-nginx."""
    return not pair.right_facts.get("proxy", "image") and bool(pair.left_facts.get("proxy", "image"))


def _is_an_option(pair: Pair) -> bool:
    if pair.left or not _is_nginx(pair):
        return False
    headers = f"option.{_OPTION}custom-headers"
    own = pair.key.field == headers and pair.right.endswith("-headers")
    return own or pair.key.field == "ingress class" or _OPTIONS.get(pair.key.field) == pair.right


def _is_a_header(pair: Pair) -> bool:
    """Whether every header map of the Ingresses says what the middleware says."""
    name, expected = _HEADERS.get(pair.key.field, ("", ""))
    expected = f"max-age={pair.left}" if name == "Strict-Transport-Security" else expected or pair.left
    found = {text for key, text in pair.right_facts.values.items() if key.field == f"data.{name}"}
    return _is_nginx(pair) and not pair.right and found == {expected}


def _is_left_to_nginx(pair: Pair) -> bool:
    return _is_nginx(pair) and not pair.right and _LACKS.get(pair.key.field) == pair.left


def _is_in_the_order_of_nginx(pair: Pair) -> bool:
    """Whether it is an order that ingress-nginx has by itself: the longest path first, and headers by a map."""
    return _is_nginx(pair) and not pair.right and pair.key.field in ("priority", "middlewares", "entry points")


DIFFERENCES = (
    Allowed("route *", "*", "ingress-nginx is told by annotations what Traefik is told by middlewares.", _is_an_option),
    Allowed(
        "route *",
        "*",
        "ingress-nginx takes the longest path first, and knows no middlewares.",
        _is_in_the_order_of_nginx,
    ),
    Allowed("middleware *", "headers.*", "ingress-nginx takes headers from a map.", _is_a_header),
    Allowed(
        "middleware *",
        "*",
        "ingress-nginx tries a failed request again by a rule of its own, and keeps headers that tell its version.",
        _is_left_to_nginx,
        capability=True,
    ),
)
