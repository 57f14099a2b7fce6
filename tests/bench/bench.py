"""Speed as ratios in one run, against what a user would use instead. Prints a table; judges nothing.

Whole processes, in turn (A B A B …) so that a drifting machine is the same for both; the median of the
pairwise ratios is what to quote. Absolute seconds stand beside it for orientation only.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.docker.site import Load, Site, docker, load, new_site  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "moorage-tests"
MOORAGE = [str(Path(sys.executable).with_name("moorage"))]


def seconds(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> float:
    """How long one whole process takes."""
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - started
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return took


def compare(title: str, goal: str, ours: Callable[[], float], theirs: Callable[[], float], rounds: int = 11) -> None:
    """Run both in turn after a warm-up each; one row of the table."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    mine, other = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    print(f"{title:58} {ratio:6.2f}×   {mine * 1000:7.0f} ms against {other * 1000:7.0f} ms   goal {goal}", flush=True)


def installed(name: str, *packages: str) -> Path:
    """The programs of an environment of its own, outside of the repository, made by pip as a user's is."""
    place = CACHE / name
    if not (place / "bin" / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    subprocess.run([str(place / "bin" / "pip"), "install", "--quiet", *packages], check=True)
    return place / "bin"


def moorage() -> Path:
    """moorage as a wheel: an editable checkout has no byte code where Python may not write it, pip's has."""
    dist = CACHE / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(dist), str(ROOT)], check=True
    )
    wheel = str(next(dist.glob("moorage-*.whl")))
    installed("moorage", wheel)
    return installed("moorage", "--force-reinstall", "--no-deps", wheel)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        _processes(work)
        _site(work)


def _processes(work: Path) -> None:
    ours, theirs = moorage(), installed("tutor", "tutor") / "tutor"
    program = str(ours / "moorage")
    one, four = work / "one", work / "four"
    for folder in (one, four):
        command = f"-C {folder} init --app notes --domain notes.example.com --email ops@example.com --yes -q"
        subprocess.run([program, *command.split()], check=True)
    with (four / "moorage.yaml").open("a", encoding="utf-8") as stream:
        stream.write(
            "environments: {staging: {target: compose}, beta: {target: compose}, production: {target: compose}}\n"
        )
    quiet = {"TUTOR_ROOT": str(work / "tutor")}
    compare(
        "moorage --help / python -c 'import typer'",
        "≤ 1.5",
        lambda: seconds([program, "--help"]),
        lambda: seconds([str(ours / "python"), "-c", "import typer"]),
        21,
    )
    compare(
        "moorage --help / tutor --help",
        "",
        lambda: seconds([program, "--help"]),
        lambda: seconds([str(theirs), "--help"], environment=quiet),
    )
    compare(
        "moorage render (1 environment) / tutor config save",
        "≤ 0.5",
        lambda: seconds([program, "-C", str(one), "render"]),
        lambda: seconds([str(theirs), "config", "save"], environment=quiet),
    )
    compare(
        "moorage render --all (4 environments) / tutor config save",
        "≤ 1",
        lambda: seconds([program, "-C", str(four), "render", "--all"]),
        lambda: seconds([str(theirs), "config", "save"], environment=quiet),
    )


def _site(work: Path) -> None:
    docker("build", "-q", "-t", "notes:latest", str(ROOT / "compose" / "apps" / "notes"))
    site = new_site(work)
    try:
        site.must("up", "--skip-checks")
        compose = site.folder / "rendered" / "compose" / "compose"
        hand = ["docker", "compose", "up", "-d"]
        seconds(hand, compose)
        compare(
            "moorage up, nothing to do / docker compose up -d",
            "≤ 2",
            lambda: seconds([*MOORAGE, "-C", str(site.folder), "up"]),
            lambda: seconds(hand, compose),
        )
        _lost_requests(site, compose)
    finally:
        site.remove()


def _lost_requests(site: Site, compose: Path) -> None:
    site.write(env={"GREETING": "one"})
    with load(site) as ours:
        site.must("up", "--skip-checks")
    site.write(env={"GREETING": "two"})
    site.must("render")
    with load(site) as theirs:
        subprocess.run(
            ["docker", "compose", "up", "-d", "--no-deps", "web"], cwd=compose, check=True, capture_output=True
        )
        time.sleep(8)
    _count("requests lost in an update by moorage up", ours)
    _count("requests lost in the same change by docker compose up -d", theirs)


def _count(title: str, result: Load) -> None:
    print(f"{title:58} {result.lost:6d}    of {result.good + result.lost}", flush=True)


if __name__ == "__main__":
    if shutil.which("docker") is None:
        sys.exit("docker is missing: make engine")
    main()
