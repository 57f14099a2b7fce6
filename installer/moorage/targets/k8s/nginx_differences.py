"""In what an ingress-nginx of the cluster differs from Traefik, and why: beside `nginx.py`, which causes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from moorage.parity.facts import Facts, Key
from moorage.parity.ingress_nginx import NAME
from moorage.parity.reasons import Allowed, Condition, Pair, adding, lacking, nothing_right

# Traefik on a server or in another cluster; the condition says that the second has none.
_BOTH = ("any", "cluster")
_PROXY = "The cluster has an ingress-nginx of its own in the proxy's place."
_HEADERS = "ingress-nginx reads cookies at the Ingress, and headers from a map."
_BY_ITSELF = {"capitals": "ignored", "parts": "whole ones only", "read timeout": "3600s", "send timeout": "3600s"}
_LACKS = {
    "compress": "{}",
    "headers.customResponseHeaders.Server": '""',
    "headers.customResponseHeaders.X-Powered-By": '""',
    "retry.attempts": "3",
    "retry.initialInterval": "100ms",
}
_LEFT_TO_NGINX = {"moorage::compress", "moorage::retry"}
_TLS = {"options.default.minVersion": "VersionTLS12", "options.default.sniStrict": "no"}
_ROUTE = re.compile(r"route (?P<host>\S+) (?P<kind>just|below|like) (?P<path>.*?)(?: unlogged)?")
# What else there is of Traefik in a cluster.
_OBJECTS = (
    "object * traefik",
    "object * traefik-*",
    "object Deployment proxy",
    "object NetworkPolicy proxy",
)
_PEER = "spec.ingress.0.from.0."
_PEER_NAME = f"{_PEER}podSelector.matchLabels.app.kubernetes.io/name"
_PEER_INSTANCE = f"{_PEER}podSelector.matchLabels.app.kubernetes.io/instance"
_STICKY = "annotations.traefik.ingress.kubernetes.io/service.sticky.cookie"
_COOKIE = {
    _STICKY: "true",
    f"{_STICKY}.httponly": "true",
    f"{_STICKY}.name": "moorage_affinity",
    f"{_STICKY}.samesite": "lax",
}
# Every object has them; in capitals what the environment calls its own.
_EVERY = {
    "apiVersion": "v1",
    "namespace": "NAMESPACE",
    "labels.app.kubernetes.io/instance": "PROJECT",
    "labels.app.kubernetes.io/managed-by": "moorage",
    "labels.moorage/environment": "ENVIRONMENT",
}


@dataclass(frozen=True)
class _Path:
    """A route by the name of its facts, and the place that it has among those that match as well."""

    subject: str
    host: str
    kind: str
    path: str
    rank: tuple[int, int]

    def takes(self, asked: str) -> bool:
        """Whether a request for a path is one of it."""
        if self.kind == "like":
            return re.match(self.path, asked) is not None
        return asked == self.path or (self.kind == "below" and asked.startswith(self.path))


def _is_nginx(pair: Pair) -> bool:
    """Whether the second of both is served by ingress-nginx, and the first by Traefik."""
    return pair.right_facts.get("proxy", "is") == NAME and bool(pair.left_facts.get("proxy", "image"))


def _to_nginx(condition: Condition) -> Condition:
    return lambda pair: _is_nginx(pair) and condition(pair)


def _is_the_one_class(pair: Pair) -> bool:
    """Whether all of an environment's Ingresses are of one class, which moorage.yaml names; Traefik's needs none."""
    classes = {text for key, text in pair.right_facts.values.items() if key.field == pair.key.field}
    named = pair.right_facts.settings.get("kubernetes.ingress_class")
    return not pair.left and len(classes) == 1 and "none" not in classes and classes <= ({named} if named else classes)


def _is_asked_by_class(pair: Pair) -> bool:
    """Whether a challenge is answered by Ingresses of the class that the environment's own have."""
    here = pair.left_facts.wholly_neutral(pair.left_facts.values.get(pair.key, ""))
    there = pair.right_facts.values.get(pair.key, "")
    classes = {text for key, text in pair.right_facts.values.items() if key.field == "ingress class"}
    return here == "moorage-${NAMESPACE}" and classes == {there}


def _is_of_the_proxy(pair: Pair) -> bool:
    """Whether a policy lets in the pods of ingress-nginx, in whichever namespace, in the place of Traefik's."""
    own = pair.left_facts.own.get("PROJECT", "")
    return (pair.key.field, pair.left_facts.values.get(pair.key, ""), pair.right) in (
        (f"{_PEER}namespaceSelector", "", "{}"),
        (_PEER_INSTANCE, own, ""),
        (_PEER_NAME, "traefik", "ingress-nginx"),
    )


def _is_a_map(pair: Pair) -> bool:
    """Whether it is what every object of a service says; what is in a map of headers is told by the middlewares."""
    facts, found = pair.right_facts, pair.right_facts.values.get(pair.key, "")
    if pair.key.field == "labels.app.kubernetes.io/name":
        name = pair.key.subject.removeprefix("object ConfigMap ").removesuffix("-headers")
        return not pair.left and found in (name, re.sub(r"-\d+$", "", name))
    expected = _EVERY.get(pair.key.field)
    return not pair.left and expected is not None and found == facts.own.get(expected, expected)


