"""Go and its modules: the program itself, and the folder of one released module, checked against its digest."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

# The rig's folders are no packages: they must run on a machine that has nothing yet.
sys.path.append(str(Path(__file__).resolve().parents[1] / "machine"))

import debian_packages
from rig import RigError, exclusively, run

# Static programs, which run in any container, by the release that go.mod asks for.
ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto", "GOFLAGS": "", "GOWORK": "off"}
# The first release that fetches the one which a go.mod asks for, through the module proxy and checked like a module.
CAN_FETCH_ANOTHER = (1, 21)
DEBIAN_GO = ("golang-1.24-go", "golang-1.24-src")
UBUNTU_GO = ("golang-1.22-go", "golang-1.22-src")
DOWNLOAD_LIMIT_SECONDS = 600


def module_folder(module: str, version: str, digest: str) -> Path:
    """Fetch a released module and return its read-only folder; `digest` is what a go.sum says of it (`h1:…`)."""
    command = [go(CAN_FETCH_ANOTHER), "mod", "download", "-json", f"{module}@{version}"]
    said = run(command, timeout_seconds=DOWNLOAD_LIMIT_SECONDS, environment=ENVIRONMENT, folder=Path("/"))
    found = json.loads(said)
    if found["Sum"] != digest:
        raise RigError(f"{module} {version} has the digest {found['Sum']}, not {digest}: not what was looked at")
    return Path(found["Dir"])


def go(wanted: tuple[int, ...]) -> Path:
    """Return a `go` that compiles for `wanted`, or that fetches the one that does."""
    own = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"]))
    if own and _release(Path(own)) >= min(wanted, CAN_FETCH_ANOTHER):
        return Path(own)
    with exclusively("packages"):
        packages = UBUNTU_GO if debian_packages.is_ubuntu() else DEBIAN_GO
        root = debian_packages.unpacked("golang", packages)
    found = sorted(root.glob("usr/lib/go-*/bin/go"))
    if not found:
        raise RigError(f"no Go {'.'.join(map(str, wanted))} here, and none in {', '.join(packages)}: install one")
    return found[-1]


def _release(go: Path) -> tuple[int, ...]:
    """Return which release a `go` is, without letting it fetch another."""
    said = run([go, "version"], timeout_seconds=60, environment={"GOTOOLCHAIN": "local"}, folder=Path("/"))
    found = re.search(r"go(\d+(?:\.\d+)+)", said)
    return numbers(found[1]) if found else (0,)


def numbers(text: str) -> tuple[int, ...]:
    """Return a release as numbers that compare."""
    return tuple(int(number) for number in text.split("."))
