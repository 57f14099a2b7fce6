"""The site's certificate in the cluster: brought as a Secret, or ordered by cert-manager in this namespace."""

from __future__ import annotations

import base64
import re
from typing import Any

from moorage.parity.reasons import Allowed, Pair, lacking, only_right
from moorage.stack.cluster import Cluster
from moorage.stack.model import Acme, Stack
from moorage.targets.k8s import ingress, names
from moorage.targets.k8s.configuration import add_secret
from moorage.targets.k8s.network import NGINX, SOLVERS
from moorage.tree import Tree

ISSUER = "letsencrypt"
_TOKEN = "CF_DNS_API_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_SECRET = "cloudflare-token"  # noqa: S105 - the name of an object
_TOKEN_KEY = "api-token"  # noqa: S105 - likewise
_SOLVER_PORT = 8089


def add_certificate(private: Tree, stack: Stack, cluster: Cluster) -> None:
    """The Secret of a certificate that the operator or our own authority gives; cert-manager makes its own."""
    if cluster.certificate is not None:
        chain, key = cluster.certificate.chain.encode(), cluster.certificate.key
        add_secret(private, ingress.CERTIFICATE, {"tls.crt": chain, "tls.key": key}, kind="kubernetes.io/tls")
    token = stack.edge.secret_environment.get(_TOKEN)
    if stack.edge.acme is not None and token is not None:
        add_secret(private, TOKEN_SECRET, {_TOKEN_KEY: token})


def objects(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """cert-manager's Issuer and Certificate, and what its challenge needs; nothing without Let's Encrypt."""
    acme = stack.edge.acme
    if acme is None:
        return []
    found = [_issuer(stack, cluster, acme), _certificate(stack)]
    return found + ([_solver_policy(stack, cluster)] if acme.challenge == "http" else [])


def hosts(stack: Stack) -> list[str]:
    """All names of the site; a wildcard only where a certificate can have one."""
    found = {stack.domain}
    can_have_wildcard = stack.edge.acme is None or stack.edge.acme.challenge == "cloudflare-dns"
    for route in stack.routes:
        found |= set(route.hosts)
        if route.wildcard_of and can_have_wildcard:
            found.add(f"*.{route.wildcard_of}")
    if stack.wildcard and can_have_wildcard:
        found.add(f"*.{stack.domain}")
    if stack.edge.dashboard_host:
        found.add(stack.edge.dashboard_host)
    return sorted(found)


def _issuer(stack: Stack, cluster: Cluster, acme: Acme) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "email": acme.email,
        "server": acme.server,
        "privateKeySecretRef": {"name": f"{ISSUER}-account"},
        "solvers": [_solver(stack, cluster, acme)],
    }
    if cluster.acme_authority:
        settings["caBundle"] = base64.b64encode(cluster.acme_authority.encode()).decode()
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {"name": ISSUER, "labels": names.labels(stack, ISSUER)},
        "spec": {"acme": settings},
    }


def _solver(stack: Stack, cluster: Cluster, acme: Acme) -> dict[str, Any]:
    if acme.challenge == "cloudflare-dns":
        token = {"apiTokenSecretRef": {"name": TOKEN_SECRET, "key": _TOKEN_KEY}}
        return {"selector": {"dnsZones": [stack.domain]}, "dns01": {"cloudflare": token}}
    return {"http01": {"ingress": {"class": cluster.ingress_class}}}


def _certificate(stack: Stack) -> dict[str, Any]:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": ingress.CERTIFICATE, "labels": names.labels(stack, ingress.CERTIFICATE)},
        "spec": {
            "secretName": ingress.CERTIFICATE,
            "issuerRef": {"kind": "Issuer", "name": ISSUER},
            "dnsNames": hosts(stack),
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        },
    }


def _solver_policy(stack: Stack, cluster: Cluster) -> dict[str, Any]:
    """The proxy reaches the pods that answer a challenge, and those need no way out."""
    own = {"podSelector": {"matchLabels": names.selector(stack, "traefik")}}
    proxy = NGINX if cluster.ingress == "nginx" else own
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "proxy-to-challenge", "labels": names.labels(stack, "traefik")},
        "spec": {
            "podSelector": SOLVERS,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [proxy], "ports": [{"port": _SOLVER_PORT, "protocol": "TCP"}]}],
        },
    }


def _is_kept_by_traefik(pair: Pair) -> bool:
    if pair.key.field == f"{ISSUER}.storage":
        return not pair.right and bool(re.fullmatch(r"/acme/acme-[0-9a-f]{8}\.json", pair.left))
    return (pair.key.field, pair.left, pair.right) == (f"{ISSUER}.dnsChallenge.resolvers", "1.1.1.1:53, 8.8.8.8:53", "")


_BROUGHT = {
    "certificates.0.certFile": "/tls/tls.crt",
    "certificates.0.keyFile": "/tls/tls.key",
    "stores.default.defaultCertificate.certFile": "/tls/tls.crt",
    "stores.default.defaultCertificate.keyFile": "/tls/tls.key",
}

DIFFERENCES = (
    Allowed(
        "network",
        "proxy → challenge",
        "cert-manager answers an authority's questions in pods of its own; on a server Traefik does.",
        only_right(str(_SOLVER_PORT)),
    ),
    Allowed(
        "tls",
        "*",
        "A certificate that is brought is a Secret, which the Ingresses name, and no file of the proxy.",
        lacking(_BROUGHT),
    ),
    Allowed(
        "tls",
        f"{ISSUER}.*",
        "cert-manager orders certificates in a cluster and keeps them in Secrets; on a server Traefik does, in a volume.",
        _is_kept_by_traefik,
    ),
)
