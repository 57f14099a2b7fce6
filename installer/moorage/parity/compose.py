"""A rendered Compose folder as neutral facts: what every service is, from the files that Docker gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moorage.parity import (
    asked,
    capabilities,
    compose_edge,
    compose_host,
    compose_mounts,
    compose_network,
    databases,
    proxy,
)
from moorage.parity.compose_services import services, top_level
from moorage.parity.facts import EMPTY, SECRET, Facts
from moorage.parity.rendered import Rendered
from moorage.parity.words import PRESENT, cpus, health_command, leaves, seconds, size, words

_KINDS = {"postgres": "database", "redis": "queue"}
# Its service → the subject that stands for it on every target.
_EDGE = {"traefik": "proxy", "edge-routes": "proxy's routes", "socket-proxy": "Docker's proxy"}
# Read by other functions of this package.
_ELSEWHERE = {"volumes", "tmpfs", "secrets", "shm_size", "networks", "network_mode", "ports", "configs"}
_DIGESTS = {"moorage.revision"}
_STAYING = ("always", "unless-stopped")


def read(rendered: Rendered) -> Facts:
    """All facts of one environment on a single server."""
    facts = asked.begin(rendered)
    known = services(rendered)
    subjects = subjects_of(rendered, known)
    project = top_level(rendered)
    for name, data in known.items():
        _service(facts, rendered, subjects[name], data, subjects)
        compose_mounts.note(facts, rendered, subjects[name], data, project)
    entries = proxy.entries(rendered.document("compose/traefik/traefik.yaml"))
    compose_network.note(facts, known, subjects, project.get("networks") or {}, entries)
    compose_edge.note(facts, rendered, subjects)
    compose_host.note(facts, rendered, project)
    databases.note(
        facts,
        {name: rendered.texts.get(f"compose/postgres/{name}", "") for name in databases.POSTGRES_FILES},
        rendered.texts.get("compose/redis/redis.conf", ""),
    )
    if facts.get("tls", "letsencrypt asks by").startswith("dns") and not facts.get(
        "proxy", f"environment.{proxy.DNS_TOKEN}"
    ):
        facts.note("tls", "letsencrypt asks by", f"without {proxy.DNS_TOKEN}")
    capabilities.note(facts)
    asked.note(facts, rendered)
    return facts


def subjects_of(rendered: Rendered, known: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """Service → what it is called here: a database is `database`, whatever the app's file calls it."""
    stack = rendered.document("stack.json")
    found = {name: f"service {name}" for name in known}
    for item in stack.get("services") or []:
        name, kind = item.get("name", ""), _KINDS.get(item.get("kind", ""))
        if name in found and (kind or item.get("kind") == "edge"):
            found[name] = kind or _EDGE.get(name, found[name])
    for name, data in known.items():
        job = (data.get("labels") or {}).get("moorage.job")
        if job:
            found[name] = f"job {job}"
    for name in (stack.get("backups") or {}).get("services") or []:
        found[name] = " ".join(("backup", *str(name).split("-")[1:]))
    return found


def _service(
    facts: Facts, rendered: Rendered, subject: str, data: Mapping[str, Any], subjects: Mapping[str, str]
) -> None:
    stack = rendered.document("stack.json")
    facts.note(subject, "image", data.get("image") or "none")
    facts.note(subject, "pull", data.get("pull_policy") or stack.get("pull"))
    for key in ("entrypoint", "command"):
        facts.note(subject, key, words(data.get(key)))
    facts.note(subject, "working folder", data.get("working_dir"))
    facts.note(subject, "restart", data.get("restart", "no"))
    facts.note(subject, "stop grace", seconds(data.get("stop_grace_period", "10s")))
    facts.note(subject, "stop signal", data.get("stop_signal"))
    for name, value in variables(rendered, data).items():
        facts.note(subject, f"environment.{name}", value)
    _confinement(facts, subject, data)
    _sizes(facts, subject, data)
    _health(facts, subject, data.get("healthcheck"))
    _rollout(facts, rendered, subject, subjects)
    for name, condition in (data.get("depends_on") or {}).items():
        _dependency(facts, subject, subjects.get(name, name), condition)
    if data.get("restart") not in _STAYING:
        # Nothing runs always that is to end.
        facts.note(f"container of {subject}", "label.moorage.runs", "to its end")
    for name, text in (data.get("labels") or {}).items():
        facts.note(f"container of {subject}", f"label.{name}", PRESENT if name in _DIGESTS and text else text)
    for key, value in data.items():
        if key not in _READ and key not in _ELSEWHERE:
            for path, text in leaves(value, (key,)):
                facts.note(subject, f"setting.{path}", text)


