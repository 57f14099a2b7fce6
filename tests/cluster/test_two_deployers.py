"""Two machines deploy the same: one after the other, whoever dies on the way; and nobody while a restore is half done."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from access import Access
from cluster_site import Site, current_context

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.cluster import lease
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.kubeconfig import chosen_context
from moorage.targets.cluster.lease import Lease
from moorage.targets.k8s.facts import ClusterFacts

pytestmark = pytest.mark.cluster

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "changed"}}


class Machine:
    """Where a deployer runs: its own lock, its own connection."""

    def __init__(self, access: Access, namespace: str, lock: Path) -> None:
        path = str(access.kubeconfig)
        self.cluster = Cluster(chosen_context(current_context(access.kubeconfig), path, "e"), path)
        self.facts = cast(ClusterFacts, SimpleNamespace(namespace=namespace, project="acme", environment="eks"))
        lock.touch()
        self.lock = lock

    @contextmanager
    def deploying(self) -> Iterator[Lease]:
        descriptor = os.open(self.lock, os.O_RDONLY)
        try:
            with Lease(self.cluster, self.facts, Console(quiet=True), descriptor) as held:
                yield held
        finally:
            os.close(descriptor)

    def change(self) -> None:
        metadata = {"name": "changed", "namespace": self.facts.namespace}
        self.cluster.apply({**MAP, "metadata": metadata})

    def holder(self) -> str:
        found = self.cluster.list("coordination.k8s.io/v1", "Lease", self.facts.namespace)
        return str(found[0]["spec"]["holderIdentity"]) if found else ""


@pytest.fixture
def machines(
    cluster: Access, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Machine, Machine]:
    """Two, with little patience."""
    for name, seconds in (
        ("_SECONDS", 2.0),
        ("_RENEW_SECONDS", 0.3),
        ("_LOOK_SECONDS", 0.1),
        ("_PATIENCE_SECONDS", 4.0),
    ):
        monkeypatch.setattr(lease, name, seconds)
    return Machine(cluster, namespace, tmp_path / "one"), Machine(cluster, namespace, tmp_path / "other")


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def killed(machine: Machine) -> None:
    """As after kill -9 in the middle of a deployment: the Lease stays, nobody renews it."""
    descriptor = os.open(machine.lock, os.O_RDONLY)
    left = Lease(machine.cluster, machine.facts, Console(quiet=True), descriptor)
    left.take()
    left._is_over.set()
    left._renewal.join()
    os.close(descriptor)


def test_the_other_one_waits_its_turn(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    got = threading.Event()

    def second() -> None:
        with other.deploying():
            got.set()
            other.change()

    with one.deploying():
        mine = one.holder()
        waiting = threading.Thread(target=second)
        waiting.start()
        # Longer than a Lease lives that nobody renews.
        time.sleep(3)
        assert not got.is_set()
        assert one.holder() == mine
        one.change()
    waiting.join()
    assert got.is_set()
    assert one.holder() == ""


def test_whoever_is_at_work_for_long_is_named(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    with one.deploying():
        name = one.holder().rpartition("/")[0]
        assert "@" in name
        said = f"{name} changes acme in this cluster since 2.*nothing was changed"
        with pytest.raises(MoorageError, match=said), other.deploying():
            pytest.fail("it was not its turn")
        assert one.holder().startswith(name)


def test_after_a_kill_the_next_one_goes_on_when_nothing_is_heard_any_more(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    killed(one)
    dead = one.holder()
    with other.deploying():
        assert other.holder() not in (dead, "")
        other.change()
        # Whoever was only taken for dead finds out before it changes anything more.
        with pytest.raises(MoorageError, match="has taken over; this run stops"):
            revive(one)
    assert other.holder() == ""


def revive(machine: Machine) -> None:
    descriptor = os.open(machine.lock, os.O_RDONLY)
    try:
        stopped = Lease(machine.cluster, machine.facts, Console(quiet=True), descriptor)
        stopped._held = {"metadata": {"resourceVersion": "1"}}
        stopped._renewal.start()
        until(lambda: machine.cluster.refusal is not None)
        machine.change()
    finally:
        os.close(descriptor)


def test_after_a_kill_the_same_machine_does_not_wait(
    machines: tuple[Machine, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = machines
    killed(one)
    dead = one.holder()
    monkeypatch.setattr(lease, "_PATIENCE_SECONDS", 0.0)
    with one.deploying():
        assert one.holder() not in (dead, "")
        one.change()


def test_before_there_is_a_namespace_nothing_is_held(machines: tuple[Machine, Machine], cluster: Access) -> None:
    one, _ = machines
    name = f"{one.facts.namespace}-later"
    one.facts = cast(ClusterFacts, SimpleNamespace(namespace=name, project="acme", environment="eks"))
    with one.deploying() as held:
        assert one.holder() == ""
        cluster.kubectl("create", "namespace", name)
        held.take()
        assert one.holder()
        # It goes while it is held: that is no reason to stop.
        cluster.kubectl("delete", "namespace", name)
        time.sleep(1)
        assert one.cluster.refusal is None


@pytest.fixture
def site(cluster: Access, tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path / "site", cluster)
    yield found
    found.end()


def test_while_a_restore_is_half_done_nothing_starts_the_app(site: Site) -> None:
    site.good("up")
    site.settings["env"] = {"SITE_NAME": "Second"}
    site.write()
    site.good("up")
    before = site.started()
    site.kubectl("create", "configmap", "moorage-exchange", "--from-literal=verb=swap", "--from-literal=id=20261122T0")
    site.settings["env"] = {"SITE_NAME": "Third"}
    site.write()
    for words in (("up",), ("rollback", "--yes"), ("run", "web", "true")):
        refused = site.run(*words)
        assert refused.returncode == 1, words
        assert "the restore 20261122T0 was cut off while old and new changed places" in refused.stderr
    assert site.started() == before
    assert leases(site) == []
    site.kubectl("delete", "configmap", "moorage-exchange")
    site.good("up")


def leases(site: Site) -> list[Any]:
    return list(json.loads(site.kubectl("get", "leases", "-o", "json"))["items"])
