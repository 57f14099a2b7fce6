"""A rendered folder → a running stack on one server. Safe to repeat, safe to kill at any moment.

The order: images, databases, jobs, services, routes, what is gone, then the look from outside. Nothing
stops before every image is here. When a step fails, the release before serves again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from moorage.backups.failures import Busy
from moorage.console import Console
from moorage.durable import make_closed_folder, named_failure
from moorage.errors import DeployError, MoorageError
from moorage.targets import private_files
from moorage.targets.compose import images, job_image
from moorage.targets.compose.converge import Convergence
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.job_runs import JobRunner
from moorage.targets.compose.names import OVERRIDE_FILE
from moorage.targets.compose.place import Place, files_of, load_facts, previous_facts, refuse_data_risk
from moorage.targets.compose.plan import ContainerPlan, plan_containers
from moorage.targets.compose.rollout import Rollouts
from moorage.targets.job_voice import BACKUP
from moorage.targets.reasons import StepError, reason_of
from moorage.targets.releases import Release, Releases, read_tree
from moorage.tree import Tree
from moorage.words import plural


@dataclass(frozen=True)
class UpOptions:
    """What the operator may choose for one `up`."""

    sources: Path | None = None
    build: bool = False
    no_cache: bool = False


class Deployer:
    """Deploys one rendered folder; hold the deployment's lock while using it."""

    def __init__(self, place: Place, console: Console, lock_descriptor: int | None = None) -> None:
        self.place = place
        self.console = console
        self.facts = load_facts(place.rendered)
        self.docker = Docker(self.facts.project, place.compose, console, lock_descriptor)
        self.releases = Releases(place.folder, place.environment)
        self.convergence = self._convergence()

    def _convergence(self) -> Convergence:
        rollouts = Rollouts(self.docker, self.facts, self.console, self.place.rollout_marker)
        return Convergence(self.docker, self.facts, rollouts, self.place.private, self.console)

    def plan(self) -> ContainerPlan:
        """What `up` would do to the containers."""
        wanted = self.facts
        image_ids = self.docker.image_ids(wanted.image_references)
        return plan_containers(
            wanted,
            self.docker.containers(),
            image_ids,
            self.docker.volumes(wanted.volumes),
            previous_facts(self.releases),
            self.docker.networks(list(wanted.network_names)),
        )

    def up(self, options: UpOptions) -> Release | None:
        """Bring the stack to the rendered state; gives the release that serves, or None when nothing was to be done.

        It is a new one only when files or images differ: a container that was started again makes no release.
        Raises DeployError when it failed; the release before serves again, if there was one.
        """
        refuse_data_risk(self.facts, previous_facts(self.releases), "undo the change in moorage.yaml")
        self._name_damaged_releases()
        current = self.releases.current()
        image_ids = images.obtain(
            self.docker, self.facts, self.console, options.sources, build=options.build, no_cache=options.no_cache
        )
        self._prepare_backups()
        image_ids |= job_image.ensure(self.docker, self.facts, self.console, no_cache=options.no_cache)
        recorded = current if current is not None and self._is_what_is_rendered(current, image_ids) else None
        if recorded is not None and self._is_settled() and self._is_well():
            self.convergence.join_project_networks()
            return None
        images.warn_of_unkept(self.docker, self.facts, self.console, image_ids)
        self.convergence.check_files()
        try:
            self.convergence.run(image_ids, run_jobs=True)
            self.convergence.look_from_outside()
            self._prepare_archive()
        except StepError as error:
            if recorded is not None:
                raise _in_vain(recorded, reason_of(error)) from None
            raise self._fall_back(current, reason_of(error)) from None
        return recorded or self._record(image_ids)

    def _prepare_backups(self) -> None:
        """The folder of the store that nobody configured; that of any other must be there already."""
        if self.facts.backups is not None and self.facts.backups.default_folder:
            folder = self.place.folder / self.facts.backups.default_folder
            with named_failure(folder):
                make_closed_folder(folder)

    def obtain_images(self, options: UpOptions) -> None:
        """Every image of the rendered folder, the job's included. Raises DeployError; nothing is started."""
        images.obtain(
            self.docker, self.facts, self.console, options.sources, build=options.build, no_cache=options.no_cache
        )
        job_image.ensure(self.docker, self.facts, self.console)

    def _prepare_archive(self) -> None:
        """Let the log arrive in its store. Failing at it stops no deploy: the log waits, `status` tells, a night mends it."""
        job = self.facts.backups
        if job is None or not job.server_image or not self.docker.image_id(job.image):
            return
        with self.console.waiting("the database's log arrives in its store"):
            runner = JobRunner(self.place.compose, job.services, self.console)
            ended = runner.run(BACKUP, ["prepare-archive"])
        # A night that is under way does the same.
        if ended.status not in (0, Busy.exit_status):
            reason = ended.failure or " ".join(ended.lines[-2:])
            self.console.warning(f"point-in-time recovery does not work yet: {reason}")
            self.console.detail(f"→ {ended.hint or '`moorage backup run` tries again'}")

    def _name_damaged_releases(self) -> None:
        for record in self.releases.damaged():
            self.console.warning(f"{record} can't be read; this release is left out")

    def _is_what_is_rendered(self, current: Release, image_ids: Mapping[str, str]) -> bool:
        """Whether the last `up` was finished and wanted the very same files and images.

        Not only what shows in containers: jobs, databases and the look from outside have none that would tell.
        """
        if dict(current.images) != dict(image_ids):
            return False
        try:
            public, private = read_tree(current.rendered), read_tree(current.private_folder)
        except MoorageError:
            return False
        return public.digest() == read_tree(self.place.rendered).digest() and (
            private.digest() == read_tree(self.place.private).digest()
        )

    def _is_settled(self) -> bool:
        """Whether every container is the one that is wanted."""
        return not self.place.rollout_marker.exists() and not self.plan()

    def _is_well(self) -> bool:
        """One cheap look at the containers and at the site; tells what is wrong.

        What is as it should be may be ill all the same: then every step is repeated, databases and roles included.
        """
        unwell = {item.service for item in self.docker.containers() if not item.is_ready}
        lasting = [item for item in self.facts.services if item.name in unwell and item.replicas and not item.one_shot]
        found = [self.convergence.illness_of(service) for service in lasting]
        troubles = [text for text in found if text] or self.convergence.outside_troubles()
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
            self.restore(current)
        except StepError as failure:
            second = reason_of(failure)
            return DeployError(
                f"{error.message}; going back to {current.id} failed too: {second.message}", second.hint or error.hint
            )
        return DeployError(f"{error.message}; release {current.id} serves", error.hint)

    def go_back(self, release: Release, current: Release) -> None:
        """Let an earlier release serve; the current one serves again when that fails.

        Raises DeployError, which says what serves; nothing was changed when the earlier one is not whole any more.
        """
        files = self._files_to_restore(release)
        try:
            self._restore(release, *files)
        except StepError as error:
            raise self._fall_back(current, reason_of(error)) from None

    def restore(self, release: Release) -> None:
        """Make an earlier release what is rendered and what runs. Database migrations stay as they are.

        Raises DeployError when it is not whole any more; nothing was changed then.
        """
        self._restore(release, *self._files_to_restore(release))

    def _files_to_restore(self, release: Release) -> tuple[Tree, Tree]:
        """The rendered and the private files. Raises DeployError for what must not or can't be gone back to."""
        files = files_of(release)
        before = previous_facts(self.releases)
        refuse_data_risk(load_facts(release.rendered), before, "choose a release with the same database")
        images.check_present(self.docker, release.images)
        return files

    def _restore(self, release: Release, rendered: Tree, private: Tree) -> None:
        images.restore_names(self.docker, release.images)
        private_files.write(private, self.place.private)
        rendered.write(self.place.rendered)
        self.facts = load_facts(self.place.rendered)
        self.docker = Docker(self.facts.project, self.place.compose, self.console, self.docker.lock_descriptor)
        self.convergence = self._convergence()
        self.convergence.run(dict(release.images), run_jobs=False)
        self.convergence.look_from_outside()
        self.releases.set_current(release.id)
        self._tell_other_override(release, private)

    def _tell_other_override(self, release: Release, private: Tree) -> None:
        """The operator's own file is never written: it may say something else now than what runs."""
        kept = private.files.get(OVERRIDE_FILE)
        if kept is None and self.facts.override_digest:
            # Of a time when releases had no copy: it runs with the present one.
            return
        place = self.place.folder / OVERRIDE_FILE
        present = place.read_bytes() if place.is_file() else None
        if present != (kept.content if kept else None):
            of_release = "the one that it was made with" if kept else "none"
            self.console.warning(f"{OVERRIDE_FILE} is another one now; release {release.id} runs with {of_release}")

    def _record(self, image_ids: Mapping[str, str]) -> Release:
        """Keep what serves as a release. Raises DeployError when that fails: it serves all the same."""
        now = datetime.now(timezone.utc)
        try:
            # First the images, so that there is no release whose images a `docker image prune` may take.
            images.keep(self.docker, self.facts.project, self.releases.next_id(now), image_ids)
            release = self.releases.record(self.place.rendered, self.place.private, image_ids, now)
            self._tidy_away()
        except StepError as error:
            reason = reason_of(error)
            raise DeployError(
                f"the new state serves, but could not be kept as a release: {reason.message}",
                reason.hint or "`moorage up` tries again",
            ) from None
        return release

    def _tidy_away(self) -> None:
        old = self.releases.superfluous()
        for item in old:
            self.releases.remove(item)
        images.forget_all_but(self.docker, self.facts.project, self.releases.ids())
        job = self.facts.backups
        job_image.tidy(self.docker, self.facts.project, (job.image, job.server_image) if job else ())
        if old:
            self.console.detail(f"{plural(len(old), 'old release')} tidied away")


def _in_vain(release: Release, error: DeployError) -> DeployError:
    """The failure of a run that had nothing new to bring: going back to the very same would mend nothing."""
    return DeployError(
        f"{error.message}; every step of release {release.id} was repeated, and there is nothing newer to take back",
        error.hint or "`moorage logs` has the reason; `moorage rollback` goes to the release before",
    )
