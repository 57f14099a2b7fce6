"""Routes of a cluster: Ingresses with annotations of Traefik or ingress-nginx, and the files that Traefik reads there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moorage.formats import parse_yaml
from moorage.parity import ingress_nginx, proxy
from moorage.parity.facts import Facts
from moorage.parity.kubernetes_network import behind, target_of
from moorage.parity.kubernetes_objects import Objects, plain_name
from moorage.parity.words import leaves

_OPTION = "traefik.ingress.kubernetes.io/router."
_SERVICE_OPTION = "traefik.ingress.kubernetes.io/service."
_KINDS = {"Exact": "just", "Prefix": "below", "ImplementationSpecific": "below"}
_MATCHERS = {"PathRegexp": "like", "Path": "just", "PathPrefix": "below"}
# What an expression has to begin with in an Ingress: it means nothing.
_NO_SLASH = "/{0}"
# Traefik's names → those of an annotation.
_COOKIE = {"httponly": "httpOnly", "samesite": "sameSite"}


def note(facts: Facts, objects: Objects) -> None:
    """Every path of every Ingress, and the proxy's own files."""
    nginx = ingress_nginx.Reader(objects)
    nginx.note(facts)
    for ingress in objects.of("Ingress"):
        _ingress(facts, objects, ingress, nginx)
    note_authorities(facts, objects)
    for kind, name in (("static", "traefik-static"), ("dynamic", "traefik-dynamic")):
        for item in objects.of("ConfigMap"):
            if plain_name(item["metadata"]["name"]) == name:
                for path, text in (item.get("data") or {}).items():
                    content = parse_yaml(text, f"{name}/{path}").value or {}
                    if kind == "static":
                        proxy.note_static(facts, _reached(objects, content))
                    else:
                        proxy.note_dynamic(facts, content)
                    _dashboard(facts, content if kind == "dynamic" else {})


def _reached(objects: Objects, content: dict[str, Any]) -> dict[str, Any]:
    """The static settings with the ports that visitors use in the place of the container's own."""
    ports: dict[str, str] = {}
    for service in objects.of("Service"):
        for pod in behind(objects, service):
            if pod.subject == "proxy":
                items = (service.get("spec") or {}).get("ports") or []
                ports |= {f":{pod.port(item.get('targetPort'))}": f":{item.get('port')}" for item in items}
    points = content.get("entryPoints")
    if not isinstance(points, dict) or not all(isinstance(item, dict) for item in points.values()):
        return content
    told = {
        name: {**item, "address": ports.get(item.get("address"), item.get("address"))} for name, item in points.items()
    }
    return {**content, "entryPoints": told}


def _dashboard(facts: Facts, content: Mapping[str, Any]) -> None:
    for name, router in ((content.get("http") or {}).get("routers") or {}).items():
        for path, text in leaves(router):
            facts.note(f"router {name}", path, text)


def _ingress(facts: Facts, objects: Objects, ingress: Mapping[str, Any], nginx: ingress_nginx.Reader) -> None:
    spec = ingress.get("spec") or {}
    certificates = {
        host: item.get("secretName", "") for item in spec.get("tls") or [] for host in item.get("hosts") or []
    }
    for rule in spec.get("rules") or []:
        host = str(rule.get("host", "every host"))
        for path in (rule.get("http") or {}).get("paths") or []:
            backend = (path.get("backend") or {}).get("service") or {}
            name, number = str(backend.get("name")), (backend.get("port") or {})
            if ingress_nginx.is_for_nginx(ingress):
                said = nginx.said(ingress, host, path, has_tls=host in certificates)
            else:
                said = _said(objects, ingress, host, path, name)
            to = target_of(objects, name, number.get("number") or number.get("name"))
            subject = proxy.note_router(
                facts,
                said.match,
                said.priority,
                to=to,
                middlewares=said.middlewares,
                entry=said.entry,
                is_logged=said.is_logged,
            )
            if host in certificates:
                facts.note(subject, "certificate", _origin(objects, host, certificates[host]))
            for field, text in said.more.items():
                facts.note(subject, field, text)


def _said(objects: Objects, ingress: Mapping[str, Any], host: str, path: Mapping[str, Any], service: str) -> proxy.Said:
    """One path as Traefik takes it."""
    options = dict(ingress["metadata"].get("annotations") or {})
    named = [
        name.strip().removesuffix("@file")
        for name in options.pop(f"{_OPTION}middlewares", "").split(",")
        if name.strip()
    ]
    kind = _KINDS.get(str(path.get("pathType")), str(path.get("pathType")))
    matcher = options.pop(f"{_OPTION}pathmatcher", "")
    if matcher and kind == "below":
        kind = _MATCHERS.get(str(matcher), str(matcher))
    text = str(path.get("path", "/"))
    priority, entry = options.pop(f"{_OPTION}priority", ""), options.pop(f"{_OPTION}entrypoints", "")
    logged = options.pop(f"{_OPTION}observability.accesslogs", "true") != "false"
    return proxy.Said(
        match=proxy.Match(host, kind, text.removeprefix(_NO_SLASH) if kind == "like" else text),
        priority=priority,
        middlewares=named,
        entry=entry,
        is_logged=logged,
        more={**dict(_sticky(objects, service)), **{f"option.{name}": text for name, text in options.items()}},
    )


def _origin(objects: Objects, host: str, secret: str) -> str:
    """Where a certificate comes from: an authority by name, or `brought`."""
    for item in objects.of("Certificate"):
        if item["spec"].get("secretName") == secret:
            names = item["spec"].get("dnsNames") or []
            covered = host in names or f"*.{host.partition('.')[2]}" in names
            return str((item["spec"].get("issuerRef") or {}).get("name")) if covered else "one without this name"
    return "brought" if objects.secret(secret) is not None else "one that nobody gives"


def note_authorities(facts: Facts, objects: Objects) -> None:
    """Who signs certificates: cert-manager's Issuers."""
    for issuer in objects.of("Issuer"):
        acme = issuer["spec"].get("acme") or {}
        solver = (acme.get("solvers") or [{}])[0]
        dns: dict[str, Any] = solver.get("dns01") or {}
        token: dict[str, Any] = (next(iter(dns.values()), None) or {}).get("apiTokenSecretRef") or {}
        key = token.get("key")
        has_token = key in (objects.secret(str(token.get("name"))) or ())
        challenge = f"dns {next(iter(dns), '')}" if dns else "http" if "http01" in solver else "none"
        challenge += "" if has_token or not dns else f" | without {proxy.DNS_TOKEN}"
        name = issuer["metadata"]["name"]
        proxy.note_authority(facts, name, server=acme.get("server"), email=acme.get("email"), challenge=challenge)


def _sticky(objects: Objects, service: str) -> Iterator[tuple[str, str]]:
    for item in objects.of("Service"):
        if item["metadata"]["name"] != service:
            continue
        options = item["metadata"].get("annotations") or {}
        for name, text in options.items():
            found = name.removeprefix(f"{_SERVICE_OPTION}sticky.cookie")
            if found != name and found.startswith("."):
                yield f"sticky.cookie.{_COOKIE.get(found[1:], found[1:])}", "yes" if text == "true" else text
            elif found != name and text != "true":
                yield "sticky", text
