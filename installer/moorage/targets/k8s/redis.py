"""Redis in the cluster: the same settings as on a server, and one patch of the static StatefulSet."""

from __future__ import annotations

from moorage.assets import asset
from moorage.parity.reasons import Allowed, adding, values
from moorage.stack.cluster import Cluster
from moorage.stack.model import BundledRedis, Stack
from moorage.targets import database_settings
from moorage.targets.k8s import names, network
from moorage.targets.k8s.configuration import add_files, add_secret, digest
from moorage.targets.k8s.parts import Part, claim_patch, workload_patch
from moorage.tree import Tree

NAME = "redis"


def part(stack: Stack, cluster: Cluster, settings: BundledRedis, public: Tree, private: Tree) -> Part:
    """The folder `redis` of the platform."""
    files = {
        "redis.conf": database_settings.redis_settings(settings).encode(),
        "start.sh": asset("compose", "redis-start.sh").read_bytes(),
    }
    secrets = database_settings.redis_secrets(settings)
    add_secret(private, names.secret_name(NAME), secrets)
    revealed = {name: value.reveal() for name, value in sorted(secrets.items())}
    return Part(
        NAME,
        settings.image.reference,
        generators=[add_files(public, names.BASE, "redis-settings", files)],
        patches=[
            workload_patch("StatefulSet", NAME, settings.limits, secrets_digest=digest(stack, [revealed])),
            claim_patch("redis-data", cluster.volume_sizes[settings.volume]),
        ],
        objects=[
            network.alias(stack, NAME, name, 6379)
            for name in sorted({settings.service, *settings.aliases} - {NAME})
            if names.is_dns_label(name)
        ],
    )


_POD = {
    "health.live.question": "/bin/sh -c 'redis-cli ping | grep -q PONG'",
    "health.live.interval": "10s",
    "health.live.timeout": "5s",
    "health.live.failures": "30",
    "mount./etc/redis": "files only",
}
DIFFERENCES = (
    Allowed("queue", "*", "Kubernetes ends a server that is stuck, and mounts folders, not files.", adding(_POD)),
    Allowed("queue", "user", "A pod names the group as well.", values("999", "999:999")),
)