def _has_no_class(pair: Pair) -> bool:
    """Whether the first says in Traefik's way whose Ingress it is."""
    found = pair.left_facts.wholly_neutral(pair.left_facts.values.get(pair.key, ""))
    return not pair.right and found == "moorage-${NAMESPACE}"


def _has_all_that_it_can(pair: Pair) -> bool:
    """Whether no middleware is gone but those that nginx has no means for, or that would change nothing."""
    expected = [
        word
        for word in pair.left.split()
        if word not in _LEFT_TO_NGINX and not (word.endswith(":strip") and _strips_nothing(pair, word))
    ]
    return pair.right.split() == expected


def _strips_nothing(pair: Pair, name: str) -> bool:
    found = _ROUTE.fullmatch(pair.key.subject)
    prefixes = pair.left_facts.get(f"middleware {name}", "stripPrefix.prefixes").split(", ")
    return found is not None and not any(found["path"].startswith(prefix) for prefix in prefixes)


def _is_the_same_order(pair: Pair) -> bool:
    """Whether each request that a route could take is taken by the same one on both sides, or by one that does the same."""
    here, there = list(_paths_of(pair.left_facts)), list(_paths_of(pair.right_facts))
    own = next((item for item in here if item.subject == pair.key.subject), None)
    if own is None or all(item.subject != own.subject for item in there):
        return False
    asked = {
        text
        for item in (*here, *there)
        if item.host == own.host and item.kind != "like"
        for text in (item.path, f"{item.path.rstrip('/')}/x")
        if own.takes(text)
    }
    return all(
        _answers(pair.left_facts, here, own.host, text) == _answers(pair.left_facts, there, own.host, text)
        for text in asked
    )


def _answers(facts: Facts, paths: list[_Path], host: str, asked: str) -> set[tuple[str, str]]:
    """Where a request leads and what is done to it: more than one answer where two routes have the same place."""
    found = [item for item in paths if item.host == host and item.takes(asked)]
    best = max((item.rank for item in found), default=(0, 0))
    return {
        (facts.get(item.subject, "to"), facts.get(item.subject, "middlewares")) for item in found if item.rank == best
    }


def _paths_of(facts: Facts) -> Iterator[_Path]:
    for subject in facts.subjects():
        found, priority = _ROUTE.fullmatch(subject), facts.of(Key(subject, "priority"))
        by_length = re.fullmatch(r"by length (\d+)", priority)
        if found and (by_length or priority.isdigit() or priority == "exact before all"):
            rank = (0, int(by_length[1])) if by_length else (0, int(priority)) if priority.isdigit() else (1, 0)
            yield _Path(subject, found["host"], found["kind"], found["path"], rank)


DIFFERENCES = (
    Allowed("proxy", "is", _PROXY, _to_nginx(adding({"is": NAME})), _BOTH),
    *(
        Allowed(subject, field, _PROXY, _to_nginx(nothing_right), _BOTH)
        for subject, field in (
            ("proxy", "*"),
            ("pod of proxy", "*"),
            ("network", "proxy → names"),
            ("network", "proxy → outside"),
            ("network", "* → proxy"),
            ("network", "* → proxy from"),
            ("router moorage::dashboard", "*"),
            ("middleware moorage::dashboard-password", "*"),
            *((subject, "*") for subject in _OBJECTS),
        )
    ),
    Allowed("route *", "ingress class", "Says whose Ingress it is.", _to_nginx(_is_the_one_class), _BOTH),
    Allowed("route *", "option.kubernetes.io/ingress.class", "Says whose Ingress it is.", _to_nginx(_has_no_class), _BOTH),
    Allowed(
        "object Issuer *",
        "spec.acme.solvers.*.http01.ingress.class",
        "Says whose Ingress it is.",
        _to_nginx(_is_asked_by_class),
        _BOTH,
    ),
    Allowed("object NetworkPolicy proxy-to-*", "*", _PROXY, _to_nginx(_is_of_the_proxy), _BOTH),
    Allowed("object ConfigMap *-headers", "*", _HEADERS, _to_nginx(_is_a_map), _BOTH),
    Allowed("object Service *", "annotations.*", _HEADERS, _to_nginx(lacking(_COOKIE)), _BOTH),
    Allowed(
        "route *",
        "priority",
        "ingress-nginx takes the longest path first: here the same requests go the same way by that.",
        _to_nginx(_is_the_same_order),
        _BOTH,
    ),
    Allowed(
        "route *",
        "middlewares",
        "ingress-nginx does by annotations what Traefik does by middlewares, but for what it decides itself.",
        _to_nginx(_has_all_that_it_can),
        _BOTH,
    ),
    Allowed(
        "route *",
        "*",
        "ingress-nginx ignores capitals in expressions, takes off whole parts of a path, and waits for an hour at most.",
        _to_nginx(adding(_BY_ITSELF)),
        _BOTH,
        capability=True,
    ),
    Allowed(
        "middleware *",
        "*",
        "ingress-nginx tries a failed request again and compresses by rules of its own, and keeps headers that tell its version.",
        _to_nginx(lacking(_LACKS)),
        _BOTH,
        capability=True,
    ),
    Allowed(
        "tls",
        "*",
        "What visitors must speak is a setting of that ingress-nginx.",
        _to_nginx(lacking(_TLS)),
        _BOTH,
        capability=True,
    ),
)  # fmt: skip
