"""No minikube here: a program of its name stands in for it, and writes down what it was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from moorage.console import Console
from moorage.errors import DeployError, MoorageError
from moorage.targets.cluster import images, minikube
from moorage.targets.k8s.facts import MinikubeFacts
from tests.unit.targets.cluster.test_reading import facts

SETTINGS = MinikubeFacts(
    "acme", "docker", 4 << 30, 2, "v1.35.0", ("metrics-server", "volumesnapshots"), ("kubelet.x=1",)
)
PROGRAM = """#!/bin/sh
echo "$@" >> {folder}/asked
case "$*" in
  *status*) cat {folder}/status ;;
  *"addons list"*) echo '{{"metrics-server": {{"Status": "enabled"}}, "volumesnapshots": {{"Status": "disabled"}}}}' ;;
  *"image ls"*) echo docker.io/library/notes:latest ;;
  *start*) test ! -e {folder}/broken || {{ echo "no driver" >&2; exit 3; }} ;;
esac
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "minikube").write_text(PROGRAM.format(folder=tmp_path))
    (tmp_path / "minikube").chmod(0o755)
    (tmp_path / "status").write_text(json.dumps({"Host": "Stopped", "APIServer": "Stopped"}))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def _asked(program: Path) -> list[str]:
    return (program / "asked").read_text().splitlines()


def test_a_profile_that_does_not_run_is_started_as_configured(program: Path) -> None:
    minikube.ensure(SETTINGS, Console(quiet=True))
    start = next(line for line in _asked(program) if line.startswith("start"))
    for option in (
        "-p acme",
        "--driver=docker",
        "--kubernetes-version=v1.35.0",
        "--memory=4096mb",
        "--cpus=2",
        "--extra-config=kubelet.x=1",
        "--keep-context=true",
    ):
        assert option in start
    assert [line for line in _asked(program) if "enable" in line] == ["-p acme addons enable volumesnapshots"]


def test_one_that_runs_is_left_alone(program: Path) -> None:
    (program / "status").write_text(json.dumps({"Host": "Running", "APIServer": "Running"}))
    minikube.ensure(SETTINGS, Console(quiet=True))
    assert not [line for line in _asked(program) if line.startswith("start")]


def test_a_start_that_fails_says_why(program: Path) -> None:
    (program / "broken").touch()
    with pytest.raises(DeployError, match="could not start the profile acme: no driver; nothing was deployed"):
        minikube.ensure(SETTINGS, Console(quiet=True))


def test_without_the_program_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MoorageError, match="`minikube` is not installed"):
        minikube.ensure(SETTINGS, Console(quiet=True))


def test_an_image_is_loaded_once_for_each_build(program: Path) -> None:
    def loads(build: str, name: str = "notes:latest") -> int:
        minikube.load_images(SETTINGS, {name: build}, program / "memory.json", Console(quiet=True))
        return len([line for line in _asked(program) if "image load" in line])

    assert loads("sha256:1") == 1
    assert loads("sha256:1") == 1
    assert loads("sha256:2") == 2
    assert loads("", "notes:latest") == 2, "what is nowhere but there stays"
    with pytest.raises(DeployError, match="other:1 is neither on this machine nor in minikube"):
        loads("", "other:1")


def test_images_of_this_machine_can_not_go_to_a_cluster_elsewhere() -> None:
    with pytest.raises(DeployError, match="notes:latest: built on this machine") as caught:
        images.refuse_unpushed(facts(builds=("notes:latest", "ghcr.io/acme/web:1")))
    assert "images.registry" in caught.value.hint
    images.refuse_unpushed(facts(builds=("ghcr.io/acme/web:1",)))
    images.refuse_unpushed(facts(builds=("notes:latest",), minikube=SETTINGS))
