"""A rendered folder → a running stack on one server. Safe to repeat, safe to kill at any moment.

The order: images, databases, jobs, services, routes, what is gone, then the look from outside. Nothing
stops before every image is here. When a step fails, the release before serves again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatch
from pathlib import Path

from moorage.console import Console
from moorage.errors import CommandFailed, DeployError, MoorageError
from moorage.targets.compose import images, jobs, probe
from moorage.targets.compose.docker import Container, Docker
from moorage.targets.compose.facts import ServiceFacts, StackFacts, read_facts
from moorage.targets.compose.names import COMPOSE_FOLDER, EDGE_ROUTES, FACTS_FILE, TRAEFIK
from moorage.targets.compose.plan import ContainerPlan, is_current, plan_containers
from moorage.targets.compose.releases import Release, Releases, read_tree
from moorage.targets.compose.rollout import Rollouts
from moorage.targets.compose.waiting import wait_ready
from moorage.words import plural

# Let's Encrypt takes seconds; a DNS challenge waits for the record to spread.
_CERTIFICATE_SECONDS = 120.0
_ONE_SHOT_SECONDS = 900.0


@dataclass(frozen=True)
class Place:
    """Where a deployment's files are."""

    folder: Path
    environment: str

    @property
    def rendered(self) -> Path:
        """`rendered/<environment>/`."""
        return self.folder / "rendered" / self.environment

    @property
    def private(self) -> Path:
        """`secrets/<environment>/compose/`."""
        return self.folder / "secrets" / self.environment / "compose"

    @property
    def compose(self) -> Path:
        """The folder that `docker compose` runs in."""
        return self.rendered / COMPOSE_FOLDER

    @property
    def rollout_marker(self) -> Path:
        """Exists while a rollout file may be live."""
        return self.folder / "releases" / self.environment / "rollout"


@dataclass(frozen=True)
class UpOptions:
    """What the operator may choose for one `up`."""

    sources: Path | None = None
    build: bool = False
    no_cache: bool = False


