"""Replace a routed service without losing a request.

New containers start beside the old ones; when they are healthy, a route file of higher priority sends
everything to them by name; the old ones finish what they have begun and go; the file goes. Steady state
needs no memory: the rendered routes say `http://web:8000`, which then means the new containers only.
Every step looks at what is there, so a run that was killed anywhere is finished by the next one.
"""

from __future__ import annotations

import copy
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moorage.console import Console
from moorage.errors import DeployError
from moorage.formats import dump_yaml, read_yaml
from moorage.targets.compose import probe
from moorage.targets.compose.docker import Container, Docker
from moorage.targets.compose.facts import ServiceFacts, StackFacts
from moorage.targets.compose.names import EDGE_ROUTES, ROLLOUT_FILE, ROUTES_FILE
from moorage.targets.compose.plan import is_current
from moorage.targets.compose.waiting import wait_ready
from moorage.targets.reasons import StepError, reason_of
from moorage.targets.routers import SECURITY_HEADERS, own_name, part_name

_PROBE = own_name("probe")
# A copy stands above its own original and below everything that stood above that.
_ABOVE = 5
_PROBE_PRIORITY = 1_000_000
# Requests that the proxy has just handed to an old container reach it before it is told to stop.
_DRAIN_SECONDS = 3.0
_SWITCH_LIMIT_SECONDS = 30.0


class Rollouts:
    """Rolling updates of one stack; `marker` is a file that remembers that a rollout file may be live."""

    def __init__(self, docker: Docker, facts: StackFacts, console: Console, marker: Path) -> None:
        self.docker = docker
        self.facts = facts
        self.console = console
        self.marker = marker

    def roll(self, service: ServiceFacts, image_ids: Mapping[str, str]) -> None:
        """Bring one service to its new state. Raises DeployError; the old containers serve on then."""
        self._remove_failed(service, image_ids)
        old, new = self._split(service, image_ids)
        if len(new) < service.replicas:
            self.console.action(f"{service.name}: starting the new container beside the old one")
            total = len(old) + service.replicas
            self.docker.compose(
                "up",
                "--detach",
                "--no-deps",
                "--no-build",
                "--no-recreate",
                "--scale",
                f"{service.name}={total}",
                service.name,
            )
        try:
            ready = wait_ready(
                self.docker, self.console, service, lambda: self._split(service, image_ids)[1], service.replicas
            )
            if old:
                self._switch(service, ready)
        except StepError as error:
            reason = reason_of(error)
            self._take_back(service, image_ids)
            raise DeployError(f"{reason.message}; the old {service.name} serves on", reason.hint) from None
        self._retire(service, old)
        self.end_switch()
        self.console.success(f"{service.name} replaced without a pause")

    def end_switch(self) -> None:
        """Take the rollout file away, if one may be live."""
        if self.marker.exists():
            self._routes("remove", ROLLOUT_FILE)
            self.marker.unlink(missing_ok=True)

    def _split(self, service: ServiceFacts, image_ids: Mapping[str, str]) -> tuple[list[Container], list[Container]]:
        """Old and new containers of a service."""
        mine = [item for item in self.docker.containers() if item.service == service.name and not item.is_one_off]
        new = [item for item in mine if is_current(service, item, image_ids)]
        return [item for item in mine if item not in new], new

    def _remove_failed(self, service: ServiceFacts, image_ids: Mapping[str, str]) -> None:
        """New containers that an earlier, broken run left behind."""
        for item in self._split(service, image_ids)[1]:
            if not item.is_running or item.health == "unhealthy":
                self.docker.docker("rm", "--force", item.id, check=False)

    def _take_back(self, service: ServiceFacts, image_ids: Mapping[str, str]) -> None:
        self.end_switch()
        for item in self._split(service, image_ids)[1]:
            self.docker.docker("rm", "--force", item.id, check=False)

    def _switch(self, service: ServiceFacts, ready: tuple[Container, ...]) -> None:
        """Send every request to the new containers, and see that it is so."""
        token = secrets.token_hex(8)
        rendered = read_yaml(self.docker.compose_folder / ROUTES_FILE).value
        host = self._probe_host(service)
        content = rollout_routes(rendered, service, [item.name for item in ready], host, token)
        if not content["http"]["routers"]:
            return
        self.marker.parent.mkdir(parents=True, exist_ok=True)
        self.marker.write_text(f"{service.name}\n", encoding="utf-8")
        self._routes(
            "put", ROLLOUT_FILE, stdin=dump_yaml(content, "Written by moorage during an update; goes when it is done.")
        )
        with self.console.waiting(f"the proxy switches to the new {service.name}", _SWITCH_LIMIT_SECONDS):
            answer = probe.wait_for(self.facts, host, f"/.moorage/{token}", _SWITCH_LIMIT_SECONDS, stable=3)
        if not answer.is_routed or answer.status >= 500:
            raise DeployError(
                f"the new {service.name} is healthy, but does not answer through the proxy ({answer.status or answer.text})",
                "does it listen on the port that its route names?",
            )

    def _probe_host(self, service: ServiceFacts) -> str:
        hosts = [route.host for route in self.facts.routes if route.service == service.name]
        return hosts[0] if hosts else f"moorage-probe.{self.facts.domain}"

    def _retire(self, service: ServiceFacts, old: list[Container]) -> None:
        if not old:
            return
        time.sleep(_DRAIN_SECONDS)
        with self.console.waiting(f"the old {service.name} finishes its requests", service.stop_seconds):
            for item in old:
                self.docker.docker("stop", "--time", str(max(1, round(service.stop_seconds))), item.id, check=False)
        for item in old:
            self.docker.docker("rm", "--force", item.id, check=False)

    def _routes(self, *arguments: str, stdin: str = "") -> None:
        self.docker.compose("run", "--rm", "--no-deps", "-T", EDGE_ROUTES, *arguments, stdin=stdin)


