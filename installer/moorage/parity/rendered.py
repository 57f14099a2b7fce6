"""The files of one environment as they were read: nothing of configuration and stack, and of secrets the names only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.app.env_file import read_env_file
from moorage.formats import parse_yaml
from moorage.parity.words import digest
from moorage.sensitive import reveal
from moorage.tree import MANIFEST

# What moorage.yaml and the app's file say about differences, written down when an environment is rendered.
PARITY_FILE = "parity.json"
CLUSTER_FILE = "k8s/cluster.json"
_STRUCTURED = (".yaml", ".json", ".env")


@dataclass(frozen=True)
class Rendered:
    """One rendered environment.

    `texts` are all files by path below the rendered folder, `documents` those with structure once more, parsed.
    `private` has, by path below the private folder, the names of what is in each file: no value. `objects` are what
    `kustomize build` makes of the overlay, for a cluster.
    """

    environment: str
    target: str
    documents: Mapping[str, Any]
    texts: Mapping[str, str]
    private: Mapping[str, tuple[str, ...]]
    objects: tuple[dict[str, Any], ...] = field(default_factory=tuple)

    @property
    def is_cluster(self) -> bool:
        """Whether it runs on Kubernetes."""
        return self.target != "compose"

    def document(self, path: str) -> Any:
        """A parsed file; an empty mapping when it is not there."""
        return self.documents.get(path) or {}


def read_files(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Documents and texts of a rendered folder. Raises InputError for a file that its reader could not read either.

    A text that may be executed ends with a null byte.
    """
    documents: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        name = path.relative_to(folder).as_posix()
        # Of manifests counts what `kustomize build` makes of them.
        if name == MANIFEST or (name.startswith("k8s/") and name != CLUSTER_FILE):
            continue
        content = path.read_bytes()
        # What an app's file mounts is its own, whatever its name.
        if name.endswith(_STRUCTURED) and "/files/" not in name and "/init/" not in name:
            documents[name] = _parsed(path, name, content)
        texts[name] = _text(content) + ("\0" if path.stat().st_mode & 0o100 else "")
    return documents, texts


def read_names(folder: Path) -> dict[str, tuple[str, ...]]:
    """The private files by path, with the names of what is in them; no value leaves this function."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            found[name] = tuple(_names(path))
    return found


def parse_objects(text: str, name: str) -> tuple[dict[str, Any], ...]:
    """The objects of a stream of YAML documents, as `kustomize build` writes it."""
    return tuple(parse_yaml(part, name).value for part in text.split("\n---\n") if part.strip())


def _parsed(path: Path, name: str, content: bytes) -> Any:
    if name.endswith(".env"):
        values, _ = read_env_file(path, name)
        return {key: reveal(value) for key, value in values.items()}
    if name.endswith(".json"):
        return json.loads(content)
    return parse_yaml(content.decode("utf-8"), name).value if b"\n---\n" not in content else {}


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return f"binary, {digest(content)}"


def _names(path: Path) -> Iterator[str]:
    if path.suffix == ".env":
        values, _ = read_env_file(path, path.name)
        yield from sorted(values)
    elif path.suffix == ".json":
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and content.get("kind") == "Secret":
            yield from sorted(content.get("data") or {})
