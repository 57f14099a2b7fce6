"""A disk of a cluster gets what Docker gives to a new volume: our script against the engine itself."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator

import pytest

from moorage.assets import asset

pytestmark = pytest.mark.docker

SCRIPT = asset("k8s", "fill-disks.sh")
# Which image, and a folder of it that holds files, links or nothing of several owners.
PLACES = (
    ("postgres:17", "/var/lib/postgresql"),
    ("postgres:17", "/usr/share/postgresql"),
    ("nginx:stable", "/etc/nginx"),
    ("redis:7", "/data"),
    ("busybox:stable", "/bin"),
    ("busybox:stable", "/no/such/place"),
)
# Owner, mode, size and kind of everything, the folder itself included.
LIST = 'cd "$1" && find . | sort | while read -r name; do stat -c "%n %a %u:%g %F %Y" "$name"; done'


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


@pytest.fixture
def volumes(engine: None) -> Iterator[tuple[str, str]]:
    names = (f"moorage-test-{uuid.uuid4().hex[:8]}", f"moorage-test-{uuid.uuid4().hex[:8]}")
    for name in names:
        docker("volume", "create", name)
    yield names
    docker("volume", "rm", "--force", *names)


def fill(image: str, volume: str, place: str, *options: str) -> None:
    docker(
        "run", "--rm", "--pull", "never", "--user", "0:0", "--cap-drop", "ALL",
        *(f"--cap-add={name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID")),
        "--volume", f"{volume}:/moorage/volumes/1:nocopy", "--volume", f"{SCRIPT}:/fill-disks.sh:ro", *options,
        "--entrypoint", "/bin/sh", image, "/fill-disks.sh", place,
    )  # fmt: skip


def listing(volume: str) -> str:
    return docker("run", "--rm", "--pull", "never", "--volume", f"{volume}:/there:nocopy", "--entrypoint", "/bin/sh", "postgres:17", "-c", LIST, "list", "/there")  # fmt: skip


def without_times_of_folders(text: str) -> list[str]:
    """Docker gives its own time to a folder that it copies."""
    return [line.rpartition(" ")[0] if " directory " in line else line for line in text.splitlines()]


@pytest.mark.parametrize(("image", "place"), PLACES)
def test_a_new_disk_is_filled_as_docker_fills_a_volume(volumes: tuple[str, str], image: str, place: str) -> None:
    ours, theirs = volumes
    fill(image, ours, place)
    docker(
        "run", "--rm", "--pull", "never", "--volume", f"{theirs}:{place}", "--entrypoint", "/bin/sh", image, "-c", ":"
    )
    assert without_times_of_folders(listing(ours)) == without_times_of_folders(listing(theirs))


def test_what_is_there_is_left_alone(volumes: tuple[str, str]) -> None:
    disk, _ = volumes
    write = [
        "run",
        "--rm",
        "--pull",
        "never",
        "--volume",
        f"{disk}:/there:nocopy",
        "--entrypoint",
        "/bin/sh",
        "postgres:17",
        "-c",
    ]
    docker(*write, "mkdir /there/lost+found; echo mine >/there/.mine; chown 33 /there")
    before = listing(disk)
    fill("nginx:stable", disk, "/etc/nginx")
    assert listing(disk) == before


def test_an_empty_file_system_of_its_own_is_new_and_a_filling_that_was_cut_off_is_gone_on_with(
    volumes: tuple[str, str],
) -> None:
    disk, _ = volumes
    write = [
        "run",
        "--rm",
        "--pull",
        "never",
        "--volume",
        f"{disk}:/there:nocopy",
        "--entrypoint",
        "/bin/sh",
        "postgres:17",
        "-c",
    ]
    docker(*write, "mkdir /there/lost+found; printf pod-1 >/there/.moorage-filling; echo half >/there/nginx.conf")
    fill("nginx:stable", disk, "/etc/nginx", "--env", "HOSTNAME=pod-1")
    text = docker(*write, "ls -A /there; cat /there/nginx.conf")
    assert ".moorage-filling" not in text
    assert "half" not in text
    assert "http {" in text
