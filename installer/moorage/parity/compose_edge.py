"""Routes of a server: Traefik's files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moorage.parity import proxy
from moorage.parity.facts import Facts
from moorage.parity.rendered import Rendered
from moorage.parity.words import leaves

_STATIC = "compose/traefik/traefik.yaml"
_ROUTES = "compose/traefik/dynamic/routes.yaml"
_USUAL = {"entryPoints", "rule", "priority", "middlewares", "service", "observability"}


def note(facts: Facts, rendered: Rendered, subjects: Mapping[str, str]) -> None:
    """Every router with what stands behind it, and the proxy's settings."""
    content = rendered.document(_ROUTES)
    http = content.get("http") or {}
    for name, router in (http.get("routers") or {}).items():
        _router(facts, rendered, name, router, subjects)
    proxy.note_dynamic(facts, content)
    proxy.note_static(facts, rendered.document(_STATIC))


def _router(
    facts: Facts, rendered: Rendered, name: str, router: Mapping[str, Any], subjects: Mapping[str, str]
) -> None:
    content = rendered.document(_ROUTES)
    services = (content.get("http") or {}).get("services") or {}
    found = proxy.matches(str(router.get("rule", "")))
    service = str(router.get("service", ""))
    if found is None or service.endswith("@internal"):
        for path, text in leaves(router):
            facts.note(f"router {name}", path, text)
        return
    balancer = (services.get(service) or {}).get("loadBalancer") or {}
    logged = (router.get("observability") or {}).get("accessLogs", True)
    for match in found:
        subject = proxy.note_router(
            facts,
            match,
            router.get("priority"),
            to=_destination(balancer, subjects),
            middlewares=list(router.get("middlewares") or []),
            entry=router.get("entryPoints"),
            is_logged=logged is not False,
        )
        facts.note(subject, "certificate", _certificate(rendered, content, router))
        for path, text in leaves(balancer.get("sticky") or {}):
            facts.note(subject, f"sticky.{path}", text)
        rest = {key: value for key, value in balancer.items() if key not in ("servers", "sticky")}
        rest |= {key: value for key, value in router.items() if key not in _USUAL}
        for path, text in leaves(rest):
            facts.note(subject, f"balancer.{path}", text)


def _certificate(rendered: Rendered, content: Mapping[str, Any], router: Mapping[str, Any]) -> str:
    """Where the certificate of a route comes from: an authority by name, or `brought`; nothing without TLS."""
    points = rendered.document(_STATIC).get("entryPoints") or {}
    options = [((points.get(name) or {}).get("http") or {}).get("tls") for name in router.get("entryPoints") or []]
    if all(item is None for item in options):
        return ""
    resolver = next((str(item["certResolver"]) for item in options if item and "certResolver" in item), "")
    return resolver or ("brought" if (content.get("tls") or {}).get("certificates") else "none")


def _destination(balancer: Mapping[str, Any], subjects: Mapping[str, str]) -> str:
    urls = [str(item.get("url", "")) for item in balancer.get("servers") or []]
    return ", ".join(_resolved(url, subjects) for url in urls) or "nowhere"


def _resolved(url: str, subjects: Mapping[str, str]) -> str:
    found = re.fullmatch(r"http://([^:/]+):(\d+)", url)
    return f"{subjects.get(found[1], found[1])}:{found[2]}" if found else url
