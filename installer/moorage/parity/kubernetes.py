"""The manifests of a cluster as neutral facts: what every pod is, from the objects that the cluster gets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moorage.parity import (
    asked,
    calendars,
    capabilities,
    databases,
    kubernetes_components,
    kubernetes_edge,
    kubernetes_network,
    kubernetes_pods,
)
from moorage.parity.compose_host import note_plan
from moorage.parity.facts import Facts
from moorage.parity.kubernetes_objects import WORKLOADS, Objects, Pod, parsed, plain_name, read_objects
from moorage.parity.rendered import Rendered
from moorage.parity.words import digest, leaves, seconds, size

# A script that containers run before all others.
_SHIPPED = "fill-disks"


def read(rendered: Rendered) -> Facts:
    """All facts of one environment in a cluster."""
    facts = asked.begin(rendered)
    rendered = kubernetes_components.apart(facts, rendered)
    objects = read_objects(rendered)
    # First who reaches whom: reading the pods takes them apart.
    kubernetes_network.note(facts, objects)
    kubernetes_edge.note(facts, objects)
    for pod in objects.pods:
        kubernetes_pods.note(facts, objects, pod)
        _workload(facts, objects, pod)
    _databases(facts, objects)
    for item in objects.facts.get("workloads") or []:
        for pod in objects.pods:
            if pod.owner["metadata"].get("name") == item.get("name", ""):
                for subject in pod.subjects:
                    facts.note(subject, "start limit", seconds(item.get("startup_seconds")))
    _nodes(facts, objects.facts, [key.subject for key in facts.values if key.field == "image"])
    for item in objects.rendered.objects:
        _rest(facts, item)
    plan = parsed((objects.config("backup-plan") or {}).get("plan.json", "{}"))
    note_plan(facts, plan)
    facts.note("backup", "plan in the folder", "another one" if plan != rendered.document("backups/plan.json") else "")
    capabilities.note(facts)
    asked.note(facts, rendered)
    return facts


def _workload(facts: Facts, objects: Objects, pod: Pod) -> None:
    """How many pods, how they are replaced, and when they run."""
    kind, name, spec = pod.owner["kind"], pod.owner["metadata"].get("name"), pod.owner.get("spec") or {}
    scaler = next(
        (item for item in objects.of("HorizontalPodAutoscaler") if item["spec"]["scaleTargetRef"].get("name") == name),
        None,
    )
    if kind in ("Job", "CronJob"):
        _job(facts, pod, spec)
    else:
        for subject in pod.subjects:
            _kept(facts, subject, kind, spec, scaler)
        if not all(
            pod.labels.get(key) == text for key, text in ((spec.get("selector") or {}).get("matchLabels") or {}).items()
        ):
            facts.note(pod.subject, "pods", "are not those that the workload selects")
        if scaler is None:
            spec.pop("replicas", None)
    spec.pop("strategy", None)
    metadata = {key: text for key, text in pod.owner["metadata"].items() if key != "name"}
    for path, text in leaves({"apiVersion": pod.owner.get("apiVersion"), "metadata": metadata, "spec": spec}):
        facts.note(f"object {kind} {pod.subject}", path, text)
    facts.note(f"object {kind} {pod.subject}", "name", re.sub(r"-[0-9a-f]{8}$", "", str(name)))


def _kept(facts: Facts, subject: str, kind: str, spec: Mapping[str, Any], scaler: Mapping[str, Any] | None) -> None:
    """What holds for every container of a pod that stays."""
    least = scaler["spec"].get("minReplicas") if scaler else spec.get("replicas", 1)
    facts.note(subject, "replicas", str(least))
    facts.note(subject, "replicas.most", scaler["spec"].get("maxReplicas") if scaler else "")
    facts.note(subject, "rollout", _rollout(kind, spec))


def _rollout(kind: str, spec: Mapping[str, Any]) -> str:
    strategy = spec.get("strategy") or {}
    if kind == "StatefulSet" or strategy.get("type") == "Recreate":
        return "recreate"
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return str(strategy["type"])
    return (
        "rolling" if (rolling.get("maxSurge"), rolling.get("maxUnavailable")) == (1, 0) else f"rolling {dict(rolling)}"
    )


def _job(facts: Facts, pod: Pod, spec: dict[str, Any]) -> None:
    inner = (spec.get("jobTemplate") or {}).get("spec") or {} if pod.owner["kind"] == "CronJob" else spec
    if pod.subject.startswith("job "):
        facts.note(pod.subject, "of", pod.job.get("service"))
    facts.note(pod.subject, "time limit", seconds(inner.pop("activeDeadlineSeconds", "")))
    if pod.owner["kind"] == "Job":
        facts.note(pod.subject, "runs", "" if pod.subject.startswith("backup") else "before-rollout")
        return
    suspended = spec.pop("suspend", False)
    schedule = str(spec.pop("schedule", ""))
    facts.note(pod.subject, "runs", "manual" if suspended else "schedule")
    clock = "backup" if pod.subject == "backup conductor" else pod.subject
    facts.note(clock, "schedule", "" if suspended and schedule else calendars.of_cron(schedule) or "none")


def _databases(facts: Facts, objects: Objects) -> None:
    found = {plain_name(item["metadata"]["name"]): item.get("data") or {} for item in objects.of("ConfigMap")}
    # A key has no slash; an underscore is doubled to make room for the sign of one.
    settings = {key.replace("__", "_"): text for key, text in found.get("postgres-settings", {}).items()}
    databases.note(facts, settings, found.get("redis-settings", {}).get("redis.conf", ""))


def _nodes(facts: Facts, cluster: Mapping[str, Any], running: list[str]) -> None:
    """What the nodes' kubelet keeps of logs: on minikube by the very options that it is started with."""
    options = dict(item.partition("=")[::2] for item in (cluster.get("minikube") or {}).get("extra_config") or [])
    most = options.pop("kubelet.container-log-max-size", None) or cluster.get("log_max_size")
    files = options.pop("kubelet.container-log-max-files", None) or cluster.get("log_max_files")
    log = f"{size(most)} x {files}"
    # One rule for all containers of a node.
    for subject in ("nodes", *running):
        facts.note(subject, "log", log)
    for path, text in leaves({**(cluster.get("minikube") or {}), "extra_config": options}):
        if cluster.get("minikube"):
            facts.note("nodes", f"minikube.{path}", text)


