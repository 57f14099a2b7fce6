"""Components of the app, leaf by leaf: no server has a counterpart, and two clusters have the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from moorage.parity.facts import SECRET, Facts
from moorage.parity.kubernetes_objects import plain_name
from moorage.parity.rendered import Rendered
from moorage.parity.words import PRESENT, leaves

_COMPONENT = "moorage/component"
_DIGESTS = (".annotations.moorage/secrets", ".annotations.moorage/component-revision")


def apart(facts: Facts, rendered: Rendered) -> Rendered:
    """Note everything that belongs to a component; gives the rest."""
    found = [(item, name) for item in rendered.objects if (name := _component_of(item))]
    configs = {str((item.get("metadata") or {}).get("name")) for item, _ in found if item.get("kind") == "ConfigMap"}
    for item, name in found:
        for path, text in _leaves(item, configs):
            facts.note(f"component {name}", path, text)
    for name in sorted({name for _, name in found}):
        for variable in rendered.private.get(f"{name}-secrets.json", ()):
            facts.note(f"component {name}", f"secret {variable}", SECRET)
    return replace(rendered, objects=tuple(item for item in rendered.objects if not _component_of(item)))


def _component_of(item: Mapping[str, Any]) -> str:
    return str(((item.get("metadata") or {}).get("labels") or {}).get(_COMPONENT, ""))


def _leaves(item: Mapping[str, Any], configs: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """The leaves of an object. The fingerprint at the end of a name goes where there is such a ConfigMap; else all of it shows."""
    kind, metadata = str(item.get("kind")), item.get("metadata") or {}
    name = str(metadata.get("name"))
    begin = f"{kind} {plain_name(name) if kind == 'ConfigMap' else name}"
    for path, text in leaves({key: value for key, value in item.items() if key != "kind"}):
        if path == "metadata.name" or path.endswith((".configMapRef.name", ".configMap.name")):
            text = plain_name(text) if path == "metadata.name" or text in configs else text
        yield f"{begin}.{path}", PRESENT if f".{path}".endswith(_DIGESTS) else text
