"""Disk: room, inodes, read-only."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.checks import disk
from moorage.checks.asking import Answer
from moorage.quantities import GIBIBYTE, MEBIBYTE
from tests.unit.checks.samples import ScriptedEngine, lines, needs

FACTS = disk.DiskFacts(
    place="/var/lib/docker",
    is_guessed=False,
    total=40 * GIBIBYTE,
    free=30 * GIBIBYTE,
    inodes=2_000_000,
    free_inodes=1_500_000,
    is_read_only=False,
    is_installed=False,
    folder_is_writable=True,
)
MAKE_ROOM = (
    "`docker system df` shows what Docker holds, `docker builder prune` and `docker image prune` free what nothing uses"
)
OK = ("ok", "/var/lib/docker has 30 GiB free of 40 GiB (needs 12 GiB)", "")


@pytest.mark.parametrize(
    ("facts", "stack", "expected"),
    [
        ({}, {}, [OK]),
        ({}, {"disk": 45 * GIBIBYTE}, [OK]),
        (
            {"free": 12 * GIBIBYTE, "free_inodes": 100_000},
            {},
            [("ok", "/var/lib/docker has 12 GiB free of 40 GiB (needs 12 GiB)", "")],
        ),
        (
            {"free": 3 * GIBIBYTE, "is_installed": True},
            {},
            [("ok", "/var/lib/docker has 3 GiB free of 40 GiB (installed; should keep 3 GiB)", "")],
        ),
        ({"inodes": 0, "free_inodes": 0}, {}, [OK]),
        (
            {"free": 11 * GIBIBYTE},
            {},
            [
                (
                    "failure",
                    "/var/lib/docker has 11 GiB free of 40 GiB, needs 12 GiB (10 GiB for the app, 2 GiB for logs)",
                    f"a larger disk, or make room: {MAKE_ROOM}",
                )
            ],
        ),
        (
            {"free": 11 * GIBIBYTE, "is_installed": True},
            {},
            [("ok", "/var/lib/docker has 11 GiB free of 40 GiB (installed; should keep 3 GiB)", "")],
        ),
        (
            {"free": 2 * GIBIBYTE, "is_installed": True},
            {},
            [
                (
                    "warning",
                    "/var/lib/docker has 2 GiB free of 40 GiB: the next update and the logs need 3 GiB",
                    f"{MAKE_ROOM}; or a larger disk",
                )
            ],
        ),
        (
            {"free": 300 * MEBIBYTE, "is_installed": True},
            {},
            [
                (
                    "failure",
                    "/var/lib/docker has 300 MiB free of 40 GiB: the database stops when it is full",
                    f"{MAKE_ROOM}; or a larger disk",
                )
            ],
        ),
        (
            {},
            {"disk": 80 * GIBIBYTE},
            [
                OK,
                (
                    "failure",
                    "/var/lib/docker has 40 GiB in all, moorage.yaml plans with 80 GiB",
                    "set `resources.host.disk_size: 40Gi`, or a larger disk",
                ),
            ],
        ),
        (
            {"is_guessed": True},
            {},
            [
                OK,
                (
                    "warning",
                    "where Docker keeps its data is not known; /var/lib/docker was looked at",
                    "mend what `engine` says above, then `moorage check` again",
                ),
            ],
        ),
        (
            {"is_read_only": True},
            {},
            [
                (
                    "failure",
                    "the file system of /var/lib/docker is read-only",
                    "`dmesg | tail` says why; then `mount -o remount,rw $(findmnt -no TARGET -T /var/lib/docker)`",
                ),
                OK,
            ],
        ),
        (
            {"folder_is_writable": False},
            {},
            [
                (
                    "failure",
                    "/srv/acme cannot be written by this user",
                    "run moorage as the owner of /srv/acme, or as root",
                ),
                OK,
            ],
        ),
        (
            {"free_inodes": 50_000},
            {},
            [
                OK,
                (
                    "warning",
                    "/var/lib/docker has 50000 inodes left of 2000000: no files can be made when they are used up",
                    f"`du --inodes -x -d 3 /var/lib/docker | sort -n | tail` shows where they are; {MAKE_ROOM}",
                ),
            ],
        ),
        (
            {"free_inodes": 12},
            {},
            [
                OK,
                (
                    "failure",
                    "/var/lib/docker has 12 inodes left of 2000000: no files can be made when they are used up",
                    f"`du --inodes -x -d 3 /var/lib/docker | sort -n | tail` shows where they are; {MAKE_ROOM}",
                ),
            ],
        ),
    ],
)
def test_judge(facts: dict[str, Any], stack: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert lines(disk.judge(replace(FACTS, **facts), needs(**stack))) == expected


def test_a_disk_that_cannot_be_asked() -> None:
    assert lines(disk.judge(None, needs())) == [
        ("warning", "the free space is not known", "`df -h /var/lib/docker` must show 12 GiB")
    ]


def test_gather_measures_the_data_root_of_docker(tmp_path: Path) -> None:
    engine = ScriptedEngine({"DockerRootDir": str(tmp_path)}, {"volume inspect": Answer("[]")})
    facts = disk.gather(needs(folder=tmp_path), engine)
    assert facts is not None
    found = os.statvfs(tmp_path)
    assert (facts.place, facts.is_guessed, facts.is_installed) == (str(tmp_path), False, False)
    assert facts.total == found.f_blocks * found.f_frsize
    assert 0 < facts.free <= facts.total
    assert facts.folder_is_writable


def test_gather_knows_an_installed_deployment(tmp_path: Path) -> None:
    volume = '[{"Name": "acme_postgres-data", "Labels": {"moorage.deployment": "aaaaaaaaaaaa"}}]'
    engine = ScriptedEngine({"DockerRootDir": str(tmp_path)}, {"volume inspect": Answer(volume, "no such volume", 1)})
    facts = disk.gather(needs(), engine)
    assert facts is not None
    assert facts.is_installed


@pytest.mark.parametrize("root", ["", "/nonexistent"])
def test_gather_guesses_when_docker_does_not_say(root: str) -> None:
    facts = disk.gather(needs(), ScriptedEngine({"DockerRootDir": root}, {"volume inspect": Answer("[]")}))
    assert facts is not None
    assert facts.is_guessed
    assert Path(facts.place).is_dir()
