"""App services and jobs as Compose data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app.model import FileMount, HealthCheck, HostMount, MemoryMount, Mount, VolumeMount
from moorage.quantities import format_cpu, format_duration
from moorage.sensitive import Sensitive, Text
from moorage.stack.model import Job, Limits, LogLimits, Security, Service, Stack
from moorage.targets.compose.names import LABEL_JOB, LABEL_REVISION, LABEL_RUNS, from_compose_folder, private_folder
from moorage.targets.compose_data import in_order
from moorage.tree import Tree

# Compose takes a text here and nothing else, but people write `user: 1000`.
_TEXTS = ("user", "working_dir", "hostname", "domainname", "stop_signal", "platform")
# What means something although it is empty: no entrypoint rather than the image's, no init rather than the engine's.
_SAID = ("entrypoint", "command", "init", "tty", "stdin_open")


def app_service(stack: Stack, service: Service, revision: str) -> dict[str, Any]:
    """One app service; without secrets, without build, ready to be serialised."""
    data: dict[str, Any] = {"image": service.image.reference}
    if service.container_name:
        data["container_name"] = service.container_name
    data["restart"] = service.restart
    data |= _process(stack, service)
    data["depends_on"] = _dependencies(stack, service)
    data |= _networks(service)
    data["healthcheck"] = health_check(service.health_check)
    data |= security(service.security)
    data["stop_grace_period"] = format_duration(service.stop_grace_seconds)
    data |= _carried(service)
    data["deploy"] = deploy(service.limits, service.replicas)
    data["logging"] = logging(service.logs)
    runs = {} if service.is_one_shot else {LABEL_RUNS: "always"}
    data["labels"] = {**dict(sorted(service.labels.items())), LABEL_REVISION: revision, **runs}
    data["ports"] = [
        {
            "target": item.container_port,
            "published": str(item.host_port),
            "host_ip": item.address,
            "protocol": item.protocol,
            "mode": "host",
        }
        for item in stack.publications
        if item.service == service.name
    ]
    return _without_unsaid(data)


def job_service(stack: Stack, job: Job, service: Service, revision: str) -> dict[str, Any]:
    """A job as a one-shot service. Before-rollout jobs are part of every start, the others wait in a profile."""
    data: dict[str, Any] = {"image": service.image.reference, "restart": "no"}
    if job.run != "before-rollout":
        data["profiles"] = ["jobs"]
    data |= _process(stack, service)
    data["command"] = list(job.command)
    data["depends_on"] = {
        name: value for name, value in _dependencies(stack, service, of_job=True).items() if name != service.name
    }
    data |= _networks(service, of_job=True)
    data |= security(service.security)
    data |= {key: value for key, value in _carried(service).items() if key != "hostname"}
    data["deploy"] = deploy(job.limits, 1)
    data["logging"] = logging(service.logs)
    data["labels"] = {LABEL_REVISION: revision, LABEL_JOB: job.name}
    return _without_unsaid(data)


def _carried(service: Service) -> dict[str, Any]:
    """What goes to Compose as it was written; the order of keys inside says nothing and is always the same."""
    return {
        key: str(value) if key in _TEXTS else in_order(value)
        for key, value in service.other.items()
        if value not in ({}, [], None, "")
    }


def _process(stack: Stack, service: Service) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if service.entrypoint is not None:
        data["entrypoint"] = list(service.entrypoint)
    if service.command is not None:
        data["command"] = list(service.command)
    data["environment"] = dict(sorted(service.environment.items()))
    if service.secret_environment:
        data["env_file"] = [from_compose_folder(f"{private_folder(stack.environment)}/env/{service.name}.env")]
    data["volumes"] = [
        _mount(stack, service.name, mount) for mount in service.mounts if not isinstance(mount, MemoryMount)
    ]
    data["tmpfs"] = [_tmpfs(mount) for mount in service.mounts if isinstance(mount, MemoryMount)]
    return data


def _mount(stack: Stack, service: str, mount: Mount) -> dict[str, Any]:
    if isinstance(mount, VolumeMount):
        options = {"subpath": mount.subpath, "nocopy": mount.no_copy}
        data = {"type": "volume", "source": mount.volume, "target": mount.target, "read_only": mount.read_only}
        return _without_empty({**data, "volume": _without_empty(options)})
    if isinstance(mount, HostMount):
        data = {"type": "bind", "source": mount.source, "target": mount.target, "read_only": mount.read_only}
        return _without_empty({**data, "bind": {"create_host_path": False}})
    assert isinstance(mount, FileMount)
    return {
        "type": "bind",
        "source": file_mount_path(stack, service, mount),
        "target": mount.target,
        "read_only": True,
        "bind": {"create_host_path": False},
    }


def _tmpfs(mount: MemoryMount) -> str:
    options = [f"size={mount.size}"] if mount.size else []
    options += [f"mode={mount.mode}"] if mount.mode else []
    options += mount.options
    return f"{mount.target}:{','.join(options)}" if options else mount.target


def file_mount_path(stack: Stack, service: str, mount: FileMount) -> str:
    """Where a copied file or folder lies, seen from the compose folder."""
    place = f"files/{service}/{mount.name}"
    if is_private(mount):
        return from_compose_folder(f"{private_folder(stack.environment)}/{place}")
    return f"./{place}"


def is_private(mount: FileMount) -> bool:
    """Whether any of its contents is secret."""
    return any(isinstance(content, Sensitive) for content in mount.files.values())


def _dependencies(stack: Stack, service: Service, *, of_job: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, dependency in sorted(service.depends_on.items()):
        result[name] = {"condition": dependency.condition}
        if dependency.restart:
            result[name]["restart"] = True
        if not dependency.required:
            result[name]["required"] = False
    if not of_job:
        for job in stack.jobs:
            if job.run == "before-rollout":
                result[job.name] = {"condition": "service_completed_successfully"}
    return result


def _networks(service: Service, *, of_job: bool = False) -> dict[str, Any]:
    if service.network_mode:
        return {"network_mode": service.network_mode}
    names = {name: aliases for name, aliases in service.networks.items() if not of_job or name != "edge"}
    if not names:
        return {"network_mode": "none"}
    if any(aliases for aliases in names.values()) and not of_job:
        return {"networks": {name: {"aliases": list(aliases)} if aliases else {} for name, aliases in names.items()}}
    return {"networks": list(names)}


def health_check(check: HealthCheck | None) -> dict[str, Any]:
    """Compose's `healthcheck`; empty leaves the image's own in force."""
    if check is None:
        return {}
    if check.disabled:
        return {"disable": True}
    return {
        "test": list(check.test),
        "interval": format_duration(check.interval_seconds),
        "timeout": format_duration(check.timeout_seconds),
        "retries": check.retries,
        "start_period": format_duration(check.start_period_seconds),
        "start_interval": format_duration(check.start_interval_seconds),
    }


def security(settings: Security) -> dict[str, Any]:
    """How the container is confined."""
    options = ["no-new-privileges:true"] if settings.no_new_privileges else []
    return {
        "read_only": settings.read_only,
        "cap_drop": list(settings.cap_drop),
        "cap_add": list(settings.cap_add),
        "security_opt": [*options, *settings.security_opt],
    }


def deploy(limits: Limits, replicas: int) -> dict[str, Any]:
    """Limits, reservations and the number of containers."""
    resources: dict[str, Any] = {
        "limits": {"cpus": format_cpu(limits.cpu), "memory": str(limits.memory), "pids": limits.processes},
        "reservations": {"memory": str(limits.memory_request)},
    }
    return {"replicas": replicas, "resources": resources} if replicas != 1 else {"resources": resources}


def logging(limits: LogLimits) -> dict[str, Any]:
    """Rotation inside the log budget."""
    return {
        "driver": "json-file",
        "options": {"max-size": f"{limits.max_size // 1024}k", "max-file": str(limits.max_files)},
    }


def add_files(service: Service, public: Tree, private: Tree) -> None:
    """The contents of the copied mounts of one service."""
    for mount in service.mounts:
        if not isinstance(mount, FileMount):
            continue
        for name, content in mount.files.items():
            place = f"files/{service.name}/{mount.name}" + (f"/{name}" if name else "")
            secret = isinstance(content, Sensitive)
            # Execution is for whom reading is for.
            mode = (0o700 if secret else 0o755) if name in mount.executable else (0o600 if secret else 0o644)
            if is_private(mount):
                private.add(place, _bytes(content), mode, _reader(service, mount) if secret else None)
            else:
                public.add(f"compose/{place}", _bytes(content), mode)


def _bytes(content: bytes | Text) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.encode() if isinstance(content, str) else content.reveal().encode("utf-8", "surrogateescape")


def _reader(service: Service, mount: FileMount) -> int | None:
    """The user id that must be able to read a secret file inside the container, as far as the app's file says."""
    if mount.owner is not None:
        return mount.owner
    user = str(service.other.get("user", "")).partition(":")[0]
    return int(user) if user.isdigit() else None


def _without_unsaid(data: Mapping[str, Any]) -> dict[str, Any]:
    """A service without the keys that say nothing."""
    return {key: value for key, value in data.items() if key in _SAID or value not in ({}, [], None, "", False)}


def _without_empty(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value not in ({}, [], None, "", False)}
