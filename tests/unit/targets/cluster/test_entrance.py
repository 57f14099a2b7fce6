"""Where visitors of a cluster come in, and the site as it answers there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster import entrance
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.entrance import Entrance, entrances, look_from_outside, trouble
from moorage.targets.cluster.kubeconfig import chosen_context
from moorage.targets.k8s.facts import ClusterFacts, MinikubeFacts
from moorage.targets.routers import ROUTED_HEADER
from tests.unit.targets.cluster.fake_api import FakeApi, serve

SERVICE = "GET /api/v1/namespaces/n/services/traefik"
PODS = "GET /api/v1/namespaces/n/pods"
INGRESSES = "GET /apis/networking.k8s.io/v1/namespaces/n/ingresses"
CORE = [
    {"name": "services", "kind": "Service", "namespaced": True},
    {"name": "pods", "kind": "Pod", "namespaced": True},
]
MINIKUBE = MinikubeFacts("acme", "docker", 0, 0, "v1.35.0", (), ())


class Proxy:
    """What stands in for Traefik: answers from a list, the last one repeated; whom it was asked for."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bool]] = [(200, True)]
        self.hosts: list[str] = []
        self.port = 0


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    found = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.hosts.append(f"{self.headers['Host']}{self.path}")
            status, is_routed = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            if is_routed:
                self.send_header(ROUTED_HEADER, "same-origin")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(proxy: Proxy) -> Iterator[FakeApi]:
    """A node with one ready proxy, and one that is about to end on another node."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}], "hostIP": "127.0.0.1"}
    ending = {
        "metadata": {"name": "old", "deletionTimestamp": "2026-11-22T00:00:00Z"},
        "status": {**ready, "hostIP": "127.0.0.2"},
    }
    ports = [{"port": 80, "nodePort": proxy.port}, {"port": 443, "nodePort": 1}]
    fake = FakeApi(
        {
            "GET /api/v1": [(200, {"resources": CORE})],
            "GET /apis/networking.k8s.io/v1": [
                (200, {"resources": [{"name": "ingresses", "kind": "Ingress", "namespaced": True}]})
            ],
            SERVICE: [(200, {"spec": {"ports": ports}, "status": {"loadBalancer": {}}})],
            PODS: [(200, {"items": [{"metadata": {"name": "p"}, "status": ready}, ending]})],
        }
    )
    server = serve(fake)
    yield fake
    server.shutdown()


@pytest.fixture
def cluster(api: FakeApi, tmp_path: Path) -> Cluster:
    path = api.kubeconfig(tmp_path)
    return Cluster(chosen_context("test", path, "e"), path, pause=lambda _: None)


def facts(**more: Any) -> ClusterFacts:
    known = {
        "namespace": "n",
        "project": "acme",
        "environment": "beta",
        "domain": "notes.example.com",
        "base_url": "http://notes.example.com",
        "check_path": "/health",
        "tls_mode": "off",
        "ingress": "traefik",
        "minikube": None,
    }
    return cast(ClusterFacts, SimpleNamespace(**{**known, **more}))


def balanced(*items: dict[str, str]) -> dict[str, Any]:
    return {"status": {"loadBalancer": {"ingress": list(items)}}}


def test_a_load_balancer_goes_before_the_ports_of_nodes(api: FakeApi, cluster: Cluster, proxy: Proxy) -> None:
    assert entrances(cluster, facts()) == [Entrance("127.0.0.1", proxy.port, is_node=True)]
    api.answers[SERVICE] = [
        (200, {"spec": {"ports": []}, **balanced({"hostname": "x.elb.amazonaws.com"}, {"ip": "192.0.2.7"})})
    ]
    found = entrances(cluster, facts(tls_mode="letsencrypt"))
    assert [str(item) for item in found] == ["x.elb.amazonaws.com:443", "192.0.2.7:443"]


def test_with_another_ingress_its_own_balancer_counts(api: FakeApi, cluster: Cluster) -> None:
    api.answers[INGRESSES] = [(200, {"items": [balanced({"ip": "192.0.2.7"}), balanced({"ip": "192.0.2.7"})]})]
    assert [str(item) for item in entrances(cluster, facts(ingress="nginx"))] == ["192.0.2.7:80"]


def test_the_site_is_asked_by_its_name_until_it_serves(
    cluster: Cluster, proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.answers = [(404, False), (503, True), (404, False), (200, True)]
    look_from_outside(cluster, facts(), Console(), pause=lambda _: None)
    assert set(proxy.hosts) == {"notes.example.com/health"}
    assert f"notes.example.com/health answers 200 at 127.0.0.1:{proxy.port}" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "is_routed"), [(404, False), (503, True), (500, True)])
def test_a_site_that_does_not_serve_behind_its_door_is_a_failure(
    cluster: Cluster, proxy: Proxy, status: int, is_routed: bool
) -> None:
    proxy.answers = [(status, is_routed)]
    ticks = iter(range(0, 10_000, 7))
    with pytest.raises(DeployError, match=f"does not answer at 127.0.0.1:{proxy.port}: status {status}") as caught:
        look_from_outside(cluster, facts(), Console(quiet=True), lambda: next(ticks), lambda _: None)
    assert "moorage logs traefik -e beta" in caught.value.hint
    assert f"answers {status} at" in trouble(cluster, facts())


def test_an_answer_of_the_app_is_no_missing_route(cluster: Cluster, proxy: Proxy) -> None:
    proxy.answers = [(404, True)]
    assert trouble(cluster, facts()) == ""


@pytest.mark.parametrize(
    ("minikube", "hint"),
    [(MINIKUBE, "`minikube tunnel -p acme` opens notes.example.com"), (None, "`moorage status -e beta`")],
)
def test_a_door_out_of_reach_is_said_and_fails_nothing(
    api: FakeApi,
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    minikube: MinikubeFacts | None,
    hint: str,
) -> None:
    monkeypatch.setattr(entrance, "_CONNECT_SECONDS", 0.2)
    # Reserved for documentation: nobody answers there.
    api.answers[SERVICE] = [(200, {"spec": {"ports": []}, **balanced({"ip": "192.0.2.7"})})]
    look_from_outside(cluster, facts(minikube=minikube), Console())
    said = capsys.readouterr().err
    assert "nobody asked the site itself: 192.0.2.7:80 can't be reached from here" in said
    assert hint in said
    assert trouble(cluster, facts()) == ""


def test_a_balancer_without_an_address_is_said(
    api: FakeApi, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[SERVICE] = [(200, {"spec": {"ports": []}, "status": {}})]
    look_from_outside(cluster, facts(), Console())
    assert "its load balancer has no address yet" in capsys.readouterr().err
