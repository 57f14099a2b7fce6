"""Network policies are kept on the rig's real node, as the specification of Kubernetes means them."""

from __future__ import annotations

import time
from typing import Any

import objects
import pytest
from access import Access

pytestmark = pytest.mark.cluster

DNS = {"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]}


@pytest.fixture
def kept(node_cluster: Access) -> Access:
    if node_cluster.is_foreign:
        pytest.skip("whether a foreign cluster keeps policies is its own matter")
    return node_cluster


def _policy(name: str, app: str | None, **spec: Any) -> Any:
    chosen = {"podSelector": {"matchLabels": {"app": app}} if app else {}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {**chosen, **spec},
    }


def _start(cluster: Access, namespace: str, *names: str) -> None:
    """Start servers, each of which may call the others, too."""
    cluster.apply(namespace, *[manifest for name in names for manifest in objects.server(name)])
    for name in names:
        cluster.wait(namespace, "condition=Available", f"deployment/{name}")


def _reaches(cluster: Access, namespace: str, caller: str, url: str) -> bool:
    words = ["exec", "-n", namespace, f"deployment/{caller}", "--", "wget", "-q", "-T", "2", "-O", "-", url]
    return cluster.try_kubectl(*words).returncode == 0


def _becomes(cluster: Access, namespace: str, caller: str, url: str, *, reached: bool) -> None:
    """Wait until a caller reaches an address, or reaches it no more: a policy holds a moment after it was applied."""
    deadline = time.monotonic() + 60
    while _reaches(cluster, namespace, caller, url) is not reached:
        assert time.monotonic() < deadline, f"{caller} {'does not reach' if reached else 'still reaches'} {url}"


def test_only_who_is_named_comes_in(kept: Access, node_namespace: str) -> None:
    _start(kept, node_namespace, "web", "friend", "stranger")
    assert _reaches(kept, node_namespace, "stranger", "http://web")
    peers = [{"podSelector": {"matchLabels": {"app": "friend"}}}]
    kept.apply(node_namespace, _policy("friends", "web", ingress=[{"from": peers, "ports": [{"port": 8080}]}]))
    _becomes(kept, node_namespace, "stranger", "http://web", reached=False)
    assert _reaches(kept, node_namespace, "friend", "http://web")
    assert _reaches(kept, node_namespace, "stranger", "http://friend")
    # A server is still probed: the node itself is never stopped.
    kept.kubectl("rollout", "restart", "-n", node_namespace, "deployment/web")
    kept.kubectl("rollout", "status", "-n", node_namespace, "deployment/web", "--timeout=60s")
    kept.kubectl("delete", "networkpolicy", "-n", node_namespace, "friends")
    _becomes(kept, node_namespace, "stranger", "http://web", reached=True)


def test_what_may_go_out_is_named(kept: Access, node_namespace: str) -> None:
    _start(kept, node_namespace, "app", "store", "other")
    stores = {"to": [{"podSelector": {"matchLabels": {"app": "store"}}}]}
    kept.apply(node_namespace, _policy("nothing", "app", policyTypes=["Egress"]))
    _becomes(kept, node_namespace, "app", "http://store", reached=False)
    kept.apply(node_namespace, _policy("some", "app", policyTypes=["Egress"], egress=[DNS, stores]))
    _becomes(kept, node_namespace, "app", "http://store", reached=True)
    assert not _reaches(kept, node_namespace, "app", "http://other")
    assert _reaches(kept, node_namespace, "other", "http://app")


def test_a_namespace_that_is_closed_has_no_way_to_the_api(kept: Access, node_namespace: str) -> None:
    _start(kept, node_namespace, "app")
    api = ["exec", "-n", node_namespace, "deployment/app", "--", "nc", "-w", "2", "10.96.0.1", "443"]
    assert kept.try_kubectl(*api).returncode == 0
    kept.apply(node_namespace, _policy("closed", None, policyTypes=["Ingress", "Egress"]))
    deadline = time.monotonic() + 60
    while kept.try_kubectl(*api).returncode == 0:
        assert time.monotonic() < deadline, "a pod that may call nobody still calls the API"
