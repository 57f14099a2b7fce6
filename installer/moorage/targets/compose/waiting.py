"""Wait until containers are ready, and say why when one is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.compose.docker import Container, Docker
from moorage.targets.compose.facts import ServiceFacts

# A container without a health check counts as ready when it has run for so long without falling over.
_QUIET_SECONDS = 2.0
_GRACE_SECONDS = 30
# 128 + SIGKILL: nobody but the kernel does that to a container again and again.
_KILLED = 137


def wait_ready(
    docker: Docker, console: Console, service: ServiceFacts, select: Callable[[], Sequence[Container]], count: int
) -> tuple[Container, ...]:
    """Wait until `count` of the selected containers are ready; gives them.

    Raises DeployError with the last lines of a container that ended, turned unhealthy or took too long.
    """
    limit = service.startup_seconds + _GRACE_SECONDS
    watch = _Watch(docker, console, service)
    ready = watch.ready(tuple(select()))
    if len(ready) >= count:
        return ready
    end = time.monotonic() + limit
    with console.waiting(f"{service.name} gets ready", limit):
        while True:
            time.sleep(0.25)
            containers = tuple(select())
            ready = watch.ready(containers)
            if len(ready) >= count:
                return ready
            if time.monotonic() > end:
                raise _failure(docker, console, service, containers, f"was not ready within {limit} seconds")


class _Watch:
    """Remembers since when each container has run quietly, and how often it had fallen over before."""

    def __init__(self, docker: Docker, console: Console, service: ServiceFacts) -> None:
        self._docker = docker
        self._console = console
        self._service = service
        self._since: dict[tuple[str, int], float] = {}
        self._restarts: dict[str, int] = {}
        self._codes: dict[str, int] = {}

    def ready(self, containers: Sequence[Container]) -> tuple[Container, ...]:
        """Those that are ready now. Raises DeployError for one that is broken."""
        now = time.monotonic()
        ready = []
        for item in containers:
            again = item.restarts - self._restarts.setdefault(item.id, item.restarts)
            # A container that runs has no status of its end: what counts is how it ended the last time.
            if not item.is_running:
                self._codes[item.id] = item.exit_code
            seen = replace(item, exit_code=self._codes.get(item.id, item.exit_code))
            _raise_if_broken(self._docker, self._console, self._service, seen, again)
            # One that fell over and came back between two looks has not run quietly.
            run = (item.id, item.restarts)
            if not item.is_ready:
                self._since.pop(run, None)
            elif item.health == "healthy" or now - self._since.setdefault(run, now) >= _QUIET_SECONDS:
                ready.append(item)
        return tuple(ready)


def _raise_if_broken(docker: Docker, console: Console, service: ServiceFacts, item: Container, again: int) -> None:
    """Raise for a container that will not get ready; `again` counts how often it fell over while being watched.

    Docker counts over the whole life of a container: a few falls last month are no reason against one that runs.
    """
    if item.out_of_memory and not item.is_running:
        raise _failure(docker, console, service, [item], "was ended by the kernel: it needs more memory than its limit")
    if item.state in ("exited", "dead"):
        raise _failure(docker, console, service, [item], f"ended at once with status {item.exit_code}")
    loops = again >= 3 or (item.restarts >= 3 and not item.is_running)
    if loops or (item.restarts and item.health == "unhealthy"):
        hint = '; a service that is meant to end needs `restart: "no"`' if item.exit_code == 0 else ""
        if item.exit_code == _KILLED:
            # Docker takes its note of it back at every restart.
            hint = ", most likely because it needs more memory than its limit"
        raise _failure(docker, console, service, [item], f"ends again and again with status {item.exit_code}{hint}")
    if item.health == "unhealthy":
        raise _failure(docker, console, service, [item], "runs, but its health check fails")


def _failure(
    docker: Docker, console: Console, service: ServiceFacts, containers: Sequence[Container], what: str
) -> DeployError:
    console.failure(f"{service.name} {what}")
    for item in containers[:1]:
        console.detail(f"the last lines of {item.name}:")
        console.detail(docker.last_lines(item.id) or "(it said nothing)")
    next_step = "its last lines are above"
    if "more memory" in what:
        next_step = f"raise `resources.services.{service.name}.memory` in moorage.yaml; {next_step}"
    return DeployError(f"{service.name} {what}", next_step)
