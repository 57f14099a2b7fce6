"""What an `up` would do, found out by letting the server try everything without keeping it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from moorage.errors import DeployError
from moorage.targets.cluster import refusals
from moorage.targets.cluster.client import Cluster, MissingKind
from moorage.targets.cluster.difference import changed_fields
from moorage.targets.cluster.failures import ApiError
from moorage.targets.cluster.inventory import Inventory, is_kept
from moorage.targets.cluster.objects import Identity, Object, at, identity
from moorage.targets.k8s.facts import ClusterFacts

_AT_ONCE = 8
_DRIVER = "CSIDriver"
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Change:
    """What would happen to one object: `create`, `change` with the ways to its fields, `delete`, or `keep`.

    `keep` is for what is wanted no more, but holds data. `live` is the object as it is, if it is there.
    """

    identity: Identity
    action: str
    fields: tuple[str, ...] = ()
    live: Object | None = None

    @property
    def rolls(self) -> bool:
        """Whether pods are replaced by it."""
        kinds = ("Deployment", "StatefulSet", "DaemonSet")
        return self.identity.kind in kinds and any(field.startswith("spec.template") for field in self.fields)


@dataclass(frozen=True)
class Preview:
    """All changes; of what goes into `missing_namespaces` the server could try nothing.

    `risks` are sentences about data that could not be read any more.
    """

    changes: tuple[Change, ...]
    missing_namespaces: tuple[str, ...]
    risks: tuple[str, ...] = ()

    def by_action(self, action: str) -> tuple[Change, ...]:
        """Those of one action."""
        return tuple(change for change in self.changes if change.action == action)

    def of(self, kind: str, name: str) -> Change | None:
        """The change of one object."""
        found = (item for item in self.changes if (item.identity.kind, item.identity.name) == (kind, name))
        return next(found, None)


def together(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The same for all items, several at a time, in their order. Raises what the first of them raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, items))


def look(cluster: Cluster, facts: ClusterFacts, wanted: Sequence[Object], known: Inventory | None) -> Preview:
    """What applying `wanted` would change. Nothing is changed.

    Raises DeployError for objects of somebody else, fields that another manager set, what the server refuses and what
    can't be changed in place.
    """
    live = dict(zip(map(identity, wanted), together(lambda item: _live(cluster, item), wanted), strict=True))
    refusals.refuse_foreign(facts, wanted, live)
    missing = tuple(name.name for name, item in live.items() if name.kind == "Namespace" and item is None)
    testable = [item for item in wanted if identity(item).namespace not in missing]
    results = together(lambda item: _tried(cluster, item), testable)
    refusals.refuse_troubles(facts, [found for found in results if isinstance(found, refusals.Trouble)])
    after = {identity(item): found for item, found in zip(testable, results, strict=True)}
    changes = [_change(identity(item), live[identity(item)], after.get(identity(item))) for item in wanted]
    gone = (known.objects if known else frozenset()) - set(live)
    changes += [Change(name, "keep" if is_kept(name) else "delete") for name in sorted(gone)]
    going = [
        change.identity.name for change in changes if change.action == "delete" and change.identity.kind == _DRIVER
    ]
    risks = [*refusals.data_risks(wanted, live), *refusals.driver_risks(cluster, going)]
    return Preview(tuple(change for change in changes if change.action), missing, tuple(risks))


def _live(cluster: Cluster, item: Object) -> Object | None:
    try:
        return cluster.read(identity(item), item["apiVersion"])
    except MissingKind:
        # It is told with everything else that stands in the way.
        return None


def _tried(cluster: Cluster, item: Object) -> Any:
    """What the object would become, or what stands in the way."""
    try:
        return cluster.apply(item, dry_run=True)
    except MissingKind as error:
        return refusals.Trouble(item, ApiError(404, "MissingKind", error.message, ()))
    except ApiError as error:
        if error.status in (400, 403, 404, 409, 422):
            return refusals.Trouble(item, error)
        raise


def _change(name: Identity, before: Object | None, after: Object | None) -> Change:
    if before is None:
        return Change(name, "create")
    if at(before, "metadata", "deletionTimestamp"):
        raise DeployError(
            f"{name} is being deleted at the moment; nothing was changed",
            "wait for its end (`kubectl get` shows it), then the same command again",
        )
    fields = changed_fields(before, after) if after is not None else ()
    return Change(name, "change" if fields else "", fields, before)
