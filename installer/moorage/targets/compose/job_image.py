"""The image of the backup job: built here from the database's own image, again only when something in it changed.

Failing at this never keeps a site from being deployed: a repair at night must not hang on a package mirror. It is
told loudly, and `check` and `status` stay red until the image is there. The one exception is the image of a Postgres
whose log is archived, when there was none before: a server that runs on without archiving would be a promise broken in
silence, so `up` ends before anything stops, and says how to go without.
"""

from __future__ import annotations

from collections.abc import Collection

from moorage.console import Console
from moorage.errors import CommandFailed, DeployError, MoorageError
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import BackupFacts, StackFacts
from moorage.targets.job_recipe import JOB, LABEL_CONTENT, SERVER, build_command, content_digest

_REPOSITORY = "moorage-job"
_BUILD_SECONDS = 1800.0
_BUILD_LINES = 15


def ensure(docker: Docker, facts: StackFacts, console: Console, *, no_cache: bool = False) -> dict[str, str]:
    """Reference → id of the job's image, made or obtained when it is not here; empty, and told, when it can't be had.

    With it that of a Postgres whose log is archived; raises DeployError when that one can't be had.
    """
    job = facts.backups
    if job is None:
        return {}
    found = _ensure_server(docker, job, facts.pull, console, no_cache=no_cache)
    try:
        if not job.base_image:
            _obtain(docker, job.image, facts.pull, console)
        elif no_cache or not is_current(docker, job):
            # What both have in common was just made anew.
            _build(docker, job, facts.pull, console, JOB, no_cache=no_cache and not found)
    except MoorageError as error:
        _tell(docker, job, console, error)
    image_id = docker.image_id(job.image)
    return {**found, **({job.image: image_id} if image_id else {})}


def _ensure_server(docker: Docker, job: BackupFacts, pull: str, console: Console, *, no_cache: bool) -> dict[str, str]:
    """The image of a Postgres whose log is archived, empty where none is. An earlier one serves on when a new one fails."""
    if not job.server_image:
        return {}
    try:
        if not job.base_image:
            _obtain(docker, job.server_image, pull, console)
        elif no_cache or not _is_server_current(docker, job):
            _build(docker, job, pull, console, SERVER, no_cache=no_cache)
    except MoorageError as error:
        _show_build(error, console)
        if not docker.image_id(job.server_image):
            raise DeployError(
                f"{job.server_image}, from which Postgres archives its log, could not be had; nothing was stopped: "
                f"{error.message}",
                "are the mirrors of the packages reachable? Or go without: `backups.point_in_time: off`",
            ) from None
        console.warning(f"Postgres goes on with the earlier {job.server_image}: {error.message}")
    return {job.server_image: docker.image_id(job.server_image)}


def _is_server_current(docker: Docker, job: BackupFacts) -> bool:
    if not job.base_image:
        return bool(docker.image_id(job.server_image))
    base = docker.image_id(job.base_image)
    label = docker.image_label(job.server_image, LABEL_CONTENT)
    return bool(base) and label == content_digest(base, SERVER)


def outdated(docker: Docker, job: BackupFacts | None) -> tuple[str, ...]:
    """The images that `ensure` would make or obtain now."""
    if job is None:
        return ()
    server = () if not job.server_image or _is_server_current(docker, job) else (job.server_image,)
    return (*server, *(() if is_current(docker, job) else (job.image,)))


def is_current(docker: Docker, job: BackupFacts) -> bool:
    """Whether the image is here and made of what it would be made of now."""
    if not job.base_image:
        return bool(docker.image_id(job.image))
    base = docker.image_id(job.base_image)
    return bool(base) and docker.image_label(job.image, LABEL_CONTENT) == content_digest(base)


def _obtain(docker: Docker, reference: str, pull: str, console: Console) -> None:
    """Pull an image that is not here. Raises MoorageError when that fails or is not wanted."""
    if docker.image_id(reference):
        return
    if pull == "never":
        raise MoorageError(f"{reference} is not on this host and `images.pull` is never", f"`docker pull {reference}`")
    with console.waiting(f"pulling {reference}"):
        docker.docker("pull", "--quiet", reference, timeout_seconds=3600)


def build_job(docker: Docker, job: BackupFacts, console: Console) -> None:
    """The job's image alone, where no deployment is rendered yet. Raises MoorageError with the build's last line."""
    _build(docker, job, "missing", console, JOB, no_cache=False)


def _build(docker: Docker, job: BackupFacts, pull: str, console: Console, target: str, *, no_cache: bool) -> None:
    """One of the two images of the recipe. Raises MoorageError with the build's last line."""
    name, what = (job.image, "the backup job") if target == JOB else (job.server_image, "Postgres with pgBackRest")
    _obtain(docker, job.base_image, pull, console)
    console.action(f"building the image of {what} from {job.base_image}")
    base_id = docker.image_id(job.base_image)
    with (
        console.waiting(f"building {what}"),
        build_command(name, job.base_image, base_id, target, no_cache=no_cache) as command,
    ):
        docker.docker(*command, timeout_seconds=_BUILD_SECONDS)
    console.success(f"{name} built")


def _tell(docker: Docker, job: BackupFacts, console: Console, error: MoorageError) -> None:
    _show_build(error, console)
    is_old_here = bool(docker.image_id(job.image))
    what = "backups go on with the earlier image" if is_old_here else "NO BACKUPS ARE MADE"
    console.warning(f"{what}: {job.image} could not be had: {error.message}")
    console.detail(
        "→ are the mirrors of the packages reachable? `moorage up` tries again; or set `backups.image` to a ready-made one"
    )


def _show_build(error: MoorageError, console: Console) -> None:
    if isinstance(error, CommandFailed):
        console.detail("\n".join(error.output.splitlines()[-_BUILD_LINES:]))


def tidy(docker: Docker, project: str, keep: Collection[str] = ()) -> None:
    """Take the names of this project's other job images away; releases keep theirs under names of their own."""
    listed = docker.docker(
        "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{_REPOSITORY}/{project}:*", check=False
    )
    for name in listed.output.split():
        if name not in keep:
            docker.docker("rmi", name, check=False)