def _rest(facts: Facts, item: Mapping[str, Any]) -> None:
    """Objects that no other function reads, leaf by leaf."""
    kind, metadata = str(item.get("kind")), item.get("metadata") or {}
    name = plain_name(str(metadata.get("name"))) if kind == "ConfigMap" else str(metadata.get("name"))
    subject = f"object {kind} {name}"
    if kind in WORKLOADS:
        return
    shown = {key: value for key, value in metadata.items() if key != "name"}
    shown["apiVersion"] = item.get("apiVersion")
    if kind == "PersistentVolumeClaim":
        spec = dict(item.get("spec") or {})
        facts.note(f"volume {name}", "exists", "yes")
        facts.note(
            f"volume {name}", "size", size(((spec.pop("resources", {}) or {}).get("requests") or {}).get("storage"))
        )
        shown["spec"] = spec
    elif kind == "Ingress":
        shown.pop("annotations", None)
    elif kind == "ConfigMap":
        shown["binaryData"] = item.get("binaryData")
        if name == _SHIPPED:
            shown["data"] = {key: digest(text) for key, text in (item.get("data") or {}).items()}
    else:
        shown |= {key: value for key, value in item.items() if key not in ("metadata", "kind")}
    for path, text in leaves({key: value for key, value in shown.items() if value not in (None, {}, [])}):
        facts.note(subject, path, text)
