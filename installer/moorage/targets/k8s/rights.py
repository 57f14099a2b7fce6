"""What pods may do with Kubernetes' API: services that ask for it, and the proxy for what the app creates."""

from __future__ import annotations

from typing import Any

from moorage.stack.cluster import ApiRule, Cluster
from moorage.stack.model import Stack
from moorage.targets.k8s import names
from moorage.targets.k8s.edge import NAME as TRAEFIK

_API = "rbac.authorization.k8s.io"
_LOOK = ("list", "watch")


def objects(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """Roles and their bindings; what is of the whole cluster carries the namespace in its name."""
    found: list[dict[str, Any]] = []
    for service in stack.services:
        rights = service.cluster_rights
        if rights is not None and rights.namespace:
            found += _bound(stack, cluster, service.name, service.name, rights.namespace, whole=False)
        if rights is not None and rights.cluster:
            name = f"{cluster.namespace}-{service.name}"
            found += _bound(stack, cluster, service.name, name, rights.cluster, whole=True)
    return found + (_created(stack, cluster) if cluster.created_labels and cluster.ingress == "traefik" else [])


def _created(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """The proxy sees the Ingresses of all namespaces to find those that the app made, and their certificates."""
    rules = (
        ApiRule(("",), ("services", "secrets", "namespaces"), _LOOK),
        ApiRule(("discovery.k8s.io",), ("endpointslices",), _LOOK),
        ApiRule(("networking.k8s.io",), ("ingresses", "ingressclasses"), _LOOK),
        ApiRule(("networking.k8s.io",), ("ingresses/status",), ("update",)),
    )
    ingress_class = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": cluster.created_class, "labels": names.labels(stack, TRAEFIK)},
        "spec": {"controller": f"moorage/{cluster.created_class}"},
    }
    name = f"{cluster.namespace}-{TRAEFIK}"
    return [ingress_class, *_bound(stack, cluster, TRAEFIK, name, rules, whole=True)]


def _bound(
    stack: Stack, cluster: Cluster, account: str, name: str, rules: tuple[ApiRule, ...], *, whole: bool
) -> list[dict[str, Any]]:
    kind = "ClusterRole" if whole else "Role"
    metadata = {"name": name, "labels": names.labels(stack, account)}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": cluster.namespace}
    return [
        {
            "apiVersion": f"{_API}/v1",
            "kind": kind,
            "metadata": metadata,
            "rules": [
                {"apiGroups": list(rule.groups), "resources": list(rule.resources), "verbs": list(rule.verbs)}
                for rule in rules
            ],
        },
        {
            "apiVersion": f"{_API}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _API, "kind": kind, "name": name},
            "subjects": [subject],
        },
    ]
