"""Volumes that the operator took over: their label names another deployment or none, and labels can't be changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from moorage.formats import dump_json
from moorage.tree import File, write_file


def read(folder: Path, environment: str, deployment_id: str) -> dict[str, str]:
    """Volume → the owner that its label names, as the operator saw it; of this very deployment only.

    A record that can't be read counts as none: then the question is asked again, which harms nobody.
    """
    try:
        record = json.loads(_place(folder, environment).read_text(encoding="utf-8"))
        found = {str(name): str(owner) for name, owner in record["volumes"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    # Lost secrets again are another deployment again, whose keys do not fit either.
    return found if record.get("deployment") == deployment_id else {}


def add(folder: Path, environment: str, deployment_id: str, owners: Mapping[str, str]) -> None:
    """Remember further volumes as taken over."""
    volumes = {**read(folder, environment, deployment_id), **owners}
    content = dump_json({"deployment": deployment_id, "volumes": dict(sorted(volumes.items()))})
    write_file(_place(folder, environment), File(content.encode(), 0o600))


def _place(folder: Path, environment: str) -> Path:
    # Beside the secrets: they belong together, in a copy of the folder and when they are lost.
    return folder / "secrets" / environment / "taken-volumes.json"
