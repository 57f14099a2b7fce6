"""The app's volumes as files: how many there are, and a sample that a drill compares."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import random
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from moorage.backups.failures import Damaged
from moorage.backups.plan import VolumePlan
from moorage.backups.records import Record, Sample, VolumeFacts
from moorage.backups.swapping import EXCLUDED
from moorage.durable import replace_file

SAMPLES_FILE = "samples.json"

# A sample proves that bytes come back; reading a film of 10 GB every night proves no more.
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True)
class Candidate:
    """A file that was looked at before it was copied: what tells that it is still the same."""

    sample: Sample
    place: Path
    state: tuple[int, int, int]


def facts(volume: VolumePlan) -> VolumeFacts:
    """Count the files and bytes of a volume; links are not followed. What vanishes meanwhile is not counted."""
    files = size = 0
    for _, status in _files(Path(volume.path)):
        files += 1
        size += status.st_size
    return VolumeFacts(volume.name, files, size)


def draw(volumes: Sequence[VolumePlan], count: int, chance: random.Random) -> tuple[Candidate, ...]:
    """A random sample over all volumes, each file with the same chance; with the hash of its content now."""
    # Reservoir sampling: one walk, no list of a million names.
    chosen: list[tuple[VolumePlan, Path]] = []
    seen = 0
    for volume in volumes:
        for place, status in _files(Path(volume.path)):
            if status.st_size > _LARGEST or _may_be_left_out(volume, place):
                continue
            seen += 1
            if len(chosen) < count:
                chosen.append((volume, place))
            elif (position := chance.randrange(seen)) < count:
                chosen[position] = (volume, place)
    return tuple(found for volume, place in chosen if (found := _candidate(volume, place)) is not None)


def unchanged(candidates: Sequence[Candidate]) -> tuple[int, ...]:
    """The numbers of those that are still what they were, so that the copy in between must be, too."""
    return tuple(number for number, item in enumerate(candidates) if _state(item.place) == item.state)


def write_samples(folder: Path, candidates: Sequence[Candidate]) -> None:
    """The list goes into the snapshot itself: names of files are nobody's business who has no key."""
    content = json.dumps([asdict(item.sample) for item in candidates], sort_keys=True)
    replace_file(folder / SAMPLES_FILE, content.encode(), 0o600)


def listed_samples(folder: Path, record: Record) -> tuple[Sample, ...]:
    """Those of a fetched list that the record names. Raises Damaged when it can't be read."""
    if not record.samples:
        return ()
    try:
        known = [Sample(**item) for item in json.loads((folder / SAMPLES_FILE).read_text(encoding="utf-8"))]
        return tuple(known[number] for number in record.samples)
    except (OSError, ValueError, TypeError, IndexError):
        raise Damaged(f"{record.id}: the list of its samples can't be read") from None


def sha256_of(place: Path) -> str:
    """The hash of a file, read in pieces."""
    result = hashlib.sha256()
    with place.open("rb") as stream:
        while block := stream.read(1024 * 1024):
            result.update(block)
    return result.hexdigest()


def _may_be_left_out(volume: VolumePlan, place: Path) -> bool:
    """Whether a pattern of the volume may fit: restic decides that; who is in doubt is no sample."""
    patterns = [part for pattern in volume.excludes for part in pattern.split("/") if part]
    parts = place.relative_to(volume.path).parts
    return any(fnmatch.fnmatch(part, pattern) for pattern in patterns for part in parts)


def _candidate(volume: VolumePlan, place: Path) -> Candidate | None:
    state = _state(place)
    if state is None:
        return None
    try:
        digest = sha256_of(place)
    except OSError:
        return None
    path = os.fsencode(place.relative_to(volume.path)).decode("utf-8", "surrogateescape")
    # A name that is no text can't stand in a signed document.
    if not path.isprintable():
        return None
    return Candidate(Sample(volume.name, path, state[0], digest), place, state)


def _state(place: Path) -> tuple[int, int, int] | None:
    try:
        status = place.lstat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for root, folders, names in os.walk(folder):
        if Path(root) == folder:
            # What a restore keeps aside is none of the app's.
            folders[:] = [name for name in folders if not fnmatch.fnmatch(name, EXCLUDED)]
        for name in names:
            place = Path(root, name)
            try:
                status = place.lstat()
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield place, status
