"""What is rendered for ingress-nginx, as far as Traefik's reading of the same annotations can prove it.

There is no ingress-nginx here. Both know these annotations; where they differ, this proves nothing of ingress-nginx itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import created
import pytest
import yaml
from access import Access
from node_site import HOST, NodeSite

pytestmark = pytest.mark.cluster

NAME = "behind"
CONTROLLER = "ingress-nginx"
SECONDS = 60
HEADERS = ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "X-Made-By")
SERVICE = {"image": created.IMAGE, "command": ["python3", "-c", created.SERVER], "user": "65532:65532"}
APP = {
    "x-moorage": {"namespace": NAME},
    "services": {
        "web": {
            **SERVICE,
            "x-moorage": {
                "port": created.PORT,
                "route": {
                    "paths": ["/"],
                    "deny": ["/api/internal"],
                    "headers": {"X-Made-By": "behind"},
                },
                "health": {"path": "/"},
            },
        },
        "files": {
            **SERVICE,
            "x-moorage": {
                "port": created.PORT,
                "route": {"paths": ["/files"], "exact": ["/one"], "strip_prefix": True},
                "health": {"path": "/"},
            },
        },
    },
}


@pytest.fixture(scope="module")
def site(node_cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Where the controller answers for an app that is rendered for ingress-nginx."""
    node_cluster.load_images(["traefik:v3.7.15", created.IMAGE])
    folder = tmp_path_factory.mktemp("site") / NAME
    found = NodeSite(folder, node_cluster, NAME, name=NAME, app="compose.yaml", backups={"enabled": False})
    found.settings["environments"] = found.environments(ingress="nginx")
    found.write()
    (folder / "compose.yaml").write_text(yaml.safe_dump(APP, sort_keys=False))
    place = f"{CONTROLLER}-{secrets.token_hex(3)}"
    node_cluster.apply("default", created.namespace(place, {}))
    node_cluster.apply(place, *controller(place))
    found.must("up")
    node_cluster.wait(place, "condition=Available", f"deployment/{CONTROLLER}")
    port = node_cluster.kubectl("get", "service", CONTROLLER, "-n", place, "-o", "jsonpath={.spec.ports[0].nodePort}")
    address = (found.node, int(port))
    deadline = time.monotonic() + SECONDS
    while any(created.ask(address, HOST, path)[0] != 200 for path in ("/", "/files/", "/one")):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    yield address
    for name in (NAME, place):
        node_cluster.kubectl("delete", "namespace", name, "--wait=false")
    node_cluster.kubectl("delete", "ingressclass/nginx", f"clusterrolebinding/{place}")


def controller(place: str) -> Iterator[created.Json]:
    """Traefik in the place of ingress-nginx: its class, the label of its pods, the headers that it allows."""
    labels = {"app.kubernetes.io/name": "ingress-nginx"}
    option = "--providers.kubernetesingressnginx"
    arguments = [
        "--entrypoints.web.address=:8000",
        "--ping=true",
        "--ping.entrypoint=web",
        f"{option}=true",
        f"{option}.httpentrypoint=web",
        f"{option}.globalallowedresponseheaders={','.join(HEADERS)}",
    ]
    container = {
        "name": "traefik",
        "image": "traefik:v3.7.15",
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "readinessProbe": {"httpGet": {"path": "/ping", "port": 8000}, "periodSeconds": 1},
    }
    meta = {"name": CONTROLLER, "namespace": place}
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "nginx"},
        "spec": {"controller": "k8s.io/ingress-nginx"},
    }
    yield {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": place},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": place}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    service = {"type": "NodePort", "selector": labels, "ports": [{"port": 80, "targetPort": 8000}]}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service}


def test_routes_lead_where_they_do_at_our_own_proxy(site: tuple[str, int]) -> None:
    assert created.ask(site, HOST, "/a/b")[2]["path"] == "/a/b"
    assert created.ask(site, HOST, "/files/x/y")[2]["path"] == "/x/y"
    # Beside an expression of the same host, too: what is below an exact path is the other service's.
    assert "x-made-by" not in created.ask(site, HOST, "/one")[1]
    assert created.ask(site, HOST, "/one/x")[1]["x-made-by"] == "behind"
    assert created.ask(site, "other.localhost")[0] == 404


@pytest.mark.parametrize("path", ["/api/internal", "/api/internal/x", "/API/Internal/x", "//api//internal"])
def test_what_is_denied_is_denied_in_every_spelling(site: tuple[str, int], path: str) -> None:
    assert created.ask(site, HOST, path)[0] == 403
    assert created.ask(site, HOST, "/api/public")[0] == 200


def test_answers_have_the_headers_of_our_own_proxy(site: tuple[str, int]) -> None:
    told = created.ask(site, HOST)[1]
    assert {name: told.get(name.lower()) for name in HEADERS} == {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "X-Made-By": "behind",
    }


def test_large_uploads_and_web_sockets_pass(site: tuple[str, int]) -> None:
    status, _, said = created.ask(site, HOST, body=b"x" * 5_000_000)
    assert (status, said["received"]) == (200, 5_000_000)
    assert created.talk(site, HOST) == ("HTTP/1.1 101 Switching Protocols", "heard hello")
