"""Read the recipe folders: which images there are, what they stand on, and their fingerprints."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rig import RigError

RECIPES_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Recipe:
    """One image: the folder it is built from, its build arguments, inputs and parents."""

    image: str
    folder: Path
    arguments: Mapping[str, str]
    inputs: tuple[str, ...]
    parents: tuple[str, ...]


def read_all() -> dict[str, Recipe]:
    """Return every recipe by image name, in the order of the folders."""
    found: dict[str, Recipe] = {}
    for file in sorted(RECIPES_FOLDER.glob("*/recipe.json")):
        content = json.loads(file.read_text())
        for image, arguments in content["images"].items():
            inputs = tuple(content.get("inputs", []))
            found[image] = Recipe(image, file.parent, arguments, inputs, ())
    return {image: _with_parents(recipe, found) for image, recipe in found.items()}


def choose(names: Iterable[str], recipes: Mapping[str, Recipe]) -> list[str]:
    """Return the images that are meant; a name without a tag means all of its tags."""
    chosen: list[str] = []
    for name in names:
        meant = [image for image in recipes if name in (image, image.rsplit(":", 1)[0])]
        if not meant:
            raise RigError(f"no recipe for {name}; known: {', '.join(recipes)}")
        chosen += meant
    return chosen


def in_build_order(images: Iterable[str], recipes: Mapping[str, Recipe]) -> list[Recipe]:
    """Return the recipes of the images and of everything below them, parents first."""
    ordered: dict[str, Recipe] = {}

    def add(image: str) -> None:
        if image not in ordered:
            for parent in recipes[image].parents:
                add(parent)
            ordered[image] = recipes[image]

    for image in images:
        add(image)
    return list(ordered.values())


def fingerprint(recipe: Recipe, below: Iterable[str]) -> str:
    """Return a digest of all that the image is made of; `below` names parents and inputs."""
    digest = hashlib.sha256()
    for file in sorted(path for path in recipe.folder.rglob("*") if path.is_file()):
        if file.name != "recipe.json":  # its other tags are no matter of this image
            executable = bool(file.stat().st_mode & 0o100)
            digest.update(f"{file.relative_to(recipe.folder)} {executable}\n".encode())
            digest.update(file.read_bytes())
    digest.update(json.dumps([dict(recipe.arguments), recipe.inputs], sort_keys=True).encode())
    digest.update("\n".join(below).encode())
    return digest.hexdigest()[:32]


def _with_parents(recipe: Recipe, recipes: Mapping[str, Recipe]) -> Recipe:
    bases: list[str] = re.findall(r"^FROM\s+(\S+)", (recipe.folder / "Dockerfile").read_text(), re.MULTILINE)
    named = [_filled_in(base, recipe.arguments) for base in bases]
    parents = tuple(dict.fromkeys(base for base in named if base in recipes))
    return Recipe(recipe.image, recipe.folder, recipe.arguments, recipe.inputs, parents)


def _filled_in(text: str, arguments: Mapping[str, str]) -> str:
    for name, value in arguments.items():
        text = text.replace(f"${{{name}}}", value)
    return text
