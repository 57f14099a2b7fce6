"""What we applied, kept in the namespace itself: who deploys next, from wherever, knows what is no longer wanted.

Written before anything is applied, as all of the old and the new; and at a good end as what is there now. So a run that
is killed forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from moorage.errors import MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Identity, from_path, identity
from moorage.targets.cluster.waves import NEVER_PRUNED
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import FIELD_MANAGER, LABEL_INSTANCE, LABEL_MANAGED

NAME = "moorage-inventory"


@dataclass(frozen=True)
class Inventory:
    """Which deployment is in the namespace, and every object of it."""

    deployment_id: str = ""
    objects: frozenset[Identity] = frozenset()


def read(cluster: Cluster, facts: ClusterFacts) -> Inventory | None:
    """What the namespace says; None when nothing of ours was ever there. Raises MoorageError for a damaged one."""
    found = cluster.read(_identity(facts), "v1")
    if found is None:
        return None
    data = found.get("data") or {}
    try:
        objects = frozenset(from_path(line) for line in str(data.get("objects", "")).splitlines() if line)
    except ValueError:
        raise MoorageError(
            f"the ConfigMap {NAME} in {facts.namespace} was changed by hand and can't be read",
            f"`kubectl -n {facts.namespace} edit configmap {NAME}`: a line is group/Kind/namespace/name",
        ) from None
    return Inventory(str(data.get("deployment", "")), objects)


def write(cluster: Cluster, facts: ClusterFacts, objects: Iterable[Identity]) -> None:
    """Say that these objects are the deployment's."""
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": facts.namespace,
                "labels": {LABEL_INSTANCE: facts.project, LABEL_MANAGED: FIELD_MANAGER},
            },
            "data": {
                "deployment": facts.deployment_id,
                "objects": "".join(f"{item.path}\n" for item in sorted(objects)),
            },
        },
        force=True,
    )


def is_kept(item: Identity) -> bool:
    """Whether it stays although nobody wants it any more."""
    return item.kind in NEVER_PRUNED


def _identity(facts: ClusterFacts) -> Identity:
    return identity({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": facts.namespace}})
