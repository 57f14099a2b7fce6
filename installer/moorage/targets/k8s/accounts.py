"""Who a pod is for the cluster, and what people may do in the namespace."""

from __future__ import annotations

from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import Stack
from moorage.targets.k8s import names

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
_READ = ["get", "list", "watch"]
_EVERYTHING = ["create", "delete", "get", "list", "patch", "update", "watch"]
_LOOKED_AT: dict[str, list[str]] = {
    "": ["configmaps", "events", "persistentvolumeclaims", "pods", "pods/log", "replicationcontrollers", "resourcequotas", "serviceaccounts", "services"],
    "apps": ["daemonsets", "deployments", "replicasets", "statefulsets"],
    "autoscaling": ["horizontalpodautoscalers"],
    "batch": ["cronjobs", "jobs"],
    "discovery.k8s.io": ["endpointslices"],
    "events.k8s.io": ["events"],
    "metrics.k8s.io": ["pods"],
    "networking.k8s.io": ["ingresses", "networkpolicies"],
    "policy": ["poddisruptionbudgets"],
    "snapshot.storage.k8s.io": ["volumesnapshots"],
}  # fmt: skip
# What a deployment is made of. Nobody can give a right that he has not: the proxy's own rights are among these.
_DEPLOYED: dict[str, list[str]] = {
    "": ["configmaps", "limitranges", "persistentvolumeclaims", "pods", "resourcequotas", "secrets", "serviceaccounts", "services"],
    "apps": ["deployments", "statefulsets"],
    "autoscaling": ["horizontalpodautoscalers"],
    "batch": ["cronjobs", "jobs"],
    "cert-manager.io": ["certificates", "issuers"],
    "coordination.k8s.io": ["leases"],
    "networking.k8s.io": ["ingresses", "ingresses/status", "networkpolicies"],
    "policy": ["poddisruptionbudgets"],
    "rbac.authorization.k8s.io": ["rolebindings", "roles"],
    "snapshot.storage.k8s.io": ["volumesnapshots"],
}  # fmt: skip


def service_accounts(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """One for each service that has pods of its own: no two share what one of them may do."""
    return [
        service_account(stack, service.name, cluster.roles.get(service.name, ""))
        for service in stack.services
        if names.leads(service)
    ]


def service_account(stack: Stack, name: str, role: str = "") -> dict[str, Any]:
    """An identity without any right in the cluster; with `role` one of AWS stands behind it."""
    metadata: dict[str, Any] = {"name": name, "labels": names.labels(stack, name)}
    if role:
        metadata["annotations"] = {ROLE_ANNOTATION: role}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False}


def team(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """Roles for people, bound to the groups of `kubernetes.team`; nothing for a role that nobody has."""
    groups = {name: tuple(getattr(cluster.team, name)) for name in ("observer", "debugger", "deployer", "admin")}
    found: list[dict[str, Any]] = []
    for name, members in groups.items():
        if not members:
            continue
        if name != "admin":
            found.append(_role(stack, name))
        found.append(_binding(stack, name, members))
    return found


def _role(stack: Stack, name: str) -> dict[str, Any]:
    rules = [{"apiGroups": [group], "resources": found, "verbs": _READ} for group, found in _LOOKED_AT.items()]
    if name == "debugger":
        rules.append(
            {
                "apiGroups": [""],
                "resources": ["pods/exec", "pods/portforward", "pods/attach"],
                "verbs": ["create", "get"],
            }
        )
        rules.append(
            {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["get", "patch", "update"]}
        )
    if name == "deployer":
        rules += [
            {"apiGroups": [group], "resources": found, "verbs": _EVERYTHING} for group, found in _DEPLOYED.items()
        ]
        rules.append({"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]})
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": f"team-{name}", "labels": names.labels(stack, f"team-{name}")},
        "rules": rules,
    }


def _binding(stack: Stack, name: str, groups: tuple[str, ...]) -> dict[str, Any]:
    # The cluster's own role of that name gives everything in one namespace.
    role = {"kind": "ClusterRole", "name": "admin"} if name == "admin" else {"kind": "Role", "name": f"team-{name}"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"team-{name}", "labels": names.labels(stack, f"team-{name}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", **role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group} for group in groups],
    }
