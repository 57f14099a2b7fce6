"""The platform in the cluster: static files, and what each part's seam adds to them."""

from __future__ import annotations

from moorage.assets import asset
from moorage.stack.cluster import Cluster
from moorage.stack.model import BundledPostgres, BundledRedis, Stack
from moorage.targets.k8s import edge, names, postgres, redis
from moorage.targets.k8s.parts import Part
from moorage.tree import Tree

PLATFORM = f"{names.K8S_FOLDER}/platform"


def add_parts(stack: Stack, cluster: Cluster, public: Tree, private: Tree) -> list[Part]:
    """The platform that this stack needs: its static files byte for byte, and what is to be added to them."""
    found: list[Part] = []
    if cluster.ingress == "traefik":
        found.append(edge.part(stack, cluster, public, private))
    if isinstance(stack.postgres, BundledPostgres):
        found.append(postgres.part(stack, cluster, stack.postgres, public, private))
    if isinstance(stack.redis, BundledRedis):
        found.append(redis.part(stack, cluster, stack.redis, public, private))
    for part in found:
        for path in sorted(asset("k8s", "platform", part.name).glob("*.yaml")):
            public.add(f"{PLATFORM}/{part.name}/{path.name}", path.read_bytes())
    return found
