"""Objects as plain data, and what tells one from another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moorage.targets.k8s.names import LABEL_INSTANCE

Object = dict[str, Any]


@dataclass(frozen=True, order=True)
class Identity:
    """What an object is called in its cluster, whatever version it is written in; `namespace` is empty for all."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def path(self) -> str:
        """One line for a list: `apps/Deployment/acme/web`."""
        return "/".join((self.group, self.kind, self.namespace, self.name))


def identity(item: Mapping[str, Any]) -> Identity:
    """The identity of an object."""
    group = str(item["apiVersion"]).rpartition("/")[0]
    metadata = item["metadata"]
    return Identity(group, str(item["kind"]), str(metadata.get("namespace", "")), str(metadata["name"]))


def from_path(text: str) -> Identity:
    """The identity of a line that `path` wrote. Raises ValueError."""
    group, kind, namespace, name = text.split("/")
    return Identity(group, kind, namespace, name)


def instance_of(item: Mapping[str, Any]) -> str:
    """The deployment that an object says it is of; empty when it says nothing."""
    return str((item["metadata"].get("labels") or {}).get(LABEL_INSTANCE, ""))


def of_kind(items: Iterable[Object], *kinds: str) -> list[Object]:
    """Those of some kinds."""
    return [item for item in items if item["kind"] in kinds]


def at(item: Mapping[str, Any], *keys: str) -> Any:
    """What stands at the end of a way of keys; None where the way ends early."""
    value: Any = item
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
