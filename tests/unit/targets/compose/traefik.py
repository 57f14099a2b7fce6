"""What Traefik does with routers, in a few lines of its own: match rules, take the highest priority."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<word>Host|HostRegexp|PathPrefix|PathRegexp|Path)\(`(?P<text>[^`]*)`\)|(?P<sign>&&|\|\||\(|\)))"
)


class Ambiguous(Exception):
    """Two routers of the same priority match: Traefik's choice is nobody's decision."""


@dataclass(frozen=True)
class Request:
    host: str
    path: str


def matches(rule: str, request: Request) -> bool:
    """Whether a rule of Traefik v3 fits a request: `&&` binds closer than `||`."""
    tokens = []
    position = 0
    while position < len(rule):
        found = _TOKEN.match(rule, position)
        assert found is not None, f"not a rule: {rule!r}"
        tokens.append((found["word"], found["text"]) if found["word"] else (found["sign"], ""))
        position = found.end()
    result, rest = _any(tokens, request)
    assert rest == [], rule
    return result


def _any(tokens: list[tuple[str, str]], request: Request) -> tuple[bool, list[tuple[str, str]]]:
    result, tokens = _all(tokens, request)
    while tokens and tokens[0][0] == "||":
        right, tokens = _all(tokens[1:], request)
        result = result or right
    return result, tokens


def _all(tokens: list[tuple[str, str]], request: Request) -> tuple[bool, list[tuple[str, str]]]:
    result, tokens = _one(tokens, request)
    while tokens and tokens[0][0] == "&&":
        right, tokens = _one(tokens[1:], request)
        result = result and right
    return result, tokens


def _one(tokens: list[tuple[str, str]], request: Request) -> tuple[bool, list[tuple[str, str]]]:
    (word, text), *rest = tokens
    if word == "(":
        result, rest = _any(rest, request)
        assert rest[0][0] == ")"
        return result, rest[1:]
    return {
        "Host": lambda: request.host == text,
        # Traefik's regular expressions are Go's and are searched for, not anchored.
        "HostRegexp": lambda: re.search(text, request.host) is not None,
        "PathRegexp": lambda: re.search(text, request.path) is not None,
        "PathPrefix": lambda: request.path.startswith(text),
        "Path": lambda: request.path == text,
    }[word](), rest


def outcome(http: Mapping[str, Any], request: Request) -> str:
    """`denied`, the name of the service that gets the request, or an empty text."""
    fitting = [router for router in http["routers"].values() if matches(router["rule"], request)]
    if not fitting:
        return ""
    highest = max(router["priority"] for router in fitting)
    outcomes = {
        "denied" if _denies(http, router) else str(router["service"])
        for router in fitting
        if router["priority"] == highest
    }
    if len(outcomes) > 1:
        raise Ambiguous(f"{request}: {sorted(outcomes)} at priority {highest}")
    return outcomes.pop()


def _denies(http: Mapping[str, Any], router: Mapping[str, Any]) -> bool:
    """Whether one of the router's middlewares lets only an address through that nobody has."""
    chain = [http["middlewares"][name] for name in router["middlewares"]]
    return any(item.get("ipAllowList") == {"sourceRange": ["255.255.255.255/32"]} for item in chain)