def load_facts(rendered: Path) -> StackFacts:
    """stack.json of a rendered folder. Raises MoorageError when it is missing or of another version."""
    try:
        return read_facts(json.loads((rendered / FACTS_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise MoorageError(f"nothing is rendered in {rendered}", "`moorage render`, or just `moorage up`") from None
    except (ValueError, KeyError, TypeError):
        raise MoorageError(
            f"{rendered / FACTS_FILE} is from another version of moorage", "`moorage render` writes it anew"
        ) from None


def previous_facts(releases: Releases) -> StackFacts | None:
    """The facts of the release that serves, if they can be read."""
    current = releases.current()
    if current is None:
        return None
    try:
        return load_facts(current.rendered)
    except MoorageError:
        return None


class Deployer:
    """Deploys one rendered folder; hold the deployment's lock while using it."""

    def __init__(self, place: Place, console: Console, lock_descriptor: int | None = None) -> None:
        self.place = place
        self.console = console
        self.facts = load_facts(place.rendered)
        self.docker = Docker(self.facts.project, place.compose, console, lock_descriptor)
        self.releases = Releases(place.folder, place.environment)
        self.rollouts = Rollouts(self.docker, self.facts, console, place.rollout_marker)

    def plan(self, facts: StackFacts | None = None) -> ContainerPlan:
        """What `up` would do to the containers."""
        wanted = facts or self.facts
        image_ids = self.docker.image_ids([service.image for service in wanted.services])
        return plan_containers(
            wanted,
            self.docker.containers(),
            image_ids,
            self.docker.volumes(wanted.volumes),
            previous_facts(self.releases),
        )

    def up(self, options: UpOptions) -> Release | None:
        """Bring the stack to the rendered state; gives the new release, or None when nothing was to be done.

        Raises DeployError when it failed; the release before serves again, if there was one.
        """
        plan = self.plan()
        if plan.risk == "data":
            raise DeployError(
                f"this change would endanger data: {'; '.join(plan.risk_reasons)}", "undo the change in moorage.yaml"
            )
        current = self.releases.current()
        missing = [service.image for service in self.facts.services if service.image not in plan.images]
        if not plan and not missing and current is not None and not options.build and self.facts.pull != "always":
            if not self.place.rollout_marker.exists():
                return self._unchanged(current, plan.images)
            self.rollouts.end_switch()
        image_ids = images.obtain(
            self.docker, self.facts, self.console, options.sources, build=options.build, no_cache=options.no_cache
        )
        try:
            self._converge(image_ids, run_jobs=True)
            self._look_from_outside()
        except (DeployError, CommandFailed) as error:
            raise self._fall_back(current, error) from None
        return self._record(image_ids)

    def _unchanged(self, current: Release, image_ids: Mapping[str, str]) -> Release | None:
        """Nothing runs differently; a release is recorded only when the files say something new.

        Raises DeployError when a container is not well: that is not "nothing to do".
        """
        unwell = {item.service for item in self.docker.containers() if not item.is_ready}
        for service in self.facts.services:
            if service.name in unwell and service.replicas and not service.one_shot:
                wait_ready(self.docker, self.console, service, self._selector(service), service.replicas)
        recorded = read_tree(current.rendered)
        if recorded.digest() == read_tree(self.place.rendered).digest() and dict(current.images) == dict(image_ids):
            return None
        return self._record(image_ids)

    def _converge(self, image_ids: Mapping[str, str], *, run_jobs: bool) -> None:
        plan = plan_containers(
            self.facts, self.docker.containers(), image_ids, self.docker.volumes(self.facts.volumes), None
        )
        self._create_external_volumes()
        for service in self.facts.services:
            if service.kind in ("postgres", "redis") or service.name == "socket-proxy":
                self._bring(service, plan, image_ids)
        self._ensure_databases()
        self._bring_own_services()
        if run_jobs:
            jobs.run_before_rollout(self.docker, self.facts, self.console)
        for service in _ordered(self.facts):
            self._bring(service, plan, image_ids)
        self._publish(plan, image_ids)
        self.rollouts.end_switch()
        self._remove_gone()
        self._join_project_networks()

    def _bring(self, service: ServiceFacts, plan: ContainerPlan, image_ids: Mapping[str, str]) -> None:
        """One service to its wanted state, then ready."""
        change = plan.of(service.name)
        if change is None:
            if service.replicas and not service.one_shot:
                wait_ready(self.docker, self.console, service, lambda: self._containers_of(service), service.replicas)
            return
        if change.action == "roll":
            self.rollouts.roll(service, image_ids)
            return
        self.console.action(f"{service.name}: {change.why}")
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
        wait_ready(self.docker, self.console, service, lambda: self._containers_of(service), service.replicas)
        self.console.success(f"{service.name} is ready")

    def _run_once(self, service: ServiceFacts) -> None:
        """A service that does its work and ends; others may wait for its success."""
        work = "publishing the routes" if service.name == EDGE_ROUTES else f"{service.name} does its work"
        with self.console.waiting(work, _ONE_SHOT_SECONDS):
            self.docker.compose(
                "up", "--no-deps", "--no-build", "--force-recreate", service.name, timeout_seconds=_ONE_SHOT_SECONDS
            )
        for item in self._containers_of(service):
            if item.exit_code != 0:
                self.console.failure(f"{service.name} ended with status {item.exit_code}")
                self.console.detail(self.docker.last_lines(item.id) or "(it said nothing)")
                raise DeployError(f"{service.name} ended with status {item.exit_code}", "its last lines are above")
        self.console.success("routes published" if service.name == EDGE_ROUTES else f"{service.name} is done")

    def _selector(self, service: ServiceFacts) -> Callable[[], list[Container]]:
        return lambda: self._containers_of(service)

    def _containers_of(self, service: ServiceFacts) -> list[Container]:
        return [item for item in self.docker.containers() if item.service == service.name and not item.is_one_off]

    def _remove_extra(self, service: ServiceFacts, image_ids: Mapping[str, str]) -> None:
        """Containers beyond the wanted number that a broken rolling update left; the current ones stay."""
        mine = self._containers_of(service)
        mine.sort(key=lambda item: (is_current(service, item, image_ids), item.is_ready))
        for item in mine[: max(0, len(mine) - max(1, service.replicas))]:
            self.docker.docker("rm", "--force", item.id, check=False)

    def _create_external_volumes(self) -> None:
        """Volumes with a fixed name that the app insists on; Compose wants them to exist."""
        existing = self.docker.volumes(self.facts.external_volumes)
        for name in self.facts.external_volumes:
            if name not in existing:
                self.docker.docker(
                    "volume", "create", "--label", f"moorage.deployment={self.facts.deployment_id}", name
                )

    def _bring_own_services(self) -> None:
        """Services of the operator's override file; what they are is theirs, that they run is ours."""
        if self.facts.override_services:
            self.docker.compose("up", "--detach", "--no-deps", *self.facts.override_services)

    def _ensure_databases(self) -> None:
        """Role, password and databases, through the socket inside the container; the password goes by standard input."""
        if not self.facts.postgres_service:
            return
        password = (self.place.private / "files" / "postgres_password").read_text(encoding="utf-8")
        quoted = password.replace("\\", "\\\\").replace("'", "\\'")
        script = f"\\set password '{quoted}'\n" + (self.place.compose / "postgres" / "ensure.sql").read_text(
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
                f"`docker compose logs {self.facts.postgres_service}` in {self.place.compose}",
            ) from None

    def _publish(self, plan: ContainerPlan, image_ids: Mapping[str, str]) -> None:
        """The routes, and the proxy when its own settings changed."""
        if plan.of(EDGE_ROUTES) is not None:
            self._run_once(self.facts.service(EDGE_ROUTES))
        self._bring(self.facts.service(TRAEFIK), plan, image_ids)

    def _remove_gone(self) -> None:
        """Containers of services that are no longer in the stack; their volumes stay."""
        known = {service.name for service in self.facts.services} | set(self.facts.override_services)
        job_names = {job.name for job in self.facts.jobs}
        for item in self.docker.containers():
            finished_job = item.service in job_names and not item.is_running
            if finished_job or (item.service not in known | job_names and not item.is_one_off):
                self.docker.docker("stop", item.id, check=False)
                self.docker.docker("rm", "--force", item.id, check=False)
                if not finished_job:
                    self.console.success(f"{item.name} removed; its volumes stay")

    def _join_project_networks(self) -> None:
        """Networks of containers that the app made itself: a replaced proxy has left them."""
        if not self.facts.project_networks:
            return
        own = {f"{self.facts.project}_{name}" for name in ("edge", "app", "data", "socket-proxy")}
        for traefik in self._containers_of(self.facts.service(TRAEFIK)):
            for name in self.docker.network_names():
                if fnmatch(name, self.facts.project_networks) and name not in own:
                    self.docker.docker("network", "connect", name, traefik.id, check=False)

    def _look_from_outside(self) -> None:
        """Every routed host answers through Traefik."""
        hosts = {route.host for route in self.facts.routes}
        paths = {self.facts.domain: self.facts.check_path}
        for route in self.facts.routes:
            paths.setdefault(route.host, route.path)
        for host in sorted(hosts):
            path = paths[host]
            with self.console.waiting(f"{host}{path} answers through Traefik", 60):
                answer = probe.wait_for(self.facts, host, path, 60)
            if not answer.is_routed or answer.status >= 500:
                shown = f"status {answer.status}" if answer.status else answer.text
                raise DeployError(
                    f"{host}{path} does not answer through Traefik: {shown}",
                    f"`moorage logs {TRAEFIK}` has the proxy's reason",
                )

    def certificate_status(self, is_new: bool) -> int:
        """0 when the site has a real certificate (or needs none), 1 when it has none; waits after a change."""
        if not self.facts.https_port:
            return 0
        limit = _CERTIFICATE_SECONDS if is_new else 0
        end = time.monotonic() + limit
        with self.console.waiting("the certificate", limit or None):
            found = probe.certificate(self.facts, self.facts.domain)
            while (found is None or found.is_default) and time.monotonic() < end:
                time.sleep(1)
                found = probe.certificate(self.facts, self.facts.domain)
        if found is not None and not found.is_default:
            self.console.success(f"certificate until {found.not_after:%Y-%m-%d}, {found.issuer}")
            return 0
        self.console.failure("the site runs, but has no certificate yet; browsers will warn")
        for line in self._certificate_errors():
            self.console.detail(line)
        self.console.detail(
            "→ `moorage check` looks at DNS and ports; Traefik tries again by itself, or after `moorage up`"
        )
        return 1

    def _certificate_errors(self) -> list[str]:
        """Why Traefik could not get one, in its own words."""
        lines = []
        for item in self._containers_of(self.facts.service(TRAEFIK)):
            for line in self.docker.last_lines(item.id, 400).splitlines():
                if '"level":"error"' in line and "ertificate" in line:
                    try:
                        entry = json.loads(line)
                    except ValueError:
                        continue
                    lines.append(f"{entry.get('message', '')}: {entry.get('error', '')}")
        return lines[-2:]

    def _fall_back(self, current: Release | None, error: MoorageError) -> DeployError:
        """Bring the release before back; gives the error to raise, which says what serves now."""
        reason = (
            error.message if not isinstance(error, CommandFailed) else f"{error.message}: {_last_line(error.output)}"
        )
        if current is None:
            return DeployError(
                f"{reason}; this was the first release, so there is none to go back to. Data is untouched, what started stays for a look",
                error.hint or "fix the cause, then `moorage up` again",
            )
        self.console.action(f"going back to release {current.id}")
        try:
            self.restore(current)
        except MoorageError as second:
            return DeployError(
                f"{reason}; going back to {current.id} failed too: {second.message}", second.hint or error.hint
            )
        return DeployError(f"{reason}; release {current.id} serves", error.hint)

    def restore(self, release: Release) -> None:
        """Make an earlier release what is rendered and what runs. Database migrations stay as they are."""
        images.restore_names(self.docker, release.images)
        read_tree(release.private_folder).write(self.place.private)
        read_tree(release.rendered).write(self.place.rendered)
        self.facts = load_facts(self.place.rendered)
        self.docker = Docker(self.facts.project, self.place.compose, self.console, self.docker.lock_descriptor)
        self.rollouts = Rollouts(self.docker, self.facts, self.console, self.place.rollout_marker)
        self._converge(dict(release.images), run_jobs=False)
        self._look_from_outside()
        self.releases.set_current(release.id)

    def _record(self, image_ids: Mapping[str, str]) -> Release:
        release = self.releases.record(self.place.rendered, self.place.private, image_ids, datetime.now(timezone.utc))
        images.keep(self.docker, self.facts.project, release.id, image_ids)
        old = self.releases.superfluous()
        for item in old:
            images.forget(self.docker, self.facts.project, item.id, item.images)
            self.releases.remove(item)
        if old:
            self.console.detail(f"{plural(len(old), 'old release')} tidied away")
        return release


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


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it gave no reason"
