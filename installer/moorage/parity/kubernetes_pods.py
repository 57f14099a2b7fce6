"""What a pod's containers are, in the words that a server's containers are told in; what is left is told as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.parity import kubernetes_mounts
from moorage.parity.facts import EMPTY, SECRET, Facts
from moorage.parity.kubernetes_objects import Objects, Pod, plain_name
from moorage.parity.words import PRESENT, cpus, leaves, seconds, size, words

_PULL = {"IfNotPresent": "missing", "Always": "always", "Never": "never"}
_RESTART = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}
_DIGESTS = ("moorage/secrets",)


def note(facts: Facts, objects: Objects, pod: Pod) -> None:
    """All containers of a pod; the first is the pod's own service, the others share its network."""
    containers = list(pod.spec.pop("containers", []))
    pod.spec["containers"] = [{"name": item.get("name"), "ports": item.get("ports")} for item in containers]
    volumes = {item.get("name", "(nameless)"): item for item in pod.spec.pop("volumes", [])}
    drain = _drain(containers)
    kubernetes_mounts.note_filling(facts, pod, containers, pod.spec.get("initContainers") or [])
    for index, container in enumerate(containers):
        subject = pod.subject if index == 0 else f"service {container.get('name')}"
        if index:
            facts.note(subject, "network of", pod.subject)
        _container(facts, objects, subject, container)
        _confinement(facts, subject, pod.spec, container)
        kubernetes_mounts.note(facts, objects, subject, container.pop("volumeMounts", []), volumes)
        facts.note(
            subject, "stop grace", seconds(max(0, int(pod.spec.get("terminationGracePeriodSeconds", 30)) - drain))
        )
        facts.note(_own(subject), "container", container.pop("name", "(nameless)"))
        for path, text in leaves(container):
            facts.note(_own(subject), path, text)
    _pod(facts, pod, volumes)


def _pod(facts: Facts, pod: Pod, volumes: Mapping[str, Any]) -> None:
    subject, spec = pod.subject, dict(pod.spec)
    for name in ("containers", "terminationGracePeriodSeconds"):
        spec.pop(name, None)
    restart = _RESTART.get(str(spec.pop("restartPolicy", "Always")), "?")
    for each in pod.subjects:
        facts.note(each, "restart", restart)
    facts.note(subject, "setting.hostname", spec.pop("hostname", None))
    for item in spec.pop("hostAliases", []):
        for name in item.get("hostnames") or []:
            facts.note(subject, f"setting.extra_hosts.{name}", item.get("ip"))
    servers = (spec.get("dnsConfig") or {}).pop("nameservers", [])
    facts.note(subject, "setting.dns", ", ".join(servers))
    security = dict(spec.get("securityContext") or {})
    for item in security.pop("sysctls", []):
        facts.note(subject, f"setting.sysctls.{item['name']}", item["value"])
    groups = security.pop("supplementalGroups", [])
    facts.note(subject, "setting.group_add", ", ".join(str(group) for group in groups))
    for name in ("runAsUser", "runAsGroup", "seccompProfile"):
        security.pop(name, None)
    spec["securityContext"] = security
    if spec.pop("hostNetwork", False):
        facts.note(subject, "network of", "the host")
    for name, volume in volumes.items():
        if not volume.get("used"):
            for path, text in leaves(
                {key: value for key, value in volume.items() if key != "name"}, (f"volume {name}",)
            ):
                facts.note(_own(subject), path, plain_name(text) if path.endswith("configMap.name") else text)
    metadata = pod.template.get("metadata") or {}
    for kind in ("labels", "annotations"):
        for name, text in (metadata.get(kind) or {}).items():
            if name.startswith("moorage/network."):
                facts.note(subject, f"network.{name.removeprefix('moorage/network.')}", text)
            facts.note(_own(subject), f"{kind}.{name}", PRESENT if name in _DIGESTS and text else text)
    for path, text in leaves({key: value for key, value in spec.items() if value != {}}):
        facts.note(_own(subject), path, text)


def _own(subject: str) -> str:
    """Where the settings stand that only a pod has."""
    return f"pod of {subject}"


def _container(facts: Facts, objects: Objects, subject: str, data: dict[str, Any]) -> None:
    facts.note(subject, "image", data.pop("image", None) or "none")
    facts.note(subject, "pull", _PULL.get(str(data.pop("imagePullPolicy", "")), "?"))
    facts.note(subject, "entrypoint", words(_filled(data.pop("command", None))))
    facts.note(subject, "command", words(_filled(data.pop("args", None))))
    facts.note(subject, "working folder", data.pop("workingDir", None))
    for source in data.get("envFrom") or []:
        for kind in ("configMapRef", "secretRef"):
            if kind in source:
                words_ = "optional" if source[kind].get("optional") else "needed"
                facts.note(_own(subject), f"variables of {plain_name(str(source[kind].get('name')))}", words_)
    for name, value in _variables(objects, data).items():
        facts.note(subject, f"environment.{name}", value)
    resources = data.pop("resources", {})
    for kind, name in (("limits", "limit"), ("requests", "request")):
        values = resources.get(kind) or {}
        facts.note(subject, f"{name}.cpu", cpus(values.pop("cpu", "")))
        facts.note(subject, f"{name}.memory", size(values.pop("memory", "")))
        for other, value in values.items():
            facts.note(subject, f"{name}.{other}", value)
    facts.note(subject, "setting.stdin_open", bool(data.pop("stdin", False)))
    facts.note(subject, "setting.tty", bool(data.pop("tty", False)))
    _health(facts, subject, data)
    for item in data.pop("ports", []):
        facts.note(subject, f"port.{item.get('containerPort')}/{str(item.get('protocol', 'TCP')).lower()}", "open")
        for name in item.keys() - {"containerPort", "protocol"}:
            facts.note(_own(subject), f"port {item.get('containerPort')}.{name}", item[name])


