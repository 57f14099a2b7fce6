"""`parity.json` of a rendered folder: what the files themselves can't say to who compares them with another target's.

Own values by name; what moorage.yaml and the app's file say about differences; and what the app asks that this target has no
means for, so that it is held against a target that has. Nobody but `moorage parity` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moorage.formats import dump_json
from moorage.parity.facts import EMPTY, SECRET
from moorage.parity.words import cpus, health_command, leaves, size
from moorage.quantities import format_cpu
from moorage.stack.model import BundledPostgres, BundledRedis, Differences, Job, Service, Stack

# What DNS takes for a name of its own.
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
# What Compose is given as it was written; these a pod has a word for.
_POD_HAS = {
    "working_dir",
    "stdin_open",
    "tty",
    "shm_size",
    "hostname",
    "extra_hosts",
    "dns",
    "group_add",
    "sysctls",
    "user",
}

Asked = dict[str, dict[str, str]]


def parity_file(stack: Stack) -> str:
    """The text of the file."""
    asked = _asked_on_server(stack) if stack.cluster is None else _asked_in_cluster(stack)
    return dump_json(
        {
            "own": _own(stack),
            "settings": dict(stack.settings),
            **({"lacking": list(stack.lacking_secrets)} if stack.lacking_secrets else {}),
            "differences": {name: dict(_declared(stack, name, item)) for name, item in stack.differences.items()},
            "asked": {
                subject: {name: text for name, text in fields.items() if text} for subject, fields in asked.items()
            },
        }
    )


def _declared(stack: Stack, name: str, item: Differences) -> Iterator[tuple[str, Any]]:
    """Why a service differs, and the very values that it has here of what differs."""
    yield "why", item.why
    yield "here", any(service.name == name for service in stack.services)
    service = next((service for service in stack.services if service.name == name), None)
    if service is None:
        return
    values = {
        f"environment.{variable}": SECRET
        if variable in service.secret_environment
        else (service.environment[variable] or EMPTY)
        if variable in service.environment
        else ""
        for variable in item.variables
    }
    yield "values", {**values, **({"replicas": str(service.replicas)} if item.replicas else {})}


def _own(stack: Stack) -> dict[str, str]:
    return {
        "BASE_URL": stack.base_url,
        "DOMAIN": stack.domain,
        "ENVIRONMENT": stack.environment,
        "ID": stack.deployment_id,
        "NAMESPACE": stack.cluster.namespace if stack.cluster else "",
        "PROJECT": stack.project,
        "REGISTRY": stack.settings.get("images.registry", ""),
    }


def _asked_on_server(stack: Stack) -> Asked:
    """What only a cluster has: shares of CPU that are always there, ports that are named, the sizes of disks."""
    found: Asked = {}
    parts: Mapping[str, Any] = {"database": stack.postgres, "queue": stack.redis, "proxy": stack.edge}
    for subject, part in parts.items():
        if hasattr(part, "limits"):
            found[subject] = {"request.cpu": format_cpu(part.limits.cpu_request)}
    for subject, port in (("database", 5432), ("queue", 6379)):
        if subject in found:
            found[subject] |= {f"port.{port}/tcp": "open", f"port.{port}/tcp of Services": "open"}
    for service in stack.services:
        found[f"service {service.name}"] = dict(_service_on_server(service))
    for job in stack.jobs:
        found[f"job {job.name}"] = {"request.cpu": format_cpu(job.limits.cpu_request)}
    for volume in stack.volumes:
        if not volume.external:
            found[f"volume {volume.name}"] = {"size": size(volume.size)} if volume.size else {}
    return found


def _service_on_server(service: Service) -> Iterator[tuple[str, str]]:
    yield "request.cpu", cpus(format_cpu(service.limits.cpu_request))
    if service.max_replicas > service.replicas:
        yield "replicas.most", str(service.max_replicas)
    if service.probe is not None and service.probe.live_path:
        yield "health.live.question", f"GET :{service.probe.port}{service.probe.live_path}"
    for port in () if service.is_one_shot else service.ports:
        yield f"port.{port}/tcp", "open"
        yield f"port.{port}/tcp of Services", "open"


def _asked_in_cluster(stack: Stack) -> Asked:
    """What only one server has: an order of starting, and settings of Docker that a pod has no word for."""
    subjects = _subjects(stack)
    first = {f"waits for.job {job.name}": "completed_successfully" for job in stack.jobs if job.run == "before-rollout"}
    found: Asked = {"proxy": {"setting.container_name": stack.edge.container_name}}
    for service in stack.services:
        settings = dict(_settings(service))
        waits = dict(_dependencies(service, subjects))
        limits = {"limit.processes": str(service.limits.processes)}
        found[f"service {service.name}"] = {
            **waits,
            **first,
            **settings,
            **limits,
            **dict(_question(service)),
            **{f"name.{name}": "yes" for name in _names(service) if not _DNS_LABEL.fullmatch(name)},
        }
        for job in stack.jobs:
            if job.service == service.name:
                found[f"job {job.name}"] = {
                    **_job(job, waits, service),
                    **settings,
                    "limit.processes": str(job.limits.processes),
                }
    for volume in stack.volumes:
        found[f"volume {volume.name}"] = {"name": volume.fixed_name, "of others": "yes" if volume.external else ""}
    return found


def _names(service: Service) -> Iterator[str]:
    """The names that others know it by beside its own: no cluster takes those with signs that DNS has not."""
    for aliases in service.networks.values():
        yield from aliases


def _question(service: Service) -> Iterator[tuple[str, str]]:
    """The command by which Docker sees whether it works, where the kubelet asks a path itself."""
    check = service.health_check
    if service.probe is not None and check is not None and not check.disabled:
        yield "health.command", health_command(check.test)


def _job(job: Job, waits: Mapping[str, str], service: Service) -> dict[str, str]:
    found = {name: text for name, text in waits.items() if name != f"waits for.service {service.name}"}
    return {**found, **({"setting.profiles": "jobs"} if job.run != "before-rollout" else {})}


def _subjects(stack: Stack) -> dict[str, str]:
    found = {service.name: f"service {service.name}" for service in stack.services}
    if isinstance(stack.postgres, BundledPostgres):
        found[stack.postgres.service] = "database"
    if isinstance(stack.redis, BundledRedis):
        found[stack.redis.service] = "queue"
    return found


def _dependencies(service: Service, subjects: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, item in service.depends_on.items():
        words = [item.condition.removeprefix("service_")]
        words += ["restart=True"] if item.restart else []
        words += [] if item.required else ["required=False"]
        yield f"waits for.{subjects.get(name, name)}", " ".join(words)


def _settings(service: Service) -> Iterator[tuple[str, str]]:
    for key, value in service.other.items():
        if key in _POD_HAS or value in ({}, [], None, ""):
            continue
        if key == "stop_signal":
            yield "stop signal", str(value)
            continue
        for path, text in leaves(value, (key,)):
            yield f"setting.{path}", text
