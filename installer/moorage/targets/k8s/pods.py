"""A service as a container, and the pod around it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moorage.app.model import VolumeMount
from moorage.quantities import cpu_quantity, format_size, parse_size
from moorage.stack.cluster import Cluster
from moorage.stack.model import Limits, Service, Stack
from moorage.targets.k8s import mounts, names
from moorage.targets.k8s.bounds import priority_name
from moorage.targets.k8s.command_words import words
from moorage.targets.k8s.filling import MAP as FILLING_MAP
from moorage.targets.k8s.filling import filling_containers, program_volume
from moorage.targets.k8s.probes import probes
from moorage.targets.k8s.security import security_context, user_of

# So long a pod that is to end still answers: until then nobody sends requests to it any longer.
_DRAIN_SECONDS = 8
_PULL = {"missing": "IfNotPresent", "always": "Always", "never": "Never"}


def container(
    stack: Stack, service: Service, *, name: str = "", command: Sequence[str] = (), is_job: bool = False
) -> dict[str, Any]:
    """A container of a service; with `is_job` one of a job, which answers no probes and may have its own `command`."""
    data: dict[str, Any] = {
        "name": name or service.name,
        "image": service.image.reference,
        "imagePullPolicy": _PULL[stack.pull],
        "command": words(service.entrypoint or ()),
        "args": words(command or service.command or ()),
        "workingDir": service.other.get("working_dir", ""),
        "envFrom": _environment(service),
        "ports": [] if is_job else [{"containerPort": port} for port in service.ports],
        "resources": resources(service.limits),
        "securityContext": security_context(service),
        "volumeMounts": [*mounts.volume_mounts(service), *_shared_memory_mount(service)],
        "stdin": bool(service.other.get("stdin_open")),
        "tty": bool(service.other.get("tty")),
    }
    if not is_job:
        data |= probes(service)
        if any(route.service == service.name for route in stack.routes):
            data["lifecycle"] = {"preStop": {"sleep": {"seconds": _DRAIN_SECONDS}}}
    return {key: value for key, value in data.items() if value not in ({}, [], "", None, False)}


def pod(
    stack: Stack,
    cluster: Cluster,
    service: Service,
    containers: list[dict[str, Any]],
    of: Sequence[Service],
    *,
    priority: str = "app",
) -> dict[str, Any]:
    """The `spec` of a pod whose containers are those of the services `of`, the first of them leading."""
    volumes: dict[str, dict[str, Any]] = {}
    for item in of:
        volumes |= {volume["name"]: volume for volume in mounts.volumes(item)}
        if "shm_size" in item.other:
            _, volume = mounts.shared_memory(parse_size(str(item.other["shm_size"])))
            volumes[volume["name"]] = volume
    filling = filling_containers(stack, of, _PULL[stack.pull])
    if filling:
        volumes[FILLING_MAP] = program_volume()
    data: dict[str, Any] = {
        "serviceAccountName": service.name,
        "initContainers": filling,
        "priorityClassName": priority_name(cluster, priority),
        # Variables that nobody asked for, one per Service, and some programs read them.
        "enableServiceLinks": False,
        "securityContext": _pod_security(service),
        "terminationGracePeriodSeconds": math.ceil(service.stop_grace_seconds) + _drain(containers),
        "containers": containers,
        "volumes": sorted(volumes.values(), key=lambda volume: str(volume["name"])),
        **_settings(service.other),
    }
    if any(item.other.get("init") for item in of):
        # Who collects orphans: the pod's own first process, which all of its containers see then.
        data["shareProcessNamespace"] = True
    privileges = {key: item.other.get(key) for item in of for key in ("pid", "ipc") if key in item.other}
    if privileges.get("pid") == "host":
        data["hostPID"] = True
    if privileges.get("ipc") == "host":
        data["hostIPC"] = True
    if service.network_mode == "host":
        data |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if uses_disk(of):
        data["affinity"] = where_the_disks_are()
    kept = {key: value for key, value in data.items() if value not in ({}, [], "", None)}
    # Only who has rights gets what proves them.
    return {"automountServiceAccountToken": any(item.cluster_rights is not None for item in of), **kept}


def _drain(containers: Sequence[Mapping[str, Any]]) -> int:
    """Seconds that pass before a container is told to end."""
    return _DRAIN_SECONDS if any("lifecycle" in item for item in containers) else 0


def pod_labels(stack: Stack, service: Service, of: Sequence[Service]) -> dict[str, str]:
    """The labels of a pod: what it is, which networks it is in, whether it needs a disk."""
    networks = {f"{names.LABEL_NETWORK}{network}": "member" for network in service.networks}
    data = {names.LABEL_DATA: "disk"} if uses_disk(of) else {}
    return {**names.labels(stack, service.name), **networks, **data}


def uses_disk(services: Sequence[Service]) -> bool:
    """Whether one of them mounts a volume, which is a disk of one node."""
    return any(isinstance(mount, VolumeMount) for service in services for mount in service.mounts)


def where_the_disks_are() -> dict[str, Any]:
    """All pods with disks run on one node: a disk can be at one only, and the backup reads all of them."""
    term = {
        "labelSelector": {"matchLabels": {names.LABEL_DATA: "disk"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def resources(limits: Limits) -> dict[str, Any]:
    """Limits and requests."""
    return {
        "limits": {"cpu": cpu_quantity(limits.cpu), "memory": format_size(limits.memory)},
        "requests": {"cpu": cpu_quantity(limits.cpu_request), "memory": format_size(limits.memory_request)},
    }


def _environment(service: Service) -> list[dict[str, Any]]:
    sources: list[dict[str, Any]] = []
    if service.environment:
        sources.append({"configMapRef": {"name": names.config_name(service.name)}})
    if service.secret_environment:
        sources.append({"secretRef": {"name": names.secret_name(service.name)}})
    return sources


def _shared_memory_mount(service: Service) -> list[dict[str, Any]]:
    size = service.other.get("shm_size")
    return [mounts.shared_memory(parse_size(str(size)))[0]] if size else []


def _pod_security(service: Service) -> dict[str, Any]:
    user, group = user_of(service)
    data: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if user:
        # New disks belong to root; the group may write to them.
        data["fsGroup"] = group or user
        data["fsGroupChangePolicy"] = "OnRootMismatch"
    groups = [int(item) for item in service.other.get("group_add", []) if str(item).isdigit()]
    if groups:
        data["supplementalGroups"] = groups
    sysctls = service.other.get("sysctls")
    if isinstance(sysctls, Mapping):
        data["sysctls"] = [{"name": str(name), "value": str(value)} for name, value in sorted(sysctls.items())]
    return data


def _settings(other: Mapping[str, Any]) -> dict[str, Any]:
    """What Compose says of a container and Kubernetes of a pod."""
    data: dict[str, Any] = {}
    if other.get("hostname"):
        data["hostname"] = str(other["hostname"])
    by_address: dict[str, list[str]] = {}
    for name, address in _hosts(other.get("extra_hosts")):
        by_address.setdefault(address, []).append(name)
    if by_address:
        data["hostAliases"] = [{"ip": address, "hostnames": found} for address, found in sorted(by_address.items())]
    if other.get("platform"):
        system, _, architecture = str(other["platform"]).partition("/")
        data["nodeSelector"] = {"kubernetes.io/os": system}
        if architecture:
            data["nodeSelector"]["kubernetes.io/arch"] = architecture.partition("/")[0]
    servers, searches, options = (_listed(other.get(key)) for key in ("dns", "dns_search", "dns_opt"))
    if servers or searches or options:
        settings: dict[str, Any] = {"nameservers": servers, "searches": searches}
        settings["options"] = [_option(text) for text in options]
        data["dnsConfig"] = {key: value for key, value in settings.items() if value}
    return data


def _hosts(written: object) -> Iterator[tuple[str, str]]:
    """Name and address, from a mapping or from `name:address` and `name=address`."""
    if isinstance(written, Mapping):
        pairs = [[name, address] for name, found in written.items() for address in _listed(found)]
    else:
        pairs = [re.split("[:=]", text, maxsplit=1) for text in _listed(written)]
    for name, address in pairs:
        # Docker's word for the machine itself; a node is none of the app's business.
        if address != "host-gateway":
            yield str(name), str(address).strip("[]")


def _listed(value: object) -> list[str]:
    if not value:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _option(text: str) -> dict[str, str]:
    name, separator, value = text.partition(":")
    return {"name": name, "value": value} if separator else {"name": name}
