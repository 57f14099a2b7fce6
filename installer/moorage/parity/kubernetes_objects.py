"""The objects of one cluster, found by kind and name, and the pods that they make."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from moorage.parity.rendered import CLUSTER_FILE, Rendered

# `-` and ten characters that `kustomize` puts behind the name of what it generates.
_HASH = re.compile(r"-[a-z0-9]{10}$")
_COMPONENTS = {"database": "database", "queue": "queue", "edge": "proxy"}
_NAME = "app.kubernetes.io/name"
_COMPONENT = "app.kubernetes.io/component"
_JOB = "moorage/job"
_PHASE = "moorage/phase"
_TEMPLATES = "backup-jobs"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


@dataclass
class Pod:
    """The pods of one workload: `subject` of the container that leads, the object, and its template (a copy to take from)."""

    subject: str
    owner: dict[str, Any]
    template: dict[str, Any]
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def subjects(self) -> list[str]:
        """All that its containers are; the others beside the first share its network."""
        return [self.subject, *(f"service {item.get('name')}" for item in self.containers[1:])]

    @property
    def labels(self) -> Mapping[str, str]:
        """By which policies and Services find it."""
        return (self.template.get("metadata") or {}).get("labels") or {}

    @property
    def spec(self) -> dict[str, Any]:
        """The pod's own settings."""
        found: dict[str, Any] = self.template.setdefault("spec", {})
        return found

    @property
    def containers(self) -> list[dict[str, Any]]:
        """In order, the leading one first."""
        return list(self.spec.get("containers") or [])

    def port(self, name: object) -> int:
        """The number of a port that may be named; 0 for an unknown name."""
        if isinstance(name, int):
            return name
        for container in self.containers:
            for port in container.get("ports") or []:
                if name is not None and port.get("name") == name:
                    return int(port.get("containerPort") or 0)
        return 0


@dataclass(frozen=True)
class Objects:
    """Everything that `kustomize build` gave for one environment."""

    rendered: Rendered
    pods: tuple[Pod, ...]

    @property
    def facts(self) -> Mapping[str, Any]:
        """cluster.json."""
        found: Mapping[str, Any] = self.rendered.document(CLUSTER_FILE)
        return found

    def of(self, kind: str) -> Iterator[dict[str, Any]]:
        """All of a kind."""
        return (item for item in self.rendered.objects if item.get("kind") == kind)

    def config(self, name: str) -> dict[str, str] | None:
        """The contents of a ConfigMap by its whole name; None when there is none."""
        for item in self.of("ConfigMap"):
            if item["metadata"]["name"] == name:
                return {**(item.get("data") or {}), **(item.get("binaryData") or {})}
        return None

    def secret(self, name: str) -> tuple[str, ...] | None:
        """The names of what a Secret has; None when there is none."""
        return self.rendered.private.get(f"{name}.json")


def read_objects(rendered: Rendered) -> Objects:
    """The objects with their pods."""
    rendered = replace(rendered, objects=tuple(_named(item) for item in rendered.objects))
    jobs = {job.get("name", ""): job for job in rendered.document(CLUSTER_FILE).get("jobs") or []}
    started = (item for item in (*rendered.objects, *_templates(rendered)) if item.get("kind") in WORKLOADS)
    return Objects(rendered, tuple(_pod(item, jobs) for item in started))


def _named(item: dict[str, Any]) -> dict[str, Any]:
    """An object with the parts that every object has, also when somebody forgot them."""
    return {"kind": "(no kind)", **item, "metadata": {"name": "(nameless)", **(item.get("metadata") or {})}}


def _templates(rendered: Rendered) -> Iterator[dict[str, Any]]:
    """What the conductor of a night starts: Jobs that lie in a ConfigMap until then."""
    for item in rendered.objects:
        if item.get("kind") == "ConfigMap" and item["metadata"]["name"] == _TEMPLATES:
            yield from (parsed(text) for _, text in sorted((item.get("data") or {}).items()))


def parsed(text: str) -> dict[str, Any]:
    """A JSON object; an empty one for what nobody could read."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def plain_name(name: str) -> str:
    """The name of a generated object without its hash."""
    return _HASH.sub("", name)


def subject_of(labels: Mapping[str, str], jobs: Mapping[str, Any]) -> str:
    """What stands for a workload on every target: a service that is expected to end is a service, though a Job here."""
    job = labels.get(_JOB, "")
    if job:
        return f"service {job}" if (jobs.get(job) or {}).get("service") == job else f"job {job}"
    if labels.get(_COMPONENT) == "backup":
        return " ".join(("backup", *str(labels.get(_PHASE, "backup-conductor")).split("-")[1:]))
    name = str(labels.get(_NAME, ""))
    return _COMPONENTS.get(labels.get(_COMPONENT, ""), f"service {name}")


def _pod(item: dict[str, Any], jobs: Mapping[str, Any]) -> Pod:
    owner = deepcopy(item)
    spec = owner.get("spec") or {}
    holder = (spec.get("jobTemplate") or {}).get("spec") or {} if item["kind"] == "CronJob" else spec
    template = holder.pop("template", {})
    labels = (owner.get("metadata") or {}).get("labels") or {}
    subject = subject_of(labels, jobs)
    return Pod(subject, owner, template, dict(jobs.get(labels.get(_JOB, "")) or {}))
