"""Rendered manifests as the real kustomize builds them, and what is asked of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from moorage.process import run

sys.path[:0] = [str(Path(__file__).parents[1] / "machine")]

Object = dict[str, Any]


@cache
def kustomize() -> str:
    """The real program."""
    import tools

    return str(tools.fetch("kustomize"))


def build(folder: Path) -> list[Object]:
    """All objects of a folder with a kustomization."""
    answer = run([kustomize(), "build", str(folder)])
    return [item for item in yaml.safe_load_all(answer.output) if item]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [item for item in objects if item["kind"] in kinds]


def names(objects: list[Object], kind: str) -> set[str]:
    """The names of all objects of a kind."""
    return {item["metadata"]["name"] for item in of_kind(objects, kind)}


def pod_templates(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """`Kind/name` and the pod's template of everything that starts pods."""
    for item in of_kind(objects, "Deployment", "StatefulSet", "DaemonSet", "Job"):
        yield f"{item['kind']}/{item['metadata']['name']}", item["spec"]["template"]
    for item in of_kind(objects, "CronJob"):
        yield f"CronJob/{item['metadata']['name']}", item["spec"]["jobTemplate"]["spec"]["template"]


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector takes an object with these labels."""
    wanted = selector.get("matchLabels", {})
    if any(labels.get(name) != value for name, value in wanted.items()):
        return False
    for rule in selector.get("matchExpressions", []):
        value, is_in = labels.get(rule["key"]), rule["operator"] == "In"
        if rule["operator"] in ("In", "NotIn") and (value in rule["values"]) != is_in:
            return False
    return True
