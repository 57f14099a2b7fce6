"""What `up` would do to the containers: pure comparison of facts with what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from moorage.targets.compose.docker import Container
from moorage.targets.compose.facts import ServiceFacts, StackFacts
from moorage.targets.compose.names import EDGE_ROUTES, TRAEFIK

Action = Literal["create", "recreate", "roll", "start", "scale", "remove", "publish"]
Risk = Literal["none", "restart", "data"]


@dataclass(frozen=True)
class ContainerChange:
    """What happens to the containers of one service, why, and what people notice."""

    service: str
    action: Action
    why: str
    downtime: str


@dataclass(frozen=True)
class ContainerPlan:
    """All container changes, the images that must be obtained first, and what it all may do to data."""

    changes: tuple[ContainerChange, ...] = ()
    risk: Risk = "none"
    risk_reasons: tuple[str, ...] = ()
    new_volumes: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    missing_images: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.missing_images)

    def of(self, service: str) -> ContainerChange | None:
        """The change of one service, if there is one."""
        return next((change for change in self.changes if change.service == service), None)


def plan_containers(
    facts: StackFacts,
    containers: Sequence[Container],
    image_ids: Mapping[str, str],
    volumes: Mapping[str, Any],
    previous: StackFacts | None,
    networks: Mapping[str, bool],
) -> ContainerPlan:
    """Compare what should run with what does. `image_ids` tells what each reference means on this host now.

    `networks` are those that exist, and whether they have no way out.
    """
    wrong = changed_networks(facts, networks)
    own = [container for container in containers if not container.is_one_off]
    changes: list[ContainerChange] = []
    for service in facts.services:
        mine = [item for item in own if item.service == service.name]
        change = _network_change(facts, service, mine, wrong) or _change(service, mine, image_ids, own)
        if change is not None:
            changes.append(change)
    changes.extend(_follow(facts, own, {change.service for change in changes}))
    changes.extend(_override_changes(facts, own, previous))
    for name in sorted({item.service for item in gone(facts, own)}):
        changes.append(ContainerChange(name, "remove", "no longer in the stack; its volumes stay", "the service ends"))
    reasons = tuple(data_risks(facts, previous))
    platform = {service.name for service in facts.services if service.kind in ("postgres", "redis")}
    restarts = any(change.action == "recreate" and change.service in platform for change in changes)
    return ContainerPlan(
        changes=tuple(changes),
        risk="data" if reasons else "restart" if restarts else "none",
        risk_reasons=reasons,
        new_volumes=tuple(name for name in facts.volumes if name not in volumes),
        images=dict(image_ids),
        missing_images=tuple(name for name in facts.image_references if name not in image_ids),
    )


def changed_networks(facts: StackFacts, networks: Mapping[str, bool]) -> tuple[str, ...]:
    """Networks that exist and get or lose their way out: Compose leaves them as they are, so they are made anew."""
    wanted = facts.network_names
    return tuple(sorted(name for name, is_internal in networks.items() if wanted.get(name, is_internal) != is_internal))


def _network_change(
    facts: StackFacts, service: ServiceFacts, containers: Sequence[Container], wrong: Sequence[str]
) -> ContainerChange | None:
    """A container can't stay while its network is made anew."""
    found = sorted({name for item in containers for name in item.networks if name in wrong})
    if not found:
        return None
    way = "loses its way out" if facts.network_names[found[0]] else "gets a way out"
    return ContainerChange(service.name, "recreate", f"its network {found[0]} {way}", _downtime(service))


def _follow(facts: StackFacts, containers: Sequence[Container], changed: set[str]) -> list[ContainerChange]:
    """Who shares a network is replaced with its partner: also one that is only started again comes with a new one."""
    present = {item.service for item in containers}
    return [
        ContainerChange(service.name, "recreate", f"shares the network of {service.follows}", "with it")
        for service in facts.services
        if service.follows in changed and service.name not in changed
        if service.name in present and service.replicas and not service.one_shot
    ]


def must_go_first(facts: StackFacts, containers: Sequence[Container]) -> list[Container]:
    """Containers of services that are gone and that hold a volume which another service is about to write to.

    A database that got another name would otherwise run twice on the same files, which destroys them.
    Services that are updated side by side anyway may share theirs.
    """
    alone = [service for service in facts.services if service.rollout != "rolling" and service.replicas]
    wanted = {volume for service in alone for volume in service.volumes}
    return [item for item in gone(facts, containers) if wanted & set(item.volumes)]


def gone(facts: StackFacts, containers: Sequence[Container]) -> list[Container]:
    """Containers of services that are no longer in the stack."""
    known = {service.name for service in facts.services} | {job.name for job in facts.jobs}
    known |= set(facts.override_services)
    return [item for item in containers if item.service not in known and not item.is_one_off]


