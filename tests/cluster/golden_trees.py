"""The golden trees as the real kustomize builds them, made ready for a cluster that holds one after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from access import Access
from kubernetes import client

from tests.golden.manifests import Object, build, of_kind
from tests.golden.test_golden import render_case

CASES = Path(__file__).parents[1] / "golden" / "cases"
# `aws-base` is what the overlays of EKS build on.
OVERLAYS = sorted(path for path in CASES.glob("*/expected/*/k8s/overlays/*") if path.name != "aws-base")
_APPLY = ("apply", "--server-side", "--field-manager=moorage", "--validate=strict", "-f", "-")
_WHOLE = (
    "CSIDriver",
    "ClusterRole",
    "ClusterRoleBinding",
    "IngressClass",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
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
    """All objects of one environment, secrets included, in a namespace of their own; components have more of them."""

    cluster: Access
    namespace: str
    api: client.ApiClient
    objects: list[Object] = field(default_factory=list)
    namespaces: tuple[str, ...] = ()

    def read(self, overlay: Path, scratch: Path) -> None:
        """Take the objects of a golden folder, and the secrets of its case."""
        deployment, rendering = render_case(overlay.parents[4], scratch / "deployment", overlay.parents[2].name)
        rendering.private.write(deployment.private_folder)
        own = json.loads((overlay.parents[1] / "cluster.json").read_text())["namespace"]
        found = build(overlay)
        olds = [item["metadata"]["name"] for item in of_kind(found, "Namespace")]
        assert own in olds
        found += build(deployment.private_folder)
        for old in olds:
            new = self.namespace if old == own else f"{self.namespace}-{old}"
            found = moved(found, old, new)
            self.namespaces += (new,)
        self.objects = found

    def apply(self, *options: str, objects: list[Object] | None = None) -> str:
        """Apply as `moorage up` does, strictly; gives what the server warned of."""
        text = yaml.safe_dump_all(self.objects if objects is None else objects)
        done = self.cluster.try_kubectl(*_APPLY, *options, stdin=text)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def add_disks(self) -> None:
        """Play the part of the cloud: a disk for each claim, whose class nobody serves here."""
        self.objects += [disk_for(item, self.namespace) for item in of_kind(self.objects, "PersistentVolumeClaim")]

    def unfinished(self) -> list[str]:
        """Deployments and StatefulSets that lack a pod, and Jobs that are not complete."""
        batch = client.BatchV1Api(self.api)
        jobs = [item for name in self.namespaces for item in batch.list_namespaced_job(name).items]
        return [
            *(item.metadata.name for item in self.workloads() if not has_all_pods(item)),
            *(item.metadata.name for item in self.drivers() if not is_on_every_node(item)),
            *(item.metadata.name for item in jobs if not item.status.succeeded),
        ]

    def workloads(self) -> list[Any]:
        """Deployments and StatefulSets of all namespaces, as they are."""
        apps = client.AppsV1Api(self.api)
        kinds = (apps.list_namespaced_deployment, apps.list_namespaced_stateful_set)
        return [item for name in self.namespaces for listed in kinds for item in listed(name).items]

    def drivers(self) -> list[Any]:
        """What runs on every node."""
        listed = client.AppsV1Api(self.api).list_namespaced_daemon_set
        return [item for name in self.namespaces for item in listed(name).items]

    def generations(self) -> dict[str, int]:
        """How often each workload's wish was changed; without those whose number an autoscaler changes at any time."""
        scaled = {item["spec"]["scaleTargetRef"]["name"] for item in of_kind(self.objects, "HorizontalPodAutoscaler")}
        found = [*self.workloads(), *self.drivers()]
        return {item.metadata.name: item.metadata.generation for item in found if item.metadata.name not in scaled}

    def scale(self, deployment: str, replicas: int) -> None:
        """Ask for another number of pods, as an autoscaler does."""
        body = {"spec": {"replicas": replicas}}
        client.AppsV1Api(self.api).patch_namespaced_deployment_scale(deployment, self.namespace, body)

    def warnings(self) -> str:
        """What the cluster says of what it refused."""
        words = ("get", "events", "--field-selector=type=Warning", "-o", "custom-columns=:.reason,:.message")
        return self.cluster.kubectl("-n", self.namespace, *words)

    def remove(self) -> None:
        """Take away what is of the whole cluster, and begin to take away the rest."""
        self.cluster.kubectl("delete", "namespace", *self.namespaces, "--ignore-not-found", "--wait=false")
        whole = [item for item in self.objects if item["kind"] in _WHOLE]
        self.cluster.kubectl("delete", "-f", "-", "--ignore-not-found", "--wait=false", stdin=yaml.safe_dump_all(whole))


def has_all_pods(item: Any) -> bool:
    """Whether a Deployment or StatefulSet is what was asked for last, in full."""
    status, wanted = item.status, item.spec.replicas
    seen = status.observed_generation == item.metadata.generation
    return seen and (status.updated_replicas or 0) == (status.ready_replicas or 0) == (status.replicas or 0) == wanted


def is_on_every_node(item: Any) -> bool:
    """Whether a DaemonSet has a pod that works on each node that it is for."""
    status = item.status
    seen = status.observed_generation == item.metadata.generation
    return bool(seen and status.desired_number_scheduled and status.number_ready == status.desired_number_scheduled)


def moved(item: Any, old: str, new: str) -> Any:
    """The same object in another namespace: nothing else of it changes."""
    if isinstance(item, list):
        return [moved(each, old, new) for each in item]
    if not isinstance(item, dict):
        return item
    changed = {
        key: new if key == "namespace" and value == old else moved(value, old, new) for key, value in item.items()
    }
    if item.get("kind") == "Namespace" and item.get("metadata", {}).get("name") == old:
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
