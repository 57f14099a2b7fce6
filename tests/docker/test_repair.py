"""What people do to a running site by hand, and what Compose leaves as it is: `up` mends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from tests.docker.site import DOMAIN, Site, docker
from tests.docker.test_edge import PEBBLE, with_pebble

pytestmark = pytest.mark.docker


def test_a_role_whose_password_was_changed_by_hand_is_set_right(make_site: Callable[..., Site]) -> None:
    site = make_site()
    assert site.up().status == 0
    change = "alter role notes password 'by hand'"
    docker("exec", site.container("postgres"), "psql", "-U", "postgres", "-c", change)
    docker("restart", site.container("web"))
    outcome = site.up()
    assert outcome.status == 0, outcome.text
    assert site.request("GET", "/api/notes").status == 200
    again = site.up()
    assert "nothing to do" in again.text
    assert len(list((site.folder / "releases/compose").glob("0*"))) == 1


def test_a_network_that_loses_its_way_out_really_does(make_site: Callable[..., Site]) -> None:
    site = make_site()
    assert site.up().status == 0
    override = site.folder / "overrides/compose.yaml"
    override.parent.mkdir(exist_ok=True)
    for is_internal in (True, False):
        override.write_text(yaml.safe_dump({"networks": {"app": {"internal": is_internal}}}), encoding="utf-8")
        assert "recreate, its network" in site.moorage("plan").output
        outcome = site.up()
        assert outcome.status == 0, outcome.text
        found = docker("network", "inspect", "--format", "{{.Internal}}", f"{site.name}_app").strip()
        assert found == str(is_internal).lower()
        assert site.request("GET", "/health").status == 200
        assert site.moorage("plan").status == 0


def test_a_certificate_whose_cause_is_mended_comes_without_a_restart(make_site: Callable[..., Site]) -> None:
    site = make_site(tls=PEBBLE)
    with_pebble(site, alias=False)
    first = site.up()
    assert first.status == 1, first.text
    assert "has no certificate yet" in first.errors
    proxy = site.container("traefik")
    # "DNS" is mended: the authority finds the site now, by a helper that hands every request on.
    network = ["--network", f"{site.name}_edge", "--network-alias", DOMAIN]
    forward = ["nc", "-ll", "-p", "80", "-e", "nc", "traefik", "80"]
    helper = docker("run", "--detach", "--rm", *network, "busybox:stable", *forward).strip()
    try:
        second = site.up()
    finally:
        docker("rm", "--force", helper)
    assert second.status == 0, second.text
    assert "Traefik asks for the certificate again" in second.text
    assert "Pebble" in second.text
    assert site.container("traefik") == proxy
    third = site.up()
    assert "asks for the certificate" not in third.text
