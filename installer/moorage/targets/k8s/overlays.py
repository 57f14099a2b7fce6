"""What one kind of cluster adds to the base: the class of its disks, its load balancer, what AWS has to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moorage.formats import dump_yaml
from moorage.parity.reasons import Allowed, Pair, adding, nothing_left
from moorage.stack.cluster import Cluster
from moorage.stack.model import Stack
from moorage.targets.k8s import certificates, kustomization, names
from moorage.targets.k8s.edge import NAME as TRAEFIK
from moorage.targets.k8s.kustomization import operation
from moorage.tree import Tree

AWS_BASE = "aws-base"
_HEADER = "Rendered by moorage; changes here are lost. Settings: moorage.yaml."
_EBS = "ebs.csi.aws.com"
# Nodes that AWS does not take away carry this label, and a soft taint: what the app starts for its users, which tolerates
# nothing, goes to spot nodes as long as there are any.
_STABLE = "moorage/stable"
ON_STABLE_NODES: dict[str, Any] = {
    "tolerations": [{"key": _STABLE, "operator": "Exists", "effect": "PreferNoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": [{"key": _STABLE, "operator": "Exists"}]}}
            ]
        }
    },
}
_LABEL_ENVIRONMENT = "moorage/environment"


def add_overlays(stack: Stack, cluster: Cluster, public: Tree, components: Sequence[str] = ()) -> None:
    """The overlay of this environment; on EKS above `aws-base`, which any further one may stand on.

    `components` are folders that stand beside the base: what an overlay does to the app is not for them.
    """
    below = "../../base"
    if stack.target == "eks":
        _add(public, AWS_BASE, kustomization.overlay([below, "storage.yaml"], _aws(stack, cluster)))
        storage = "---\n".join(dump_yaml(item) for item in _storage(stack, cluster))
        public.add(f"{names.OVERLAYS}/{AWS_BASE}/storage.yaml", f"# {_HEADER}\n{storage}")
        below = f"../{AWS_BASE}"
    patches = _minikube(stack, cluster) if stack.target == "minikube" else []
    _add(
        public,
        cluster.overlay,
        kustomization.overlay([below, *components], patches, {_LABEL_ENVIRONMENT: stack.environment}),
    )


def _add(public: Tree, name: str, content: dict[str, Any]) -> None:
    public.add(f"{names.OVERLAYS}/{name}/kustomization.yaml", dump_yaml(content, _HEADER))


def _minikube(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    patch = operation("PersistentVolumeClaim", "/spec/storageClassName", cluster.storage_class)
    if stack.components:
        # A component's own disks say themselves of which class they are.
        patch["target"]["labelSelector"] = f"!{names.LABEL_COMPONENT_OF_APP}"
    return [patch]


def _aws(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    found = [operation("PersistentVolumeClaim", "/spec/storageClassName", cluster.storage_class)]
    found += [
        kustomization.merge(kind, {"spec": {"template": {"spec": ON_STABLE_NODES}}})
        for kind in ("Deployment", "StatefulSet", "Job")
    ]
    found.append(
        kustomization.merge("CronJob", {"spec": {"jobTemplate": {"spec": {"template": {"spec": ON_STABLE_NODES}}}}})
    )
    if cluster.ingress == "traefik":
        found.append(operation("Service", "/metadata/annotations", _balancer(stack, cluster), name=TRAEFIK))
    return found


def _balancer(stack: Stack, cluster: Cluster) -> dict[str, str]:
    """A network load balancer straight to the pods. It keeps the visitor's address without a header to believe."""
    found = {
        "service.beta.kubernetes.io/aws-load-balancer-type": "external",
        "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
        "service.beta.kubernetes.io/aws-load-balancer-scheme": "internet-facing",
        "service.beta.kubernetes.io/aws-load-balancer-target-group-attributes": "preserve_client_ip.enabled=true",
    }
    if cluster.external_dns:
        # All of them, also those that no certificate names: the record of a wildcard leads to the same place.
        found["external-dns.alpha.kubernetes.io/hostname"] = ",".join(certificates.hosts(stack))
    return {**found, **cluster.balancer_annotations}


def _storage(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """Our own classes; one that the operator names is there already."""
    found: list[dict[str, Any]] = []
    if cluster.storage_class == f"{cluster.namespace}-gp3":
        found.append(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": cluster.storage_class, "labels": names.labels(stack, "storage")},
                "provisioner": _EBS,
                "parameters": {"type": "gp3", "encrypted": "true"},
                # A disk is made where its first pod runs, and a deleted claim leaves it behind: nothing is lost by a slip.
                "volumeBindingMode": "WaitForFirstConsumer",
                "reclaimPolicy": "Retain",
                "allowVolumeExpansion": True,
            }
        )
    if cluster.snapshot_class == f"{cluster.namespace}-snapshots":
        found.append(
            {
                "apiVersion": "snapshot.storage.k8s.io/v1",
                "kind": "VolumeSnapshotClass",
                "metadata": {"name": cluster.snapshot_class, "labels": names.labels(stack, "snapshots")},
                "driver": _EBS,
                "deletionPolicy": "Retain",
            }
        )
    return found


def _is_the_class(pair: Pair) -> bool:
    return (
        pair.left == "csi-hostpath-sc"
        and pair.right_facts.wholly_neutral(pair.right_facts.values.get(pair.key, "")) == "${NAMESPACE}-gp3"
    )


_AWS = ("minikube", "eks")
_STABLE = "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.0."
KEPT_OFF_SPOT = {
    f"{_STABLE}preference.matchExpressions.0.key": "moorage/stable",
    f"{_STABLE}preference.matchExpressions.0.operator": "Exists",
    f"{_STABLE}weight": "100",
    "tolerations.0.effect": "PreferNoSchedule",
    "tolerations.0.key": "moorage/stable",
    "tolerations.0.operator": "Exists",
}

DIFFERENCES = (
    Allowed(
        "pod of *",
        "*",
        "AWS takes cheap nodes back at any time; what must stay is kept off them.",
        adding(KEPT_OFF_SPOT),
        _AWS,
    ),
    Allowed(
        "object PersistentVolumeClaim *",
        "spec.storageClassName",
        "Each kind of cluster has disks of its own.",
        _is_the_class,
        _AWS,
    ),
    Allowed(
        "object StorageClass *", "*", "EKS has no class of encrypted gp3 disks until one is made.", nothing_left, _AWS
    ),
    Allowed(
        "object VolumeSnapshotClass *",
        "*",
        "Snapshots are taken by the driver of the cluster's disks.",
        nothing_left,
        _AWS,
    ),
    Allowed(
        "object Service traefik",
        "annotations.*",
        "AWS is told which load balancer to make, external-dns which names lead to it; minikube has a tunnel.",
        nothing_left,
        _AWS,
    ),
)
