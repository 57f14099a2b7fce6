"""Take away what runs on every node before what it works with: it may have to hand over what only its node has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Identity, instance_of

_KIND = "DaemonSet"
# A pod may take ten minutes for it, and all of them end at the same time.
_LIMIT_SECONDS = 900
_LOOK_SECONDS = 1.0


def remove_first(
    cluster: Cluster,
    project: str,
    names: Iterable[Identity],
    console: Console,
    pause: Callable[[float], None] = time.sleep,
) -> list[Identity]:
    """Delete the DaemonSets of a deployment among `names` and wait for the last of their pods; gives which there were.

    Raises DeployError when one does not end; everything else is still there then, and the same command goes on.
    """
    removed = []
    for name in sorted(item for item in names if item.kind == _KIND):
        found = cluster.read(name)
        if found is None or instance_of(found) != project:
            continue
        cluster.delete(name, uid=found["metadata"]["uid"], waits_for_pods=True)
        removed.append(name)
    for name in removed:
        with console.waiting(f"{name.name} ends on every node", _LIMIT_SECONDS):
            _until_gone(cluster, name, pause)
    return removed


def _until_gone(cluster: Cluster, name: Identity, pause: Callable[[float], None]) -> None:
    for _ in range(_LIMIT_SECONDS):
        if cluster.read(name) is None:
            return
        pause(_LOOK_SECONDS)
    raise DeployError(
        f"{name} did not end on every node within {_LIMIT_SECONDS} seconds",
        f"`kubectl -n {name.namespace} get pods -o wide` shows where; then the same command again",
    )
