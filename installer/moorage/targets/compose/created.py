"""What the app created itself beside the stack: containers for its users, their networks and volumes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatch

from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import StackFacts
from moorage.words import plural


@dataclass(frozen=True)
class Created:
    """Names of what hangs on the app's own networks; the stack's own volumes are not among them."""

    containers: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks)

    def described(self) -> str:
        """`3 containers that the app created (a, b, c)`."""
        return f"{plural(len(self.containers), 'container')} that the app created ({', '.join(self.containers)})"


def network_names(docker: Docker, facts: StackFacts) -> tuple[str, ...]:
    """The networks of containers that the app made itself, in order."""
    if not facts.project_networks:
        return ()
    own = {f"{facts.project}_{name}" for name in ("edge", "app", "data", "socket-proxy")}
    matching = (name for name in docker.network_names() if fnmatch(name, facts.project_networks))
    return tuple(sorted(name for name in matching if name not in own))


def find(docker: Docker, facts: StackFacts) -> Created:
    """Everything on those networks, stopped containers included, but not what belongs to the stack."""
    networks = network_names(docker, facts)
    if not networks:
        return Created()
    filters = [word for name in networks for word in ("--filter", f"network={name}")]
    ids = docker.docker("ps", "--all", "--quiet", "--no-trunc", *filters, timeout_seconds=60).output.split()
    inspected = docker.docker("container", "inspect", *ids, check=False, timeout_seconds=60).output if ids else "[]"
    items = [
        item
        for item in json.loads(inspected or "[]")
        if (item["Config"].get("Labels") or {}).get("com.docker.compose.project") != facts.project
    ]
    volumes = {mount["Name"] for item in items for mount in item["Mounts"] if mount["Type"] == "volume"}
    return Created(
        containers=tuple(sorted(item["Name"].lstrip("/") for item in items)),
        running=tuple(sorted(item["Name"].lstrip("/") for item in items if item["State"]["Running"])),
        networks=networks,
        volumes=tuple(sorted(volumes - {*facts.volumes, *facts.external_volumes})),
    )


def remove(docker: Docker, created: Created, *, purge: bool) -> None:
    """Stop and remove the containers and their networks; with `purge` their volumes too."""
    if created.running:
        docker.docker("stop", *created.running, check=False)
    if created.containers:
        docker.docker("rm", "--force", *(["--volumes"] if purge else []), *created.containers, check=False)
    for name in created.networks:
        docker.docker("network", "rm", name, check=False)
    if purge:
        for name in created.volumes:
            docker.docker("volume", "rm", name, check=False)
