"""How far a bare restore is: in a file of the folder that it fills, so that the same command goes on after a kill."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from moorage.console import Console
from moorage.durable import replace_file, sync_folder
from moorage.errors import InputError, MoorageError
from moorage.process import printable
from moorage.targets.compose.docker import Docker

SCRATCH = ".moorage-restoring"
_FILE = "attempt.json"

# moving: files of the deployment's folder; filling: databases and volumes; starting: all data are there.
Phase = Literal["moving", "filling", "starting"]


@dataclass(frozen=True)
class Attempt:
    """What is brought here: the backup's record, and how far that is."""

    project: str
    record: dict[str, Any]
    # In which environment it comes up; that of the backup where it is empty.
    environment: str = ""
    phase: Phase = "moving"


def begun(folder: Path) -> Attempt | None:
    """The attempt that was cut off here, if any. Raises InputError when the folder holds anything else."""
    place = folder / SCRATCH / _FILE
    if place.is_file():
        try:
            return Attempt(**json.loads(place.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise MoorageError(f"{place} can't be read", "take an empty folder") from None
    if folder.is_dir() and {entry.name for entry in folder.iterdir()} - {SCRATCH}:
        raise InputError(
            f"{folder} is not empty",
            "`moorage -C NEW-FOLDER restore --bare …`; on the server itself: `moorage backup restore`",
        )
    return None


def note(folder: Path, attempt: Attempt) -> Attempt:
    """Write down how far it is, durably."""
    place = folder / SCRATCH / _FILE
    replace_file(place, json.dumps(asdict(attempt)).encode(), 0o600)
    sync_folder(place.parent)
    return attempt


def advance(folder: Path, attempt: Attempt, phase: Phase) -> Attempt:
    """The next phase."""
    return note(folder, replace(attempt, phase=phase))


def finish(folder: Path) -> None:
    """Nothing is left to go on with; the file goes first."""
    (folder / SCRATCH / _FILE).unlink(missing_ok=True)
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)


def refuse_existing(project: str, folder: Path, console: Console) -> None:
    """Raise MoorageError when this machine has containers or volumes of that name: their data would be replaced."""
    docker = Docker(project, folder, console)
    containers = [item.name for item in docker.containers()]
    listed = docker.docker("volume", "ls", "--format", "{{.Name}}", timeout_seconds=60).output.split()
    volumes = [name for name in listed if name.startswith(f"{project}_")]
    if not containers and not volumes:
        return
    raise MoorageError(
        f"{project} is on this machine already: {', '.join([*containers[:3], *volumes[:3]])}; nothing was changed",
        "is only its folder lost? `moorage backup export` on another machine brings the folder back, and `moorage up` takes the "
        f"data that are here. To throw them away: `{printable(['docker', 'volume', 'rm', *volumes])}`",
    )
