"""What Traefik's own files say, on every target: static settings, middlewares, options of TLS, its dashboard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from moorage.parity.facts import Facts
from moorage.parity.words import leaves

SUBJECT = "proxy"
# What asks for certificates by DNS, as every target's secrets call it.
DNS_TOKEN = "CF_DNS_API_TOKEN"  # noqa: S105 - the name of a secret, not a secret
_MATCHER = re.compile(r"(?P<kind>Host|HostRegexp|PathPrefix|PathRegexp|Path)\(`(?P<text>[^`]*)`\)")
# Settings that only a server has, and all of them or none.
_INSIDE = "entryPoints.inside."
_TOGETHER = (_INSIDE, "entryPoints.websecure.http.tls.domains.", "providers.docker.")
_KINDS = {"PathPrefix": "below", "Path": "just", "PathRegexp": "like"}


@dataclass(frozen=True)
class Match:
    """Requests to one host whose path is below, just, or like a text."""

    host: str
    kind: str
    path: str


@dataclass(frozen=True)
class Said:
    """What is done to the requests that match; `more` are facts of the route beside."""

    match: Match
    priority: str
    middlewares: list[str]
    entry: str
    is_logged: bool
    more: Mapping[str, str]


def matches(rule: str) -> Iterator[Match] | None:
    """What a rule of ours asks for, one by one; None for one of another form."""
    hosts, paths = [], []
    rest = rule
    for found in _MATCHER.finditer(rule):
        rest = rest.replace(found[0], "", 1)
        if found["kind"].startswith("Host"):
            hosts.append(wildcard(found["text"]) if found["kind"] == "HostRegexp" else found["text"])
        else:
            paths.append((_KINDS[found["kind"]], found["text"]))
    if not hosts or re.sub(r"[\s()]|&&|\|\|", "", rest):
        return None
    return (Match(host, kind, path) for host in hosts for kind, path in paths or [("below", "/")])


def wildcard(expression: str) -> str:
    """`*.example.com` for the expression of all hosts below it; the expression for any other."""
    found = re.fullmatch(r"\^\[a-z0-9-\]\+\\\.(.*)\$", expression)
    return "*." + re.sub(r"\\(.)", r"\1", found[1]) if found else expression


def note_dynamic(facts: Facts, content: Mapping[str, Any]) -> None:
    """Middlewares and TLS options of a file that Traefik watches; routers are read by who knows their form."""
    http = content.get("http") or {}
    for name, settings in (http.get("middlewares") or {}).items():
        for path, text in leaves(settings):
            facts.note(f"middleware {name}", path or "is", text)
    for path, text in leaves(content.get("tls") or {}):
        facts.note("tls", path, text)
    for part, value in http.items():
        if part not in ("middlewares", "routers", "services"):
            for path, text in leaves(value, (part,)):
                facts.note(SUBJECT, f"dynamic.{path}", text)


def note_static(facts: Facts, content: Mapping[str, Any]) -> None:
    """Every setting of the static file, but where entry points listen: that is told by who reaches them."""
    data = dict(content)
    for name, resolver in (data.pop("certificatesResolvers", None) or {}).items():
        _authority(facts, name, resolver.get("acme") or {})
    providers = data.get("providers")
    if isinstance(providers, Mapping) and isinstance(providers.get("docker"), Mapping):
        data["providers"] = {**providers, "docker": {"endpoint": "unix:///var/run/docker.sock", **providers["docker"]}}
    found = dict(leaves(data))
    defaults = sorted(
        path.split(".")[1] for path, text in found.items() if path.endswith(".asDefault") and text == "yes"
    )
    for prefix in _TOGETHER:
        inside = [
            f"{path.removeprefix(prefix)} {text}" for path, text in sorted(found.items()) if path.startswith(prefix)
        ]
        if inside and prefix == _INSIDE:
            # There have to be two of them then.
            inside.append(f"default {' '.join(defaults)}")
        facts.note(SUBJECT, f"static.{prefix}*", ", ".join(inside))
    found = {path: text for path, text in found.items() if not path.startswith(_TOGETHER)}
    if not any(path.startswith(_INSIDE) for path in dict(leaves(data))):
        facts.note(SUBJECT, "static.default entry points", ", ".join(defaults))
    for path, text in found.items():
        if not path.endswith(".asDefault") or text != "yes":
            facts.note(SUBJECT, f"static.{path}", text)


def _authority(facts: Facts, name: str, acme: Mapping[str, Any]) -> None:
    """Who signs certificates, as far as the proxy orders them itself."""
    data = {"storage": "acme.json in its own folder", **acme}
    dns = dict(data.pop("dnsChallenge", None) or {})
    entry = (data.pop("httpChallenge", None) or {}).get("entryPoint", "")
    http = "http" if entry == "web" else f"http at {entry}" if entry else "none"
    challenge = f"dns {dns.pop('provider', '')}" if dns else http
    note_authority(facts, name, server=data.pop("caServer", ""), email=data.pop("email", ""), challenge=challenge)
    for path, text in leaves({**data, "dnsChallenge": dns} if dns else data):
        facts.note("tls", f"{name}.{path}", text)


def note_authority(facts: Facts, name: str, *, server: object, email: object, challenge: str) -> None:
    """An authority that certificates are ordered from."""
    facts.note("tls", f"{name} at", server)
    facts.note("tls", f"{name} for", email)
    facts.note("tls", f"{name} asks by", challenge)


def entries(static: Mapping[str, Any]) -> dict[str, str]:
    """The entry points by the address where they listen."""
    points = static.get("entryPoints")
    known = points.items() if isinstance(points, Mapping) else ()
    return {str(item.get("address")): name for name, item in known if isinstance(item, Mapping)}


def note_router(
    facts: Facts, match: Match, priority: object, *, to: str, middlewares: list[str], entry: object, is_logged: bool
) -> str:
    """One path of one host: where its requests go and what is done to them; gives its subject."""
    # Routers of the same path differ in their priority: what leaves no line in the log stands above what does.
    subject = f"route {facts.without_own(match.host)} {match.kind} {match.path}" + ("" if is_logged else " unlogged")
    facts.note(subject, "to", to)
    facts.note(subject, "priority", priority)
    facts.note(subject, "middlewares", middlewares)
    facts.note(subject, "entry points", entry)
    facts.note(subject, "logged", is_logged)
    return subject
