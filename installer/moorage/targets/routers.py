"""What the proxy is asked for, the same on every target: routers with their paths, priorities and middlewares.

How a router is written down is the target's: a rule in a file on a server, an Ingress on Kubernetes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from moorage.stack.model import Edge, Route

# Explicit priorities: the longest path wins, single paths win over prefixes, denials over both, and all that
# concerns named hosts over all that concerns a wildcard. Traefik's default (the length of the rule) would let a
# long wildcard rule win. The numbers are multiples of ten: a rolling update puts its copies a little above their
# originals and nowhere else.
_NAMED_HOST = 100_000
_WILDCARD = 10_000
_EXACT = 50_000
DENIED = 500_000
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


SECURITY_HEADERS = own_name("security-headers")
# One of them, by which an answer of a route is told from the proxy's own.
ROUTED_HEADER = "Referrer-Policy"
RETRY = own_name("retry")
_COMPRESS = own_name("compress")
_DENY = own_name("deny")


@dataclass(frozen=True)
class PathMatch:
    """Which paths: all that begin so, just this one, or those that fit a regular expression of Go."""

    kind: Literal["prefix", "exact", "expression"]
    path: str


@dataclass(frozen=True)
class Router:
    """Requests of a route's hosts whose path fits one of `matches`; all of them when there is none."""

    name: str
    route: Route
    matches: tuple[PathMatch, ...]
    priority: int
    middlewares: tuple[str, ...]
    is_logged: bool = True

    @property
    def is_denial(self) -> bool:
        """Whether it lets nobody in."""
        return self.middlewares == (_DENY,)


def routers_of(route: Route) -> tuple[Router, ...]:
    """A route's routers: one per path, so that each has its own priority; then what is unlogged, and what is denied."""
    chain = (SECURITY_HEADERS, *route_middlewares(route), RETRY)
    found = [Router(name, route, matches, priority, chain) for name, matches, priority in _paths(route)]
    found += [
        Router(part_name(route.name, f"unlogged-{index}"), route, _prefix(path), _priority(route, path) + _UNLOGGED, chain, False)
        for index, path in enumerate(route.unlogged)
    ]  # fmt: skip
    if route.denied:
        priority = _DENIED_WILDCARD if route.wildcard_of else DENIED
        found.append(Router(part_name(route.name, "denied"), route, _denied(route.denied), priority, (_DENY,)))
    return tuple(found)


def middlewares(edge: Edge, routes: tuple[Route, ...]) -> dict[str, Any]:
    """All middlewares that the routers name, as Traefik's file provider reads them."""
    found: dict[str, Any] = {
        SECURITY_HEADERS: {"headers": _security_headers(edge)},
        RETRY: {"retry": {"attempts": 3, "initialInterval": "100ms"}},
    }
    for route in routes:
        found |= route_middlewares(route)
        if route.denied:
            found[_DENY] = {"ipAllowList": {"sourceRange": ["255.255.255.255/32"]}}
    return found


def route_middlewares(route: Route) -> dict[str, Any]:
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


def response_headers(edge: Edge, route: Route) -> dict[str, str]:
    """What the middlewares add to an answer, as plain headers: for a proxy that knows no middlewares."""
    security = _security_headers(edge)
    found = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": security["customFrameOptionsValue"],
        "Referrer-Policy": security["referrerPolicy"],
    }
    if "stsSeconds" in security:
        found["Strict-Transport-Security"] = f"max-age={security['stsSeconds']}"
    return {**found, **route.headers}


def sticky_cookie() -> dict[str, Any]:
    """The cookie that keeps a visitor at one container."""
    return {"name": "moorage_affinity", "httpOnly": True, "sameSite": "lax"}


def _paths(route: Route) -> list[tuple[str, tuple[PathMatch, ...], int]]:
    result = []
    for index, path in enumerate(route.paths):
        name = part_name(route.name, f"path-{index}") if index else route.name
        result.append((name, _prefix(path), _priority(route, path)))
    for index, path in enumerate(route.exact):
        name = part_name(route.name, f"exact-{index}")
        result.append((name, (PathMatch("exact", path),), _EXACT + _priority(route, path)))
    return result


def _prefix(path: str) -> tuple[PathMatch, ...]:
    return () if path == "/" else (PathMatch("prefix", path),)


def _denied(paths: tuple[str, ...]) -> tuple[PathMatch, ...]:
    """Denied prefixes, also when a slash is written as %2F: the router would not see a slash there, the app might."""
    found = [PathMatch("prefix", path) for path in paths]
    for path in paths:
        pattern = re.escape(path.rstrip("/")).replace("\\-", "-").replace("/", "(?:/|%2F)+")
        found.append(PathMatch("expression", f"(?i)^{pattern}(?:/|%2F|$)"))
    return tuple(found)


def _priority(route: Route, path: str) -> int:
    base = _WILDCARD if route.wildcard_of else _NAMED_HOST
    return base + _PER_CHARACTER * min(len(path), _COUNTED_CHARACTERS)


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
