"""Docker as the deployer needs it: containers as facts, Compose as argument lists."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage.console import Console
from moorage.errors import CommandFailed, MoorageError
from moorage.process import Result, attach, attach_plain, interactive, printable, run
from moorage.targets.compose.names import LABEL_REVISION

_LONG = 1800.0
# How Docker says that one of the asked things does not exist.
_MISSING = re.compile(r"no such|network \S+ not found", re.IGNORECASE)


@dataclass(frozen=True)
class Container:
    """One container of the project, as Docker sees it."""

    id: str
    name: str
    service: str
    is_one_off: bool
    state: str
    health: str
    exit_code: int
    restarts: int
    started: str
    revision: str
    image_id: str
    image: str
    network_of: str
    out_of_memory: bool
    volumes: tuple[str, ...] = ()
    folder: str = ""
    networks: tuple[str, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self.state == "running"

    @property
    def is_ready(self) -> bool:
        """Whether it runs and, if it has a health check, that one is good."""
        return self.is_running and self.health in ("", "healthy")


class Docker:
    """The Docker engine, for one project in one rendered compose folder."""

    def __init__(
        self, project: str, compose_folder: Path, console: Console, lock_descriptor: int | None = None
    ) -> None:
        self.project = project
        self.compose_folder = compose_folder
        self.console = console
        self.lock_descriptor = lock_descriptor

    def compose(
        self,
        *arguments: str,
        files: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
        check: bool = True,
        timeout_seconds: float = _LONG,
    ) -> Result:
        """Run `docker compose …` in the rendered folder."""
        command = ["docker", "compose", *(word for file in files for word in ("-f", file)), *arguments]
        self.console.command(f"cd {self.compose_folder} && {printable(command)}")
        return run(
            command,
            folder=self.compose_folder,
            environment=environment,
            stdin=stdin,
            check=check,
            timeout_seconds=timeout_seconds,
            keep_open=self._kept(),
        )

    def compose_attached(self, *arguments: str, is_plain: bool = False) -> int:
        """Run `docker compose …` with the terminal's own streams; `is_plain` when they lead to no terminal."""
        command = ["docker", "compose", *arguments]
        self.console.command(f"cd {self.compose_folder} && {printable(command)}")
        return (attach_plain if is_plain else attach)(command, folder=self.compose_folder)

    def docker(
        self, *arguments: str, check: bool = True, timeout_seconds: float = _LONG, stdin: str | None = None
    ) -> Result:
        """Run `docker …`."""
        command = ["docker", *arguments]
        self.console.command(printable(command))
        return run(command, check=check, timeout_seconds=timeout_seconds, stdin=stdin, keep_open=self._kept())

    @contextmanager
    def session(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`docker compose …` with pipes to its standard streams, ended by closing its input."""
        command = ["docker", "compose", *arguments]
        self.console.command(f"cd {self.compose_folder} && {printable(command)}")
        with interactive(command, folder=self.compose_folder, keep_open=self._kept()) as program:
            yield program

    def _kept(self) -> tuple[int, ...]:
        # A child holds the deployment's lock as long as it works, even when this process is killed.
        return () if self.lock_descriptor is None else (self.lock_descriptor,)

    def containers(self) -> tuple[Container, ...]:
        """Every container of the project, stopped ones included, in the order of their names."""
        listed = self.docker(
            "ps",
            "--all",
            "--quiet",
            "--no-trunc",
            "--filter",
            f"label=com.docker.compose.project={self.project}",
            timeout_seconds=60,
        )
        ids = listed.output.split()
        if not ids:
            return ()
        # One that is removed between the two calls is missing from the answer, which is right.
        found = (_container(item) for item in self._inspect("container", ids))
        return tuple(sorted(found, key=lambda item: item.name))

    def image_id(self, reference: str) -> str:
        """The id of a local image, or an empty text."""
        return next((str(item["Id"]) for item in self._inspect("image", [reference])), "")

    def image_ids(self, references: Sequence[str]) -> dict[str, str]:
        """Reference → id of those that exist locally."""
        unique = sorted(set(references))
        known: dict[str, str] = {}
        for item in self._inspect("image", unique):
            for name in (*(item.get("RepoTags") or ()), *(item.get("RepoDigests") or ()), item["Id"]):
                known[_normal(name)] = item["Id"]
        return {reference: known[_normal(reference)] for reference in unique if _normal(reference) in known}

    def image_volumes(self, references: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Image id → the folders that it declares as volumes, of the images that exist."""
        found = self._inspect("image", sorted(set(references)))
        return {item["Id"]: tuple((item.get("Config") or {}).get("Volumes") or ()) for item in found}

    def image_label(self, reference: str, label: str) -> str:
        """A label of a local image; empty when there is no such image or label."""
        found = self._inspect("image", [reference])
        labels = (found[0].get("Config") or {}).get("Labels") or {} if found else {}
        return str(labels.get(label, ""))

    def volumes(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Name → labels of the volumes that exist."""
        return {item["Name"]: item.get("Labels") or {} for item in self._inspect("volume", names)}

    def networks(self, names: Sequence[str]) -> dict[str, bool]:
        """Name → whether it has no way out, of the networks that exist."""
        return {item["Name"]: bool(item.get("Internal")) for item in self._inspect("network", names)}

    def _inspect(self, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """Those of the named things that exist. Raises CommandFailed when the engine does not answer.

        An engine that is just restarting must not look as if everything were gone.
        """
        if not names:
            return []
        found = self.docker(kind, "inspect", *names, check=False, timeout_seconds=60)
        reasons = [line for line in found.errors.splitlines() if line.strip() and not _MISSING.search(line)]
        if found.status != 0 and reasons:
            raise CommandFailed(("docker", kind, "inspect"), found.status, "\n".join(reasons))
        items: list[dict[str, Any]] = json.loads(found.output or "[]")
        return items

    def last_lines(self, container: str, count: int = 20, since: str = "") -> str:
        """The end of a container's log, both streams; nothing from before `since`, a moment as Docker reads it."""
        limits = ["--tail", str(count), *(["--since", since] if since else [])]
        found = self.docker("logs", *limits, container, check=False, timeout_seconds=60)
        return (found.output + found.errors).strip()

    def network_names(self) -> tuple[str, ...]:
        """All networks of the engine."""
        return tuple(self.docker("network", "ls", "--format", "{{.Name}}", timeout_seconds=60).output.split())


def _container(item: Mapping[str, Any]) -> Container:
    labels = item["Config"].get("Labels") or {}
    state = item["State"]
    mode = str(item["HostConfig"].get("NetworkMode", ""))
    return Container(
        id=item["Id"],
        name=item["Name"].lstrip("/"),
        service=labels.get("com.docker.compose.service", ""),
        is_one_off=labels.get("com.docker.compose.oneoff") == "True",
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        exit_code=int(state.get("ExitCode", 0)),
        restarts=int(item.get("RestartCount", 0)),
        started=state.get("StartedAt", ""),
        revision=labels.get(LABEL_REVISION, ""),
        image_id=item["Image"],
        image=item["Config"].get("Image", ""),
        network_of=mode.removeprefix("container:") if mode.startswith("container:") else "",
        out_of_memory=bool(state.get("OOMKilled")),
        volumes=tuple(mount["Name"] for mount in item.get("Mounts") or () if mount.get("Type") == "volume"),
        folder=labels.get("com.docker.compose.project.working_dir", ""),
        networks=tuple(sorted((item.get("NetworkSettings") or {}).get("Networks") or {})),
    )


def _normal(reference: str) -> str:
    """A reference as Docker lists it: without the default registry, with a tag."""
    name = reference.removeprefix("docker.io/").removeprefix("library/")
    if "@" in name or name.startswith("sha256:") or ":" in name.rpartition("/")[2]:
        return name
    return f"{name}:latest"


def engine_version(timeout_seconds: float = 15) -> str:
    """The version of the engine that answers. Raises MoorageError with what to do when none does."""
    try:
        found = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout_seconds=timeout_seconds)
    except CommandFailed as error:
        hint = "start it with `systemctl start docker`, or add this user to the group `docker` and log in again"
        raise MoorageError(
            f"the Docker engine does not answer: {error.output.splitlines()[-1] if error.output else 'no reason given'}",
            hint,
        ) from None
    return found.output.strip()
