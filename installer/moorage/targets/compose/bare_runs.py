"""The backup job on a machine that has nothing yet: no rendered folder, only a store and the recovery key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moorage import __version__
from moorage.console import Console
from moorage.process import printable
from moorage.targets.compose import job_image
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import BackupFacts
from moorage.targets.compose.job_runs import follow_job
from moorage.targets.job_voice import JobResult

_PROJECT = "moorage-bare"
STORE_FOLDER = "/store"
KEY_FILE = "/run/secrets/recovery_key"
CREDENTIALS_FILE = "/run/secrets/credentials"
PLAN = "/plan/plan.json"


@dataclass(frozen=True)
class BareFiles:
    """What the container gets, by its place on this machine; `credentials` and `store` are None where there is none."""

    plan: Path
    key: Path
    work: Path
    target: Path
    store: Path | None
    credentials: Path | None


def run(console: Console, base_image: str, files: BareFiles, arguments: Sequence[str]) -> JobResult:
    """One verb of the job in an image that is made for it. Raises MoorageError when that can't be made."""
    docker = Docker(_PROJECT, files.target, console)
    image = f"moorage-job/bare:{base_image.replace('/', '-').replace(':', '-')}-{__version__}"
    job = BackupFacts((), "", "", image, base_image, "", (), (), "", 0)
    if not job_image.is_current(docker, job):
        job_image.build_job(docker, job, console)
    # A store that is a folder needs no network; and whoever had the image's name at a registry would get the key.
    reach = ["--network", "none"] if files.store is not None else []
    command = [
        "docker",
        "run",
        "--rm",
        "--init",
        "--pull",
        "never",
        *reach,
        *_confined(),
        *_mounts(files),
        image,
        *arguments,
    ]
    console.command(printable(command))
    return follow_job([*command, "--plan", PLAN, "--json"], console, files.target)


def _confined() -> list[str]:
    capabilities = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID")
    added = [word for name in capabilities for word in ("--cap-add", name)]
    tmpfs = ("--tmpfs", "/run/moorage:mode=0700", "--tmpfs", "/tmp:mode=1777")  # noqa: S108 - in the container
    return [
        "--user",
        "0:0",
        "--cap-drop",
        "ALL",
        *added,
        "--security-opt",
        "no-new-privileges:true",
        "--read-only",
        *tmpfs,
    ]


def _mounts(files: BareFiles) -> list[str]:
    given: list[tuple[Path | None, str]] = [
        (files.plan, f"{PLAN}:ro"),
        (files.key, f"{KEY_FILE}:ro"),
        (files.work, "/work"),
        (files.target, "/restore"),
        (files.store, f"{STORE_FOLDER}:ro"),
        (files.credentials, f"{CREDENTIALS_FILE}:ro"),
    ]
    return [word for source, target in given if source is not None for word in ("--volume", f"{source}:{target}")]
