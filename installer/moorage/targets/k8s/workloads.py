"""Services as Deployments, jobs as Jobs and CronJobs."""

from __future__ import annotations

from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import Job, Service, Stack
from moorage.targets.k8s import names
from moorage.targets.k8s.bounds import scales
from moorage.targets.k8s.pods import container, pod, pod_labels, resources, uses_disk

_HISTORY = 5
_ONE_SHOT_SECONDS = 900


def one_shot(service: Service) -> Job:
    """A service that is expected to end, as the job that it is: it runs before those that wait for it."""
    return Job(
        name=service.name,
        service=service.name,
        command=(),
        run="before-rollout",
        schedule="",
        timeout_seconds=max(_ONE_SHOT_SECONDS, service.startup_seconds),
        describe="runs to its end before the services that wait for it",
        limits=service.limits,
    )


def deployment(stack: Stack, cluster: Cluster, service: Service, secrets_digest: str) -> dict[str, Any]:
    """A service that stays, with the services that share its network in the same pod."""
    of = (service, *names.sidecars_of(stack, service))
    spec = pod(stack, cluster, service, [container(stack, item) for item in of], of)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service.name, "labels": names.labels(stack, service.name)},
        "spec": {
            **({} if scales(service) else {"replicas": service.replicas}),
            "revisionHistoryLimit": _HISTORY,
            "selector": {"matchLabels": names.selector(stack, service.name)},
            "strategy": _strategy(service),
            "template": {
                "metadata": {"labels": pod_labels(stack, service, of), **_annotations(secrets_digest)},
                "spec": {**spec, **_spread(stack, service, of)},
            },
        },
    }


def job(stack: Stack, cluster: Cluster, item: Job, service: Service, secrets_digest: str, name: str) -> dict[str, Any]:
    """A job that runs before a rollout, under a name of its own for all that it runs."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": _job_labels(stack, item)},
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": item.timeout_seconds,
            "template": _job_template(stack, cluster, item, service, secrets_digest),
        },
    }


def cron_job(stack: Stack, cluster: Cluster, item: Job, service: Service, secrets_digest: str) -> dict[str, Any]:
    """A job that runs by schedule, one at a time; one that waits to be asked for is suspended."""
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": item.name, "labels": _job_labels(stack, item)},
        "spec": {
            # A manual one needs a schedule too; suspended it never comes.
            "schedule": item.schedule or "0 0 1 1 *",
            "suspend": item.run == "manual",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "metadata": {"labels": _job_labels(stack, item)},
                "spec": {
                    "backoffLimit": 0,
                    "activeDeadlineSeconds": item.timeout_seconds,
                    "template": _job_template(stack, cluster, item, service, secrets_digest),
                },
            },
        },
    }


def _job_template(stack: Stack, cluster: Cluster, item: Job, service: Service, secrets_digest: str) -> dict[str, Any]:
    data = container(stack, service, name=item.name, command=item.command, is_job=True)
    data["resources"] = resources(item.limits)
    spec = pod(stack, cluster, service, [data], (service,), priority="jobs")
    labels = {**pod_labels(stack, service, (service,)), **_job_labels(stack, item)}
    return {
        "metadata": {"labels": labels, **_annotations(secrets_digest)},
        "spec": {**spec, "restartPolicy": "Never"},
    }


def _job_labels(stack: Stack, item: Job) -> dict[str, str]:
    return {**names.labels(stack, item.name), names.LABEL_JOB: item.name}


def _annotations(secrets_digest: str) -> dict[str, Any]:
    return {"annotations": {names.ANNOTATION_REVISION: secrets_digest}} if secrets_digest else {}


def _strategy(service: Service) -> dict[str, Any]:
    """Rolling without a gap, unless the app's file says that two at once can't be."""
    if service.rollout == "recreate":
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _spread(stack: Stack, service: Service, of: tuple[Service, ...]) -> dict[str, Any]:
    """Over nodes where there are several, as far as no disk holds the pods together."""
    if max(service.replicas, service.max_replicas) < 2 or uses_disk(of):
        return {}
    keys = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    return {
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": names.selector(stack, service.name)},
            }
            for key in keys
        ]
    }
