"""Bring what runs to what is rendered, step by step; every step looks at what is there and is safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from moorage.console import Console
from moorage.errors import CommandFailed, DeployError
from moorage.targets.compose import created, jobs, probe
from moorage.targets.compose.docker import Container, Docker
from moorage.targets.compose.facts import ServiceFacts, StackFacts
from moorage.targets.compose.names import EDGE_ROUTES, SOCKET_PROXY, TRAEFIK
from moorage.targets.compose.plan import (
    ContainerPlan,
    changed_networks,
    gone,
    is_current,
    must_go_first,
    plan_containers,
)
from moorage.targets.compose.rollout import Rollouts
from moorage.targets.compose.waiting import wait_ready
from moorage.targets.reasons import reason_of

_ONE_SHOT_SECONDS = 900.0


class Convergence:
    """One rendered folder on one engine; `private` is where the files with secrets are."""

    def __init__(self, docker: Docker, facts: StackFacts, rollouts: Rollouts, private: Path, console: Console) -> None:
        self.docker = docker
        self.facts = facts
        self.rollouts = rollouts
        self.console = console
        self._private = private

    def check_files(self) -> None:
        """Let Compose read everything, the operator's own file included. Raises DeployError; nothing has changed then."""
        try:
            self.docker.compose("config", "--quiet", timeout_seconds=60)
        except CommandFailed as error:
            own = "overrides/compose.yaml is read too: is the mistake there?" if self.facts.override_digest else ""
            raise DeployError(f"{reason_of(error).message}; nothing was changed", own) from None

    def run(self, image_ids: Mapping[str, str], *, run_jobs: bool) -> None:
        """Bring everything to the rendered state. Raises DeployError at the first step that fails."""
        self._remove_changed_networks()
        plan = plan_containers(
            self.facts, self.docker.containers(), image_ids, self.docker.volumes(self.facts.volumes), None, {}
        )
        self._remove(must_go_first(self.facts, self.docker.containers()))
        for service in self.facts.services:
            if service.kind in ("postgres", "redis") or service.name == SOCKET_PROXY:
                self._bring(service, plan, image_ids)
        self._ensure_databases()
        self._bring_own_services()
        if run_jobs:
            jobs.run_before_rollout(self.docker, self.facts, self.console)
        # A proxy whose own settings change (ports, certificates) is replaced first: a rolling update asks through it.
        # At the first start it comes last, so that nothing is reachable before it works.
        proxy_first = bool(self._containers_of(self.facts.service(TRAEFIK))) and plan.of(TRAEFIK) is not None
        if proxy_first:
            self._publish(plan, image_ids)
        for service in _ordered(self.facts):
            self._bring(service, plan, image_ids)
        if not proxy_first:
            self._publish(plan, image_ids)
        self.rollouts.end_switch()
        self._remove_gone()
        self.join_project_networks()

    def _remove_changed_networks(self) -> None:
        """Networks that get or lose their way out, with the containers that hang on them; Compose makes them anew."""
        names = changed_networks(self.facts, self.docker.networks(list(self.facts.network_names)))
        for item in self.docker.containers() if names else ():
            if set(item.networks) & set(names):
                self.console.action(f"{item.name}: ends, because its network is made anew")
                self._end(item)
        for name in names:
            self.docker.docker("network", "rm", name)

    def _bring(self, service: ServiceFacts, plan: ContainerPlan, image_ids: Mapping[str, str]) -> None:
        """One service to its wanted state, then ready."""
        change = plan.of(service.name)
        if change is None:
            if service.one_shot:
                self._see_the_end(service)
            elif service.replicas:
                self._revive(service)
                self.wait_for(service)
            return
        if change.action == "roll" and self._proxy_is_up():
            self.rollouts.roll(service, image_ids)
            return
        self.console.action(f"{service.name}: {change.why}")
        if change.action == "start":
            self._revive(service)
        if service.one_shot:
            self._run_once(service)
            return
        self._remove_extra(service, image_ids)
        arguments = ["up", "--detach", "--no-deps", "--no-build", "--scale", f"{service.name}={service.replicas}"]
        if service.follows:
            # Compose does not see that the partner's network is another one now.
            arguments.append("--force-recreate")
        self.docker.compose(*arguments, service.name)
        if service.replicas == 0:
            return
        self.wait_for(service)
        self.console.success(f"{service.name} is ready")

    def wait_for(self, service: ServiceFacts) -> None:
        """Wait until the service is ready. Raises DeployError when it will not be."""
        wait_ready(self.docker, self.console, service, lambda: self._containers_of(service), service.replicas)

    def illness_of(self, service: ServiceFacts) -> str:
        """What is wrong with a service that is to stay as it is, or an empty text; one that starts gets its time."""
        mine = [item for item in self._containers_of(service) if not item.is_ready]
        if not mine:
            return ""
        if not all(item.is_running and item.health == "starting" for item in mine):
            return f"{service.name} is {mine[0].health or mine[0].state}"
        try:
            self.wait_for(service)
        except DeployError as error:
            return error.message
        return ""

    def _revive(self, service: ServiceFacts) -> None:
        """Start the app's ill containers anew: what they need may have come back, and they give up by themselves."""
        for item in self._containers_of(service) if service.kind == "app" else ():
            if item.health == "unhealthy" or item.state == "restarting":
                self.console.action(f"{service.name}: is not well, starts again")
                self.docker.docker("restart", item.id, check=False)

    def _proxy_is_up(self) -> bool:
        """Without a proxy no request can be lost, and none could be switched."""
        return any(item.is_ready for item in self._containers_of(self.facts.service(TRAEFIK)))

    def _run_once(self, service: ServiceFacts) -> None:
        """A service that does its work and ends; others may wait for its success."""
        work = "publishing the routes" if service.name == EDGE_ROUTES else f"{service.name} does its work"
        with self.console.waiting(work, _ONE_SHOT_SECONDS):
            self.docker.compose(
                "up", "--no-deps", "--no-build", "--force-recreate", service.name, timeout_seconds=_ONE_SHOT_SECONDS
            )
        self._see_the_end(service)
        self.console.success("routes published" if service.name == EDGE_ROUTES else f"{service.name} is done")

    def _see_the_end(self, service: ServiceFacts) -> None:
        """Wait for a one-shot service that is still at work, perhaps since an earlier run; it must have ended well."""
        for item in self._containers_of(service):
            if item.is_running:
                with self.console.waiting(f"{service.name} ends its work", _ONE_SHOT_SECONDS):
                    self.docker.docker("wait", item.id, check=False, timeout_seconds=_ONE_SHOT_SECONDS)
        for item in self._containers_of(service):
            if item.exit_code != 0:
                self.console.failure(f"{service.name} ended with status {item.exit_code}")
                self.console.detail(self.docker.last_lines(item.id) or "(it said nothing)")
                raise DeployError(f"{service.name} ended with status {item.exit_code}", "its last lines are above")

    def _containers_of(self, service: ServiceFacts) -> list[Container]:
        return [item for item in self.docker.containers() if item.service == service.name and not item.is_one_off]

    def _remove_extra(self, service: ServiceFacts, image_ids: Mapping[str, str]) -> None:
        """Containers beyond the wanted number, wanted no more or left by a broken update; the current ones stay."""
        mine = self._containers_of(service)
        mine.sort(key=lambda item: (is_current(service, item, image_ids), item.is_ready))
        for item in mine[: max(0, len(mine) - max(1, service.replicas))]:
            self._end(item)

    def _bring_own_services(self) -> None:
        """Services of the operator's override file; what they are is theirs, that they run is ours."""
        if self.facts.override_services:
            self.docker.compose("up", "--detach", "--no-deps", *self.facts.override_services)

    def _ensure_databases(self) -> None:
        """Role, password and databases, through the socket inside the container; the password goes by standard input."""
        if not self.facts.postgres_service:
            return
        password = (self._private / "files" / "postgres_password").read_text(encoding="utf-8")
        quoted = password.replace("\\", "\\\\").replace("'", "\\'")
        script = f"\\set password '{quoted}'\n" + (self.docker.compose_folder / "postgres" / "ensure.sql").read_text(
            encoding="utf-8"
        )
        try:
            self.docker.compose(
                "exec", "-T", self.facts.postgres_service, "psql", "--quiet", "--no-psqlrc",
                "-U", self.facts.postgres_superuser, "-d", "postgres", "-f", "-", stdin=script, timeout_seconds=120,
            )  # fmt: skip
        except CommandFailed as error:
            raise DeployError(
                f"the app's role and databases could not be made: {error.output.splitlines()[-1] if error.output else 'no reason given'}",
                f"`docker compose logs {self.facts.postgres_service}` in {self.docker.compose_folder}",
            ) from None

    def _publish(self, plan: ContainerPlan, image_ids: Mapping[str, str]) -> None:
        """The routes, and the proxy when its own settings changed."""
        if plan.of(EDGE_ROUTES) is not None:
            self._run_once(self.facts.service(EDGE_ROUTES))
        self._bring(self.facts.service(TRAEFIK), plan, image_ids)

    def _remove_gone(self) -> None:
        """Containers of services that are no longer in the stack; their volumes stay."""
        containers = self.docker.containers()
        job_names = {job.name for job in self.facts.jobs}
        for item in containers:
            # Not one that is only made yet: a timer may be about to start it.
            if item.service in job_names and item.state in ("exited", "dead"):
                self.docker.docker("rm", "--force", item.id, check=False)
        self._remove(gone(self.facts, containers))

    def _remove(self, containers: Sequence[Container]) -> None:
        """Let containers of services that are gone end in their own time."""
        for item in containers:
            self._end(item)
            self.console.success(f"{item.name} removed; its volumes stay")

    def _end(self, container: Container) -> None:
        """Let it finish what it has begun, as long as its service allows, then remove it."""
        self.docker.docker("stop", container.id, check=False)
        self.docker.docker("rm", "--force", container.id, check=False)

    def join_project_networks(self) -> None:
        """Networks of containers that the app made itself: a replaced proxy has left them."""
        names = created.network_names(self.docker, self.facts)
        for traefik in self._containers_of(self.facts.service(TRAEFIK)) if names else ():
            for name in names:
                self.docker.docker("network", "connect", name, traefik.id, check=False)

    def look_from_outside(self) -> None:
        """Every routed host answers through Traefik."""
        for host, path in self._addresses():
            with self.console.waiting(f"{host}{path} answers through Traefik", 60):
                answer = probe.wait_for(self.facts, host, path, 60)
            if not answer.is_routed or answer.status >= 500:
                shown = f"status {answer.status}" if answer.status else answer.text
                raise DeployError(
                    f"{host}{path} does not answer through Traefik: {shown}",
                    f"`moorage logs {TRAEFIK}` has the proxy's reason",
                )

    def outside_troubles(self) -> list[str]:
        """What a single look at every routed host finds wrong."""
        troubles = []
        for host, path in self._addresses():
            answer = probe.ask(self.facts, host, path)
            if not answer.is_routed or answer.status >= 500:
                troubles.append(f"{host}{path} answers {answer.status or 'nothing'}")
        return troubles

    def _addresses(self) -> list[tuple[str, str]]:
        """Every routed host with a path to ask it by."""
        paths = {self.facts.domain: self.facts.check_path}
        for route in self.facts.routes:
            paths.setdefault(route.host, route.path)
        return [(host, paths[host]) for host in sorted({route.host for route in self.facts.routes})]


def _ordered(facts: StackFacts) -> list[ServiceFacts]:
    """App services, each after those that it needs; a circle keeps the order of the file."""
    remaining = [service for service in facts.services if service.kind == "app"]
    names = {service.name for service in remaining}
    done: set[str] = set()
    result: list[ServiceFacts] = []
    while remaining:
        ready = [
            service
            for service in remaining
            if all(need in done or need not in names for need in (*service.needs, service.follows))
        ]
        for service in ready or remaining[:1]:
            result.append(service)
            done.add(service.name)
            remaining.remove(service)
    return result
