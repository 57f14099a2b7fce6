"""Programs compiled from Go modules that a small program of ours names, kept in the rig's cache.

python3 tests/cluster/go_programs.py kubernetes    compile it if need be, print its path
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from pathlib import Path

# The rig's folders are no packages: they must run on a machine that has nothing yet.
sys.path.append(str(Path(__file__).resolve().parents[1] / "machine"))

import go_modules
from rig import RigError, cache_folder, exclusively, run, say

HERE = Path(__file__).resolve().parent
INPUTS = ("go.mod", "go.sum", "main.go")
BUILD_LIMIT_SECONDS = 5400


def compiled(name: str) -> Path:
    """Return the program of the Go module in the folder `name` beside this file, compiled when its inputs changed."""
    program = _place(name)
    if not program.exists():
        with exclusively(f"go-{name}"):
            if not program.exists():
                _compile(HERE / name, program)
    return program


def is_compiled(name: str) -> bool:
    """Tell whether `compiled` has nothing to do."""
    return _place(name).exists()


def linked(name: str, folder: Path, names: tuple[str, ...]) -> Path:
    """Fill a folder with links to a compiled program, for one that looks at the name it is called by."""
    program = compiled(name)
    folder.mkdir(parents=True, exist_ok=True)
    for each in names:
        (folder / each).unlink(missing_ok=True)
        (folder / each).symlink_to(program)
    return folder


def _place(name: str) -> Path:
    return cache_folder() / "go" / f"{name}-{_fingerprint(HERE / name)}" / "program"


def _fingerprint(source: Path) -> str:
    content = b"\0".join((source / each).read_bytes() for each in INPUTS)
    return hashlib.sha256(content + platform.machine().encode()).hexdigest()[:16]


def _compile(source: Path, program: Path) -> None:
    """Compile into a neighbour and rename it, so that what exists is complete."""
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(".partial")
    go = go_modules.go(_wanted_release(source))
    say(f"compiling {source.name} with {go}: some ten minutes the first time, kept in {program.parent}")
    options = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", _linker_flags(source)]
    run(
        [go, "build", *options, "-o", partial, "."],
        timeout_seconds=BUILD_LIMIT_SECONDS,
        environment=go_modules.ENVIRONMENT,
        folder=source,
    )
    partial.rename(program)


def _linker_flags(source: Path) -> str:
    """Return what a release's own build says to the linker: no tables for debuggers, and which version this is."""
    found = re.search(r"^\tk8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)", (source / "go.mod").read_text(), re.MULTILINE)
    if not found:
        return "-s -w"
    place = "k8s.io/component-base/version"
    facts = {"gitVersion": found[1], "gitMajor": found[2], "gitMinor": found[3], "gitTreeState": "clean"}
    return " ".join(["-s -w", *(f"-X {place}.{key}={value}" for key, value in facts.items())])


def _wanted_release(source: Path) -> tuple[int, ...]:
    found = re.search(r"^go ([\d.]+)$", (source / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise RigError(f"{source / 'go.mod'} names no Go release")
    return go_modules.numbers(found[1])


def main() -> int:
    """Compile what is named on the command line and print where it is."""
    try:
        for name in sys.argv[1:]:
            print(compiled(name))
    except RigError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
