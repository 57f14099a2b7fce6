"""Backups: the job's image is here, the stores' folders are there, and not only on the disk that holds the data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moorage.backups.log_state import LogState, client, judge_log, read_log_state
from moorage.checks import volumes
from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.words import plural

NAME = "backups"
_KEY = ("backups", "stores")


@dataclass(frozen=True)
class BackupCheckFacts:
    """Directory → whether it is there; those on the disk of Docker's data; the image, None when that is not known; the log."""

    directories: Mapping[str, bool] = field(default_factory=dict)
    beside_data: tuple[str, ...] = ()
    image_is_here: bool | None = None
    is_installed: bool = False
    log: LogState | None = None


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Look at folders and image and judge."""
    return judge(gather(needs, engine), needs)


def gather(needs: Needs, engine: Engine) -> BackupCheckFacts:
    """Ask the file systems, and the engine for the image."""
    job = needs.backups
    if job is None:
        return BackupCheckFacts()
    view = engine.view()
    data = _device(Path(str(view.info.get("DockerRootDir") or "/var/lib/docker")) if view.answers else Path("/"))
    places = [Path(place) for place in job.directories]
    is_here = engine.ask("image", "inspect", "--format", "{{.Id}}", job.image).is_good if view.answers else None
    return BackupCheckFacts(
        directories={str(place): place.is_dir() for place in places},
        beside_data=tuple(str(place) for place in places if place.is_dir() and _device(place) == data),
        image_is_here=is_here,
        log=_log(needs, engine) if view.answers else None,
        is_installed=volumes.is_installed(volumes.gather(needs.volumes, engine), needs),
    )


def _log(needs: Needs, engine: Engine) -> LogState | None:
    """What the running database says of its log; None where it keeps none or does not run."""
    job = needs.backups
    if job is None or not job.log_store:
        return None
    labels = {"project": needs.project, "service": job.database_service}
    filters = [
        word for key, value in labels.items() for word in ("--filter", f"label=com.docker.compose.{key}={value}")
    ]
    found = engine.ask("ps", "--quiet", *filters).output.split()
    return read_log_state(engine.ask("exec", found[0], *client(job.superuser)).output) if found else None


def _device(place: Path) -> int:
    """The file system of a place, -1 when it is not there."""
    try:
        return os.stat(place).st_dev  # noqa: PTH116 - as in `os.statvfs`
    except OSError:
        return -1


def judge(facts: BackupCheckFacts, needs: Needs) -> tuple[Finding, ...]:
    """What stands in the way of the next night, or one line for all."""
    job = needs.backups
    if job is None:
        return (
            warning(NAME, "are off: nothing of this deployment is saved", "take `enabled: false` away", ("backups",)),
        )
    log = (failure(NAME, item.text, item.fix, _KEY) for item in judge_log(facts.log, job.log_store))
    wrong = (*_image(facts, needs), *_directories(facts), *log, *_disk(facts, needs))
    image = {True: ", the job's image is here", False: "; `moorage up` builds the job's image", None: ""}
    return wrong or (ok(NAME, f"{plural(job.store_count, 'store')}{image[facts.image_is_here]}"),)


def _image(facts: BackupCheckFacts, needs: Needs) -> Iterator[Finding]:
    assert needs.backups is not None
    # Before the first `up` nobody could have built it.
    if facts.is_installed and facts.image_is_here is False:
        text = f"no backups are made: the image {needs.backups.image} is not here"
        yield failure(NAME, text, "`moorage up` builds it and says what is in the way", ("backups",))


def _directories(facts: BackupCheckFacts) -> Iterator[Finding]:
    for place, is_there in facts.directories.items():
        if not is_there:
            fix = f"mount its disk, or make it: `mkdir -p -m 700 {place}`"
            yield failure(NAME, f"the store's folder {place} does not exist", fix, _KEY)


def _disk(facts: BackupCheckFacts, needs: Needs) -> Iterator[Finding]:
    """Whether anything is elsewhere when this disk breaks."""
    job = needs.backups
    assert job is not None
    if job.has_default_store or len(facts.beside_data) == job.store_count:
        where = ", ".join(facts.beside_data) or "a folder beside moorage.yaml"
        text = f"are kept on the disk that holds the data ({where}): who loses the disk loses both"
        yield warning(NAME, text, "add another disk or a bucket under `backups.stores` (docs/backups.md)", _KEY)
