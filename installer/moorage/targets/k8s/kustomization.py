"""The one generated seam: `kustomization.yaml` of the base and of the overlays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import Stack
from moorage.targets.k8s import names
from moorage.targets.k8s.configuration import Generator

KIND = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_IMAGE = re.compile(r"^(?P<name>[^@]+?)(?::(?P<tag>[^:/@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$")


def base(
    stack: Stack,
    cluster: Cluster,
    resources: Sequence[str],
    generators: Sequence[Generator],
    images: Mapping[str, str],
    patches: Sequence[str],
) -> dict[str, Any]:
    """The base: everything of this environment but what a cluster of its kind adds."""
    return {
        **KIND,
        "namespace": cluster.namespace,
        "labels": [{"pairs": {names.LABEL_INSTANCE: stack.project}, "includeTemplates": True}],
        "resources": list(resources),
        "configMapGenerator": sorted(generators, key=lambda item: str(item["name"])),
        "generatorOptions": {"labels": {names.LABEL_MANAGED: names.FIELD_MANAGER}},
        "images": [image(name, reference) for name, reference in sorted(images.items())],
        "patches": [{"path": path} for path in patches],
    }


def overlay(
    resources: Sequence[str], patches: Sequence[dict[str, Any]] = (), labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What a kind of cluster adds to the base; `patches` as kustomize has them."""
    data: dict[str, Any] = {**KIND, "resources": list(resources)}
    if labels:
        data["labels"] = [{"pairs": dict(labels), "includeTemplates": True}]
    return {**data, "patches": list(patches)} if patches else data


def operation(kind: str, path: str, value: Any, *, name: str = "") -> dict[str, Any]:
    """A patch of every object of a kind, or of one of them: `value` is put at `path` (RFC 6901)."""
    target = {"kind": kind, **({"name": name} if name else {})}
    return {"target": target, "patch": json.dumps([{"op": "add", "path": path, "value": value}])}


def merge(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """A strategic merge into every object of a kind; a kind that has none is no mistake."""
    return {"target": {"kind": kind}, "patch": json.dumps({"kind": kind, "metadata": {"name": "every"}, **content})}


def where_none_is_named(namespace: str) -> dict[str, Any]:
    """Puts what names no namespace into this one; `namespace:` itself would move everything there."""
    transformer = {
        "apiVersion": "builtin",
        "kind": "NamespaceTransformer",
        "metadata": {"name": "app", "namespace": namespace},
        "unsetOnly": True,
    }
    return {"transformers": [json.dumps(transformer)]}


def without_namespace(kind: str, name: str) -> str:
    """A transformer, which runs after `namespace:` did: the object belongs to the whole cluster."""
    transformer = {
        "apiVersion": "builtin",
        "kind": "PatchTransformer",
        "metadata": {"name": f"without-namespace-{name}"},
        "target": {"kind": kind, "name": name},
        "patch": json.dumps([{"op": "remove", "path": "/metadata/namespace"}]),
    }
    return json.dumps(transformer)


def image(name: str, reference: str) -> dict[str, str]:
    """What stands for the name of an image in static files."""
    found = _IMAGE.match(reference)
    assert found is not None
    data = {"name": name, "newName": found["name"]}
    if found["tag"]:
        data["newTag"] = found["tag"]
    if found["digest"]:
        data["digest"] = found["digest"]
    return data
