"""What this host has, for the first moorage.yaml."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from moorage.quantities import MEBIBYTE


@dataclass(frozen=True)
class HostFacts:
    """Memory and disk in bytes, CPUs, and the kind of disk."""

    memory: int
    cpus: int
    disk: str
    disk_size: int


def host_facts(root: Path = Path("/")) -> HostFacts:
    """Read the host; what cannot be read gets a careful default."""
    docker = root / "var" / "lib" / "docker"
    place = docker if docker.is_dir() else root
    return HostFacts(_memory(root), os.cpu_count() or 1, _disk_kind(root, place), shutil.disk_usage(place).total)


def _memory(root: Path) -> int:
    try:
        for line in (root / "proc" / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024 // MEBIBYTE * MEBIBYTE
    except (OSError, ValueError):
        pass
    return 4096 * MEBIBYTE


def _disk_kind(root: Path, place: Path) -> str:
    """`nvme`, `ssd` or `hdd` of the disk under a path; virtual disks count as ssd."""
    try:
        device = place.stat().st_dev
        name = (root / "sys" / "dev" / "block" / f"{os.major(device)}:{os.minor(device)}").resolve()
        disk = name.parent if (name / "partition").exists() else name
        if disk.name.startswith("nvme"):
            return "nvme"
        rotational = (disk / "queue" / "rotational").read_text(encoding="ascii").strip()
        # Virtual disks claim to rotate; what is under them today does not.
        return "hdd" if rotational == "1" and not disk.name.startswith(("vd", "xvd")) else "ssd"
    except OSError:
        return "ssd"
