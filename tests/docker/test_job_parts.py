"""The parts of the backup job inside its own image, with the programs that it has there: one container per file."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import tools

ROOT = Path(__file__).parents[2]
JOB = ROOT / "tests" / "job"
# The newest and the oldest programs that a job image has: trixie's and bookworm's.
BASES = ("postgres:17", "postgres:15")
pytestmark = pytest.mark.docker


def _built(base: str) -> str:
    tag = f"moorage-test/job:{base.replace(':', '-')}"
    command = ["docker", "build", "--quiet", "--tag", tag, "--build-arg", f"BASE={base}", str(JOB)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return tag


@cache
def _image(base: str) -> str:
    """The job image with pytest, made anew where its recipe or its base changed."""
    return _built(base)


def _runs() -> Iterator[tuple[str, Path]]:
    """Every file on every base, unless its line `# bases: …` names fewer; a soak has those of `# bases of a soak: …`, too."""
    # Those with most tests first: one of them at the end would keep the others waiting.
    for file in sorted(JOB.glob("test_*.py"), key=lambda file: (-file.stat().st_size, file.name)):
        bases = _words_of(file, "bases") or list(BASES)
        if os.environ.get("MOORAGE_KILLS"):
            bases += _words_of(file, "bases of a soak")
        for base in bases:
            yield base, file


def _words_of(file: Path, name: str) -> list[str]:
    """What a file wants of the way it is run: the words of its line `# NAME: …`."""
    found = re.search(rf"^# {name}: (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].split() if found else []


@pytest.mark.parametrize(("base", "file"), list(_runs()), ids=lambda item: getattr(item, "stem", item))
def test_inside_the_job_image(engine: None, base: str, file: Path) -> None:
    image = _image(base)
    rclone = tools.fetch("rclone")
    mounts = {
        ROOT / "installer": "/opt/moorage",
        ROOT / "tests": "/tests",
        rclone: "/usr/local/bin/rclone",
        rclone.parent: f"/root/.cache/moorage-tests/wheels/{rclone.parent.name}",
    }
    volumes = [word for source, target in mounts.items() for word in ("--volume", f"{source}:{target}:ro")]
    program = [
        "python3",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        f"/tests/job/{file.name}",
    ]
    counts = ["--env", f"MOORAGE_KILLS={os.environ.get('MOORAGE_KILLS', '')}"]
    command = [
        "docker",
        "run",
        "--rm",
        "--pull",
        "never",
        *counts,
        *volumes,
        *_words_of(file, "docker run"),
        image,
        *program,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
