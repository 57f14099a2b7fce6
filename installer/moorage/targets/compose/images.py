"""Images: all of them here before anything stops, remembered by id, old ones of ours tidied away."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path

from moorage.console import Console
from moorage.errors import CommandFailed, DeployError
from moorage.process import printable
from moorage.targets.builds import ASSETS_VARIABLE, BUILD_FILE
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import StackFacts
from moorage.unkept import UNKEPT_FIX, unkept_folders, unkept_text
from moorage.words import plural

# A second name for every image of a release, so that a moved tag or a `docker image prune` takes nothing away.
KEEP_REPOSITORY = "moorage-release"
_BUILD_SECONDS = 7200.0
_BUILD_LINES = 40


def obtain(
    docker: Docker, facts: StackFacts, console: Console, sources: Path | None, *, build: bool, no_cache: bool
) -> dict[str, str]:
    """Pull or build what is missing; gives reference → image id of everything that will run.

    That of the backup job, and of a Postgres whose log is archived, are another module's: `job_image`.
    Raises DeployError when an image cannot be had; nothing has been stopped then.
    """
    wanted = wanted_images(facts)
    built = _built(facts)
    present = docker.image_ids(wanted)
    if build or (built - set(present)):
        _build(docker, facts, console, sources, no_cache=no_cache)
    for reference in wanted:
        if reference not in built and (reference not in present or facts.pull == "always"):
            _pull(docker, facts, console, reference, is_present=reference in present)
    for extra in facts.extra_images:
        if extra.image != extra.name:
            docker.docker("tag", extra.image, extra.name)
    found = docker.image_ids(facts.image_references)
    made_later = _server_image(facts)
    missing = [name for name in facts.image_references if name not in found and name != made_later]
    if missing:
        raise DeployError(
            f"the image {missing[0]} is not here after building", "look at `image:` and `build:` of its service"
        )
    return found


def warn_of_unkept(docker: Docker, facts: StackFacts, console: Console, images: Mapping[str, str]) -> None:
    """Tell of data that an image keeps where the app file mounts nothing; rendering can't know it, the image says it."""
    declared = docker.image_volumes(list(images.values()))
    for service in facts.services:
        if not service.one_shot:
            folders = unkept_folders(declared.get(images[service.image], ()), service.mounted)
            if folders:
                console.warning(f"{unkept_text(service.name, folders)}; {UNKEPT_FIX}")


def wanted_images(facts: StackFacts) -> list[str]:
    """Every image that must be had, sorted; the further names that the app itself uses are given afterwards."""
    further_names = {item.name for item in facts.extra_images if item.name != item.image}
    names = {reference for reference in facts.image_references if reference not in further_names}
    if _server_image(facts):
        # What Postgres runs from is made of the image that the operator knows.
        assert facts.backups is not None
        names = (names - {_server_image(facts)}) | ({facts.backups.base_image} - {""})
    return sorted(names)


def _server_image(facts: StackFacts) -> str:
    """The image of a Postgres whose log is archived, made by `job_image`; "" where there is none."""
    return facts.backups.server_image if facts.backups else ""


def _built(facts: StackFacts) -> set[str]:
    """The images that are made on this host."""
    return {item.image for item in facts.services if item.builds} | {
        item.image for item in facts.extra_images if item.builds
    }


def _build(docker: Docker, facts: StackFacts, console: Console, sources: Path | None, *, no_cache: bool) -> None:
    if sources is None or not sources.is_dir():
        raise DeployError(f"the folder of the sources does not exist: {sources}", "set `images.source` in moorage.yaml")
    count = plural(len(_built(facts)), "image")
    console.action(f"building {count} from {sources}")
    options = ["--no-cache"] if no_cache else []
    with console.waiting(f"building {count}"):
        result = docker.compose(
            "build",
            *options,
            files=[BUILD_FILE],
            environment={ASSETS_VARIABLE: str(sources)},
            check=False,
            timeout_seconds=_BUILD_SECONDS,
        )
    if result.status != 0:
        # What the failed step said is on one of the streams, that it failed on the other; which, depends on the version.
        said = f"{result.output.rstrip()}\n{result.errors}".strip()
        console.detail("\n".join(said.splitlines()[-_BUILD_LINES:]))
        there = printable(["cd", str(docker.compose_folder)])
        again = printable(["env", f"{ASSETS_VARIABLE}={sources}", "docker", "compose", "-f", BUILD_FILE, "build"])
        raise DeployError(
            "an image could not be built; nothing was stopped",
            f"the last lines of the build are above; all of them: `{there} && {again}`",
        )


def _pull(docker: Docker, facts: StackFacts, console: Console, reference: str, *, is_present: bool) -> None:
    if facts.pull == "never":
        raise DeployError(
            f"the image {reference} is not on this host and `images.pull` is never; nothing was stopped",
            f"`docker pull {reference}`, or `docker load` it from a file",
        )
    try:
        with console.waiting(f"pulling {reference}"):
            docker.docker("pull", "--quiet", reference, timeout_seconds=3600)
    except CommandFailed as error:
        reason = error.output.splitlines()[-1] if error.output else "no reason given"
        if is_present:
            console.warning(f"{reference} could not be pulled, the one that is here is used: {reason}")
            return
        raise DeployError(
            f"the image {reference} cannot be obtained; nothing was stopped: {reason}",
            "is the name right, is the registry reachable, are you logged in (`docker login`)?",
        ) from None
    console.success(f"pulled {reference}")


def keep(docker: Docker, project: str, release: str, images: Mapping[str, str]) -> None:
    """Give every image of a release a second name."""
    for reference, image_id in images.items():
        docker.docker("tag", image_id, _kept_name(project, release, reference))


def forget_all_but(docker: Docker, project: str, releases: Collection[str]) -> None:
    """Take the second names of all other releases away; an image that nothing else names goes with its last one.

    It looks at what is there, so it also finds names that a run which was cut off has left.
    """
    listed = docker.docker(
        "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{KEEP_REPOSITORY}/{project}/*", check=False
    )
    for name in listed.output.split():
        if name.rpartition(":")[2] not in releases:
            docker.docker("rmi", name, check=False)


def check_present(docker: Docker, images: Mapping[str, str]) -> None:
    """Raise DeployError when an image of a release is gone."""
    for reference, image_id in images.items():
        if not docker.image_id(image_id):
            raise DeployError(
                f"the image of that release is gone: {reference} ({image_id[:19]})",
                "build or pull it again, then `moorage up`",
            )


def restore_names(docker: Docker, images: Mapping[str, str]) -> None:
    """Make every reference mean the image that it meant in a release, after `check_present`."""
    for reference, image_id in images.items():
        # A reference by digest always means the same image and cannot be a tag.
        if "@" not in reference and docker.image_id(reference) != image_id:
            docker.docker("tag", image_id, reference)


def _kept_name(project: str, release: str, reference: str) -> str:
    name = "".join(letter if letter.isalnum() else "-" for letter in reference.lower()).strip("-")
    # `a/b:1` and `a-b:1` are two images, each with a name of its own.
    return f"{KEEP_REPOSITORY}/{project}/{name}-{sha256(reference.encode()).hexdigest()[:8]}:{release}"
