"""What an `up` never does: take somebody else's objects, or change what would have to be made anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moorage.errors import DeployError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.failures import ApiError
from moorage.targets.cluster.inventory import Inventory
from moorage.targets.cluster.objects import Identity, Object, at, identity, instance_of
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import LABEL_INSTANCE
from moorage.words import plural

_MANAGER = re.compile(r'conflict with "([^"]*)"')
_IMMUTABLE = re.compile(
    r"immutable|updates to statefulset spec|can not be less than|may not be less than", re.IGNORECASE
)
_SHOWN = 12


@dataclass(frozen=True)
class Trouble:
    """An object that the server would not take, and why."""

    item: Object
    error: ApiError


def refuse_foreign(facts: ClusterFacts, wanted: Sequence[Object], live: Mapping[Identity, Object | None]) -> None:
    """Raise DeployError when an object that we are to apply is there already and is not this deployment's."""
    for item in wanted:
        name, found = identity(item), live[identity(item)]
        if found is None or instance_of(found) == facts.project:
            continue
        owner = instance_of(found)
        whose = f"belongs to the deployment {owner}" if owner else "is there already, and nothing says whose it is"
        where = f" in {name.namespace}" if name.namespace else ""
        option = f"-n {name.namespace} " if name.namespace else ""
        kind = name.kind.lower() + (f".{name.group}" if name.group else "")
        raise DeployError(
            f"{name}{where} {whose}; nothing was changed",
            f"choose another `name` or `kubernetes.namespace` in moorage.yaml; if it is yours, hand it over: "
            f"`kubectl {option}label --overwrite {kind} {name.name} {LABEL_INSTANCE}={facts.project}`",
        )


def refuse_other_secrets(facts: ClusterFacts, known: Inventory | None) -> None:
    """Raise DeployError when the namespace was deployed with other secrets: they would open none of its data."""
    if known is not None and known.deployment_id and known.deployment_id != facts.deployment_id:
        raise DeployError(
            f"the namespace {facts.namespace} was deployed from another folder, with other secrets; nothing was changed",
            "deploy from that folder, or put its `secrets/` back; were they lost, `moorage up --take-over-volumes` goes on",
        )


def refuse_data_risk(reasons: Sequence[str]) -> None:
    """Raise DeployError when data that is there could not be read any more."""
    if reasons:
        raise DeployError(f"this change would endanger data: {'; '.join(reasons)}", "undo the change in moorage.yaml")


def data_risks(wanted: Sequence[Object], live: Mapping[Identity, Object | None]) -> list[str]:
    """Changes of Postgres that could make its data unreadable."""
    reasons = []
    for item in wanted:
        before = live.get(identity(item))
        if item["kind"] != "StatefulSet" or identity(item).name != "postgres" or before is None:
            continue
        old, new = (_image(state) for state in (before, item))
        if _major(old) and _major(new) and _major(old) != _major(new):
            reasons.append(
                f"Postgres {_major(old)} → {_major(new)}: the data folder of another major version can't be read"
            )
        if ("alpine" in old) != ("alpine" in new):
            reasons.append(
                "the Postgres image changes between Alpine and Debian: text would be sorted differently and indexes be wrong"
            )
        if _claims(before) and _claims(before) != _claims(item):
            reasons.append(
                f"the database would start empty: its disk changes from {', '.join(_claims(before))} to {', '.join(_claims(item))}"
            )
    return reasons


def driver_risks(cluster: Cluster, going: Sequence[str]) -> list[str]:
    """Drivers of disks that would go although there are disks of theirs, which nobody could mount any more."""
    if not going:
        return []
    used = [str(at(item, "spec", "csi", "driver") or "") for item in cluster.list("v1", "PersistentVolume")]
    return [
        f"{plural(used.count(name), 'disk')} of the driver {name} could not be mounted any more"
        for name in going
        if name in used
    ]


def _image(item: Object) -> str:
    containers = at(item, "spec", "template", "spec", "containers") or [{}]
    return str(next((each.get("image") for each in containers if each.get("name") == "postgres"), "")).rpartition("/")[
        2
    ]


def _major(image: str) -> str:
    found = re.search(r":(?:pg)?(\d+)", image)
    return found.group(1) if found else ""


def _claims(item: Object) -> list[str]:
    volumes = at(item, "spec", "template", "spec", "volumes") or []
    return sorted(name for each in volumes if (name := at(each, "persistentVolumeClaim", "claimName")))


def refuse_troubles(facts: ClusterFacts, troubles: Sequence[Trouble]) -> None:
    """Raise DeployError with everything that the server would not take, and the way out of the first."""
    if not troubles:
        return
    told = [_told(trouble) for trouble in troubles]
    rest = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    raise DeployError(f"{'; '.join(told[:_SHOWN])}{rest}; nothing was changed", _way_out(facts, troubles[0]))


def _told(trouble: Trouble) -> str:
    name, error = identity(trouble.item), trouble.error
    if error.is_of_managers:
        who = [
            f"{cause.get('field', '?')} was set by {_manager(cause.get('message', ''))}"
            for cause in error.causes
            if cause.get("reason") == "FieldManagerConflict"
        ]
        return f"{name}: {', '.join(who)}"
    if name.kind == "Secret" and error.status == 422:
        # The server quotes what it refuses.
        return f"{name}: is refused in {', '.join(cause.get('field', '?') for cause in error.causes) or 'some field'}"
    return f"{name}: {error.message}"


def _manager(message: str) -> str:
    found = _MANAGER.search(message)
    return f"`{found.group(1)}`" if found else "somebody else"


def _way_out(facts: ClusterFacts, trouble: Trouble) -> str:
    name, error = identity(trouble.item), trouble.error
    if error.is_of_managers:
        return (
            "let that one leave the field alone, or take it back: `kubectl apply --server-side --field-manager=moorage "
            f"--force-conflicts -k rendered/{facts.environment}/k8s/overlays/{facts.overlay}`"
        )
    if error.reason == "MissingKind":
        return _missing(name)
    if error.status == 403 and error.hint:
        return error.hint
    if not _IMMUTABLE.search(error.message):
        return "change what the message names in moorage.yaml or in the app's file"
    option = f"-n {name.namespace} " if name.namespace else ""
    ways = {
        "PersistentVolumeClaim": "a disk never gets smaller and keeps its class: set the old value in `kubernetes.volumes`, "
        "or move the data by `moorage backup` and a restore",
        "StatefulSet": f"it is made anew without its data going: `kubectl {option}delete statefulset {name.name}`, then `moorage up`",
        "Deployment": f"it must be made anew, with a pause: `kubectl {option}delete deployment {name.name}`, then `moorage up`",
        "Job": f"`kubectl {option}delete job {name.name}`, then `moorage up` runs it again",
    }
    return ways.get(
        name.kind, f"it must be made anew: `kubectl {option}delete {name.kind.lower()} {name.name}`, then `moorage up`"
    )


def _missing(name: Identity) -> str:
    needed = {
        "cert-manager.io": "install cert-manager: https://cert-manager.io/docs/installation/",
        "snapshot.storage.k8s.io": "install the snapshot controller and its kinds: https://github.com/kubernetes-csi/external-snapshotter",
    }
    return needed.get(name.group, f"install what brings {name.kind} ({name.group or 'v1'}) to the cluster")
