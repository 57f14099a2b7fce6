"""Claims as they can be: a disk never gets smaller, and one that no pod has used yet can't be changed at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

from moorage.quantities import parse_size
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Object, at, identity


def fitted(cluster: Cluster, wanted: Sequence[Object], tell: Callable[[str, str], None]) -> list[Object]:
    """The objects, with claims that are there asking for no less than they have; `tell` gets what and the way out.

    Most sizes nobody wrote: they follow from others, and must not stand in the way of what was changed.
    """
    return [_fitted(cluster, item, tell) if item["kind"] == "PersistentVolumeClaim" else item for item in wanted]


def _fitted(cluster: Cluster, item: Object, tell: Callable[[str, str], None]) -> Object:
    live = cluster.read(identity(item), item["apiVersion"])
    asked, has = size(item), size(live) if live is not None else 0
    is_bound = live is not None and bool(at(live, "spec", "volumeName"))
    if not has or asked == has or (asked > has and is_bound):
        return item
    name = identity(item)
    there = str(at(live or {}, "spec", "resources", "requests", "storage"))
    if is_bound:
        tell(
            f"the disk {name.name} stays at {there}: none ever gets smaller",
            f"`kubernetes.volumes: {{{name.name}: {there}}}` says so; to have it smaller, move the data by a backup and a restore",
        )
    else:
        tell(
            f"the disk {name.name} is asked for with {there}, and nothing has used it yet: that can't be changed",
            f"`kubectl -n {name.namespace} delete persistentvolumeclaim {name.name}`, then `moorage up` asks for another",
        )
    kept = deepcopy(item)
    kept["spec"]["resources"]["requests"]["storage"] = there
    return kept


def size(claim: Object) -> int:
    """What a claim asks for, in bytes; 0 where it does not say."""
    text = at(claim, "spec", "resources", "requests", "storage")
    return parse_size(str(text)) if text else 0
