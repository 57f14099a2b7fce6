"""Make a real Docker engine, Compose v2 and buildx answer on a machine without an image registry.

python3 tests/machine/engine.py ensure          a usable engine, quick when there is one
python3 tests/machine/engine.py stop            end the daemon that `ensure` started
python3 tests/machine/engine.py status          what answers; exit status 1 when not usable
python3 tests/machine/engine.py tools NAME...   fetch single tools, print their paths
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import debian_packages
import docker_daemon
import tools
from rig import RigError, cache_folder, exclusively, require_root, run, say

Version = tuple[int, ...]

ENGINE_LEAST: Version = (25, 0)
COMPOSE_LEAST: Version = (2, 24)
BUILDX_LEAST: Version = (0, 12)

# The parts that run on an older suite as they are, and what that suite must bring itself.
UNPACKED_ENGINE = (
    "docker.io",
    "docker-cli",
    "docker-compose",
    "docker-buildx",
    "containerd",
    "tini",
)
BESIDE_UNPACKED_ENGINE = ("ca-certificates", "iptables", "procps", "runc", "xz-utils")
DEBIAN_ENGINE = ("docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables")
UBUNTU_ENGINE = ("docker.io", "docker-compose-v2", "docker-buildx", "iptables")

PROGRAMS = Path("/usr/local/bin")
PLUGINS = Path("/usr/local/lib/docker/cli-plugins")


@dataclass(frozen=True)
class Parts:
    """The versions that plain `docker` commands answer with; None where nothing answers."""

    engine: Version | None
    compose: Version | None
    buildx: Version | None

    def client_is_usable(self) -> bool:
        """Tell whether both CLI plugins answer and are new enough."""
        return _reaches(self.compose, COMPOSE_LEAST) and _reaches(self.buildx, BUILDX_LEAST)

    def is_usable(self) -> bool:
        """Tell whether nothing needs to be installed or started."""
        return _reaches(self.engine, ENGINE_LEAST) and self.client_is_usable()


def ensure() -> None:
    """Install and start what is missing, so that the engine and both plugins answer."""
    if look().is_usable():
        return
    with exclusively("engine"):
        parts = look()
        if parts.is_usable():
            return
        _refuse_foreign_old_engine(parts)
        require_root(f"installing an engine ({describe(parts)})")
        if debian_packages.needs_newer_suite():
            _ensure_unpacked(parts)
        else:
            _ensure_installed(parts)
        if not look().is_usable():
            raise RigError(f"installed, but still not usable: {describe(look())}")


def look() -> Parts:
    """Ask plain `docker` what answers, changing nothing."""
    engine = docker_daemon.server_version()
    return Parts(
        engine=_version(engine) if engine else None,
        compose=_version_of(["docker", "compose", "version", "--short"]),
        buildx=_version_of(["docker", "buildx", "version"]),
    )


def describe(parts: Parts) -> str:
    """Return one line with the versions that answer."""
    named = {"engine": parts.engine, "compose": parts.compose, "buildx": parts.buildx}
    return ", ".join(f"{name} {_text(version)}" for name, version in named.items())


def _ensure_unpacked(parts: Parts) -> None:
    """Debian 12: the newer suite's engine unpacked beside the machine's own runc and iptables."""
    with exclusively("packages"):
        root = debian_packages.unpacked("engine", UNPACKED_ENGINE)
    if not _reaches(_version_of(["docker", "--version"]), ENGINE_LEAST):
        _link(PROGRAMS / "docker", root / "usr/bin/docker")
    if not parts.client_is_usable():
        for plugin in ("docker-compose", "docker-buildx"):
            _link(PLUGINS / plugin, root / "usr/libexec/docker/cli-plugins" / plugin)
    if parts.engine is None:
        if not all(map(docker_daemon.has_program, ("runc", "iptables", "ps", "xz"))):
            debian_packages.install(BESIDE_UNPACKED_ENGINE)
        docker_daemon.start([root / "usr/sbin", root / "usr/bin"])


def _ensure_installed(parts: Parts) -> None:
    """Debian 13, Ubuntu 24.04 and later: the distribution's own packages are new enough."""
    if not (parts.client_is_usable() and docker_daemon.has_program("dockerd")):
        ubuntu = debian_packages.is_ubuntu()
        debian_packages.install(UBUNTU_ENGINE if ubuntu else DEBIAN_ENGINE)
    if docker_daemon.server_version() is not None:
        return
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "enable", "--now", "docker"], timeout_seconds=120)
    else:
        docker_daemon.start([])


def _refuse_foreign_old_engine(parts: Parts) -> None:
    if parts.engine is not None and parts.engine < ENGINE_LEAST:
        raise RigError(
            f"an engine {_text(parts.engine)} answers, {_text(ENGINE_LEAST)} or later is needed: "
            "stop it (it is not ours to stop), then run this again"
        )


def _link(place: Path, program: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(program)


def _version_of(command: Sequence[str]) -> Version | None:
    try:
        return _version(run(command, timeout_seconds=20))
    except RigError:
        return None


def _version(text: str) -> Version | None:
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number) for number in found.groups() if number) if found else None


def _reaches(version: Version | None, least: Version) -> bool:
    return version is not None and version >= least


def _text(version: Version | None) -> str:
    return ".".join(map(str, version)) if version else "missing"


def _status() -> int:
    parts = look()
    pid = docker_daemon.running_pid()
    print(describe(parts))
    print(f"started by us: process {pid}" if pid else "not started by us")
    print(f"cache: {cache_folder()}")
    return 0 if parts.is_usable() else 1


def _act(choice: argparse.Namespace) -> int:
    if choice.action == "status":
        return _status()
    if choice.action == "ensure":
        ensure()
        say(f"usable: {describe(look())}")
    elif choice.action == "stop":
        with exclusively("engine"):
            stopped = docker_daemon.stop()
        say("stopped" if stopped else "nothing to stop: no daemon of ours runs")
    else:
        for name in choice.names:
            print(tools.fetch(name))
    return 0


def main() -> int:
    """Read the command line, act, and turn every known failure into one message."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("ensure", help="a usable engine, quick when there is one")
    actions.add_parser("stop", help="end the daemon that ensure started")
    actions.add_parser("status", help="what answers; exit status 1 when not usable")
    fetch = actions.add_parser("tools", help="fetch single tools and print their paths")
    fetch.add_argument("names", nargs="+", metavar="NAME", help=", ".join(sorted(tools.TOOLS)))
    try:
        return _act(parser.parse_args())
    except RigError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
