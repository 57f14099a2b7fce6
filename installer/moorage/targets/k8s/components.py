"""Components of the app: their manifests byte for byte, and the small seam of namespace, images, settings and traffic."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from moorage.formats import dump_yaml, parse_yaml
from moorage.parity.reasons import Allowed, Pair, nothing_left
from moorage.stack.model import Component, Stack
from moorage.targets.k8s import configuration, kustomization, names
from moorage.targets.k8s.accounts import ROLE_ANNOTATION
from moorage.targets.k8s.facts import ComponentFacts, WorkloadFacts
from moorage.targets.k8s.overlays import KEPT_OFF_SPOT, ON_STABLE_NODES
from moorage.tree import Tree

FOLDER = f"{names.K8S_FOLDER}/components"
STATIC = "manifests"
_HEADER = "Rendered by moorage; changes here are lost. Settings: moorage.yaml."
_STARTUP_SECONDS = 120
_KINDS = ("DaemonSet", "Deployment", "StatefulSet")
# Kinds of the whole cluster that kustomize takes for ones of a namespace, because they are an addition.
_WIDE = ("ClusterIssuer", "VolumeSnapshotClass")
# What every cluster knows ends so, but for snapshots.
_OF_KUBERNETES, _SNAPSHOTS = ".k8s.io", "snapshot.storage.k8s.io"


def add_components(stack: Stack, app_namespace: str, public: Tree, private: Tree) -> list[str]:
    """The folders of the components that are on; gives their paths as an overlay has them."""
    for component in stack.components:
        _add(stack, component, app_namespace, public)
        name = f"{component.name}-secrets"
        configuration.add_secret(private, name, component.secret_settings, namespace=component.namespace)
    return [f"../../components/{component.name}" for component in stack.components]


def _add(stack: Stack, component: Component, app_namespace: str, public: Tree) -> None:
    folder = f"{FOLDER}/{component.name}"
    for path, content in component.files.items():
        public.add(f"{folder}/{STATIC}/{path}", content)
    objects = [_namespace(component), *_traffic(stack, component, app_namespace)]
    text = "---\n".join(dump_yaml(item) for item in objects)
    public.add(f"{folder}/surroundings.yaml", f"# {_HEADER}\n{text}")
    generator = configuration.add_config(public, folder, f"{component.name}-settings", component.settings)
    data: dict[str, Any] = {
        **kustomization.KIND,
        "namespace": component.namespace,
        "labels": [{"pairs": _labels(stack, component), "includeTemplates": True}],
        "resources": ["surroundings.yaml", STATIC],
        "images": [kustomization.image(name, image.reference) for name, image in sorted(component.images.items())],
        "patches": _patches(stack, component),
    }
    if generator is not None:
        data["configMapGenerator"] = [generator]
    wide = [item for item in _objects(component) if item.get("kind") in _WIDE]
    data["transformers"] = [kustomization.without_namespace(item["kind"], item["metadata"]["name"]) for item in wide]
    public.add(f"{folder}/kustomization.yaml", dump_yaml({key: item for key, item in data.items() if item}, _HEADER))


def _labels(stack: Stack, component: Component) -> dict[str, str]:
    return {
        names.LABEL_INSTANCE: stack.project,
        names.LABEL_MANAGED: names.FIELD_MANAGER,
        names.LABEL_COMPONENT_OF_APP: component.name,
    }


def _namespace(component: Component) -> dict[str, Any]:
    labels = {f"pod-security.kubernetes.io/{mode}": component.pod_security for mode in ("enforce", "audit", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": component.namespace, "labels": labels}}


def _patches(stack: Stack, component: Component) -> list[dict[str, Any]]:
    """Other secrets mean other pods. What runs on every node comes first: who steers it starts anew after it."""
    found = []
    if component.role:
        annotations = {ROLE_ANNOTATION: component.role}
        found.append(kustomization.operation("ServiceAccount", "/metadata/annotations", annotations))
    parts: list[object] = [{name: value.reveal() for name, value in sorted(component.secret_settings.items())}]
    secrets = configuration.digest(stack, parts if component.secret_settings else [])
    revision = {names.ANNOTATION_REVISION: secrets} if secrets else {}
    for kind in _KINDS:
        more = {names.ANNOTATION_COMPONENT: _digest(component)} if kind == "Deployment" else {}
        pod: dict[str, Any] = {"metadata": {"annotations": {**revision, **more}}} if revision or more else {}
        if stack.target == "eks" and kind == "Deployment":
            pod["spec"] = ON_STABLE_NODES
        if pod:
            found.append(kustomization.merge(kind, {"spec": {"template": pod}}))
    return found


def _digest(component: Component) -> str:
    """The fingerprint of all that a node's part is made of."""
    found = hashlib.sha256()
    for path, content in sorted(component.files.items()):
        found.update(f"{path}\0{len(content)}\0".encode() + content)
    found.update(
        json.dumps([dict(component.settings), sorted(item.reference for item in component.images.values())]).encode()
    )
    return found.hexdigest()[:16]


