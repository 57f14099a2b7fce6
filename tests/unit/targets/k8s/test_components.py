"""Parts that an app has in clusters only: off unless named, in a namespace of their own, without a secret in a file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from moorage.targets.base import Rendering
from moorage.targets.k8s.facts import read_facts
from tests.unit.targets.k8s.given import ROUTED, manifests, names, variables

SPACE = "acme-cache"
ON = "kubernetes: {components: [cache]}\nenv: {SIZE: 5}\n"
COMPONENT: dict[str, Any] = {
    "describe": "a cache on every node",
    "namespace": SPACE,
    "pod_security": "privileged",
    "images": {"node": "builder"},
    "requires": ["SIZE"],
    "settings": {"SIZE": "${SIZE:-}", "TOKEN": "${TOKEN}"},
    "environment": {"web": {"CACHE": "node.acme-cache.svc", "PLAIN": None}},
    "reached_by": {"node": {"web": [7000]}},
    "reaches": {"node": {"web": [80]}},
    "keeps": "its folder on every node",
}
TOP = {
    "x-moorage": {
        "variables": {"SIZE": {}, "TOKEN": {"secret": True, "generate": "hex32"}},
        "kubernetes_components": {"cache": COMPONENT},
    }
}
SERVICES = {
    "web": {"image": "nginx:1.27", "environment": {"PLAIN": "yes"}, "x-moorage": ROUTED},
    "builder": {"image": "acme/node:1", "build": ".", "x-moorage": {"build_only": True}},
}
POD = {"terminationGracePeriodSeconds": 100, "containers": [{"name": "node", "image": "node"}]}
NODE = f"""# A comment that stays.
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: node}}
spec:
  template:
    spec: {json.dumps(POD)}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: {{name: wide}}
driver: cache
"""
FILES = {"k8s/cache/kustomization.yaml": "resources: [node.yaml]\n", "k8s/cache/node.yaml": NODE}


def rendered(folder: Path, settings: str = ON, files: dict[str, str] | None = None) -> Rendering:
    return manifests(folder, SERVICES, settings, top=TOP, files={"Dockerfile": "FROM scratch\n", **(files or FILES)})


def seam(found: Rendering) -> Any:
    return yaml.safe_load(found.public.files["k8s/components/cache/kustomization.yaml"].content)


def test_what_nobody_switches_on_leaves_no_trace(tmp_path: Path) -> None:
    found = rendered(tmp_path, "")
    assert not [path for path in found.public.files if "components" in path]
    assert "k8s/build.yaml" not in found.public.files
    assert variables(found, "web-config")["PLAIN"] == "yes"
    assert "components" not in json.loads(found.public.files["k8s/cluster.json"].content)
    assert not [name for name in names(found, "NetworkPolicy") if "node" in name]


def test_the_manifests_stay_as_they_are_and_the_seam_says_the_rest(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    assert found.public.files["k8s/components/cache/manifests/node.yaml"].content == NODE.encode()
    assert seam(found)["namespace"] == SPACE
    assert seam(found)["images"] == [{"name": "node", "newName": "acme/node", "newTag": "1"}]
    overlay = yaml.safe_load(found.public.files["k8s/overlays/minikube/kustomization.yaml"].content)
    assert overlay["resources"] == ["../../base", "../../components/cache"]
    assert overlay["patches"][0]["target"]["labelSelector"] == "!moorage/component"
    surroundings = list(yaml.safe_load_all(found.public.files["k8s/components/cache/surroundings.yaml"].content))
    assert surroundings[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert "acme/node:1" in found.public.files["k8s/build.yaml"].content.decode()


def test_what_belongs_to_the_whole_cluster_leaves_the_namespace_again(tmp_path: Path) -> None:
    (transformer,) = seam(rendered(tmp_path))["transformers"]
    assert json.loads(transformer)["target"] == {"kind": "VolumeSnapshotClass", "name": "wide"}


def test_secrets_of_a_component_are_in_no_rendered_file(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    assert found.private.files["cache-secrets.json"].mode == 0o600
    secret = json.loads(found.private.files["cache-secrets.json"].content)
    assert secret["metadata"]["namespace"] == SPACE
    value = base64.b64decode(secret["data"]["TOKEN"])
    assert not [path for path, file in found.public.files.items() if value in file.content]
    assert found.public.files["k8s/components/cache/config/cache-settings.env"].content == b"SIZE=5\n"
    private = yaml.safe_load(found.private.files["kustomization.yaml"].content)
    assert "namespace" not in private
    assert json.loads(private["transformers"][0])["unsetOnly"] is True


def test_services_get_its_variables_and_both_sides_their_ports(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    assert variables(found, "web-config")["CACHE"] == "node.acme-cache.svc"
    assert "PLAIN" not in variables(found, "web-config")
    assert {"web-to-node", "web-from-node"} <= set(names(found, "NetworkPolicy"))


def test_who_steers_the_nodes_starts_anew_when_their_part_changes(tmp_path: Path) -> None:
    def revision(found: Rendering) -> str:
        (patch,) = [item["patch"] for item in seam(found)["patches"] if item["target"]["kind"] == "Deployment"]
        return str(json.loads(patch)["spec"]["template"]["metadata"]["annotations"]["moorage/component-revision"])

    first = revision(rendered(tmp_path / "1"))
    assert revision(rendered(tmp_path / "2")) == first
    assert revision(rendered(tmp_path / "3", ON.replace("5", "6"))) != first
    changed = {**FILES, "k8s/cache/node.yaml": NODE.replace("100", "200")}
    assert revision(rendered(tmp_path / "4", files=changed)) != first


def test_the_deployer_is_told_of_its_workloads_and_kinds(tmp_path: Path) -> None:
    facts = read_facts(json.loads(rendered(tmp_path).public.files["k8s/cluster.json"].content))
    assert facts.namespaces == ("acme", SPACE)
    (node,) = facts.components[0].workloads
    assert (node.kind, node.image, node.builds, node.startup_seconds) == ("DaemonSet", "acme/node:1", True, 220)
    assert node in facts.everywhere
    assert "snapshot.storage.k8s.io/VolumeSnapshotClass" in facts.needs_kinds
