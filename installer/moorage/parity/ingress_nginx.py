"""What Ingresses say to an ingress-nginx, in the words that Traefik's files have on every target.

Only what is understood to the letter is put into those words. All else stays as it is written, and is seen as a difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moorage.parity import proxy
from moorage.parity.facts import Facts
from moorage.parity.kubernetes_objects import Objects

_OPTION = "nginx.ingress.kubernetes.io/"
NAME = "the cluster's ingress-nginx"
_LEFT = "as the controller likes"
# What an expression has to begin with in an Ingress: it means nothing.
_NO_SLASH = "/{0}"
_KINDS = {"Exact": "just", "Prefix": "below", "ImplementationSpecific": "below"}
# The beginning that is taken off, and what stays: with all that follows, or just that.
_TAKEN_OFF = re.compile(r"(?P<prefix>.*)\(/\|\$\)\((?P<rest>.*?)(?:(?P<below>\.\*)\)|\)(?P<just>\$))")
_KEEPS_THE_REST = "/$2"
# Limits by their name here, and the value that is none.
_LIMITS = {
    "proxy-body-size": ("size limit", "0"),
    "proxy-buffering": ("answers are kept", "off"),
    "proxy-request-buffering": ("requests are kept", "off"),
    "proxy-read-timeout": ("read timeout", ""),
    "proxy-send-timeout": ("send timeout", ""),
}
# Headers that the first middleware of every route adds, as that one calls them.
_SECURITY = {
    "X-Content-Type-Options": "contentTypeNosniff",
    "X-Frame-Options": "customFrameOptionsValue",
    "Referrer-Policy": "referrerPolicy",
    "Strict-Transport-Security": "stsSeconds",
}
_SECURITY_HEADERS, _DENY = "moorage::security-headers", "moorage::deny"


@dataclass(frozen=True)
class PathRead:
    """Which paths, and what is taken off at their beginning."""

    kind: str
    path: str
    stripped: str = ""


def is_for_nginx(ingress: Mapping[str, Any]) -> bool:
    """Whether an Ingress is not Traefik's: ours are told to it the old way, by an annotation."""
    return bool((ingress.get("spec") or {}).get("ingressClassName")) or any(
        name.startswith(_OPTION) for name in ingress["metadata"].get("annotations") or {}
    )


def read_path(text: str, path_type: str, options: Mapping[str, str], *, is_expression: bool) -> PathRead:
    """A path as ingress-nginx takes it; `is_expression` says whether it reads all paths of that host as expressions."""
    kind = _KINDS.get(path_type, path_type)
    if not is_expression or kind != "below":
        return PathRead(kind, text)
    own = options.get("use-regex") == "true"
    found = _TAKEN_OFF.fullmatch(text)
    prefix, rest = (_literal(found["prefix"]), _literal(found["rest"])) if found else (None, None)
    if own and found and prefix and rest is not None and options.get("rewrite-target") == _KEEPS_THE_REST:
        return PathRead("below" if found["below"] else "just", f"{prefix}/{rest}" if rest else prefix, prefix)
    if own and text.startswith(_NO_SLASH):
        # It ignores capitals, and begins where the path does.
        return PathRead("like", f"(?i)^{text.removeprefix(_NO_SLASH)}")
    is_whole = text.endswith("$")
    plain = _literal(text.removesuffix("$"))
    return PathRead("below" if plain is None else "just" if is_whole else "below", text if plain is None else plain)


def _literal(text: str) -> str | None:
    """The text that an expression stands for; None when it stands for more than one."""
    plain = re.sub(r"\\(.)", r"\1", text)
    return plain if re.escape(plain).replace("\\-", "-") == text else None


