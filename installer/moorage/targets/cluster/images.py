"""The images that are made on this machine: built, named by what is in them, and brought where the nodes find them.

A tag like `latest` says nothing of the build behind it: a pod whose image is called the same is not replaced, and an earlier
release would run the newest build. So the deployer lets pods run `notes:latest` as `notes:latest-<the build's id>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moorage.console import Console
from moorage.errors import CommandFailed, DeployError, MoorageError
from moorage.process import Result, run
from moorage.targets.builds import ASSETS_VARIABLE, BUILD_FILE
from moorage.targets.cluster import minikube
from moorage.targets.cluster.place import Place
from moorage.targets.job_recipe import LABEL_CONTENT, build_command, content_digest
from moorage.targets.k8s.facts import ClusterBackupFacts, ClusterFacts, MinikubeFacts
from moorage.targets.k8s.names import K8S_FOLDER
from moorage.targets.releases import Releases

_BUILD_SECONDS = 7200.0
_JOB_SECONDS = 1800.0
_LINES = 20
_ID_LENGTH = 12
_LONGEST_TAG = 128


def refuse_unpushed(facts: ClusterFacts) -> None:
    """Raise DeployError on a cluster elsewhere whose nodes could pull nothing of what is built here."""
    if facts.minikube is not None:
        return
    local = [name for name in facts.builds if not _has_registry(name)]
    if local:
        raise DeployError(
            f"{', '.join(local)}: built on this machine, where no node of the cluster finds it; nothing was changed",
            "push it to a registry and name it there: `images.registry` in moorage.yaml (an image without `build:` is taken as it is)",
        )


def _has_registry(name: str) -> bool:
    """Whether the reference names a registry's host: a first part with a dot or a port."""
    first, slash, _ = name.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def names_by_content(facts: ClusterFacts) -> dict[str, str]:
    """Reference → the name that says which build it is, of the images for minikube that are on this machine."""
    if facts.minikube is None:
        return {}
    ids = {name: _id(name) for name in facts.builds}
    return {name: _name_of(name, image_id) for name, image_id in ids.items() if image_id}


def _name_of(reference: str, image_id: str) -> str:
    """`notes:latest` and its id → `notes:latest-0123456789ab`."""
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = reference, "latest"
    suffix = image_id.removeprefix("sha256:")[:_ID_LENGTH]
    return f"{repository}:{tag[: _LONGEST_TAG - _ID_LENGTH - 1]}-{suffix}"