def _variables(objects: Objects, data: dict[str, Any]) -> dict[str, str]:
    """Every variable with its value, or as a secret; later sources win, and what is said one by one wins over all."""
    found: dict[str, str] = {}
    for source in data.pop("envFrom", []):
        prefix = source.get("prefix", "")
        if "configMapRef" in source:
            name = str(source["configMapRef"].get("name"))
            content = objects.config(name)
            if content is None:
                found[f"({name})"] = "a ConfigMap that is not there"
            found |= {f"{prefix}{key}": value or EMPTY for key, value in (content or {}).items()}
        elif "secretRef" in source:
            name = str(source["secretRef"].get("name"))
            names = objects.secret(name)
            if names is None and not source["secretRef"].get("optional"):
                found[f"({name})"] = "a Secret that is not there"
            found |= {f"{prefix}{key}": SECRET for key in names or ()}
    for item in data.pop("env", []):
        source = item.get("valueFrom") or {}
        shown = SECRET if "secretKeyRef" in source else ", ".join(" ".join(leaf) for leaf in leaves(source))
        found[item.get("name", "(nameless)")] = shown or str(item.get("value") or EMPTY)
    return found


def _health(facts: Facts, subject: str, data: dict[str, Any]) -> None:
    ports = {item["name"]: item.get("containerPort") for item in data.get("ports") or [] if "name" in item}
    ready, start, live = (data.pop(f"{name}Probe", None) for name in ("readiness", "startup", "liveness"))
    asked = ""
    if ready:
        asked = _question(ready, ports)
        facts.note(subject, "health.request" if asked.startswith("GET") else "health.command", asked)
        facts.note(subject, "health.interval", seconds(ready.pop("periodSeconds", 10)))
        facts.note(subject, "health.timeout", seconds(ready.pop("timeoutSeconds", 1)))
        facts.note(subject, "health.retries", ready.pop("failureThreshold", 3))
        _rest(facts, subject, "health", ready)
    if start:
        own = _question(start, ports)
        period = int(start.pop("periodSeconds", 10))
        facts.note(subject, "health.start.question", own if own != asked else "")
        facts.note(subject, "health.start", seconds(period * int(start.pop("failureThreshold", 3))))
        facts.note(subject, "health.start interval", seconds(period))
        limit = seconds(start.pop("timeoutSeconds", 1))
        facts.note(subject, "health.start.timeout", limit if limit != facts.get(subject, "health.timeout") else "")
        _rest(facts, subject, "health.start", start)
    if live:
        facts.note(subject, "health.live.question", _question(live, ports))
        facts.note(subject, "health.live.interval", seconds(live.pop("periodSeconds", 10)))
        facts.note(subject, "health.live.timeout", seconds(live.pop("timeoutSeconds", 1)))
        facts.note(subject, "health.live.failures", live.pop("failureThreshold", 3))
        _rest(facts, subject, "health.live", live)


def _rest(facts: Facts, subject: str, prefix: str, probe: Mapping[str, Any]) -> None:
    for path, text in leaves(probe):
        facts.note(subject, f"{prefix}.{path}", text)


def _question(probe: dict[str, Any], ports: Mapping[Any, Any]) -> str:
    """What a probe asks; taken out of it."""
    if "httpGet" in probe:
        request = probe.pop("httpGet")
        more = " ".join(
            " ".join(leaf) for leaf in leaves({k: v for k, v in request.items() if k not in ("path", "port")})
        )
        return f"GET :{ports.get(request.get('port'), request.get('port'))}{request.get('path', '/')} {more}".strip()
    if "exec" in probe:
        return words(probe.pop("exec").get("command"))
    if "tcpSocket" in probe:
        port = probe.pop("tcpSocket").get("port")
        return f"open :{ports.get(port, port)}"
    return "nothing"


def _confinement(facts: Facts, subject: str, spec: Mapping[str, Any], data: dict[str, Any]) -> None:
    above: dict[str, Any] = spec.get("securityContext") or {}
    own: dict[str, Any] = dict(data.pop("securityContext", {}))
    user, group = (own.pop(name, above.get(name)) for name in ("runAsUser", "runAsGroup"))
    facts.note(subject, "user", ":".join(str(item) for item in (user, group) if item is not None))
    capabilities = own.pop("capabilities", {})
    facts.note(subject, "capabilities", _capabilities(capabilities))
    facts.note(subject, "read-only root", bool(own.pop("readOnlyRootFilesystem", False)))
    facts.note(subject, "no new privileges", own.pop("allowPrivilegeEscalation", True) is False)
    profile = (own.pop("seccompProfile", None) or above.get("seccompProfile") or {}).get("type", "Unconfined")
    facts.note(subject, "confinement", "default" if profile == "RuntimeDefault" else profile)
    for path, text in leaves(own):
        facts.note(_own(subject), f"securityContext.{path}", text)


def _capabilities(data: Mapping[str, Any]) -> str:
    dropped, added = sorted(data.get("drop") or []), sorted(data.get("add") or [])
    if dropped == ["ALL"]:
        return " ".join(added) or "none"
    return " ".join(("default", *(f"-{item}" for item in dropped), *(f"+{item}" for item in added)))


def _drain(containers: list[dict[str, Any]]) -> int:
    """Seconds for which an ending pod still answers."""
    hooks = ((item.get("lifecycle") or {}).get("preStop") or {} for item in containers)
    return max((int((hook.get("sleep") or {}).get("seconds", 0)) for hook in hooks), default=0)


def _filled(command: list[str] | None) -> list[str] | None:
    """Words as the container gets them: two signs of a variable are one."""
    return None if command is None else [word.replace("$$", "$") for word in command]
