"""A true Kubernetes on this machine, for the time of a `with` block or until it is taken down.

.venv/bin/python tests/cluster/cluster.py up        start one that stays, print how to use it (--node: with a real node)
.venv/bin/python tests/cluster/cluster.py status    what answers; exit status 1 when nothing does
.venv/bin/python tests/cluster/cluster.py down      end it and remove its data

with Cluster() as access:
    access.kubectl("get", "nodes")
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

# The rig's folders are no packages: they must run on a machine that has nothing yet.
sys.path.append(str(Path(__file__).resolve().parents[1] / "machine"))

from rig import RigError, cache_folder, exclusively, last_lines, say

try:
    import definitions
    import go_programs
    import real_node
    import supervisor
    import tools
    from access import Access
except ImportError as error:
    if __name__ != "__main__":
        raise
    raise SystemExit(
        f"error: {error.name} is missing: run this with the project's own Python, .venv/bin/python"
    ) from error

LOG = "supervisor.log"
READY_LIMIT_SECONDS = 300
END_LIMIT_SECONDS = 120


class Cluster:
    """A running cluster for the time of a `with` block; it ends with this process, however that ends."""

    def __init__(self, *, with_node: bool = False) -> None:
        """Prepare a cluster with data of its own: with a real node, or with nodes that only report."""
        self._with_node = with_node
        self._folder = Path(tempfile.mkdtemp(prefix="moorage-cluster-"))
        self._supervisor: subprocess.Popen[str] | None = None

    def __enter__(self) -> Access:
        """Start the cluster and wait until it is ready."""
        prepare(with_node=self._with_node)
        self._supervisor = _supervise(self._folder, stays=False, with_node=self._with_node)
        try:
            return _access(self._folder, self._supervisor)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the cluster and remove its data."""
        if self._supervisor:
            if self._supervisor.stdin:
                self._supervisor.stdin.close()
            self._supervisor.wait(timeout=END_LIMIT_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)


def prepare(*, with_node: bool) -> None:
    """Fetch and compile what a cluster consists of; a second when all of it is there."""
    tools.fetch("etcd")
    go_programs.compiled("kubernetes")
    if with_node:
        real_node.network_plugins()
        real_node.own_images()


def is_prepared(*, with_node: bool) -> bool:
    """Tell whether a cluster can start without compiling first."""
    return go_programs.is_compiled("kubernetes") and (not with_node or go_programs.is_compiled("coredns"))


def _supervise(folder: Path, *, stays: bool, with_node: bool) -> subprocess.Popen[str]:
    """Start the supervisor: on a pipe that closes with this process, or on its own."""
    options = [*(["--stays"] if stays else []), *(["--node"] if with_node else [])]
    with (folder / LOG).open("w") as log:
        return subprocess.Popen(
            [sys.executable, __file__, "serve", str(folder), *options],
            stdin=subprocess.DEVNULL if stays else subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def _access(folder: Path, process: subprocess.Popen[str]) -> Access:
    """Wait for the supervisor's word, and return what a test needs."""
    deadline = time.monotonic() + READY_LIMIT_SECONDS
    while not (folder / supervisor.STATE).exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RigError(f"no cluster:\n{last_lines((folder / LOG).read_text(), 60)}")
        time.sleep(0.1)
    return Access(folder / "kubeconfig", folder / "programs" / "kubectl", _read(folder)["container"])


def _read(folder: Path) -> dict[str, str]:
    state: dict[str, str] = json.loads((folder / supervisor.STATE).read_text())
    return state


def _kept_folder() -> Path:
    return cache_folder() / "cluster"


def _running() -> dict[str, str] | None:
    """Return what the cluster that stays says of itself; None when it does not run."""
    try:
        state = _read(_kept_folder())
        words = Path(f"/proc/{state['process']}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A number alone proves nothing after a crash: the command line must name our folder.
    return state if str(_kept_folder()) in words else None


def up(*, with_node: bool) -> None:
    """Start a cluster that stays, unless one runs already."""
    prepare(with_node=with_node)
    with exclusively("cluster"):
        folder = _kept_folder()
        if _running() is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            _access(folder, _supervise(folder, stays=True, with_node=with_node))
    say(f"ready: export KUBECONFIG={folder}/kubeconfig PATH={folder}/programs:$PATH")


def down() -> None:
    """End the cluster that stays, and remove its data."""
    with exclusively("cluster"):
        state = _running()
        if state:
            os.kill(int(state["process"]), signal.SIGTERM)
        deadline = time.monotonic() + END_LIMIT_SECONDS
        while _running():
            if time.monotonic() > deadline:
                raise RigError(f"process {state and state['process']} is still ending, see {_kept_folder() / LOG}")
            time.sleep(0.1)
        shutil.rmtree(_kept_folder(), ignore_errors=True)
    say("ended" if state else "nothing to end: no cluster of ours runs")


def status() -> int:
    """Print what answers; 1 when nothing does."""
    state = _running()
    print(json.dumps(state, indent=2) if state else "no cluster of ours runs")
    return 0 if state else 1


def _act(choice: argparse.Namespace) -> int:
    if choice.action == "status":
        return status()
    if choice.action == "serve":
        supervisor.serve(choice.folder, until_stdin_closes=not choice.stays, with_node=choice.node)
    elif choice.action == "down":
        down()
    elif choice.action == "prepare":
        prepare(with_node=choice.node)
        definitions.fetched()
    else:
        up(with_node=choice.node)
    return 0


def main() -> int:
    """Read the command line, act, and turn every known failure into one message."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    actions = parser.add_subparsers(dest="action", required=True)
    starting = actions.add_parser("up", help="start a cluster that stays")
    actions.add_parser("status", help="what answers; exit status 1 when nothing does")
    actions.add_parser("down", help="end it and remove its data")
    preparing = actions.add_parser("prepare", help="fetch and compile everything, start nothing")
    serve = actions.add_parser("serve", help="what `up` and the tests run underneath")
    serve.add_argument("folder", type=Path)
    serve.add_argument("--stays", action="store_true", help="until a signal, not until standard input closes")
    for each in (starting, preparing, serve):
        each.add_argument("--node", action="store_true", help="with a real node; without, nodes only report")
    try:
        return _act(parser.parse_args())
    except RigError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