def _traffic(stack: Stack, component: Component, app_namespace: str) -> Iterator[dict[str, Any]]:
    """The component's side of what it and the app say to each other."""
    for workload, service, ports in component.reached_by:
        peer = _peer(app_namespace, names.selector(stack, service))
        rule = {"from": [peer], "ports": _ports(ports)}
        yield _policy(f"{workload}-from-{service}", {names.LABEL_NAME: workload}, ["Ingress"], ingress=[rule])
    for workload, service, ports in component.reaches:
        peer = _peer(app_namespace, names.selector(stack, service))
        rule = {"to": [peer], "ports": _ports(ports)}
        yield _policy(f"{workload}-to-{service}", {names.LABEL_NAME: workload}, ["Egress"], egress=[rule])


def app_policies(stack: Stack) -> list[dict[str, Any]]:
    """The app's side of it, for the namespace of the app."""
    found = []
    for component in stack.components:
        for workload, service, ports in component.reached_by:
            rule = {"to": [_peer(component.namespace, {names.LABEL_NAME: workload})], "ports": _ports(ports)}
            pods = names.selector(stack, service)
            found.append(_policy(f"{service}-to-{workload}", pods, ["Egress"], component.name, egress=[rule]))
        for workload, service, ports in component.reaches:
            rule = {"from": [_peer(component.namespace, {names.LABEL_NAME: workload})], "ports": _ports(ports)}
            pods = names.selector(stack, service)
            found.append(_policy(f"{service}-from-{workload}", pods, ["Ingress"], component.name, ingress=[rule]))
    return found


def _peer(namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": dict(labels)},
    }


def _ports(ports: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def _policy(
    name: str, pods: Mapping[str, str], types: list[str], component: str = "", **rules: list[dict[str, Any]]
) -> dict[str, Any]:
    labels = {names.LABEL_MANAGED: names.FIELD_MANAGER}
    labels |= {names.LABEL_COMPONENT_OF_APP: component} if component else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": names.as_label(name), "labels": labels},
        "spec": {"podSelector": {"matchLabels": dict(pods)}, "policyTypes": types, **rules},
    }


def facts(component: Component) -> ComponentFacts:
    """What the deployer must know of a component."""
    found = tuple(_workload(component, item) for item in _objects(component) if item.get("kind") in _KINDS)
    return ComponentFacts(component.name, component.namespace, component.keeps, found)


def _workload(component: Component, item: dict[str, Any]) -> WorkloadFacts:
    pod = item["spec"]["template"]["spec"]
    first = pod["containers"][0]
    image = component.images.get(first["image"])
    return WorkloadFacts(
        name=item["metadata"]["name"],
        kind=item["kind"],
        image=image.reference if image else first["image"],
        builds=image is not None and image.build is not None,
        # On a node the one before has to end first.
        startup_seconds=_STARTUP_SECONDS + int(pod.get("terminationGracePeriodSeconds", 30)),
        containers=tuple(each["name"] for each in pod["containers"]),
    )


def needed_kinds(component: Component) -> Iterator[str]:
    """Kinds that not every cluster knows, as `group/Kind`."""
    for item in _objects(component):
        group, slash, _ = str(item.get("apiVersion", "")).rpartition("/")
        is_known = group == _SNAPSHOTS or not group.endswith(_OF_KUBERNETES)
        if slash and "." in group and is_known:
            yield f"{group}/{item.get('kind')}"


def _objects(component: Component) -> Iterator[dict[str, Any]]:
    for path, content in component.files.items():
        if not path.endswith((".yaml", ".yml")) or path.endswith("kustomization.yaml"):
            continue
        for part in f"\n{content.decode('utf-8')}".split("\n---\n"):
            item = parse_yaml(part, f"{component.name}/{path}").value
            if isinstance(item, dict):
                yield item


def _is_kept_off_spot(pair: Pair) -> bool:
    _, _, field = pair.key.field.partition(".spec.template.spec.")
    return not pair.left and KEPT_OFF_SPOT.get(field) == pair.right


DIFFERENCES = (
    Allowed(
        "component *",
        "*",
        "Components are for clusters. OpenSail's Volume Hub brings people's projects to the node that needs them; on one "
        "server they are all in one volume.",
        nothing_left,
    ),
    Allowed(
        "component *",
        "Deployment *.spec.template.spec.*",
        "AWS takes cheap nodes back at any time; what must stay is kept off them.",
        _is_kept_off_spot,
        ("minikube", "eks"),
    ),
)