class Reader:
    """All Ingresses of one ingress-nginx: how a path is read depends on the others of its host."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._ingresses = [item for item in objects.of("Ingress") if is_for_nginx(item)]
        self._expressions = {
            host
            for item in self._ingresses
            if _options(item).keys() & {"use-regex", "rewrite-target"}
            for host in _hosts(item)
        }
        self._maps = {str(item["metadata"]["name"]): item for item in objects.of("ConfigMap")}
        self._security = {
            name for item in self._ingresses for name in self._headers(item, _options(item)) if name in _SECURITY
        }

    def said(self, ingress: Mapping[str, Any], host: str, item: Mapping[str, Any], *, has_tls: bool) -> proxy.Said:
        """One path of one host: what is done to its requests, and what else is said of them."""
        options = _options(ingress)
        text, path_type = str(item.get("path", "/")), str(item.get("pathType"))
        is_expression = host in self._expressions
        found = read_path(text, path_type, options, is_expression=is_expression)
        used = {"custom-headers"} if self._headers(ingress, options) else set()
        used |= {"use-regex", "rewrite-target"} if found.stripped else {"use-regex"} if found.kind == "like" else set()
        more = dict(_limits(options)) | {
            "ingress class": str((ingress.get("spec") or {}).get("ingressClassName", "none"))
        }
        if is_expression and found.kind != "like":
            more["capitals"] = "ignored"
        if found.stripped and found.kind == "below":
            more["parts"] = "whole ones only"
        if options.get("affinity") == "cookie":
            more |= _sticky(options)
            used |= {"affinity", "session-cookie-name", "session-cookie-path", "session-cookie-samesite"}
        logged = options.get("enable-access-log", "")
        used |= {"enable-access-log"} if logged == "false" else set()
        used |= {"ssl-redirect", "whitelist-source-range", *_LIMITS}
        more |= {f"option.{_OPTION}{name}": text for name, text in options.items() if name not in used}
        more |= {
            f"option.{name}": str(text)
            for name, text in (ingress["metadata"].get("annotations") or {}).items()
            if not name.startswith(_OPTION)
        }
        return proxy.Said(
            match=proxy.Match(host, found.kind, found.path),
            priority="exact before all" if found.kind == "just" and not is_expression else f"by length {len(text)}",
            middlewares=list(self._middlewares(ingress, options, found)),
            entry=_entry(options.get("ssl-redirect", ""), has_tls=has_tls),
            is_logged=logged != "false",
            more=more,
        )

    def note(self, facts: Facts) -> None:
        """What the middlewares are that its paths name."""
        if self._ingresses:
            facts.note(proxy.SUBJECT, "is", NAME)
        stripped: dict[str, dict[str, None]] = {}
        for item in sorted(self._ingresses, key=lambda one: (len(one["metadata"]["name"]), one["metadata"]["name"])):
            options = _options(item)
            facts.note(f"middleware {_DENY}", "ipAllowList.sourceRange", options.get("whitelist-source-range"))
            for name, text in self._headers(item, options).items():
                _note_header(facts, self._route(item, options), name, text)
            self._note_marks(facts, item, options)
            for path in _paths(item):
                found = read_path(
                    str(path.get("path", "/")),
                    str(path.get("pathType")),
                    options,
                    is_expression=not self._expressions.isdisjoint(_hosts(item)),
                )
                if found.stripped:
                    stripped.setdefault(self._route(item, options), {})[found.stripped] = None
        for route, prefixes in stripped.items():
            facts.note(f"middleware {route}:strip", "stripPrefix.prefixes", ", ".join(prefixes))

    def _note_marks(self, facts: Facts, ingress: Mapping[str, Any], options: Mapping[str, str]) -> None:
        """Whether a map of headers is marked as the Ingresses are that name it."""
        found = self._maps.get(options.get("custom-headers", "").partition("/")[2])
        if found is None:
            return
        metadata, own = found["metadata"], ingress["metadata"]
        if metadata.get("labels") != own.get("labels") or found.get("apiVersion") != "v1":
            facts.note(f"object ConfigMap {metadata['name']}", "marks", "not those of its Ingress")

    def _middlewares(self, ingress: Mapping[str, Any], options: Mapping[str, str], found: PathRead) -> Iterator[str]:
        headers = self._headers(ingress, options)
        route = self._route(ingress, options)
        if headers:
            lacking = sorted(self._security - headers.keys())
            yield f"{_SECURITY_HEADERS}{' without ' if lacking else ''}{' '.join(lacking)}"
        if headers.keys() - _SECURITY:
            yield f"{route}:headers"
        if found.stripped:
            yield f"{route}:strip"
        if "whitelist-source-range" in options:
            yield _DENY

    def _headers(self, ingress: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, str]:
        """What the map says that an Ingress names; nothing when there is no such map."""
        space, _, name = options.get("custom-headers", "").partition("/")
        found = self._maps.get(name)
        own = ingress["metadata"].get("namespace")
        if found is None or not space or {space, own} != {found["metadata"].get("namespace")}:
            return {}
        return {str(key): str(text) for key, text in (found.get("data") or {}).items()}

    @staticmethod
    def _route(ingress: Mapping[str, Any], options: Mapping[str, str]) -> str:
        """The name of its route: the service, and a number when it has more than one."""
        name = options.get("custom-headers", "").partition("/")[2].removesuffix("-headers")
        for path in _paths(ingress):
            service = str(((path.get("backend") or {}).get("service") or {}).get("name"))
            found = re.fullmatch(r"(?:-(\d+))?", name.removeprefix(service)) if name.startswith(service) else None
            if found:
                return f"{service}.{found[1]}" if found[1] else service
        return name


def _options(ingress: Mapping[str, Any]) -> dict[str, str]:
    annotations = ingress["metadata"].get("annotations") or {}
    return {name.removeprefix(_OPTION): str(text) for name, text in annotations.items() if name.startswith(_OPTION)}


def _rules(ingress: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (ingress.get("spec") or {}).get("rules") or []
    return found


def _hosts(ingress: Mapping[str, Any]) -> list[str]:
    return [str(rule.get("host", "every host")) for rule in _rules(ingress)]


def _paths(ingress: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for rule in _rules(ingress):
        yield from (rule.get("http") or {}).get("paths") or []


def _entry(redirect: str, *, has_tls: bool) -> str:
    """Where visitors come in: with a certificate, those of plain HTTP are sent on to HTTPS when it says so."""
    if has_tls:
        return {"true": "websecure", "false": "web websecure"}.get(redirect, f"web {redirect or _LEFT}")
    return "web" if redirect == "false" else f"web {redirect or _LEFT}"


def _limits(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for option, (name, none) in _LIMITS.items():
        value = options.get(option, _LEFT)
        if value != none:
            yield name, f"{value}s" if name.endswith("timeout") and value.isdigit() else value


def _sticky(options: Mapping[str, str]) -> dict[str, str]:
    path = options.get("session-cookie-path", "that of the route")
    return {
        "sticky.cookie.name": options.get("session-cookie-name", _LEFT),
        "sticky.cookie.sameSite": options.get("session-cookie-samesite", _LEFT).lower(),
        # It writes no other cookies.
        "sticky.cookie.httpOnly": "yes",
        **({"sticky.cookie.path": path} if path != "/" else {}),
    }


def _note_header(facts: Facts, route: str, name: str, text: str) -> None:
    word = _SECURITY.get(name)
    if word is None:
        facts.note(f"middleware {route}:headers", f"headers.customResponseHeaders.{name}", text or '""')
        return
    if name == "Strict-Transport-Security":
        text = text.removeprefix("max-age=") if re.fullmatch(r"max-age=\d+", text) else text
        # It is added to every answer, whatever the request came by.
        facts.note(f"middleware {_SECURITY_HEADERS}", "headers.forceSTSHeader", "yes")
    elif text == "nosniff":
        text = "yes"
    facts.note(f"middleware {_SECURITY_HEADERS}", f"headers.{word}", text)
