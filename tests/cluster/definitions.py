"""Kinds that are not Kubernetes' own, as their projects publish them: CustomResourceDefinitions out of Go modules.

python3 tests/cluster/definitions.py    fetch them into the rig's cache, print where they are
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

# The rig's folders are no packages: they must run on a machine that has nothing yet.
sys.path.append(str(Path(__file__).resolve().parents[1] / "machine"))

import go_modules
from rig import RigError, cache_folder, exclusively, say


@dataclass(frozen=True)
class Source:
    """A released Go module, what a go.sum says of it, and its files with definitions."""

    module: str
    version: str
    digest: str
    pattern: str


SOURCES = (
    Source(
        "github.com/kubernetes-csi/external-snapshotter/client/v8",
        "v8.7.0",
        "h1:HVaSUeRRHPu49aSiL8eXOjS9Re9G6pM0NzdTGI7mM14=",
        "config/crd/snapshot.storage.k8s.io_*.yaml",
    ),
    # What the chart installs is made from these files: the same `spec`, more labels.
    Source(
        "github.com/cert-manager/cert-manager",
        "v1.21.2",
        "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
        "deploy/crds/*cert-manager.io_*.yaml",
    ),
)


def fetched() -> Path:
    """Return the folder of all definitions, fetched when it is not there yet."""
    folder = _place()
    if not folder.exists():
        with exclusively("definitions"):
            if not folder.exists():
                _fetch(folder)
    return folder


def are_here() -> bool:
    """Tell whether `fetched` has nothing to do."""
    return _place().exists()


def _place() -> Path:
    return cache_folder() / "definitions" / hashlib.sha256(repr(SOURCES).encode()).hexdigest()[:16]


def _fetch(folder: Path) -> None:
    """Fill a neighbour and rename it, so that what exists is complete."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for source in SOURCES:
        files = sorted(go_modules.module_folder(source.module, source.version, source.digest).glob(source.pattern))
        if not files:
            raise RigError(f"{source.module} {source.version} has no {source.pattern}")
        for file in files:
            (partial / file.name).write_bytes(file.read_bytes())
    partial.rename(folder)


def main() -> int:
    """Fetch all of them and print where they are."""
    try:
        print(fetched())
    except RigError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
