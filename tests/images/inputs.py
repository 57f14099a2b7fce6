"""What a build needs from the machine it runs on; copied into the context, never into the repo."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import debian_packages
from recipes import Recipe
from rig import RigError, run

HOST_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BOOTSTRAP_LIMIT_SECONDS = 1200

# What Debian's own slim images leave out; licences stay, and localedef needs the alias file.
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")
KEPT = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")


@dataclass(frozen=True)
class Input:
    """A named input: put it into a context folder, and name its present state."""

    provide: Callable[[Path, Mapping[str, str]], None]
    state: Callable[[], str]


def provide(recipe: Recipe, context: Path) -> None:
    """Put the inputs of a recipe into its build context."""
    for name in recipe.inputs:
        INPUTS[name].provide(context, recipe.arguments)


def states(recipe: Recipe) -> list[str]:
    """Return what the inputs of a recipe are at present, for its fingerprint."""
    return [INPUTS[name].state() for name in recipe.inputs]


def _copy_host_certificates(context: Path, _arguments: Mapping[str, str]) -> None:
    shutil.copy(_host_certificates(), context / "host-certificates.crt")


def _host_certificates_state() -> str:
    return hashlib.sha256(_host_certificates().read_bytes()).hexdigest()


def _host_certificates() -> Path:
    if not HOST_CERTIFICATES.exists():
        raise RigError(f"{HOST_CERTIFICATES} is missing: apt-get install ca-certificates")
    return HOST_CERTIFICATES


def _bootstrap_root(context: Path, arguments: Mapping[str, str]) -> None:
    """Make the smallest Debian of a suite as root.tar, from the machine's own mirror."""
    if shutil.which("mmdebstrap") is None:
        debian_packages.install(["mmdebstrap"])
    exclude = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    include = [f"--dpkgopt=path-include={path}" for path in KEPT]
    suite = arguments["SUITE"]
    # The container brings its own /dev.
    options = ["--variant=minbase", "--quiet", "--skip=output/dev", *exclude, *include]
    target = context / "root.tar"
    run(
        ["mmdebstrap", *options, suite, target, *debian_packages.mirror_lines(suite)],
        timeout_seconds=BOOTSTRAP_LIMIT_SECONDS,
    )


INPUTS = {
    "host-certificates": Input(_copy_host_certificates, _host_certificates_state),
    "root-filesystem": Input(_bootstrap_root, lambda: ""),
}
