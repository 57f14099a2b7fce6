"""In which order objects go to a cluster: each wave needs what those before it brought."""

from __future__ import annotations

from collections.abc import Iterable

from moorage.targets.cluster.objects import Object

FIRST = ("Namespace",)
_GROUND = (
    "CustomResourceDefinition", "PriorityClass", "CSIDriver", "StorageClass", "VolumeSnapshotClass", "RuntimeClass",
    "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding", "ResourceQuota", "LimitRange",
    "IngressClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
)  # fmt: skip
_NEEDED = ("ConfigMap", "PersistentVolume", "PersistentVolumeClaim", "Service", "NetworkPolicy", "PodDisruptionBudget", "Issuer", "Certificate")  # fmt: skip
# Words for people, and the kinds of each wave; what is in none of them comes last.
WAVES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the namespace", FIRST),
    ("accounts, rights and quota", _GROUND),
    ("secrets", ("Secret",)),
    ("configuration, disks and network", _NEEDED),
    # What steers a driver is replaced after it, and starts with what it finds there.
    ("drivers on the nodes", ("DaemonSet",)),
    ("databases", ("StatefulSet",)),
    ("jobs before the rollout", ("Job",)),
    ("services and routes", ()),
)
DRIVERS, DATABASES, JOBS, SERVICES = 4, 5, 6, 7
# What holds data, or what others may use as well: never deleted because it is no longer rendered.
NEVER_PRUNED = ("Namespace", "PersistentVolumeClaim", "PersistentVolume", "StorageClass", "CustomResourceDefinition")


def wave_of(kind: str) -> int:
    """The number of the wave that a kind belongs to."""
    return next((number for number, (_, kinds) in enumerate(WAVES) if kind in kinds), SERVICES)


def in_waves(items: Iterable[Object]) -> list[list[Object]]:
    """The objects of every wave; inside of one a kind after the other, as the wave names them."""
    found: list[list[Object]] = [[] for _ in WAVES]
    for item in items:
        found[wave_of(item["kind"])].append(item)
    for (_, kinds), wave in zip(WAVES, found, strict=True):
        wave.sort(key=lambda item: kinds.index(item["kind"]) if item["kind"] in kinds else 0)
    return found
