"""What a Compose file says and a cluster can't do: told, never dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator

from moorage.app.model import App, AppService, MemoryMount, Notice
from moorage.quantities import format_size
from moorage.stack.docker_access import docker_mount
from moorage.stack.model import Service, Volume
from moorage.words import listed

# Keys of a service that no object of a cluster has, and what that means.
_WITHOUT_MEANING = {
    "ulimits": "limits of a process are those of the node",
    "stop_signal": "a container is ended by SIGTERM; a program that wants another one needs a handler for it",
    "domainname": "a pod has the name of its namespace behind its own",
    "devices": "a device of a node is given by a plug-in of the cluster",
    "uts": "a pod has a host name of its own",
    "userns_mode": "the cluster decides on user namespaces",
    "cgroup": "the cluster decides on control groups",
}
_HOST_GATEWAY = "host-gateway"


def notices(app: App, services: tuple[Service, ...]) -> Iterator[Notice]:
    """One for each key of each service."""
    for service in services:
        written = app.services[service.name]
        for text in _of(written, service):
            yield Notice(f"service {service.name}", text)


def wishes(app: App, services: tuple[Service, ...], volumes: tuple[Volume, ...], default_size: int) -> Iterator[Notice]:
    """What a file should declare for a cluster and doesn't; nothing for one that comes with moorage."""
    if app.builtin:
        return
    subject = "for a cluster this file should say"
    staying = [service for service in services if not service.is_one_shot]
    unsized = [volume.name for volume in volumes if not volume.size and not volume.external]
    if unsized:
        size = format_size(default_size)
        yield Notice(
            subject, f"how large volumes are (`x-moorage: {{size: …}}`): {listed(unsized, 'and')} get {size} each"
        )
    unknown = [
        service.name for service in staying if not str(service.other.get("user", "")).partition(":")[0].isdigit()
    ]
    if unknown:
        text = 'as which number a service runs (`user: "1000"`), so that its pod can be held to the restricted standard'
        yield Notice(subject, f"{text}: {listed(unknown, 'and')}", is_minor=True)
    unasked = [service.name for service in staying if service.probe is None and service.health_check is None]
    if unasked:
        text = "how to see that a service works (`healthcheck` or `x-moorage.health`)"
        yield Notice(
            subject,
            f"{text}: {listed(unasked, 'and')} counts as ready as soon as it runs"
            if len(unasked) == 1
            else f"{text}: {listed(unasked, 'and')} count as ready as soon as they run",
        )
    mute = [service.name for service in staying if not service.ports and _is_named(service.name, services)]
    if mute:
        text = "on which ports a service listens (`expose`)"
        yield Notice(subject, f"{text}: {listed(mute, 'and')} can be reached by name, but without a balanced address")


def _is_named(name: str, services: tuple[Service, ...]) -> bool:
    pattern = re.compile(rf"(?<![A-Za-z0-9_.-]){re.escape(name)}(?![A-Za-z0-9_.-])")
    return any(
        pattern.search(text)
        for other in services
        if other.name != name
        for text in (*other.environment.values(), *(value.reveal() for value in other.secret_environment.values()))
    )


def _of(written: AppService, service: Service) -> Iterator[str]:
    if (written.extension.docker_access or docker_mount(written.mounts)) and service.cluster_rights is None:
        yield "asks Docker for containers, and on a node of a cluster nobody answers: what it does with them fails"
    for key, meaning in _WITHOUT_MEANING.items():
        if service.other.get(key):
            yield f"has `{key}`, which has no effect in a cluster: {meaning}"
    if service.limits.processes and written.sizes.processes is not None:
        yield "has a limit of processes, which is the node's to set in a cluster (`podPidsLimit`)"
    if _HOST_GATEWAY in str(service.other.get("extra_hosts", "")):
        yield f"wants the address of its host (`{_HOST_GATEWAY}`), which a cluster does not give: another node has another one"
    for mount in service.mounts:
        if isinstance(mount, MemoryMount) and (mount.mode or mount.options):
            yield f"mounts {mount.target} in memory with options of its own; in a cluster everybody in the pod may write there"
