"""All reasons for differences, collected from beside the code that causes them."""

from __future__ import annotations

from moorage.parity.reasons import Allowed
from moorage.targets.compose import host
from moorage.targets.k8s import (
    backup_differences,
    certificates,
    components,
    edge,
    network_differences,
    nginx_differences,
    overlays,
    pod_differences,
    postgres,
    probes,
    redis,
    render,
)

ALLOWED: tuple[Allowed, ...] = (
    *probes.DIFFERENCES,
    *pod_differences.DIFFERENCES,
    *postgres.DIFFERENCES,
    *redis.DIFFERENCES,
    *edge.DIFFERENCES,
    *certificates.DIFFERENCES,
    *network_differences.DIFFERENCES,
    *nginx_differences.DIFFERENCES,
    *backup_differences.DIFFERENCES,
    *overlays.DIFFERENCES,
    *components.DIFFERENCES,
    *render.DIFFERENCES,
    *host.DIFFERENCES,
)
