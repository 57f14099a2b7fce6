"""The golden trees as the real kustomize builds them, made ready for a cluster that holds one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from access import Access

from tests.golden.manifests import Object, build, of_kind
from tests.golden.test_golden import render_case

CASES = Path(__file__).parents[1] / "golden" / "cases"
# `aws-base` is what the overlays of EKS build on.
OVERLAYS = sorted(path for path in CASES.glob("*/expected/*/k8s/overlays/*") if path.name != "aws-base")
_APPLY = ("apply", "--server-side", "--field-manager=moorage", "--validate=strict", "-f", "-")
_WHOLE = (
    "ClusterRole",
    "ClusterRoleBinding",
    "IngressClass",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "VolumeSnapshotClass",
)


def name_of(overlay: Path) -> str:
    """Case and environment."""
    return f"{overlay.parents[4].name}-{overlay.parents[2].name}"


@cache
def all_objects() -> tuple[Object, ...]:
    """What all of the golden trees have."""
    return tuple(item for overlay in OVERLAYS for item in build(overlay))


@dataclass
class GoldenTree:
    """All objects of one environment, secrets included, in a namespace of their own."""

    cluster: Access
    namespace: str
    objects: list[Object] = field(default_factory=list)

    def read(self, overlay: Path, scratch: Path) -> None:
        """Take the objects of a golden folder, and the secrets of its case."""
        deployment, rendering = render_case(overlay.parents[4], scratch / "deployment", overlay.parents[2].name)
        rendering.private.write(deployment.private_folder)
        found = build(overlay)
        (own,) = of_kind(found, "Namespace")
        found += build(deployment.private_folder)
        self.objects = [moved(item, own["metadata"]["name"], self.namespace) for item in found]

    def apply(self, *options: str, objects: list[Object] | None = None) -> str:
        """Apply as `moorage up` does, strictly; gives what the server warned of."""
        text = yaml.safe_dump_all(self.objects if objects is None else objects)
        done = self.cluster.try_kubectl(*_APPLY, *options, stdin=text)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def add_disks(self) -> None:
        """Play the part of the cloud: a disk for each claim, whose class nobody serves here."""
        disks = [disk_for(item, self.namespace) for item in of_kind(self.objects, "PersistentVolumeClaim")]
        self.objects += disks
        if disks:
            self.apply(objects=disks)

    def ask(self, *words: str) -> str:
        """Ask the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *words)

    def remove(self) -> None:
        """Take away what is of the whole cluster, and begin to take away the rest."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")
        whole = [item for item in self.objects if item["kind"] in _WHOLE]
        self.cluster.kubectl("delete", "-f", "-", "--ignore-not-found", "--wait=false", stdin=yaml.safe_dump_all(whole))


def moved(item: Any, old: str, new: str) -> Any:
    """The same object in another namespace: nothing else of it changes."""
    if isinstance(item, list):
        return [moved(each, old, new) for each in item]
    if not isinstance(item, dict):
        return item
    changed = {
        key: new if key == "namespace" and value == old else moved(value, old, new) for key, value in item.items()
    }
    if item.get("kind") == "Namespace" and "metadata" in item:
        changed["metadata"] = {**changed["metadata"], "name": new}
    return changed


def disk_for(claim: Object, namespace: str) -> Object:
    """A volume for just one claim."""
    name, spec = claim["metadata"]["name"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{namespace}-{name}"},
        "spec": {
            "storageClassName": spec["storageClassName"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "hostPath": {"path": f"/nowhere/{namespace}/{name}"},
            "claimRef": {"namespace": namespace, "name": name},
        },
    }
