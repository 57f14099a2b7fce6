"""Disk: room for images, data and logs where Docker keeps them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moorage.checks import volumes
from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.quantities import GIBIBYTE, human_size

NAME = "disk"
_KEY = ("resources", "host", "disk_size")
_STANDARD_PLACES = (Path("/var/lib/docker"), Path("/var/lib"), Path("/"))

# Below this Postgres stops writing soon, and the next pull fails half-way.
_LEAST = GIBIBYTE
_FEW_INODES = 100_000
_NO_INODES = 10_000
_MAKE_ROOM = (
    "`docker system df` shows what Docker holds, `docker builder prune` and `docker image prune` free what nothing uses"
)


@dataclass(frozen=True)
class DiskFacts:
    """The file system under Docker's data in bytes and inodes (0 total inodes: it has no such limit)."""

    place: str
    is_guessed: bool
    total: int
    free: int
    inodes: int
    free_inodes: int
    is_read_only: bool
    is_installed: bool
    folder_is_writable: bool


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Measure the disk and judge."""
    return judge(gather(needs, engine), needs)


def gather(needs: Needs, engine: Engine) -> DiskFacts | None:
    """Ask the file system that holds Docker's data root; None when nothing can be asked."""
    view = engine.view()
    root = str(view.info.get("DockerRootDir") or "") if view.answers else ""
    for place in ([Path(root)] if root else []) + list(_STANDARD_PLACES):
        try:
            found = os.statvfs(place)
        except OSError:
            continue
        return DiskFacts(
            place=str(place),
            is_guessed=str(place) != root,
            total=found.f_blocks * found.f_frsize,
            free=found.f_bavail * found.f_frsize,
            inodes=found.f_files,
            free_inodes=found.f_favail,
            is_read_only=bool(found.f_flag & os.ST_RDONLY),
            is_installed=volumes.is_installed(volumes.gather(needs.volumes, engine), needs),
            folder_is_writable=os.access(needs.folder, os.W_OK),
        )
    return None


def judge(facts: DiskFacts | None, needs: Needs) -> tuple[Finding, ...]:
    """The lines about room, inodes, and whether anything can be written at all."""
    if facts is None:
        return (warning(NAME, "the free space is not known", f"`df -h /var/lib/docker` must show {_needed(needs)}"),)
    return (*_writable(facts, needs), *_room(facts, needs), *_inodes(facts))


def _needed(needs: Needs) -> str:
    return human_size(needs.minimum_disk + needs.log_budget)


def _writable(facts: DiskFacts, needs: Needs) -> Iterator[Finding]:
    if facts.is_read_only:
        text = f"the file system of {facts.place} is read-only"
        yield failure(
            NAME, text, f"`dmesg | tail` says why; then `mount -o remount,rw $(findmnt -no TARGET -T {facts.place})`"
        )
    if not facts.folder_is_writable:
        text = f"{needs.folder} cannot be written by this user"
        yield failure(NAME, text, f"run moorage as the owner of {needs.folder}, or as root")


def _room(facts: DiskFacts, needs: Needs) -> Iterator[Finding]:
    needed = needs.minimum_disk + needs.log_budget
    has = f"{facts.place} has {human_size(facts.free)} free of {human_size(facts.total)}"
    # What is installed has already taken its part of the minimum: only what still grows must fit.
    if facts.is_installed:
        enough = max(needs.log_budget, needed // 4, _LEAST)
        if facts.free < _LEAST:
            yield failure(NAME, f"{has}: the database stops when it is full", f"{_MAKE_ROOM}; or a larger disk")
        elif facts.free < enough:
            text = f"{has}: the next update and the logs need {human_size(enough)}"
            yield warning(NAME, text, f"{_MAKE_ROOM}; or a larger disk")
        else:
            yield ok(NAME, f"{has} (installed; should keep {human_size(enough)})")
    elif facts.free < needed:
        parts = f"{human_size(needs.minimum_disk)} for the app, {human_size(needs.log_budget)} for logs"
        yield failure(
            NAME, f"{has}, needs {human_size(needed)} ({parts})", f"a larger disk, or make room: {_MAKE_ROOM}"
        )
    else:
        yield ok(NAME, f"{has} (needs {human_size(needed)})")
    # A disk that is sold with 40 GB shows 37 GiB, and the system has its partitions.
    if needs.disk > facts.total + facts.total // 8:
        text = f"{facts.place} has {human_size(facts.total)} in all, moorage.yaml plans with {human_size(needs.disk)}"
        fix = f"set `resources.host.disk_size: {facts.total // GIBIBYTE}Gi`, or a larger disk"
        yield failure(NAME, text, fix, _KEY)
    if facts.is_guessed:
        text = f"where Docker keeps its data is not known; {facts.place} was looked at"
        yield warning(NAME, text, "mend what `engine` says above, then `moorage check` again")


def _inodes(facts: DiskFacts) -> Iterator[Finding]:
    if not facts.inodes or facts.free_inodes >= _FEW_INODES:
        return
    text = f"{facts.place} has {facts.free_inodes} inodes left of {facts.inodes}: no files can be made when they are used up"
    fix = f"`du --inodes -x -d 3 {facts.place} | sort -n | tail` shows where they are; {_MAKE_ROOM}"
    say = failure if facts.free_inodes < _NO_INODES else warning
    yield say(NAME, text, fix)
