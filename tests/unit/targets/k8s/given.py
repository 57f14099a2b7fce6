"""Manifests of a small Compose file, as plain data."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from moorage.targets.base import Rendering
from tests.unit.given import SETTINGS, rendering

Object = dict[str, Any]
ROUTED = {"port": 80, "route": {"paths": ["/"]}}
MINIKUBE = SETTINGS + "target: minikube\n"


def manifests(folder: Path, services: dict[str, Any], settings: str = "", **more: Any) -> Rendering:
    """What a deployment on minikube renders to; a service `web` with a route is there unless it is given."""
    web = {"image": "nginx:1.27", "x-moorage": ROUTED}
    content = {**more.pop("top", {}), "services": {"web": web, **services}}
    return rendering(folder, content, settings, base=more.pop("base", MINIKUBE), **more)


def objects(rendered: Rendering) -> list[Object]:
    """All objects of the base, before kustomize has seen them."""
    found = []
    for path, file in rendered.public.files.items():
        if path.startswith("k8s/base/") and path.count("/") == 2 and not path.endswith("kustomization.yaml"):
            found += [item for item in yaml.safe_load_all(file.content) if item]
    return found


def one(rendered: Rendering, kind: str, name: str) -> Object:
    """The object of that kind and name."""
    (found,) = [item for item in objects(rendered) if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def names(rendered: Rendering, kind: str) -> list[str]:
    """The names of all objects of a kind, sorted."""
    return sorted(item["metadata"]["name"] for item in objects(rendered) if item["kind"] == kind)


def pod(rendered: Rendering, name: str = "web") -> Object:
    """The pod of a Deployment."""
    spec: Object = one(rendered, "Deployment", name)["spec"]["template"]["spec"]
    return spec


def secret(rendered: Rendering, name: str) -> dict[str, str]:
    """The values of a Secret."""
    content = json.loads(rendered.private.files[f"{name}.json"].content)
    return {key: base64.b64decode(value).decode() for key, value in content["data"].items()}


def variables(rendered: Rendering, name: str) -> dict[str, str]:
    """The lines of a ConfigMap's env file, each read as kustomize reads it: to the end, every character of it."""
    text = rendered.public.files[f"k8s/base/config/{name}.env"].content.decode()
    return dict(line.split("=", 1) for line in text.splitlines())
