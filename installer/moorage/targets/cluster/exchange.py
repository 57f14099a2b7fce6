"""While old and new data change places: the app is away, and a ConfigMap says so to whoever would start it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from copy import deepcopy

from moorage.backups.plan import EXCHANGE_MAP
from moorage.backups.restore_journal import half_way_words
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Identity, Object, identity, of_kind
from moorage.targets.cluster.pods import name_of
from moorage.targets.cluster.workloads import scene
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import FIELD_MANAGER, LABEL_INSTANCE, LABEL_MANAGED

_REST_SECONDS = 300
# Without it nobody could say what is going on; without the database nothing can be exchanged.
_STAYS = ("traefik", "postgres")


def begin(cluster: Cluster, facts: ClusterFacts, verb: str, identifier: str) -> None:
    """Say that an exchange begins, before the app is stopped."""
    labels = {LABEL_INSTANCE: facts.project, LABEL_MANAGED: FIELD_MANAGER}
    metadata = {"name": EXCHANGE_MAP, "namespace": facts.namespace, "labels": labels}
    data = {"verb": verb, "id": identifier}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}, force=True)


def end(cluster: Cluster, facts: ClusterFacts) -> None:
    """Old or new is whole again."""
    cluster.delete(_mark(facts))


def read(cluster: Cluster, facts: ClusterFacts) -> tuple[str, str] | None:
    """Verb and name of the exchange that was begun and not ended."""
    found = cluster.read(_mark(facts), "v1")
    if found is None:
        return None
    data = found.get("data") or {}
    return str(data.get("verb", "")), str(data.get("id", ""))


def refuse(cluster: Cluster, facts: ClusterFacts) -> None:
    """Raise MoorageError while old and new are half exchanged: whatever started now would write to a mixture."""
    found = read(cluster, facts)
    if found is not None:
        raise MoorageError(*half_way_words(found[1], is_undo=found[0] == "undo"))


def take_app_away(
    cluster: Cluster,
    facts: ClusterFacts,
    objects: Iterable[Object],
    volumes: Collection[str],
    console: Console,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """No pod of the app and none that has one of the `volumes` (as claims are called); schedules wait. Raises MoorageError."""
    items = list(objects)
    for item in of_kind(items, "CronJob"):
        _apply(cluster, item, "suspend", True)
    going = {
        (item["kind"], name_of(item))
        for item in of_kind(items, "Deployment", "StatefulSet")
        if name_of(item) not in _STAYS and (item["kind"] == "Deployment" or _mounts(item) & set(volumes))
    }
    for item in items:
        if (item["kind"], name_of(item)) in going:
            _apply(cluster, item, "replicas", 0)
    with console.waiting("the app stops", _REST_SECONDS):
        for _ in range(_REST_SECONDS):
            if not _still_there(cluster, facts, going):
                return
            pause(1.0)
    raise MoorageError("the app did not stop", "`moorage status` shows what is left; then the same command again")


def _apply(cluster: Cluster, item: Object, key: str, value: object) -> None:
    resting = deepcopy(item)
    resting["spec"][key] = value
    cluster.apply(resting, force=True)


def _still_there(cluster: Cluster, facts: ClusterFacts, going: set[tuple[str, str]]) -> bool:
    return any(
        int((item.get("status") or {}).get("replicas") or 0)
        for item in scene(cluster, facts).workloads
        if (item["kind"], name_of(item)) in going
    )


def _mounts(item: Object) -> set[str]:
    volumes = item["spec"]["template"]["spec"].get("volumes") or ()
    return {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}


def _mark(facts: ClusterFacts) -> Identity:
    return identity(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": EXCHANGE_MAP, "namespace": facts.namespace}}
    )
