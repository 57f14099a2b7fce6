"""The real engine and the images under their public names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.docker.site import Site, docker, new_site

IMAGES = (
    "postgres:17",
    "postgres:15",
    "redis:7",
    "traefik:v3.7.15",
    "haproxy:3.0",
    "busybox:stable",
    "nginx:stable",
    "ghcr.io/letsencrypt/pebble:2.6",
)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers, and every image that the tests run."""
    need(shutil.which("docker") is not None, "docker")
    answers = subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0
    need(answers, "a Docker engine that answers (make engine)")
    present = set(docker("images", "--format", "{{.Repository}}:{{.Tag}}").split())
    need(set(IMAGES) <= present, f"the images {sorted(set(IMAGES) - present)} (make images)")
    docker("build", "-q", "-t", "notes:latest", str(ROOT / "compose" / "apps" / "notes"))


@pytest.fixture
def make_site(engine: None, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites and takes them away."""
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(new_site(tmp_path, **settings))
        return made[-1]

    yield make
    for site in made:
        site.remove()


@pytest.fixture(scope="module")
def notes(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One running notes site that the tests of a file share."""
    site = new_site(tmp_path_factory.mktemp("sites"))
    try:
        outcome = site.up()
        assert outcome.status == 0, outcome.text
        yield site
    finally:
        site.remove()


def python() -> str:
    """The interpreter of the tests."""
    return sys.executable
