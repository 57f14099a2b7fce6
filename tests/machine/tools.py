"""Single programs that tests need beside the engine, fetched into the rig's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import debian_packages
from rig import RigError, exclusively, run


@dataclass(frozen=True)
class Tool:
    """A program to be had by itself: its package, where the package keeps it, what it links to."""

    package: str
    binary: str
    libraries: tuple[str, ...] = ()


TOOLS = {
    "age": Tool("age", "usr/bin/age"),
    "etcd": Tool("etcd-server", "usr/bin/etcd"),
    "gosu": Tool("gosu", "usr/sbin/gosu"),
    "kustomize": Tool("kustomize", "usr/bin/kustomize"),
    "pebble": Tool("pebble", "usr/bin/pebble"),
    "pebble-challtestsrv": Tool("pebble", "usr/bin/pebble-challtestsrv"),
    "pgbackrest": Tool("pgbackrest", "usr/bin/pgbackrest", ("libpq5", "libssh2-1", "libxml2")),
    "rclone": Tool("rclone", "usr/bin/rclone"),
    "restic": Tool("restic", "usr/bin/restic"),
}


def fetch(name: str) -> Path:
    """Return the path of a tool, fetched into the cache when it is not there yet."""
    if name not in TOOLS:
        raise RigError(f"unknown tool {name}; known: {', '.join(sorted(TOOLS))}")
    tool = TOOLS[name]
    with exclusively("packages"):
        binary = debian_packages.unpacked(tool.package, [tool.package]) / tool.binary
        if tool.libraries and _missing_libraries(binary):
            debian_packages.install(tool.libraries)
    if not binary.is_file():
        raise RigError(f"package {tool.package} has no {tool.binary}")
    if missing := _missing_libraries(binary):
        raise RigError(f"{binary} lacks shared libraries: {', '.join(missing)}")
    return binary


def _missing_libraries(binary: Path) -> list[str]:
    try:
        listing = run(["ldd", binary], timeout_seconds=20)
    except RigError:
        return []  # a static program
    return [line.split()[0] for line in listing.splitlines() if "not found" in line]
