"""The process that a cluster lives and dies with: it starts the parts, plays some of them, and takes everything away at the end."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import control_plane
import urllib3
from access import api_client
from control_plane import ControlPlane
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError
from policies import Policies
from processes import Part, wait_until
from provisioner import Provisioner
from real_node import RealNode, load_images, own_images
from reporting_nodes import ReportingNodes
from rig import RigError, run, say

STATE = "state.json"
LOOK_EVERY_SECONDS = 0.2
LOOK_LIMIT_SECONDS = 20
START_LIMIT_SECONDS = 280
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DNS = Path(__file__).resolve().parent / "node" / "dns.yaml"


class Role(Protocol):
    """What the supervisor plays itself, step by step."""

    def look(self) -> None:
        """Look at the cluster once and do what is to be done."""


@dataclass(frozen=True)
class Running:
    """A cluster that was started: its control plane, its programs, what is played, and the container of its node."""

    plane: ControlPlane
    parts: tuple[Part, ...]
    roles: tuple[Role, ...]
    container: str


class Ended(Exception):
    """Somebody asked for the end."""


class NoAnswer(RigError):
    """Something took so long that it will never come to an end, such as a question to a network that is gone."""


def serve(folder: Path, *, until_stdin_closes: bool, with_node: bool) -> None:
    """Run a cluster with its data in `folder` until a signal, or until whoever holds our standard input is gone."""
    for number in SIGNALS:
        signal.signal(number, _end)
    signal.signal(signal.SIGALRM, _give_up)
    try:
        signal.alarm(START_LIMIT_SECONDS)
        with _started(folder, with_node=with_node) as running:
            signal.alarm(0)
            _tell(running)
            _keep(running, until_stdin_closes=until_stdin_closes)
    except Ended:
        say("ended on request")
    if until_stdin_closes:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(folder: Path, *, with_node: bool) -> Iterator[Running]:
    """Start everything, wait until it is ready, and end it again.

    Parts of a start that failed may be unknown here; they end with this process, which ends then.
    """
    with ExitStack() as stack:
        node = stack.enter_context(RealNode(folder)) if with_node else None
        plane = control_plane.start(folder, node)
        for part in plane.parts:
            stack.callback(part.end)
        api = DynamicClient(api_client(folder / "kubeconfig"), cache_file=str(folder / "discovery.json"))  # type: ignore[no-untyped-call]
        provisioner = Provisioner(api, node)
        provisioner.register()
        if node:
            policies = Policies(api, node)
            policies.register()
            running = Running(plane, (*plane.parts, node.part), (provisioner, policies), node.container)
            _join(node, plane)
        else:
            nodes = ReportingNodes(api)
            nodes.register()
            running = Running(plane, plane.parts, (provisioner, nodes), "")
        wait_until(
            "the controllers work", lambda: _controllers_work(api), running.parts, control_plane.START_LIMIT_SECONDS
        )
        if node:
            wait_until(
                "names are answered", lambda: _names_are_answered(api), running.parts, control_plane.START_LIMIT_SECONDS
            )
        # What is called back last goes first.
        stack.callback(_be_deaf)
        yield running


def _join(node: RealNode, plane: ControlPlane) -> None:
    """Let a real node become a part of the cluster, with a server for its names."""
    node.join(plane)
    pause, dns = own_images()
    load_images(node.container, [pause, dns])
    manifests = plane.folder / DNS.name
    manifests.write_text(DNS.read_text().replace("image: moorage-test/coredns", f"image: {dns}"))
    kubectl = plane.folder / "programs" / "kubectl"
    run([kubectl, f"--kubeconfig={plane.folder}/kubeconfig", "apply", "-f", manifests], timeout_seconds=60)


def _keep(running: Running, *, until_stdin_closes: bool) -> None:
    """Play the roles for as long as the cluster lives."""
    while not (until_stdin_closes and _stdin_is_closed()):
        for role in running.roles:
            for part in running.parts:
                part.check()
            try:
                signal.alarm(LOOK_LIMIT_SECONDS)
                role.look()
            except (DynamicApiError, RigError, urllib3.exceptions.HTTPError) as error:
                say(f"{type(role).__name__}: {error}")  # the next look tries again
            finally:
                signal.alarm(0)
        time.sleep(LOOK_EVERY_SECONDS)


def _controllers_work(api: DynamicClient) -> bool:
    """Tell whether controllers made what each namespace has, and let pods onto the nodes."""
    accounts = api.resources.get(api_version="v1", kind="ServiceAccount").get(namespace="default")
    nodes = api.resources.get(api_version="v1", kind="Node").get()
    return bool(accounts.items) and bool(nodes.items) and not any(node.spec.taints for node in nodes.items)


def _names_are_answered(api: DynamicClient) -> bool:
    deployments = api.resources.get(api_version="apps/v1", kind="Deployment")
    return bool(deployments.get(name="coredns", namespace="kube-system").status.availableReplicas)


def _tell(running: Running) -> None:
    """Write where the cluster answers, by a rename: whoever reads it finds a cluster that is ready."""
    folder = running.plane.folder
    state = {"process": os.getpid(), "server": running.plane.server, "container": running.container}
    partial = folder / f"{STATE}.partial"
    partial.write_text(json.dumps(state, indent=2) + "\n")
    partial.rename(folder / STATE)


def _stdin_is_closed() -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], 0)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended


def _give_up(number: int, frame: FrameType | None) -> None:
    raise NoAnswer("no answer in time")


def _be_deaf() -> None:
    """Take no second signal while the first one is obeyed."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
