"""`kustomize build` of a folder by the real program: what a person would apply by hand is what we apply."""

from __future__ import annotations

import re
from pathlib import Path

from moorage.errors import CommandFailed, DeployError, MoorageError
from moorage.formats import parse_yaml
from moorage.process import installed, run
from moorage.targets.cluster.objects import Object

_BETWEEN = re.compile(r"^---[ \t]*$", re.MULTILINE)
_SECONDS = 120


def is_there() -> bool:
    """Whether this machine has one of the two programs."""
    return installed("kustomize") or installed("kubectl")


def program() -> tuple[str, ...]:
    """The beginning of the command. Raises MoorageError when neither program is installed."""
    if installed("kustomize"):
        return ("kustomize", "build")
    if installed("kubectl"):
        return ("kubectl", "kustomize")
    raise MoorageError(
        "neither `kustomize` nor `kubectl` is installed; one of them builds the manifests",
        "install kubectl: https://kubernetes.io/docs/tasks/tools/",
    )


def build(folder: Path) -> list[Object]:
    """Every object of a folder with a kustomization. Raises DeployError with what the program said."""
    return [item for part in _BETWEEN.split(text_of(folder)) for item in _objects(part, str(folder))]


def text_of(folder: Path) -> str:
    """What the program prints for a folder with a kustomization. Raises DeployError with what it said."""
    command = [*program(), str(folder)]
    try:
        return run(command, timeout_seconds=_SECONDS).output
    except CommandFailed as error:
        raise DeployError(
            f"{folder} can't be built: {error.output.strip() or 'no reason given'}; nothing was changed",
            "was it edited by hand? `moorage render` writes it anew",
        ) from None


def _objects(text: str, name: str) -> list[Object]:
    if not text.strip():
        return []
    value = parse_yaml(text, name).value
    return [value] if isinstance(value, dict) else []
