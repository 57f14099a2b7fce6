"""Docker: versions, plugins, rights."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage.checks import engine
from moorage.checks.asking import Engine
from moorage.checks.base import ServiceNeed
from tests.unit.checks.samples import ScriptedEngine, lines, needs

INSTALL = "https://docs.docker.com/engine/install/"
GOOD = engine.EngineFacts(
    is_installed=True,
    error="",
    version="26.1.5+dfsg1",
    compose_version="2.26.1-4",
    buildx_version="0.13.1+ds1",
    storage_driver="overlay2",
    is_rootless=False,
    forwards=True,
    is_desktop=False,
    is_podman=False,
    endpoint="unix:///var/run/docker.sock",
    docker_host="",
    user="maria",
)
ENGINE_OK = ("ok", "docker 26.1.5 (needs 25)", "")
COMPOSE_OK = ("ok", "compose 2.26.1 (needs 2.24)", "")
BUILDING = (ServiceNeed("web", "acme/web:1", builds=True),)
REACHING = (ServiceNeed("backend", "acme/backend:1", docker_access="write"),)


@pytest.mark.parametrize(
    ("facts", "stack", "expected"),
    [
        ({}, {}, [ENGINE_OK, COMPOSE_OK]),
        ({}, {"creates_containers": True}, [("ok", "docker 26.1.5 (needs 26)", ""), COMPOSE_OK]),
        ({"version": "25.0"}, {}, [("ok", "docker 25.0 (needs 25)", ""), COMPOSE_OK]),
        ({"compose_version": "2.24"}, {}, [ENGINE_OK, ("ok", "compose 2.24 (needs 2.24)", "")]),
        ({}, {"services": BUILDING}, [ENGINE_OK, COMPOSE_OK, ("ok", "buildx 0.13.1", "")]),
        (
            {"version": "25.0.5"},
            {"creates_containers": True},
            [
                (
                    "failure",
                    "docker 25.0.5 is too old (needs 26, for folders inside volumes)",
                    f"install Docker Engine 26 or newer: {INSTALL}",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"version": "20.10.24+dfsg1"},
            {},
            [
                (
                    "failure",
                    "docker 20.10.24 is too old (needs 25)",
                    f"install Docker Engine 25 or newer: {INSTALL}",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"version": "library-import"},
            {},
            [
                (
                    "warning",
                    "the engine says the version 'library-import', which says nothing",
                    "`docker version`; it needs 25 or newer",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"is_installed": False, "error": "the program `docker` is not installed"},
            {},
            [("failure", "Docker is not installed", f"install Docker Engine 25 or newer: {INSTALL}")],
        ),
        (
            {"is_podman": True, "error": "it does not say its version"},
            {},
            [("failure", "`docker` is Podman here, which lacks what the stack needs", f"install Docker: {INSTALL}")],
        ),
        (
            {"error": "permission denied while trying to connect to the Docker daemon socket"},
            {},
            [
                (
                    "failure",
                    "the user maria may not talk to the Docker engine",
                    "`sudo usermod -aG docker maria` and log in again, or run moorage as root",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"error": "Cannot connect to the Docker daemon"},
            {},
            [
                (
                    "failure",
                    "the Docker engine does not answer: Cannot connect to the Docker daemon",
                    "`systemctl start docker`",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"error": "Cannot connect to the Docker daemon", "docker_host": "tcp://10.0.0.9:2375"},
            {},
            [
                (
                    "failure",
                    "the Docker engine does not answer: Cannot connect to the Docker daemon",
                    "`unset DOCKER_HOST`, which is tcp://10.0.0.9:2375, or start that engine",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"error": "`docker info` did not finish within 5 seconds"},
            {},
            [
                (
                    "failure",
                    "the Docker engine does not answer: `docker info` did not finish within 5 seconds",
                    "`journalctl -u docker -n 50` says why; then `systemctl restart docker`",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"compose_version": "", "buildx_version": ""},
            {"services": BUILDING},
            [
                ENGINE_OK,
                (
                    "failure",
                    "the Compose plugin of Docker is missing (needs 2.24)",
                    "`apt-get install docker-compose-plugin` (Debian: docker-compose, Ubuntu: docker-compose-v2); "
                    f"or {INSTALL}",
                ),
                (
                    "failure",
                    "the buildx plugin of Docker is missing, and web is built here",
                    f"`apt-get install docker-buildx-plugin` (Debian and Ubuntu: docker-buildx); or {INSTALL}",
                ),
            ],
        ),
        (
            {"compose_version": "v2.23.3"},
            {},
            [
                ENGINE_OK,
                (
                    "failure",
                    "compose 2.23.3 is too old (needs 2.24)",
                    "`apt-get install docker-compose-plugin` (Debian: docker-compose, Ubuntu: docker-compose-v2); "
                    f"or {INSTALL}",
                ),
            ],
        ),
        (
            {"compose_version": None, "buildx_version": None},
            {"services": BUILDING},
            [
                ENGINE_OK,
                (
                    "warning",
                    "whether the Compose plugin is there is not known",
                    "`docker compose version` must say 2.24",
                ),
                (
                    "warning",
                    "whether the buildx plugin is there is not known",
                    "`docker buildx version` must answer",
                ),
            ],
        ),
        ({"compose_version": "5.0.1"}, {}, [ENGINE_OK, ("ok", "compose 5.0.1 (needs 2.24)", "")]),
        (
            {"storage_driver": "vfs"},
            {},
            [
                ENGINE_OK,
                (
                    "warning",
                    "the storage driver is vfs, which is slow and copies whole images",
                    'set `"storage-driver": "overlay2"` in /etc/docker/daemon.json before the first `up`',
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"forwards": False},
            {},
            [
                ENGINE_OK,
                (
                    "failure",
                    "the kernel does not forward IPv4, so nothing outside reaches a container",
                    "`sysctl -w net.ipv4.ip_forward=1`, and the same line in /etc/sysctl.d/",
                ),
                COMPOSE_OK,
            ],
        ),
        ({"is_rootless": True}, {}, [ENGINE_OK, ("ok", "the engine is rootless", ""), COMPOSE_OK]),
        (
            {"is_rootless": True},
            {"services": REACHING},
            [
                ENGINE_OK,
                (
                    "warning",
                    "the engine is rootless: its socket is not where backend mounts it from",
                    "use the system's engine for this app: `docker context use default`",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"endpoint": "ssh://root@10.0.0.9"},
            {},
            [
                ENGINE_OK,
                (
                    "warning",
                    "the engine is somewhere else (ssh://root@10.0.0.9): what is said here of memory, disk and ports "
                    "is about this host",
                    "run moorage on that server, or `docker context use default`",
                ),
                COMPOSE_OK,
            ],
        ),
        (
            {"is_desktop": True},
            {},
            [
                ENGINE_OK,
                (
                    "warning",
                    "Docker Desktop runs containers in a machine of its own: memory, disk and ports are those of that "
                    "machine",
                    "fine for a try; for a server install Docker Engine",
                ),
                COMPOSE_OK,
            ],
        ),
    ],
)
def test_judge(facts: dict[str, Any], stack: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert lines(engine.judge(replace(GOOD, **facts), needs(**stack))) == expected


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("26.1.5+dfsg1", (26, 1, 5)), ("v2.26.1-4", (2, 26, 1)), ("29", (29,)), ("", ()), ("dev", ())],
)
def test_version_of(text: str, numbers: tuple[int, ...]) -> None:
    assert engine.version_of(text) == numbers


def test_gather_reads_one_answer_of_docker() -> None:
    info = {
        "ServerVersion": "28.2.2",
        "Driver": "overlay2",
        "IPv4Forwarding": True,
        "OperatingSystem": "Docker Desktop",
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "ClientInfo": {
            "Plugins": [{"Name": "compose", "Version": "v2.36.0"}, {"Name": "buildx", "Version": "1", "Err": "broken"}]
        },
    }
    facts = engine.gather(ScriptedEngine(info))
    assert (facts.version, facts.compose_version, facts.buildx_version) == ("28.2.2", "v2.36.0", "")
    assert (facts.is_desktop, facts.is_rootless, facts.forwards, facts.is_podman) == (True, True, True, False)


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker client here")
def test_a_stopped_engine_is_a_failure_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    first = engine.check(needs(), Engine())[0]
    assert first.level == "failure"
    assert first.text.startswith("the Docker engine does not answer: ")
    assert first.fix == "`unset DOCKER_HOST`, which is unix:///nonexistent, or start that engine"


def test_a_missing_client_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert [item.text for item in engine.check(needs(), Engine())] == ["Docker is not installed"]


def docker(folder: Path, script: str) -> None:
    (folder / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "docker").chmod(0o755)


def test_plugins_are_known_although_the_engine_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = ScriptedEngine(error="`docker info` did not finish within 5 seconds")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    docker(tmp_path, 'case $1 in compose) echo 2.26.1-4;; *) echo "github.com/docker/buildx 0.13.1+ds1 x";; esac')
    facts = engine.gather(hung)
    assert (facts.compose_version, facts.buildx_version) == ("2.26.1-4", "0.13.1+ds1")
    docker(tmp_path, "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    assert engine.gather(hung).compose_version == ""
    (tmp_path / "docker").chmod(0o644)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engine.gather(hung).compose_version is None


@pytest.mark.parametrize(
    ("output", "error", "is_podman"),
    [
        ('{"ServerErrors": ["first", "Cannot connect"], "ServerVersion": ""}', "Cannot connect", False),
        ('{"host": {}, "store": {}, "version": {}}', "it does not say its version", True),
        ('{"host": {}}', "it does not say its version", False),
        ('{"store": {}}', "it does not say its version", False),
        ("[]", "it does not say its version", False),
        ("WARNING: rubbish", "it does not say its version", False),
        ('{"ServerVersion": "26.1.5"}', "", False),
    ],
)
def test_answers_of_other_programs_called_docker(
    output: str, error: str, is_podman: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    docker(tmp_path, f"cat <<'end'\n{output}\nend")
    facts = engine.gather(Engine())
    assert (facts.error, facts.is_podman) == (error, is_podman)


def test_gather_keeps_what_docker_says() -> None:
    facts = engine.gather(ScriptedEngine({"Driver": "vfs", "host": 1, "ClientInfo": {}}))
    assert (facts.storage_driver, facts.is_podman, facts.compose_version) == ("vfs", False, "")