@dataclass(frozen=True)
class LocalImages:
    """The images of one deployment that are made on this machine. Without minikube there are none."""

    place: Place
    sources: Path
    console: Console
    build: bool = False
    no_cache: bool = False
    # Those of the release that serves, where nothing new is to be deployed.
    names: Mapping[str, str] | None = None

    def make(self, facts: ClusterFacts) -> dict[str, str]:
        """Build what is not here, or everything if that was asked for; gives `names_by_content`. Raises DeployError.

        Nothing is changed in the cluster.
        """
        if facts.minikube is None or not facts.builds:
            return {}
        if self.names is not None:
            return dict(self.names)
        found = names_by_content(facts)
        if self.build or self.no_cache or found.keys() != set(facts.builds):
            self._build(facts)
            found = names_by_content(facts)
        missing = [name for name in facts.builds if name not in found]
        if missing:
            raise DeployError(f"the image {missing[0]} is not here after building", "look at `build:` of its service")
        for name, kept in found.items():
            _docker("tag", name, kept)
        return found

    def bring(self, facts: ClusterFacts, names: Mapping[str, str]) -> None:
        """Give the cluster the builds of `names`, and the image of the backup job. Raises DeployError.

        Without the job's image the site is deployed all the same: that is told, loudly.
        """
        if facts.minikube is None:
            return
        for name, kept in names.items():
            # An app that starts containers itself knows no other name.
            if _id(kept) and _id(kept) != _id(name):
                _docker("tag", kept, name)
        ids = {name: _id(kept) for reference, kept in names.items() for name in (kept, reference)}
        minikube.load_images(facts.minikube, ids, self._memory, self.console)
        if facts.backups is not None:
            self._bring_job(facts.minikube, facts.backups, facts.pull)

    def _bring_job(self, settings: MinikubeFacts, job: ClusterBackupFacts, pull: str) -> None:
        # A ready-made one is pulled by the nodes.
        if not job.base_image:
            return
        try:
            self._make_job(job, pull)
        except MoorageError as error:
            _show_end(error, self.console)
            self.console.warning(f"NO NEW IMAGE FOR BACKUPS: {job.image} could not be made: {error.message}")
            self.console.detail("→ `moorage up` tries again; or set `backups.image` to a ready-made one")
        if _id(job.image):
            minikube.load_images(settings, {job.image: _id(job.image)}, self._memory, self.console)

    def _make_job(self, job: ClusterBackupFacts, pull: str) -> None:
        if not _id(job.base_image):
            if pull == "never":
                raise MoorageError(
                    f"{job.base_image} is not on this machine and `images.pull` is never",
                    f"`docker pull {job.base_image}`",
                )
            with self.console.waiting(f"pulling {job.base_image}"):
                run(["docker", "pull", "--quiet", job.base_image], timeout_seconds=_JOB_SECONDS)
        base_id = _id(job.base_image)
        if not self.no_cache and _label(job.image) == content_digest(base_id):
            return
        with (
            self.console.waiting(f"building the image of the backup job from {job.base_image}", _JOB_SECONDS),
            build_command(job.image, job.base_image, base_id, no_cache=self.no_cache) as command,
        ):
            run(["docker", *command], timeout_seconds=_JOB_SECONDS)

    def tidy(self, facts: ClusterFacts) -> None:
        """Take the names of builds away that no release runs any more."""
        if facts.minikube is None:
            return
        releases = Releases(self.place.folder, self.place.environment)
        kept = {name for release in releases.all() for name in release.images.values()}
        for name in minikube.remembered(self._memory):
            if _is_name_by_content(name, facts.builds) and name not in kept:
                _docker("rmi", name)
                minikube.forget_image(facts.minikube, name, self._memory)

    def _build(self, facts: ClusterFacts) -> None:
        file = self.place.rendered / K8S_FOLDER / BUILD_FILE
        if not file.is_file():
            raise MoorageError(
                f"{', '.join(facts.builds)}: not on this machine, and {file} does not say how to build it",
                "build it by `docker build`, under this very name, then `moorage up` again",
            )
        command = ["docker", "compose", "-f", str(file), "build", *(["--no-cache"] if self.no_cache else [])]
        try:
            with self.console.waiting(f"building {', '.join(facts.builds)} from {self.sources}", _BUILD_SECONDS):
                run(command, environment={ASSETS_VARIABLE: str(self.sources)}, timeout_seconds=_BUILD_SECONDS)
        except CommandFailed as error:
            _show_end(error, self.console)
            raise DeployError(
                "an image could not be built; nothing was changed", "the last lines of the build are above"
            ) from None

    @property
    def _memory(self) -> Path:
        return self.place.folder / "releases" / self.place.environment / "loaded-images.json"


def _is_name_by_content(name: str, builds: Sequence[str]) -> bool:
    base, _, suffix = name.rpartition("-")
    is_id = len(suffix) == _ID_LENGTH and not set(suffix) - set("0123456789abcdef")
    return is_id and base in {_name_of(reference, "x").rpartition("-")[0] for reference in builds}


def _show_end(error: MoorageError, console: Console) -> None:
    if isinstance(error, CommandFailed):
        console.detail("\n".join(error.output.splitlines()[-_LINES:]))


def _docker(*arguments: str) -> Result:
    return run(["docker", *arguments], check=False, timeout_seconds=60)


def _id(name: str) -> str:
    """The id of an image of this machine; empty when it is not here."""
    found = _docker("image", "inspect", "--format", "{{.Id}}", name)
    return found.output.strip() if found.status == 0 else ""


def _label(name: str) -> str:
    found = _docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL_CONTENT}"}}}}', name)
    return found.output.strip() if found.status == 0 else ""