def rollout_routes(
    rendered: Mapping[str, Any], service: ServiceFacts, names: list[str], host: str, token: str
) -> dict[str, Any]:
    """The routers of one service again, a little above themselves, going to containers by name; and one to ask by."""
    http = rendered["http"]
    own = {
        name: value
        for name, value in http["services"].items()
        if any(server["url"].startswith(f"http://{service.name}:") for server in value["loadBalancer"]["servers"])
    }
    services: dict[str, Any] = {}
    for name, value in own.items():
        balancer = copy.deepcopy(value)
        port = balancer["loadBalancer"]["servers"][0]["url"].rpartition(":")[2]
        balancer["loadBalancer"]["servers"] = [{"url": f"http://{container}:{port}"} for container in names]
        services[_during(name)] = balancer
    # Denials come along: they must stay above what they guard.
    copied = {name: router for name, router in http["routers"].items() if router["service"] in own}
    # So do the middlewares: those of the new routes are not published yet, and a router without one of its
    # middlewares is no router to Traefik.
    used = {name for router in copied.values() for name in router["middlewares"]} | (
        {SECURITY_HEADERS} if copied else set()
    )
    middlewares = {_during(name): copy.deepcopy(http["middlewares"][name]) for name in sorted(used)}
    routers = {_during(name): _copied(router) for name, router in copied.items()}
    if routers:
        first = next(iter(routers.values()))
        middlewares[_PROBE] = {"replacePath": {"path": service.probe_path or "/"}}
        routers[_PROBE] = {
            "entryPoints": first["entryPoints"],
            "rule": f"Host(`{host}`) && Path(`/.moorage/{token}`)",
            "priority": _PROBE_PRIORITY,
            "middlewares": [_during(SECURITY_HEADERS), _PROBE],
            "service": first["service"],
        }
    return {"http": {"routers": routers, "services": services, "middlewares": middlewares}}


def _copied(router: Mapping[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(dict(router))
    result["priority"] = router["priority"] + _ABOVE
    result["service"] = _during(router["service"])
    result["middlewares"] = [_during(name) for name in router["middlewares"]]
    return result


def _during(name: str) -> str:
    """The name of the copy that is in force during an update."""
    return part_name(name, "rollout")
