"""Named volumes as claims."""

from __future__ import annotations

from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import BundledPostgres, BundledRedis, Stack
from moorage.targets.k8s import names


def claims(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """A claim for each named volume of the app that the deployment makes; an external one must be there already."""
    own = {item.volume for item in (stack.postgres, stack.redis) if isinstance(item, BundledPostgres | BundledRedis)}
    return [
        claim(stack, names.claim_name(volume.name), cluster.volume_sizes[volume.name])
        for volume in stack.volumes
        if not volume.external and volume.name not in own
    ]


def claim(stack: Stack, name: str, size: int) -> dict[str, Any]:
    """A disk of one node, of the class that the overlay sets; `size` in bytes."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": names.labels(stack, name)},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": f"{-(-size // (1 << 20))}Mi"}},
        },
    }
