"""Ingresses that an app creates itself, served by the real Traefik as it is rendered, in namespaces that are younger than it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator

import created
import pytest
import yaml
from access import Access
from node_site import HOST, NodeSite

pytestmark = pytest.mark.cluster

NAME = "creating"
CLASS = f"moorage-{NAME}-created"
APP = {
    "x-moorage": {"creates_namespaces": created.LABELS, "namespace": NAME},
    "services": {
        "web": {
            "image": created.IMAGE,
            "command": ["python3", "-c", created.SERVER],
            "user": "65532:65532",
            "environment": {"CLASS": "${CREATED_INGRESS_CLASS}"},
            "x-moorage": {"port": created.PORT, "route": {"paths": ["/"]}, "health": {"path": "/"}},
        }
    },
}
SECONDS = 60


@pytest.fixture(scope="module")
def site(node_cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeSite]:
    """The app that creates, up and running."""
    node_cluster.load_images(["traefik:v3.7.15", created.IMAGE])
    folder = tmp_path_factory.mktemp("site") / NAME
    found = NodeSite(folder, node_cluster, NAME, name=NAME, app="compose.yaml", backups={"enabled": False})
    (folder / "compose.yaml").write_text(yaml.safe_dump(APP, sort_keys=False))
    found.must("up")
    yield found
    node_cluster.kubectl("delete", "namespace", NAME, "--wait=false")


@pytest.fixture(scope="module")
def project(site: NodeSite) -> Iterator[str]:
    """A namespace that the app made after the proxy had started, with a backend."""
    yield from _namespace(site, created.LABELS)


@pytest.fixture(scope="module")
def stranger(site: NodeSite) -> Iterator[str]:
    """A namespace of somebody else, with the same backend."""
    yield from _namespace(site, {"managed-by": "somebody"})


def _namespace(site: NodeSite, labels: dict[str, str]) -> Iterator[str]:
    name = f"proj-{secrets.token_hex(3)}"
    site.cluster.apply("default", created.namespace(name, labels))
    site.cluster.apply(name, *created.backend("dev"))
    site.cluster.wait(name, "condition=Available", "deployment/dev")
    yield name
    site.cluster.kubectl("delete", "namespace", name, "--wait=false")


def served(site: NodeSite, host: str) -> None:
    """Wait until the proxy knows a host."""
    wait_until(lambda: created.ask(site.address, host)[0] == 200, host)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not served: {what}"
        time.sleep(0.3)


def test_an_ingress_of_a_younger_namespace_answers_by_its_host(site: NodeSite, project: str) -> None:
    site.cluster.apply(project, created.ingress("dev", "one.notes.localhost", CLASS))
    served(site, "one.notes.localhost")
    assert created.ask(site.address, "one.notes.localhost", "/a/b?c=d")[2]["path"] == "/a/b?c=d"
    assert created.ask(site.address, "two.notes.localhost")[0] == 404
    assert created.ask(site.address, HOST)[0] == 200


def test_a_visitor_cannot_send_the_headers_of_the_proxy(site: NodeSite, project: str) -> None:
    site.cluster.apply(project, created.ingress("dev", "one.notes.localhost", CLASS))
    served(site, "one.notes.localhost")
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X_Forwarded_For": "6.6.6.6",
        "X-Real-Ip": "6.6.6.6",
        "X-Forwarded-Host": "evil.example.com",
    }
    got = created.ask(site.address, "one.notes.localhost", headers=forged)[2]["headers"]
    assert "6.6.6.6" not in " ".join(got.values())
    assert got["x-forwarded-host"] == "one.notes.localhost"
    assert "x_forwarded_for" not in got


def test_large_uploads_pass_and_a_limit_of_the_ingress_holds(site: NodeSite, project: str) -> None:
    """ingress-nginx itself takes one megabyte where nothing is said; no route of ours has a limit."""
    site.cluster.apply(project, created.ingress("dev", "one.notes.localhost", CLASS))
    small = created.ingress("small", "small.notes.localhost", CLASS, proxy_body_size="1k", proxy_request_buffering="on")
    site.cluster.apply(project, small)
    served(site, "one.notes.localhost")
    served(site, "small.notes.localhost")
    status, _, said = created.ask(site.address, "one.notes.localhost", body=b"x" * 5_000_000)
    assert (status, said["received"]) == (200, 5_000_000)
    assert created.ask(site.address, "small.notes.localhost", body=b"x" * 500)[0] == 200
    assert created.ask(site.address, "small.notes.localhost", body=b"x" * 5_000)[0] == 413


def test_web_sockets_pass(site: NodeSite, project: str) -> None:
    site.cluster.apply(project, created.ingress("dev", "one.notes.localhost", CLASS))
    served(site, "one.notes.localhost")
    assert created.talk(site.address, "one.notes.localhost") == ("HTTP/1.1 101 Switching Protocols", "heard hello")


def test_the_time_to_answer_is_what_the_ingress_says(site: NodeSite, project: str) -> None:
    """The backend takes six seconds: within an hour of the one, and not within the second of the other."""
    site.cluster.apply(project, created.ingress("dev", "one.notes.localhost", CLASS))
    hasty = created.ingress("hasty", "hasty.notes.localhost", CLASS, proxy_read_timeout="1", proxy_next_upstream="off")
    site.cluster.apply(project, hasty)
    served(site, "one.notes.localhost")
    served(site, "hasty.notes.localhost")
    assert created.ask(site.address, "one.notes.localhost", "/slow")[0] == 200
    assert created.ask(site.address, "hasty.notes.localhost", "/slow")[0] == 504


def test_a_path_is_rewritten(site: NodeSite, project: str) -> None:
    site.cluster.apply(
        project,
        created.ingress("dev", "one.notes.localhost", CLASS),
        created.ingress("re", "re.notes.localhost", CLASS, "/app(/|$)(.*)", use_regex="true", rewrite_target="/$2"),
    )
    wait_until(lambda: created.ask(site.address, "re.notes.localhost", "/app/x")[0] == 200, "a path to rewrite")
    assert created.ask(site.address, "re.notes.localhost", "/app/deep/er")[2]["path"] == "/deep/er"
    assert created.ask(site.address, "re.notes.localhost", "/other")[0] == 404


def test_lines_of_nginx_configuration_are_not_taken(site: NodeSite, project: str) -> None:
    """The proxy leaves out an Ingress with a snippet, as ingress-nginx by default refuses it."""
    site.cluster.apply(
        project,
        created.ingress("snip", "snip.notes.localhost", CLASS, configuration_snippet="return 200;"),
        created.ingress("after", "after.notes.localhost", CLASS),
    )
    served(site, "after.notes.localhost")
    assert created.ask(site.address, "snip.notes.localhost")[0] == 404


@pytest.mark.parametrize("wrong", ["nginx", f"moorage-{NAME}", ""])
def test_an_ingress_of_another_class_is_not_served(site: NodeSite, project: str, wrong: str) -> None:
    word = f"other-{wrong or 'none'}"
    site.cluster.apply(
        project,
        created.ingress(word, f"{word}.notes.localhost", wrong),
        created.ingress("after", "after.notes.localhost", CLASS),
    )
    served(site, "after.notes.localhost")
    assert created.ask(site.address, f"{word}.notes.localhost")[0] == 404


def test_the_class_is_refused_in_a_namespace_that_is_not_the_apps(site: NodeSite, stranger: str) -> None:
    new = created.ingress("dev", "stranger.notes.localhost", CLASS)
    old = created.ingress("dev", "stranger.notes.localhost", "")
    old["metadata"]["annotations"]["kubernetes.io/ingress.class"] = CLASS
    for item in (new, old):
        refused = site.cluster.try_kubectl("apply", "-n", stranger, "-f", "-", stdin=yaml.safe_dump(item))
        assert refused.returncode == 1
        assert f"the class {CLASS} is for namespaces with the labels managed-by=creator" in refused.stderr
    assert created.ask(site.address, "stranger.notes.localhost")[0] == 404


def test_the_proxy_reaches_no_pod_of_a_stranger(site: NodeSite, project: str, stranger: str) -> None:
    """By a policy, whatever an Ingress leads to; the rig's own reading of it is no proof for another controller."""
    for name, expected in ((project, {200}), (stranger, {502, 504})):
        address = site.cluster.kubectl("get", "pods", "-n", name, "-o", "jsonpath={.items[0].status.podIP}")
        host = f"to-{name}.notes.localhost"
        made = created.ingress(f"to-{name}", host, CLASS, proxy_connect_timeout="2", proxy_next_upstream="off")
        made["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = f"to-{name}"
        site.cluster.apply(project, *created.service_of_address(f"to-{name}", address), made)
        wait_until(lambda: created.ask(site.address, host)[0] in expected, host)  # noqa: B023 - called at once
