"""Bring a namespace to what is wanted, wave by wave; every step is safe to repeat and to be killed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster import database, drivers, entrance, inventory, waves
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.failures import ApiError
from moorage.targets.cluster.inventory import Inventory
from moorage.targets.cluster.jobs import Jobs
from moorage.targets.cluster.objects import Identity, Object, at, identity, instance_of, of_kind
from moorage.targets.cluster.pods import is_ready, name_of
from moorage.targets.cluster.preview import together
from moorage.targets.cluster.waiting import Waiting
from moorage.targets.cluster.workloads import Scene, all_pods, newest_pods
from moorage.targets.k8s.facts import ClusterFacts, WorkloadFacts
from moorage.words import plural

_CERTIFICATE = "cert-manager.io/certificate-name"
EnsureDatabases = Callable[[Cluster, ClusterFacts, Path], None]


class Convergence:
    """One deployment in one cluster; `private` is where its files with secrets are."""

    def __init__(
        self,
        cluster: Cluster,
        facts: ClusterFacts,
        private: Path,
        console: Console,
        ensure_databases: EnsureDatabases = database.ensure,
    ) -> None:
        self._cluster = cluster
        self._facts = facts
        self._private = private
        self._console = console
        self._ensure_databases = ensure_databases
        self.waiting = Waiting(cluster, facts, console)

    def run(
        self,
        wanted: Sequence[Object],
        known: Inventory | None,
        *,
        run_jobs: bool,
        untouched: frozenset[Identity] = frozenset(),
    ) -> None:
        """Bring everything to the wanted state, then remove what is wanted no more.

        What is `untouched` is wanted, too, but stays as it is. Without `run_jobs` those before a rollout stay as they are. Raises DeployError at the first step that fails.
        """
        before = known.objects if known else frozenset[Identity]()
        names = {identity(item) for item in wanted} | untouched
        for number, wave in enumerate(waves.in_waves(wanted)):
            if number == 1:
                inventory.write(self._cluster, self._facts, before | names)
            if number == waves.JOBS:
                if run_jobs:
                    Jobs(self._cluster, self._facts, self._console).run(wave)
                continue
            self._apply(wave)
            if number == waves.DRIVERS:
                self.waiting.until_ready(self._present(wave, "DaemonSet"))
            if number == waves.DATABASES:
                self._databases(wave)
        self.waiting.until_ready(self._present(wanted, "Deployment"))
        kept = self._prune(before - names, with_jobs=run_jobs)
        inventory.write(self._cluster, self._facts, names | kept)
        entrance.look_from_outside(self._cluster, self._facts, self._console)

    def _apply(self, wave: Sequence[Object]) -> None:
        """Kind after kind; those of one kind need nothing of each other."""
        for _, group in groupby(wave, key=lambda item: str(item["kind"])):
            together(self._apply_one, list(group))

    def _apply_one(self, item: Object) -> None:
        try:
            self._cluster.apply(item)
        except ApiError as error:
            # The dry run went well a moment ago.
            raise DeployError(f"{identity(item)} can't be applied: {error.message}", error.hint) from None

    def _databases(self, wave: Sequence[Object]) -> None:
        if not wave:
            return
        self.waiting.until_ready(self._present(wave, "StatefulSet"), lambda now: self._free_what_hangs(now, wave))
        if any(name_of(item) == database.NAME for item in wave):
            with self._console.waiting("the app's role and databases are made"):
                self._ensure_databases(self._cluster, self._facts, self._private)

    def _free_what_hangs(self, now: Scene, wave: Sequence[Object]) -> None:
        """Kubernetes waits for ever for a pod of an older revision that never gets ready: such a one goes."""
        for item in wave:
            found = now.find(item["kind"], name_of(item))
            if found is None or int(at(found, "status", "observedGeneration") or 0) < found["metadata"]["generation"]:
                continue
            newest = {pod["metadata"]["uid"] for pod in newest_pods(now, found)}
            for pod in all_pods(now, found):
                is_ending = bool(at(pod, "metadata", "deletionTimestamp"))
                if pod["metadata"]["uid"] not in newest and not is_ready(pod) and not is_ending:
                    self._cluster.delete(identity(pod), uid=pod["metadata"]["uid"])

    def _present(self, wanted: Iterable[Object], kind: str) -> list[WorkloadFacts]:
        names = {name_of(item) for item in of_kind(wanted, kind)}
        known = [item for item in self._facts.everywhere if item.kind == kind and item.name in names]
        # What no service stands behind is waited for as well.
        others = sorted(names - {item.name for item in known})
        return [*known, *(WorkloadFacts(name, kind, "", False, 60, (name,)) for name in others)]

    def _prune(self, gone: Iterable[Identity], *, with_jobs: bool) -> set[Identity]:
        """Delete what is wanted no more; gives what stays because it holds data or was not ours to delete."""
        kept = set()
        gone = list(gone)
        deleted = drivers.remove_first(self._cluster, self._facts.project, gone, self._console)
        # The waves backwards: who uses something goes before it.
        for name in sorted(gone, key=lambda item: (-waves.wave_of(item.kind), item)):
            stays = inventory.is_kept(name) or (name.kind == "Job" and not with_jobs)
            found = self._cluster.read(name)
            if found is None:
                continue
            if stays or self._is_of_certificate(found):
                kept.add(name)
                if name.kind != "Job":
                    self._tell_kept(name)
            elif instance_of(found) != self._facts.project:
                self._console.warning(f"{name} is not rendered any more, but was handed to somebody else: it stays")
            else:
                self._cluster.delete(name, uid=found["metadata"]["uid"])
                deleted.append(name)
        if deleted:
            shown = ", ".join(str(name) for name in deleted[:6])
            more = f" and {len(deleted) - 6} more" if len(deleted) > 6 else ""
            self._console.success(f"{plural(len(deleted), 'object')} not wanted any more: {shown}{more} removed")
        return kept

    @staticmethod
    def _is_of_certificate(item: Object) -> bool:
        annotations = at(item, "metadata", "annotations") or {}
        return item["kind"] == "Secret" and _CERTIFICATE in annotations

    def _tell_kept(self, name: Identity) -> None:
        option = f"-n {name.namespace} " if name.namespace else ""
        self._console.warning(f"{name} is not wanted any more and stays, for it may hold data")
        self._console.detail(f"→ `kubectl {option}delete {name.kind.lower()} {name.name}` deletes it for ever")
