"""The image of the backup job as `moorage up` makes it, for a node that builds nothing."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build_job_image(base: str, name: str) -> None:
    """Build it from the recipe and the package, under the name that the manifests have."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "backups/image/Dockerfile", folder)
        leave = shutil.ignore_patterns("__pycache__", "_assets")
        shutil.copytree(ROOT / "installer/moorage", Path(folder) / "moorage", ignore=leave)
        command = [
            "docker",
            "build",
            "--quiet",
            "--target",
            "job",
            "--build-arg",
            f"POSTGRES_IMAGE={base}",
            "--tag",
            name,
        ]
        subprocess.run([*command, folder], check=True, capture_output=True)
