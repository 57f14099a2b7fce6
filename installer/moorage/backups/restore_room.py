"""Room for a restore before it begins: it lies beside what runs, and a disk that fills would stop the live database."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from moorage.backups.failures import NoRoom
from moorage.quantities import MEBIBYTE, human_size

_SPARE = 256 * MEBIBYTE


def check(needs: Iterable[tuple[Path, int]]) -> None:
    """Bytes that will be written below each folder; those on one disk are added up. Raises NoRoom with the numbers."""
    disks: defaultdict[int, int] = defaultdict(lambda: _SPARE)
    places: dict[int, Path] = {}
    for folder, size in needs:
        disk = folder.stat().st_dev
        disks[disk] += size
        places.setdefault(disk, folder)
    for disk, needed in disks.items():
        status = os.statvfs(places[disk])
        free = status.f_bavail * status.f_frsize
        if free < needed:
            raise NoRoom(
                f"a restore beside what runs needs {human_size(needed)}, {human_size(free)} are free",
                "free some room: `docker system df`; a restore that is kept aside goes with `moorage backup restore --discard`",
            )
