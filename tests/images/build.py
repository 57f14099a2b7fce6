"""Build the images that the tests use, under their public names, without an image registry.

python3 tests/images/build.py --all             every image that is missing or out of date
python3 tests/images/build.py redis postgres:17 these, and what they stand on
python3 tests/images/build.py --list            what there is
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

# The rig's two folders are no packages: they must run on a machine that has nothing yet.
sys.path.append(str(Path(__file__).resolve().parents[1] / "machine"))

import inputs
import recipes
from recipes import Recipe
from rig import RigError, cache_folder, exclusively, last_lines, run, say

# Says which recipe an image was built from. Images built on ours inherit the label, so that
# its value names the image as well.
LABEL = "moorage-test.recipe"
BUILD_LIMIT_SECONDS = 1800
PULL_LIMIT_SECONDS = 30
# How a registry that can be reached says no to one image.
REFUSALS = ("manifest unknown", "not found", "access denied", "denied:", "unauthorized")


@dataclass(frozen=True)
class LocalImage:
    """An image that the engine has: its identity and, if it is ours, its fingerprint."""

    identity: str
    fingerprint: str | None

    def is_ours(self) -> bool:
        """Tell whether this rig built it; anything else is left alone."""
        return self.fingerprint is not None


@dataclass
class Registries:
    """Pulls on request, and remembers for this run which registries gave no answer."""

    wanted: bool
    unreachable: set[str] = field(default_factory=set)

    def pull(self, image: str) -> bool:
        """Try to get the real image; False when it can't be had."""
        first, slash, _ = image.partition("/")
        host = first if slash and "." in first else "the default registry"
        if not self.wanted or image.startswith("moorage-test/") or host in self.unreachable:
            return False
        try:
            run(["docker", "pull", "--quiet", image], timeout_seconds=PULL_LIMIT_SECONDS)
        except RigError as error:
            if not any(refusal in str(error).lower() for refusal in REFUSALS):
                self.unreachable.add(host)
                say(f"{host} can't be reached, building instead")
            return False
        return True


def ensure(images: Sequence[str], registries: Registries) -> None:
    """Make every image and its parents present and up to date, one line of stdout for each."""
    known: dict[str, str] = {}
    for recipe in recipes.in_build_order(images, recipes.read_all()):
        started = time.monotonic()
        outcome = _ensure_one(recipe, known, registries)
        print(f"{recipe.image:<34} {outcome:<8} {time.monotonic() - started:6.1f} s", flush=True)


def _ensure_one(recipe: Recipe, known: dict[str, str], registries: Registries) -> str:
    """Do what one image needs, note in `known` what it now is, and return the word for it."""
    present = find(recipe.image)
    if present and not present.is_ours():
        known[recipe.image] = present.identity
        return "real"
    if registries.pull(recipe.image):
        pulled = find(recipe.image)
        known[recipe.image] = pulled.identity if pulled else ""
        return "pulled"
    below = [known[parent] for parent in recipe.parents] + inputs.states(recipe)
    known[recipe.image] = wanted = recipes.fingerprint(recipe, below)
    if present and present.fingerprint == wanted:
        return "present"
    _build(recipe, wanted)
    if present:
        _remove_replaced(present)
    return "built"


def find(image: str) -> LocalImage | None:
    """Look for an image in the engine."""
    columns = f'{{{{.Id}}}} {{{{index .Config.Labels "{LABEL}"}}}}'
    command = ["docker", "image", "inspect", "--format", columns, image]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        if "no such image" in done.stderr.lower():
            return None
        raise RigError(f"no engine answers (python3 tests/machine/engine.py ensure):\n{done.stderr}")
    identity, _, label = done.stdout.strip().partition(" ")
    owner, _, fingerprint = label.partition("@")
    return LocalImage(identity, fingerprint if owner == image else None)


def _build(recipe: Recipe, fingerprint: str) -> None:
    """Build one image from a copy of its folder plus its inputs."""
    arguments = [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]
    with tempfile.TemporaryDirectory(prefix="moorage-image-") as parent:
        context = Path(parent) / "context"
        shutil.copytree(recipe.folder, context)
        inputs.provide(recipe, context)
        # The default builder is the one whose result lands in the engine's own store.
        command = ["docker", "buildx", "build", "--builder=default", "--load"]
        options = ["--progress=plain", "--provenance=false", f"--tag={recipe.image}", *arguments]
        label = f"--label={LABEL}={recipe.image}@{fingerprint}"
        _run_logged([*command, *options, label, str(context)], log=_log_file(recipe.image))


def _remove_replaced(image: LocalImage) -> None:
    """Give back the room of an image that has just lost its name; in use, it stays."""
    command = ["docker", "image", "rm", image.identity]
    subprocess.run(command, capture_output=True, timeout=120, check=False)


def _run_logged(command: Sequence[str], log: Path) -> None:
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=BUILD_LIMIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RigError(f"no image after {BUILD_LIMIT_SECONDS} s, see {log}") from error
    if done.returncode != 0:
        raise RigError(f"build failed, see {log}:\n{last_lines(log.read_text(), 30)}")


def _log_file(image: str) -> Path:
    folder = cache_folder() / "image-logs"
    folder.mkdir(exist_ok=True)
    return folder / f"{image.replace('/', '_').replace(':', '_')}.log"


def _list() -> None:
    for recipe in recipes.in_build_order(recipes.read_all(), recipes.read_all()):
        present = find(recipe.image)
        state = "missing" if present is None else "ours" if present.is_ours() else "real"
        print(f"{recipe.image:<34} {state:<8} on {', '.join(recipe.parents) or 'nothing'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Build the test images under their public names.")
    parser.add_argument("images", nargs="*", metavar="NAME[:TAG]")
    parser.add_argument("--all", action="store_true", help="every image there is a recipe for")
    parser.add_argument("--list", action="store_true", help="name the images and their state")
    parser.add_argument("--pull-first", action="store_true", help="take real images where possible")
    return parser


def main() -> int:
    """Read the command line, act, and turn every known failure into one message."""
    parser = _parser()
    choice = parser.parse_args()
    if not (choice.images or choice.all or choice.list):
        parser.error("name images, or use --all or --list")
    try:
        if choice.list:
            _list()
            return 0
        known = recipes.read_all()
        images = list(known) if choice.all else recipes.choose(choice.images, known)
        with exclusively("images"):
            ensure(images, Registries(choice.pull_first))
    except RigError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
