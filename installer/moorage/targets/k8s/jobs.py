"""Jobs of the app, and services that are jobs: with the names that their objects have."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from moorage.stack.cluster import Cluster
from moorage.stack.model import Job, Service, Stack
from moorage.targets.k8s import configuration, names, workloads


def all_jobs(stack: Stack) -> tuple[Job, ...]:
    """Services that are expected to end, then the jobs of the app's file."""
    return (*(workloads.one_shot(service) for service in stack.services if service.is_one_shot), *stack.jobs)


def objects(stack: Stack, cluster: Cluster) -> list[dict[str, Any]]:
    """A Job for each that runs before a rollout, a CronJob for every other."""
    found = []
    for item in all_jobs(stack):
        service = stack.service(item.service)
        digest = secrets_digest(stack, service)
        if item.run == "before-rollout":
            name = object_name(stack, cluster, item)
            found.append(workloads.job(stack, cluster, item, service, digest, name))
        else:
            found.append(workloads.cron_job(stack, cluster, item, service, digest))
    return found


def object_name(stack: Stack, cluster: Cluster, item: Job) -> str:
    """The name of its object. A Job can't be changed: what it runs is in its name.

    The same job again does nothing; with another image, variable or secret it is another one, and runs.
    """
    if item.run != "before-rollout":
        return item.name
    service = stack.service(item.service)
    job = workloads.job(stack, cluster, item, service, secrets_digest(stack, service), "")
    text = json.dumps([job, dict(service.environment)], sort_keys=True)
    return f"{item.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def secrets_digest(stack: Stack, service: Service) -> str:
    """The fingerprint of all secrets of a service's pod."""
    return configuration.secrets_digest(stack, (service, *names.sidecars_of(stack, service)))
