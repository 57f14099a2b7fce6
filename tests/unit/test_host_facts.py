"""What this host has; what cannot be read gets a careful default."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from moorage.host_facts import host_facts
from moorage.quantities import MEBIBYTE
from tests.unit.given import folder_with


def root_with_disk(folder: Path, name: str, rotational: str, *, partition: bool = False) -> Path:
    """A root folder whose /sys says what kind of disk its device is."""
    device = folder.stat().st_dev
    numbers = f"{os.major(device)}:{os.minor(device)}"
    disk = folder / "sys/devices" / name
    folder_with(disk, {"queue/rotational": f"{rotational}\n"})
    place = disk
    if partition:
        place = disk / f"{name}1"
        folder_with(place, {"partition": "1\n"})
    link = folder / "sys/dev/block" / numbers
    link.parent.mkdir(parents=True)
    link.symlink_to(place)
    return folder


@pytest.mark.parametrize(
    ("name", "rotational", "partition", "kind"),
    [
        ("nvme0n1", "0", False, "nvme"),
        ("nvme0n1", "0", True, "nvme"),
        ("sda", "0", True, "ssd"),
        ("sda", "1", True, "hdd"),
        ("sda", "1", False, "hdd"),
        ("vda", "1", True, "ssd"),
        ("xvda", "1", False, "ssd"),
    ],
)
def test_the_kind_of_disk_is_that_of_the_device_below_the_data(
    name: str, rotational: str, partition: bool, kind: str, tmp_path: Path
) -> None:
    assert host_facts(root_with_disk(tmp_path, name, rotational, partition=partition)).disk == kind


def test_memory_is_read_in_whole_mebibytes(tmp_path: Path) -> None:
    folder_with(tmp_path, {"proc/meminfo": "MemTotal:        8054321 kB\nMemFree: 1 kB\n"})
    assert host_facts(tmp_path).memory == 7865 * MEBIBYTE


@pytest.mark.parametrize("meminfo", [None, "", "MemTotal: lots\n"])
def test_memory_that_cannot_be_read_is_guessed(meminfo: str | None, tmp_path: Path) -> None:
    if meminfo is not None:
        folder_with(tmp_path, {"proc/meminfo": meminfo})
    found = host_facts(tmp_path)
    assert found.memory == 4096 * MEBIBYTE
    assert found.disk == "ssd"
    assert found.cpus >= 1
    assert found.disk_size > 0


def test_the_real_host_has_something() -> None:
    found = host_facts()
    assert found.memory >= 64 * MEBIBYTE
    assert found.disk in ("ssd", "hdd", "nvme")
