"""A rendered folder → a running deployment in a cluster. Safe to repeat, safe to kill at any moment.

Nothing is changed before the server has tried everything. When a step fails, the release before is applied again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from moorage.console import Console
from moorage.errors import DeployError, MoorageError
from moorage.targets import private_files
from moorage.targets.cluster import database, entrance, inventory
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.converge import Convergence, EnsureDatabases
from moorage.targets.cluster.disks import fitted
from moorage.targets.cluster.images import LocalImages
from moorage.targets.cluster.objects import Object, identity, of_kind
from moorage.targets.cluster.place import Place, files_of, load_facts, wanted_objects
from moorage.targets.cluster.pods import name_of
from moorage.targets.cluster.preview import Preview, look
from moorage.targets.cluster.refusals import refuse_data_risk, refuse_other_secrets
from moorage.targets.reasons import StepError, reason_of
from moorage.targets.releases import Release, Releases, read_tree
from moorage.tree import Tree
from moorage.words import plural


class ClusterDeployer:
    """Deploys one rendered folder; hold the deployment's lock while using it."""

    def __init__(
        self,
        place: Place,
        cluster: Cluster,
        images: LocalImages,
        console: Console,
        ensure_databases: EnsureDatabases = database.ensure,
    ) -> None:
        self.place = place
        self.cluster = cluster
        self.images = images
        self.console = console
        self.facts = load_facts(place.rendered)
        self.releases = Releases(place.folder, place.environment)
        self._ensure_databases = ensure_databases

    def _wanted(self, images: Mapping[str, str]) -> list[Object]:
        """Every object of the rendered folder, Secrets included."""
        return wanted_objects(self.place.rendered, self.place.private, self.facts, images)

    def up(self, begin: Callable[[], None] = lambda: None, *, take_over: bool = False) -> Release | None:
        """Bring the cluster to the rendered state; gives the release that serves, or None when nothing was to be done.

        `begin` is called when there is something to do and the namespace is there, before anything in it is changed.
        Raises DeployError when it failed; the release before serves again, if there was one.
        """
        images = self.images.make(self.facts)
        wanted = fitted(self.cluster, self._wanted(images), self._tell)
        known = inventory.read(self.cluster, self.facts)
        if not take_over:
            refuse_other_secrets(self.facts, known)
        self._name_damaged_releases()
        preview = self._tried(wanted, known)
        refuse_data_risk(preview.risks)
        current = self.releases.current()
        recorded = current if current is not None and self._is_what_is_rendered(current, images) else None
        if recorded is not None and self._is_settled(preview, known) and self._is_well():
            return None
        begin()
        self.images.bring(self.facts, images)
        try:
            self._convergence().run(wanted, known, run_jobs=True)
        except StepError as error:
            if recorded is not None:
                raise _in_vain(recorded, reason_of(error)) from None
            raise self._fall_back(current, reason_of(error)) from None
        return recorded or self._record(images)

    def _convergence(self) -> Convergence:
        return Convergence(self.cluster, self.facts, self.place.private, self.console, self._ensure_databases)

    def _tried(self, wanted: Sequence[Object], known: inventory.Inventory | None) -> Preview:
        """What would change. A namespace is made when it is missing: without it the server can try nothing inside."""
        with self.console.waiting("the cluster tries everything, and keeps nothing of it"):
            preview = look(self.cluster, self.facts, wanted, known)
            if not preview.missing_namespaces:
                return preview
            # Only these: one that was there before has data in it, and is never deleted here.
            namespaces = [item for item in of_kind(wanted, "Namespace") if name_of(item) in preview.missing_namespaces]
            for item in namespaces:
                self.cluster.apply(item)
            try:
                return look(self.cluster, self.facts, wanted, known)
            except BaseException:
                for item in namespaces:
                    self.cluster.delete(identity(item))
                raise

    def _tell(self, what: str, fix: str) -> None:
        self.console.warning(what)
        self.console.detail(f"→ {fix}")

    def _name_damaged_releases(self) -> None:
        for record in self.releases.damaged():
            self.console.warning(f"{record} can't be read; this release is left out")

    def _is_what_is_rendered(self, current: Release, images: Mapping[str, str]) -> bool:
        """Whether the last `up` was finished and wanted the very same files and builds."""
        if dict(current.images) != dict(images):
            return False
        try:
            public, private = read_tree(current.rendered), read_tree(current.private_folder)
            same = public.digest() == read_tree(self.place.rendered).digest()
            return same and private.digest() == read_tree(self.place.private).digest()
        except MoorageError:
            return False

    @staticmethod
    def _is_settled(preview: Preview, known: inventory.Inventory | None) -> bool:
        """Whether the cluster has what is wanted and nothing else of ours, and says so."""
        left = [change for change in preview.changes if change.action != "keep"]
        return not left and known is not None

    def _is_well(self) -> bool:
        """One cheap look at the workloads; tells what is wrong."""
        troubles = self._convergence().waiting.ill(self.facts.everywhere)
        outside = entrance.trouble(self.cluster, self.facts) if not troubles else ""
        troubles = [*troubles, outside] if outside else troubles
        for text in troubles:
            self.console.warning(f"{text}; every step is gone through again")
        return not troubles

    def _fall_back(self, current: Release | None, error: DeployError) -> DeployError:
        """Bring the release before back; gives the error to raise, which says what serves now."""
        if current is None:
            why = "no earlier release can be read" if self.releases.damaged() else "this was the first release"
            return DeployError(
                f"{error.message}; {why}, so there is none to go back to. Data is untouched, what started stays for a look",
                error.hint or "fix the cause, then `moorage up` again",
            )
        self.console.action(f"going back to release {current.id}")
        try:
            self._restore(current, *files_of(current))
        except StepError as failure:
            second = reason_of(failure)
            return DeployError(
                f"{error.message}; going back to {current.id} failed too: {second.message}", second.hint or error.hint
            )
        return DeployError(f"{error.message}; release {current.id} serves", error.hint)

    def go_back(self, release: Release, current: Release) -> None:
        """Let an earlier release serve; the current one serves again when that fails.

        Raises DeployError, which says what serves; nothing was changed when the cluster would not take the earlier one.
        """
        files = files_of(release)
        facts = load_facts(release.rendered)
        known = inventory.read(self.cluster, facts)
        wanted = self._without_disks(wanted_objects(release.rendered, release.private_folder, facts, release.images))
        without_jobs = [item for item in wanted if item["kind"] != "Job"]
        refuse_data_risk(look(self.cluster, facts, without_jobs, known).risks)
        self.images.bring(facts, release.images)
        try:
            self._restore(release, *files)
        except StepError as error:
            raise self._fall_back(current, reason_of(error)) from None

    def _restore(self, release: Release, rendered: Tree, private: Tree) -> None:
        private_files.write(private, self.place.private)
        rendered.write(self.place.rendered)
        self.facts = load_facts(self.place.rendered)
        known = inventory.read(self.cluster, self.facts)
        everything = self._wanted(release.images)
        wanted = self._without_disks(everything)
        untouched = frozenset(map(identity, everything)) - frozenset(map(identity, wanted))
        self._convergence().run(wanted, known, run_jobs=False, untouched=untouched)
        self.releases.set_current(release.id)

    def _without_disks(self, wanted: list[Object]) -> list[Object]:
        """All but the claims that are there: an earlier release may have asked for less, and a disk never shrinks."""
        return [
            item
            for item in wanted
            if item["kind"] != "PersistentVolumeClaim" or self.cluster.read(identity(item), item["apiVersion"]) is None
        ]

    def _record(self, images: Mapping[str, str]) -> Release:
        """Keep what serves as a release. Raises DeployError when that fails: it serves all the same."""
        try:
            release = self.releases.record(self.place.rendered, self.place.private, images, datetime.now(timezone.utc))
            old = self.releases.superfluous()
            for item in old:
                self.releases.remove(item)
            self.images.tidy(self.facts)
        except StepError as error:
            reason = reason_of(error)
            raise DeployError(
                f"the new state serves, but could not be kept as a release: {reason.message}",
                reason.hint or "`moorage up` tries again",
            ) from None
        if old:
            self.console.detail(f"{plural(len(old), 'old release')} tidied away")
        return release


def _in_vain(release: Release, error: DeployError) -> DeployError:
    """The failure of a run that had nothing new to bring: going back to the very same would mend nothing."""
    return DeployError(
        f"{error.message}; every step of release {release.id} was repeated, and there is nothing newer to take back",
        error.hint or "`moorage logs` has the reason; `moorage rollback` goes to the release before",
    )
