"""Where the shipped folders (templates, compose, k8s, terraform, backups) are."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def assets_root() -> Path:
    """The folder that holds the asset folders: inside an installed wheel, else the checkout."""
    packaged = Path(__file__).parent / "_assets"
    return packaged if packaged.is_dir() else Path(__file__).parents[2]


def asset(*parts: str) -> Path:
    """The path of one shipped file or folder, for instance `asset("compose", "postgres.yaml")`."""
    return assets_root().joinpath(*parts)


def builtin_apps() -> tuple[str, ...]:
    """The names of the apps that ship with moorage, sorted."""
    return tuple(sorted(found.parent.name for found in asset("compose", "apps").glob("*/compose.yaml")))
