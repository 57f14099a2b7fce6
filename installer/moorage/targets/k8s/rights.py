"""What pods may do with Kubernetes' API: services that ask for it, and the proxy for what the app creates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.stack.cluster import ApiRule, Cluster
from moorage.stack.model import Stack
from moorage.targets.k8s import names
from moorage.targets.k8s.edge import NAME as TRAEFIK

_API = "rbac.authorization.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"
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
    """The proxy sees the Ingresses of all namespaces to find those that the app made, and what they name."""
    rules = (
        # It waits for all four kinds before it serves the first of these Ingresses.
        ApiRule(("",), ("services", "secrets", "configmaps"), _LOOK),
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
    return [ingress_class, *_only_there(stack, cluster), *_bound(stack, cluster, TRAEFIK, name, rules, whole=True)]


def _only_there(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """The class is refused in every other namespace: the proxy itself tells no namespace from another."""
    metadata = {"name": cluster.created_class, "labels": names.labels(stack, TRAEFIK)}
    ingresses = {"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "resources": ["ingresses"]}
    rule = {**ingresses, "operations": ["CREATE", "UPDATE"]}
    labels = ", ".join(f"{name}={value}" for name, value in sorted(cluster.created_labels.items()))
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "class", "expression": _is_of_class(cluster.created_class)}],
        "validations": [
            {
                "expression": _has_labels(cluster.created_labels),
                "message": f"the class {cluster.created_class} is for namespaces with the labels {labels}",
            }
        ],
    }
    binding = {"policyName": cluster.created_class, "validationActions": ["Deny"]}
    return [
        {"apiVersion": f"{_ADMISSION}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": policy},
        {
            "apiVersion": f"{_ADMISSION}/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": binding,
        },
    ]


def _is_of_class(name: str) -> str:
    """An Ingress that says its class, in the new way or the old one, as an expression of the cluster's."""
    old = '"kubernetes.io/ingress.class"'
    notes = "object.metadata.annotations"
    return (
        f'(has(object.spec.ingressClassName) && object.spec.ingressClassName == "{name}") || '
        f'(has({notes}) && {old} in {notes} && {notes}[{old}] == "{name}")'
    )


def _has_labels(labels: Mapping[str, str]) -> str:
    """A namespace with all of these labels, likewise."""
    found = "namespaceObject.metadata.labels"
    tests = [f'"{name}" in {found} && {found}["{name}"] == "{value}"' for name, value in sorted(labels.items())]
    return " && ".join([f"has({found})", *tests])


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
