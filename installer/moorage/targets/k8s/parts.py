"""What a part of the platform brings beside its static files: the small seam of images, sizes and settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moorage.stack.model import Limits
from moorage.targets.k8s.configuration import Generator
from moorage.targets.k8s.names import ANNOTATION_REVISION
from moorage.targets.k8s.pods import resources


@dataclass(frozen=True)
class Part:
    """One folder of `k8s/platform/` and what the base's kustomization adds to it.

    `patches` are strategic merges; `objects` are whole ones; `image` takes the place of the one that the files name.
    """

    name: str
    image: str
    generators: list[Generator] = field(default_factory=list)
    patches: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)


def workload_patch(
    kind: str,
    name: str,
    limits: Limits,
    *,
    container: dict[str, Any] | None = None,
    pod: dict[str, Any] | None = None,
    secrets_digest: str = "",
) -> dict[str, Any]:
    """The seam of a static workload: sizes, and what else its pod and its one container get."""
    template: dict[str, Any] = {
        "spec": {
            **(pod or {}),
            "containers": [{"name": name, "resources": resources(limits), **(container or {})}],
        }
    }
    if secrets_digest:
        template["metadata"] = {"annotations": {ANNOTATION_REVISION: secrets_digest}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": {"template": template}}


def claim_patch(name: str, size: int) -> dict[str, Any]:
    """The size of a static claim, in bytes."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"resources": {"requests": {"storage": f"{-(-size // (1 << 20))}Mi"}}},
    }
