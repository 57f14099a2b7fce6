"""Where the files of a deployment to a cluster are, and what they say is wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moorage.errors import DeployError, MoorageError
from moorage.targets.cluster import kustomize
from moorage.targets.cluster.objects import Object, at
from moorage.targets.k8s.facts import ClusterFacts, read_facts
from moorage.targets.k8s.names import FACTS_FILE, LABEL_INSTANCE, OVERLAYS
from moorage.targets.releases import Release, Releases, read_tree
from moorage.tree import Tree


@dataclass(frozen=True)
class Place:
    """Where a deployment's files are."""

    folder: Path
    environment: str

    @property
    def rendered(self) -> Path:
        """`rendered/<environment>/`."""
        return self.folder / "rendered" / self.environment

    @property
    def private(self) -> Path:
        """`secrets/<environment>/k8s/`."""
        return self.folder / "secrets" / self.environment / "k8s"


def load_facts(rendered: Path) -> ClusterFacts:
    """cluster.json of a rendered folder. Raises MoorageError when it is missing or of another version."""
    try:
        return read_facts(json.loads((rendered / FACTS_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise MoorageError(f"nothing is rendered in {rendered}", "`moorage render`, or just `moorage up`") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MoorageError(
            f"{rendered / FACTS_FILE} is from another version of moorage", "`moorage render` writes it anew"
        ) from None


def manifests(rendered: Path, facts: ClusterFacts, images: Mapping[str, str]) -> list[Object]:
    """What the overlay of a rendered folder builds, no Secret among it; `images` are those known by another name.

    Raises MoorageError.
    """
    found = kustomize.build(rendered / OVERLAYS / facts.overlay)
    for item in found:
        for container in _containers(item):
            container["image"] = images.get(container["image"], container["image"])
    return found


def _containers(item: Object) -> list[Object]:
    """The containers of an object that makes pods."""
    template = at(item, "spec", "jobTemplate") or item
    pod = at(template, "spec", "template", "spec") or {}
    return [*(pod.get("containers") or ()), *(pod.get("initContainers") or ())]


def secrets(private: Path, facts: ClusterFacts) -> list[Object]:
    """The Secrets of a private folder, labelled as this deployment's. Raises MoorageError."""
    found = kustomize.build(private)
    for item in found:
        item["metadata"].setdefault("labels", {}).setdefault(LABEL_INSTANCE, facts.project)
    return found


def wanted_objects(rendered: Path, private: Path, facts: ClusterFacts, images: Mapping[str, str]) -> list[Object]:
    """Everything that is to be in the cluster, Secrets included; `images` as in `manifests`."""
    return [*manifests(rendered, facts, images), *secrets(private, facts)]


def files_of(release: Release) -> tuple[Tree, Tree]:
    """The rendered and the private files of a release. Raises DeployError when it is not whole."""
    try:
        return read_tree(release.rendered), read_tree(release.private_folder)
    except MoorageError as error:
        raise DeployError(
            f"release {release.id} is not whole, it can't be gone back to: {error.message}",
            "`moorage status` lists the releases; `moorage rollback --to` goes to another one",
        ) from None


def previous_facts(releases: Releases) -> ClusterFacts | None:
    """The facts of the release that serves, if they can be read."""
    current = releases.current()
    if current is None:
        return None
    try:
        return load_facts(current.rendered)
    except MoorageError:
        return None