_READ = {
    "image", "pull_policy", "entrypoint", "command", "working_dir", "restart", "stop_grace_period", "stop_signal", "environment",
    "env_file", "read_only", "cap_drop", "cap_add", "security_opt", "user", "deploy", "logging", "healthcheck", "depends_on", "labels",
}  # fmt: skip


def variables(rendered: Rendered, data: Mapping[str, Any]) -> dict[str, str]:
    """Every variable with its value, or as a secret; what the file says itself wins over env files."""
    found: dict[str, str] = {}
    for file in data.get("env_file") or []:
        names = _private_names(rendered, file)
        found |= {f"({file.rpartition('/')[2]})": "a file that is not there"} if names is None else {}
        found |= dict.fromkeys(names or (), SECRET)
    for name, value in (data.get("environment") or {}).items():
        found[name] = str(value) if value not in (None, "") else EMPTY
    return found


def _private_names(rendered: Rendered, place: str) -> tuple[str, ...] | None:
    _, mark, path = place.partition(f"secrets/{rendered.environment}/compose/")
    return rendered.private.get(path) if mark else None


def _confinement(facts: Facts, subject: str, data: Mapping[str, Any]) -> None:
    options = [str(item) for item in data.get("security_opt") or []]
    facts.note(subject, "user", data.get("user"))
    facts.note(subject, "capabilities", _capabilities(data))
    facts.note(subject, "read-only root", bool(data.get("read_only")))
    facts.note(subject, "no new privileges", "no-new-privileges:true" in options)
    others = sorted(item for item in options if item != "no-new-privileges:true")
    facts.note(subject, "confinement", others or "default")


def _capabilities(data: Mapping[str, Any]) -> str:
    dropped, added = sorted(data.get("cap_drop") or []), sorted(data.get("cap_add") or [])
    if dropped == ["ALL"]:
        return " ".join(added) or "none"
    return " ".join(("default", *(f"-{item}" for item in dropped), *(f"+{item}" for item in added)))


def _sizes(facts: Facts, subject: str, data: Mapping[str, Any]) -> None:
    deploy = data.get("deploy") or {}
    resources = deploy.get("resources") or {}
    limits, reserved = resources.get("limits") or {}, resources.get("reservations") or {}
    facts.note(subject, "limit.cpu", cpus(limits.get("cpus")))
    facts.note(subject, "limit.memory", size(limits.get("memory")))
    facts.note(subject, "limit.processes", limits.get("pids"))
    facts.note(subject, "request.memory", size(reserved.get("memory")))
    facts.note(subject, "request.cpu", cpus(reserved.get("cpus")))
    if data.get("restart") in _STAYING:
        facts.note(subject, "replicas", str(deploy.get("replicas", 1)))
    elif subject.startswith("service "):
        facts.note(subject, "runs", "before-rollout")
    options = (data.get("logging") or {}).get("options") or {}
    facts.note(subject, "log", f"{size(options.get('max-size'))} x {options.get('max-file')}" if options else "")
    facts.note(subject, "log driver", (data.get("logging") or {}).get("driver"))


def _health(facts: Facts, subject: str, check: Any) -> None:
    if not isinstance(check, Mapping):
        return
    facts.note(subject, "health.disabled", bool(check.get("disable")))
    facts.note(subject, "health.command", health_command(check.get("test")))
    for name in ("interval", "timeout"):
        facts.note(subject, f"health.{name}", seconds(check.get(name)))
    facts.note(subject, "health.retries", check.get("retries"))
    facts.note(subject, "health.start", seconds(check.get("start_period")))
    facts.note(subject, "health.start interval", seconds(check.get("start_interval")))


def _rollout(facts: Facts, rendered: Rendered, subject: str, subjects: Mapping[str, str]) -> None:
    for item in _facts_of(rendered, subject, subjects):
        facts.note(subject, "rollout", item.get("rollout"))
        facts.note(subject, "start limit", seconds(item.get("startup_seconds")))
        if item.get("port") and item.get("probe_path"):
            facts.note(subject, "health.request", f"GET :{item['port']}{item['probe_path']}")


def _facts_of(rendered: Rendered, subject: str, subjects: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for item in rendered.document("stack.json").get("services") or []:
        if subjects.get(item.get("name", "")) == subject and not item.get("one_shot"):
            yield item


def _dependency(facts: Facts, subject: str, other: str, settings: Any) -> None:
    data = settings if isinstance(settings, Mapping) else {}
    extra = [name for name in ("restart", "required") if name in data]
    text = " ".join((str(data.get("condition", "service_started")), *(f"{name}={data[name]}" for name in extra)))
    facts.note(subject, f"waits for.{other}", text.removeprefix("service_"))
