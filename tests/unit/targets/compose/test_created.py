"""Containers that the app made for its users: found by their networks, told apart from the stack, removed whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from moorage.console import Console
from moorage.process import Result
from moorage.targets.compose import created
from moorage.targets.compose import docker as docker_module
from moorage.targets.compose.docker import Docker
from tests.unit.targets.compose.test_plan import service, stack

FACTS = stack(service(), project_networks="tesslate-*", volumes=("tesslate-projects-data",))


def container(name: str, project: str, *volumes: str, running: bool = True) -> dict[str, Any]:
    return {
        "Name": f"/{name}",
        "Config": {"Labels": {"com.docker.compose.project": project}},
        "State": {"Running": running},
        "Mounts": [{"Type": "volume", "Name": item} for item in volumes] + [{"Type": "bind", "Source": "/x"}],
    }


class Engine:
    """Two users' projects, the stack's own proxy on both their networks, and a stranger's network."""

    containers = (
        container("tesslate-traefik", "acme", "acme_edge-acme"),
        container("shop-web", "shop", "tesslate-projects-data"),
        container("shop-db", "shop", "shop-db-data", "tesslate-projects-data", running=False),
    )

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str], **_keys: Any) -> Result:
        words = list(command)[1:]
        self.commands.append(words)
        if words[:2] == ["network", "ls"]:
            return Result(0, "bridge\nacme_edge\ntesslate-shop\ntesslate-blog\nother-tesslate-x\n", "")
        if words[0] == "ps":
            assert words.count("--filter") == 2
            return Result(0, "1\n2\n3\n", "")
        return (
            Result(0, json.dumps(self.containers), "") if words[:2] == ["container", "inspect"] else Result(0, "", "")
        )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine()
    monkeypatch.setattr(docker_module, "run", found)
    return found


@pytest.fixture
def docker(engine: Engine) -> Docker:
    return Docker("acme", Path("/srv"), Console())


def test_what_hangs_on_the_apps_networks_is_its_own_but_for_the_stack(docker: Docker) -> None:
    found = created.find(docker, FACTS)
    assert found.containers == ("shop-db", "shop-web")
    assert found.running == ("shop-web",)
    assert found.networks == ("tesslate-blog", "tesslate-shop")
    assert found.volumes == ("shop-db-data",)
    assert found.described() == "2 containers that the app created (shop-db, shop-web)"


def test_an_app_without_containers_of_its_own_costs_no_question(docker: Docker, engine: Engine) -> None:
    assert not created.find(docker, stack(service()))
    assert engine.commands == []


@pytest.mark.parametrize("purge", [False, True])
def test_data_goes_only_when_all_data_goes(purge: bool, docker: Docker, engine: Engine) -> None:
    created.remove(docker, created.find(docker, FACTS), purge=purge)
    removed = [words[-1] for words in engine.commands if words[:2] == ["volume", "rm"]]
    assert removed == (["shop-db-data"] if purge else [])
    (gone,) = [words for words in engine.commands if words[0] == "rm"]
    assert ("--volumes" in gone) is purge
    assert ["stop", "shop-web"] in engine.commands
    assert [words[-1] for words in engine.commands if words[:2] == ["network", "rm"]] == [
        "tesslate-blog",
        "tesslate-shop",
    ]