def _override_changes(
    facts: StackFacts, containers: Sequence[Container], previous: StackFacts | None
) -> list[ContainerChange]:
    """Services of the operator's own override file: Compose knows best whether they changed."""
    running = {item.service for item in containers if item.is_running}
    if previous is not None and previous.override_digest != facts.override_digest:
        return [
            ContainerChange(name, "start", "overrides/compose.yaml changed", "none") for name in facts.override_services
        ]
    return [
        ContainerChange(name, "start", "is in overrides/compose.yaml and does not run", "none")
        for name in facts.override_services
        if name not in running
    ]


def is_current(service: ServiceFacts, container: Container, image_ids: Mapping[str, str]) -> bool:
    """Whether a container is what the service should be now."""
    wanted = image_ids.get(service.image)
    return container.revision == service.revision and (wanted is None or container.image_id == wanted)


def _change(
    service: ServiceFacts, containers: list[Container], image_ids: Mapping[str, str], everyone: Sequence[Container]
) -> ContainerChange | None:
    if service.one_shot:
        return _one_shot_change(service, containers, image_ids)
    if service.replicas == 0:
        return (
            ContainerChange(service.name, "scale", "no replicas are wanted", "the service ends") if containers else None
        )
    if not containers:
        return ContainerChange(service.name, "create", "does not exist yet", "none")
    old = [item for item in containers if not is_current(service, item, image_ids)]
    if old:
        why = "its configuration changed" if old[0].revision != service.revision else "its image changed"
        running = any(item.is_running for item in old)
        if service.rollout == "rolling" and running:
            return ContainerChange(service.name, "roll", why, "none: the new container starts beside the old one")
        return ContainerChange(service.name, "recreate", why, _downtime(service))
    partners = {other.id: _moment(other) for other in everyone}
    if any(item.network_of and partners.get(item.network_of, "~") > _moment(item) for item in containers):
        # A partner that was replaced or restarted took its network along.
        return ContainerChange(
            service.name, "recreate", "its network partner was replaced or restarted", _downtime(service)
        )
    if any(not item.is_running for item in containers):
        return ContainerChange(service.name, "start", "is stopped", "none")
    if len(containers) != service.replicas:
        return ContainerChange(service.name, "scale", f"runs {len(containers)} times, not {service.replicas}", "none")
    return None


def _moment(container: Container) -> str:
    """When it was started; comparable, since without its Z a fraction of a second sorts after none."""
    return container.started.rstrip("Z")


def _one_shot_change(
    service: ServiceFacts, containers: list[Container], image_ids: Mapping[str, str]
) -> ContainerChange | None:
    if containers and all(is_current(service, item, image_ids) and _may_be_done(item) for item in containers):
        return None
    if service.name == EDGE_ROUTES:
        return ContainerChange(
            service.name, "publish", "the routes changed" if containers else "no routes are published yet", "none"
        )
    return ContainerChange(service.name, "recreate" if containers else "create", "runs once", "none")


def _may_be_done(container: Container) -> bool:
    """Whether a one-shot container ended well or is at it; one that was made and never started has status 0, too."""
    return container.exit_code == 0 and container.state != "created"


def _downtime(service: ServiceFacts) -> str:
    if service.name == TRAEFIK:
        return "a few seconds: the proxy restarts"
    if service.kind == "postgres":
        return "some seconds: the database restarts, connections are cut"
    if service.kind == "redis":
        return "a few seconds: the queue restarts, its data is kept"
    return "a few seconds: the container is replaced"


def data_risks(facts: StackFacts, previous: StackFacts | None) -> list[str]:
    """Changes that could make existing data unreadable; `up` refuses them."""
    if previous is None or not previous.postgres_service:
        return []
    reasons = []
    if facts.postgres_service and facts.postgres_version != previous.postgres_version:
        reasons.append(
            f"Postgres {previous.postgres_version} → {facts.postgres_version}: the data folder of another major version can't be read"
        )
    if facts.postgres_service and _is_alpine(facts) != _is_alpine(previous):
        reasons.append(
            "the Postgres image changes between Alpine and Debian: text would be sorted differently and indexes be wrong"
        )
    if facts.postgres_service and facts.postgres_volume != previous.postgres_volume:
        reasons.append(
            f"the database would start empty: its volume changes from {previous.postgres_volume} to {facts.postgres_volume}"
        )
    return reasons


def _is_alpine(facts: StackFacts) -> bool:
    image = facts.service(facts.postgres_service).image
    if facts.backups and facts.backups.server_image == image:
        # Made of the base, under a name that has the project in it.
        image = facts.backups.base_image or image
    return "alpine" in image
