"""Backups of a deployment in a cluster: the same commands, by Jobs in the place of containers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path

from moorage.backups.health import HealthFinding
from moorage.backups.restore_journal import half_way_words
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.backup_health import STATUS_FILE, BackupHealth, judged, when_installed
from moorage.operations.cluster.opening import ContextChoice, open_cluster
from moorage.operations.exchanging import restores_of
from moorage.targets.cluster import exchange
from moorage.targets.cluster.backup_runs import ClusterJobRunner
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.deploy import ClusterDeployer
from moorage.targets.cluster.images import LocalImages
from moorage.targets.cluster.lease import Lease
from moorage.targets.cluster.objects import Identity, at
from moorage.targets.cluster.place import Place, load_facts, manifests
from moorage.targets.compose.exchange_mark import Exchange, Verb
from moorage.targets.job_voice import NO_BACKUPS, RESTORE, JobResult
from moorage.targets.k8s.facts import ClusterBackupFacts, ClusterFacts
from moorage.targets.lock import deployment_lock
from moorage.targets.releases import Releases


def look(cluster: Cluster, facts: ClusterFacts, place: Place) -> BackupHealth | None:
    """How the backups of a deployment are, by what the last night left in the cluster; None when it has none."""
    if facts.backups is None:
        return None
    now = datetime.now(timezone.utc)
    found = cluster.read(Identity("", "ConfigMap", facts.namespace, facts.backups.status), "v1")
    text = str(at(found or {}, "data", STATUS_FILE) or "")
    more = []
    begun = exchange.read(cluster, facts)
    if begun is not None:
        said, hint = half_way_words(begun[1], is_undo=begun[0] == "undo")
        more.append(HealthFinding("", f"{said}; the app stays down, and no backup is made", hint, is_failure=True))
    installed = when_installed(place.folder, place.environment, now)
    return judged(text, facts.backups.age_limit_hours, installed, now, more)


class ClusterSite:
    """See the port `BackupSite`."""

    def __init__(
        self, place: Place, facts: ClusterFacts, job: ClusterBackupFacts, cluster: Cluster, console: Console
    ) -> None:
        self.place = place
        self.facts = facts
        self.job = job
        self.cluster = cluster
        self.console = console
        self.runner = ClusterJobRunner(cluster, facts, job, console)

    @classmethod
    def open(cls, folder: Path, environment: str, console: Console) -> ClusterSite:
        """The site of a rendered deployment, in its configured context. Raises MoorageError."""
        place = Place(folder, environment)
        facts = load_facts(place.rendered)
        if facts.backups is None:
            raise MoorageError(*NO_BACKUPS)
        return cls(place, facts, facts.backups, open_cluster(facts, ContextChoice(), console), console)

    def run(self, kind: int, arguments: Sequence[str], options: Sequence[str] = ()) -> JobResult:
        """See the port."""
        return self.runner.run(kind, arguments, options)

    def alone(self, patience_seconds: float = 0) -> AbstractContextManager[None]:
        """See the port."""
        return self.runner.alone(patience_seconds)

    def half_exchanged(self) -> Exchange | None:
        """See the port."""
        found = exchange.read(self.cluster, self.facts)
        return None if found is None else Exchange("undo" if found[0] == "undo" else "swap", found[1])

    def refuse_half_exchanged(self) -> None:
        """See the port."""
        exchange.refuse(self.cluster, self.facts)

    def exchange(self, verb: Verb, identifier: str) -> None:
        """See the port. The database goes on; the proxy does too, and says meanwhile that nobody is there."""
        with (
            deployment_lock(self.place.folder, self.place.environment, self.console) as lock,
            Lease(self.cluster, self.facts, self.console, lock),
        ):
            known = {item["id"]: item["volumes"] for item in restores_of(self.runner)}
            volumes = {self.job.claims.get(name, name) for name in known.get(identifier, [])}
            exchange.begin(self.cluster, self.facts, verb, identifier)
            try:
                objects = manifests(self.place.rendered, self.facts, self._images().make(self.facts))
                exchange.take_app_away(self.cluster, self.facts, objects, volumes, self.console)
            except MoorageError:
                self._start_again()
                raise
            done = self.runner.run(RESTORE, [verb, identifier])
            if done.status:
                self._not_exchanged(identifier)
                done.hint = done.hint or f"`moorage backup restore --undo {identifier}` puts back what was there"
                done.raise_for_status()
            self._start_with_it(verb, identifier)

    def _not_exchanged(self, identifier: str) -> None:
        """Nothing changed places: the app may run again. Otherwise it stays away until somebody decides."""
        phases = {item["id"]: item["phase"] for item in restores_of(self.runner)}
        if phases.get(identifier) == "prepared":
            self._start_again()
        else:
            self.console.warning(
                "the exchange was not finished; the app stays down, so that nothing is written in between"
            )

    def _start_again(self) -> None:
        exchange.end(self.cluster, self.facts)
        try:
            self._start()
        except MoorageError as error:
            self.console.warning(f"the app could not be started again: {error.message}")
            self.console.detail(f"→ `moorage up -e {self.place.environment}`")

    def _start_with_it(self, verb: Verb, identifier: str) -> None:
        try:
            self._start()
        except MoorageError as error:
            done = "is undone" if verb == "undo" else "is in place"
            error.message = f"the restore {identifier} {done}, but the app does not come up with it: {error.message}"
            back = "" if verb == "undo" else f"`moorage backup restore --undo {identifier}` takes it back"
            error.hint = "; ".join(text for text in (error.hint, back) if text)
            exchange.end(self.cluster, self.facts)
            raise
        # Not before: killed while the app starts, the same command goes on and starts it.
        exchange.end(self.cluster, self.facts)

    def _start(self) -> None:
        ClusterDeployer(self.place, self.cluster, self._images(), self.console).up()

    def _images(self) -> LocalImages:
        """The builds that serve: a restore is not the moment to deploy a newer one."""
        current = Releases(self.place.folder, self.place.environment).current()
        return LocalImages(self.place, self.place.folder, self.console, names=current.images if current else None)

    def show_schedule(self) -> int:
        """See the port."""
        wanted = Identity("batch", "CronJob", self.facts.namespace, self.job.services[0])
        found = self.cluster.read(wanted, "batch/v1")
        is_on = found is not None and not at(found, "spec", "suspend")
        last = at(found or {}, "status", "lastScheduleTime") or ""
        if self.console.as_json:
            self.console.data({"schedule": self.job.schedule, "cron_job": wanted.name, "is_on": is_on, "last": last})
        elif is_on:
            since = f", last {last}" if last else ", not yet run"
            self.console.success(f"the CronJob {wanted.name} runs at {self.job.schedule} by the cluster's clock{since}")
        else:
            self.console.warning(f"no CronJob {wanted.name} starts the nights ({self.job.schedule})")
            self.console.detail(f"→ `moorage up -e {self.place.environment}`")
        return 0 if is_on else 1
