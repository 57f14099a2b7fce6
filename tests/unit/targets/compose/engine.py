"""An engine in memory that does what Compose would do with a rendered folder, and can die at any command."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from moorage.errors import CommandFailed
from moorage.process import Result
from moorage.targets.compose.docker import Container, Docker
from moorage.targets.compose.facts import ServiceFacts, read_facts
from moorage.targets.compose.names import COMPOSE_FILE, FACTS_FILE, LABEL_DEPLOYMENT


class Killed(BaseException):
    """Stands for kill -9."""


@dataclass
class Engine:
    """Containers and images; `die_before` is the number of commands that are still carried out."""

    containers: dict[str, Container] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    existing_volumes: set[str] = field(default_factory=set)
    owners: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    die_before: int = -1
    is_away: bool = False
    refuses: str = ""
    broken: set[str] = field(default_factory=set)
    ill: set[str] = field(default_factory=set)
    networks: dict[str, bool] = field(default_factory=dict)
    declared: dict[str, tuple[str, ...]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    builds_nothing: bool = False
    clock: int = 0

    def step(self, text: str) -> None:
        """One command arrives."""
        if self.is_away:
            raise CommandFailed(["docker"], 1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
        if self.die_before == 0:
            raise Killed
        self.die_before -= 1
        self.log.append(text)

    def of(self, service: str) -> list[Container]:
        """The containers of one service."""
        return [item for item in self.containers.values() if item.service == service]


class FakeDocker(Docker):
    """What the deployer asks for, answered from memory."""

    engine: Engine

    def containers(self) -> tuple[Container, ...]:
        self.engine.step("ps")
        return tuple(sorted(self.engine.containers.values(), key=lambda item: item.name))

    def image_id(self, reference: str) -> str:
        self.engine.step("image inspect")
        return reference if reference in self.engine.images.values() else self.engine.images.get(reference, "")

    def image_ids(self, references: Any) -> dict[str, str]:
        self.engine.step("image inspect")
        return {name: self.engine.images[name] for name in references if name in self.engine.images}

    def image_volumes(self, references: Any) -> dict[str, tuple[str, ...]]:
        self.engine.step("image inspect")
        return {image: self.engine.declared.get(image, ()) for image in references}

    def image_label(self, reference: str, label: str) -> str:
        self.engine.step("image inspect")
        return self.engine.labels.get(self.engine.images.get(reference, ""), {}).get(label, "")

    def volumes(self, names: Any) -> dict[str, dict[str, str]]:
        self.engine.step("volume inspect")
        existing = self.engine.existing_volumes | set(self.engine.owners)
        return {name: {LABEL_DEPLOYMENT: self._owner(name)} for name in names if name in existing}

    def networks(self, names: Any) -> dict[str, bool]:
        self.engine.step("network inspect")
        return {name: self.engine.networks[name] for name in names if name in self.engine.networks}

    def _owner(self, volume: str) -> str:
        """Who made it; the deployment of the rendered folder, unless told otherwise."""
        facts = self.compose_folder.parent / FACTS_FILE
        ours = json.loads(facts.read_text())["deployment_id"] if facts.is_file() else ""
        return self.engine.owners.get(volume, ours)

    def last_lines(self, container: str, count: int = 20, since: str = "") -> str:
        return "its last line"

    def network_names(self) -> tuple[str, ...]:
        return ()

    @contextmanager
    def session(self, *arguments: str) -> Iterator[Any]:
        self.engine.step(" ".join(("compose", *arguments)))
        yield SimpleNamespace(stdin=StringIO(), stdout=StringIO("moorage holds the lock\n"))
        self.engine.log.append("session ended")

    def docker(self, *arguments: str, **_: Any) -> Result:
        self.engine.step(" ".join(arguments))
        word, *rest = arguments
        if word == "rm":
            self.engine.containers.pop(rest[-1], None)
        elif word == "stop" and rest[-1] in self.engine.containers:
            self._set(rest[-1], state="exited")
        elif word == "restart":
            service = self.engine.containers[rest[-1]].service
            self._set(
                rest[-1], state="running", restarts=0, health="unhealthy" if service in self.engine.ill else "healthy"
            )
        elif arguments[:2] == ("network", "rm"):
            assert not [item.name for item in self.engine.containers.values() if rest[-1] in item.networks]
            del self.engine.networks[rest[-1]]
        elif word == "pull":
            self.engine.images.setdefault(rest[-1], f"sha256:{rest[-1]}")
        elif word == "build":
            self._build(rest)
        elif word == "tag":
            self.engine.images[rest[1]] = self.image_id_now(rest[0])
        elif word == "rmi":
            self.engine.images.pop(rest[0], None)
        elif word == "image":
            prefix = rest[-1].removesuffix("*")
            return Result(0, "\n".join(name for name in self.engine.images if name.startswith(prefix)), "")
        return Result(0, "", "")

    def _build(self, words: list[str]) -> None:
        if self.engine.builds_nothing:
            raise CommandFailed(["docker", "build"], 1, "E: Unable to locate package restic")
        name, (label, _, value) = words[words.index("--tag") + 1], words[words.index("--label") + 1].partition("=")
        self.engine.images[name] = f"sha256:{value}"
        self.engine.labels[f"sha256:{value}"] = {label: value}

    def image_id_now(self, name: str) -> str:
        return name if name.startswith("sha256:") else self.engine.images[name]

    def compose(self, *arguments: str, **_: Any) -> Result:
        self.engine.step(f"compose {' '.join(arguments)}")
        if arguments[0] == "config" and self.engine.refuses:
            raise CommandFailed(["docker"], 15, f"validating compose.yaml: {self.engine.refuses}")
        if arguments[0] == "up":
            self._up(arguments)
        return Result(0, "", "")

    def _up(self, arguments: tuple[str, ...]) -> None:
        data = json.loads((self.compose_folder.parent / FACTS_FILE).read_text())
        facts = read_facts(data)
        service = facts.service(arguments[-1])
        # A network that exists stays as it is.
        self.engine.networks = {**facts.network_names, **self.engine.networks}
        scale = next((int(word.partition("=")[2]) for word in arguments if word.startswith(f"{service.name}=")), 1)
        wanted = self._wanted(service)
        mine = self.engine.of(service.name)
        for item in mine:
            stays = "--no-recreate" in arguments or (
                (item.revision, item.image_id) == (wanted.revision, wanted.image_id)
                and "--force-recreate" not in arguments
            )
            if not stays:
                del self.engine.containers[item.id]
                # A machine that loses its power between the two leaves nothing of the service.
                self.engine.step(f"create {service.name}")
        for item in self.engine.of(service.name)[scale:]:
            del self.engine.containers[item.id]
        for item in self.engine.of(service.name):
            self._set(item.id, state="exited" if service.one_shot else "running")
        while len(self.engine.of(service.name)) < scale:
            self.engine.clock += 1
            name = f"{service.name}-{self.engine.clock}"
            self.engine.containers[name] = replace(wanted, id=name, name=name)
        self.engine.existing_volumes |= set(service.volumes)
        writers = [item.service for item in self.engine.containers.values() if item.is_running]
        for volume in service.volumes:
            at_once = {item.service for item in self.engine.containers.values() if volume in item.volumes}
            assert len(at_once) == 1, (volume, at_once, writers)

    def _wanted(self, service: ServiceFacts) -> Container:
        is_broken = service.image in self.engine.broken
        partner = self.engine.of(service.follows)[0].id if service.follows else ""
        return Container(
            id="", name="", service=service.name, is_one_off=False, state="exited" if service.one_shot else "running",
            health="unhealthy" if is_broken else "healthy", exit_code=0, restarts=0, started=f"2026-05-04T12:00:{self.engine.clock:06}Z",
            revision=service.revision, image_id=self.engine.images[service.image], image=service.image, network_of=partner,
            out_of_memory=False, volumes=service.volumes, networks=self._networks_of(service.name),
        )  # fmt: skip

    def _networks_of(self, service: str) -> tuple[str, ...]:
        data = _compose_data((self.compose_folder / COMPOSE_FILE).read_text())
        return tuple(f"{self.project}_{name}" for name in data["services"][service].get("networks", ()))

    def _set(self, name: str, **keys: Any) -> None:
        self.engine.containers[name] = replace(self.engine.containers[name], **keys)


@cache
def _compose_data(text: str) -> Any:
    return yaml.safe_load(text)


def with_images(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Reference → id of every image that a rendered folder names."""
    facts = read_facts(json.loads((folder / FACTS_FILE).read_text()))
    names = {service.image for service in facts.services} | {item.image for item in facts.extra_images}
    return {name: f"sha256:{name}" for name in names} | dict(known or {})
