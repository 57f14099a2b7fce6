"""Certificates, proxies, dashboards, and what may ask Docker."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Callable

import pytest
import yaml

from tests.docker.site import DOMAIN, Site, docker

pytestmark = pytest.mark.docker

PEBBLE_IMAGE = "ghcr.io/letsencrypt/pebble:2.6"


PEBBLE = {"email": "ops@example.com", "acme_server": "https://pebble:14000/dir", "acme_ca_file": "./pebble-ca.pem"}


def with_pebble(site: Site, *, alias: bool) -> None:
    """An ACME server beside the stack, by the operator's own override file: nothing rendered is edited."""
    certificate = docker("run", "--rm", "--entrypoint", "cat", PEBBLE_IMAGE, "/test/certs/pebble.minica.pem")
    (site.folder / "pebble-ca.pem").write_text(certificate, encoding="utf-8")
    override = {
        "services": {
            "pebble": {
                "image": PEBBLE_IMAGE,
                "environment": {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
                "networks": {"edge": {"aliases": ["pebble"]}},
            },
            # Pebble looks the public name up in this network, as the world would in DNS.
            "traefik": {"networks": {"edge": {"aliases": [DOMAIN] if alias else []}}},
        }
    }
    folder = site.folder / "overrides"
    folder.mkdir(exist_ok=True)
    (folder / "compose.yaml").write_text(yaml.safe_dump(override), encoding="utf-8")


def test_a_certificate_is_issued_by_an_acme_server(make_site: Callable[..., Site]) -> None:
    site = make_site(tls=PEBBLE)
    with_pebble(site, alias=True)
    outcome = site.up()
    assert outcome.status == 0, outcome.text
    assert "Pebble" in outcome.errors
    status = json.loads(site.moorage("status", "--json").output)
    assert "Pebble" in status["certificate"]["issuer"]
    assert status["certificate"]["names"] == [DOMAIN]
    # Trusted by who trusts this authority, for the right name: the chain as a browser would check it.
    root = docker(
        "exec",
        site.container("traefik"),
        "wget",
        "-q",
        "-O",
        "-",
        "--no-check-certificate",
        "https://pebble:15000/roots/0",
    )
    context = ssl.create_default_context(cadata=root)
    connection = site.connect(verify=context)
    connection.request("GET", "/health", headers={"Host": DOMAIN})
    assert connection.getresponse().status == 200
    # The certificate is kept: a replaced proxy asks for no second one.
    docker("rm", "-f", site.container("traefik"))
    assert site.up().status == 0
    orders = docker("logs", site.container("pebble"))
    assert orders.count("Issued certificate serial") == 1


def test_a_failed_certificate_is_explained_and_the_site_runs(make_site: Callable[..., Site]) -> None:
    site = make_site(
        tls={"email": "ops@example.com", "acme_server": "https://nowhere.invalid/dir"},
    )
    outcome = site.up()
    assert outcome.status == 1
    assert "the site runs, but has no certificate yet" in outcome.errors
    assert "nowhere.invalid" in outcome.errors
    assert site.request("GET", "/health").status == 200
    status = site.moorage("status")
    assert status.status == 1
    assert "no certificate was issued yet" in status.errors


def test_own_certificate_files_are_served_and_a_renewed_one_is_noticed(make_site: Callable[..., Site]) -> None:
    from datetime import datetime, timezone

    from moorage.config.authority import ensure

    site = make_site(tls={"mode": "files", "certificate": "./tls/server.crt", "key": "./tls/server.key"})
    ensure(site.folder / "tls", DOMAIN, (DOMAIN,), datetime.now(timezone.utc))
    assert site.up().status == 0
    first = site.connect()
    first_certificate = first.sock.getpeercert(binary_form=True)  # type: ignore[union-attr]
    (site.folder / "tls" / "server.crt").unlink()
    ensure(site.folder / "tls", DOMAIN, (DOMAIN,), datetime.now(timezone.utc))
    plan = site.moorage("plan")
    assert plan.status == 2
    assert "traefik" in plan.output
    assert site.up().status == 0
    second = site.connect()
    assert second.sock.getpeercert(binary_form=True) != first_certificate  # type: ignore[union-attr]


def test_behind_a_proxy_only_the_named_one_is_believed(make_site: Callable[..., Site]) -> None:
    site = make_site()
    ports = site.settings["edge"]
    site.write(
        tls={"mode": "behind-proxy", "trusted_proxies": ["203.0.113.0/24"]},
        edge={"address": "127.0.0.1", "http_port": ports["http_port"]},
    )
    outcome = site.up()
    assert outcome.status == 0, outcome.text
    answer = site.plain_request("/health", headers={"X-Forwarded-Proto": "https"})
    assert answer.status == 200
    assert "strict-transport-security" in answer.headers
    published = docker("port", site.container("traefik"))
    assert published.strip() == f"80/tcp -> 127.0.0.1:{ports['http_port']}"


def test_the_dashboard_wants_its_password(make_site: Callable[..., Site]) -> None:
    site = make_site()
    edge = {**site.settings["edge"], "dashboard": {"enabled": True}}
    site.write(edge=edge)
    assert site.up().status == 0
    host = f"traefik.{DOMAIN}"
    assert site.request("GET", "/api/version", host=host).status == 401
    password = site.must("secrets", "show", "DASHBOARD_PASSWORD").output.strip()
    token = base64.b64encode(f"admin:{password}".encode()).decode()
    answer = site.request("GET", "/api/version", host=host, headers={"Authorization": f"Basic {token}"})
    assert answer.status == 200
    assert answer.json()["Version"].startswith("3.")
    assert site.request("GET", "/api/version").status == 404


def test_an_app_that_makes_containers_gets_routes_but_no_power(make_site: Callable[..., Site]) -> None:
    site = make_site()
    compose = {
        "x-moorage": {"creates_containers": True, "wildcard": True, "project_networks": f"{site.name}-project-*"},
        "services": {
            "web": {
                "image": "nginx:stable",
                "x-moorage": {"port": 80, "route": {"paths": ["/"], "deny": ["/internal"]}},
            }
        },
    }
    (site.folder / "compose.yaml").write_text(yaml.safe_dump(compose), encoding="utf-8")
    site.write(app="./compose.yaml", domain={"name": DOMAIN, "wildcard": True})
    outcome = site.up()
    assert outcome.status == 0, outcome.text
    assert site.request("GET", "/internal/x").status == 403
    assert site.request("GET", "/").status == 200
    network, child = f"{site.name}-project-one", f"{site.name}-child"
    docker("network", "create", network)
    try:
        docker("network", "connect", network, site.container("traefik"))
        docker(
            "run", "-d", "--name", child, "--network", network,
            "--label", "traefik.enable=true", "--label", f"traefik.docker.network={network}",
            "--label", f"traefik.http.routers.{child}.rule=Host(`one.{DOMAIN}`)",
            "--label", f"traefik.http.services.{child}.loadbalancer.server.port=80",
            "nginx:stable",
        )  # fmt: skip
        assert _becomes(site, 200), "the child's route did not appear"
        _assert_the_socket_proxy_only_reads(site)
        # The app itself asks without TLS and without the way over the public name; from outside that is redirected.
        ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: one.{DOMAIN}", "http://traefik/"]
        assert docker("exec", site.container("web"), *ask) == "200"
        assert site.plain_request("/", host=f"one.{DOMAIN}").status in (301, 308)
        docker("rm", "-f", site.container("traefik"))
        assert site.up().status == 0
        assert _becomes(site, 200), "a replaced proxy did not join the project's network again"
        went_down = site.must("down")
        assert f"docker stop {child}" in went_down.text
        assert docker("ps", "--quiet", "--filter", f"name={child}")
        site.must("uninstall", "--purge", "--name", site.name)
        assert docker("ps", "--all", "--quiet", "--filter", f"name={child}") == ""
        assert network not in docker("network", "ls", "--format", "{{.Name}}").split()
    finally:
        docker("rm", "-f", child, check=False)
        docker("network", "rm", "--force", network, check=False)


def _becomes(site: Site, status: int) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if site.request("GET", "/", host=f"one.{DOMAIN}").status == status:
            return True
        time.sleep(0.3)
    return False


def _assert_the_socket_proxy_only_reads(site: Site) -> None:
    traefik = site.container("traefik")
    mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", traefik))
    assert not any("docker.sock" in mount.get("Source", "") for mount in mounts)
    url = "http://socket-proxy:2375"
    listed = docker("exec", traefik, "wget", "-q", "-O", "-", f"{url}/v1.44/containers/json")
    assert any(item["Image"] == "nginx:stable" for item in json.loads(listed))
    for path in (
        "/v1.44/info",
        "/v1.44/images/json",
        "/v1.44/secrets",
        "/v1.44/containers/json/../../volumes",
        f"/v1.44/containers/{traefik}/archive?path=/",
    ):
        answer = docker("exec", traefik, "wget", "-q", "-S", "-O", "-", f"{url}{path}", check=False)
        assert answer == "", path
    posted = docker(
        "exec",
        traefik,
        "wget",
        "-q",
        "-O",
        "-",
        "--post-data",
        "",
        f"{url}/v1.44/containers/{traefik}/stop",
        check=False,
    )
    assert posted == ""
    assert site.request("GET", "/").status == 200
