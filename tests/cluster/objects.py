"""The objects that the tests of the rig apply, as plain data."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

IMAGE = "busybox:stable"
IMAGES = (IMAGE,)
# Answers with its own address, so that a caller knows whom it reached.
SERVER = "mkdir -p /tmp/www && hostname -i > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"


def pod_spec(command: str = "sleep 3600", **fields: Any) -> Json:
    """Return a pod of one container that Pod Security *restricted* admits."""
    container: Json = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", command],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"terminationGracePeriodSeconds": 1, "securityContext": security, "containers": [container], **fields}


def _template(labels: Json, annotations: Json | None, spec: Json) -> Json:
    """Return a pod's template that names no field without a content: a server-side apply owns what is named."""
    meta = {key: content for key, content in (("labels", labels), ("annotations", annotations)) if content}
    return {"metadata": meta, "spec": spec}


def pod(name: str, **fields: Any) -> Json:
    """Return a pod."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(**fields)}


def deployment(name: str, replicas: int = 1, annotations: Json | None = None, **fields: Any) -> Json:
    """Return a Deployment whose pods carry the label `app`."""
    labels = {"app": name}
    template = _template(labels, annotations, pod_spec(**fields))
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job_spec(command: str = "true", annotations: Json | None = None) -> Json:
    """Return the specification of a Job that is tried once."""
    template = _template({}, annotations, pod_spec(command, restartPolicy="Never"))
    return {"backoffLimit": 0, "template": template}


def job(name: str, command: str = "true", annotations: Json | None = None) -> Json:
    """Return a Job."""
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": job_spec(command, annotations)}


def cron_job(name: str, schedule: str) -> Json:
    """Return a CronJob."""
    spec = {"schedule": schedule, "jobTemplate": {"spec": job_spec()}}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def server(name: str, **fields: Any) -> tuple[Json, Json]:
    """Return a Deployment that answers on a port when its probe says so, and its Service."""
    made = deployment(name, command=SERVER, **fields)
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return made, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def claim(name: str) -> Json:
    """Return a claim of the default storage class."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def definition(plural: str, group: str) -> Json:
    """Return the definition of a kind `Boat` that has to say a number of berths."""
    berths = {"type": "object", "required": ["berths"], "properties": {"berths": {"type": "integer", "minimum": 1}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": berths}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": "boat", "kind": "Boat"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
