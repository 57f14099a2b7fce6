"""Routes and published ports: from the app's file, from moorage.yaml, without contradictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moorage.stack.model import Route
from tests.unit.given import deployment, problems


def compose(**services: Any) -> dict[str, Any]:
    return {"services": {name.replace("_", "-"): {"image": "nginx", **keys} for name, keys in services.items()}}


def routes(folder: Path, content: dict[str, Any], settings: str = "", **more: Any) -> tuple[Route, ...]:
    return deployment(folder, content, settings, **more).stack.routes


def refused(folder: Path, content: dict[str, Any], settings: str = "", **more: Any) -> list[str]:
    return [f"{problem.key}: {problem.rule}" for problem in problems(lambda: routes(folder, content, settings, **more))]


def extension(**keys: Any) -> dict[str, Any]:
    return {"x-moorage": keys}


def test_the_apps_own_route_is_taken(tmp_path: Path) -> None:
    (route,) = routes(
        tmp_path, compose(web=extension(port=8000, route={"paths": ["/"], "exact": ["/x"], "deny": ["/metrics"]}))
    )
    assert (route.name, route.service, route.port, route.hosts) == ("web", "web", 8000, ("notes.example.com",))
    assert (route.paths, route.exact, route.denied) == (("/",), ("/x",), ("/metrics",))


@pytest.mark.parametrize(
    ("host", "hosts", "wildcard_of"),
    [
        ("", ("notes.example.com",), ""),
        ("admin", ("admin.notes.example.com",), ""),
        ("other.example.org", ("other.example.org",), ""),
        ("*", (), "notes.example.com"),
    ],
)
def test_a_host_is_the_domain_a_name_below_it_or_a_whole_one(
    host: str, hosts: tuple[str, ...], wildcard_of: str, tmp_path: Path
) -> None:
    base = 'name: acme\napp: ./compose.yaml\ndomain: {name: notes.example.com, wildcard: true}\ntls: {mode: "off"}\n'
    (route,) = routes(tmp_path, compose(web=extension(port=80, route={"host": host, "paths": ["/"]})), base=base)
    assert (route.hosts, route.wildcard_of) == (hosts, wildcard_of)


def test_what_moorage_yaml_says_of_a_service_replaces_what_the_app_says(tmp_path: Path) -> None:
    content = compose(web=extension(port=80, route=[{"paths": ["/a"]}, {"paths": ["/b"]}]))
    found = routes(tmp_path, content, "routes: {web: [{port: 81, paths: [/x]}, {host: y}]}\n")
    assert [(route.name, route.port, route.hosts, route.paths) for route in found] == [
        ("web", 81, ("notes.example.com",), ("/x",)),
        ("web.1", 80, ("y.notes.example.com",), ("/",)),
    ]


@pytest.mark.parametrize(
    ("keys", "port"),
    [
        ({"ports": ["8080:3000"]}, 3000),
        ({"ports": ["3000", "2222:22"]}, 3000),
        ({"expose": ["3000"]}, 3000),
        ({"ports": ["3000"], "expose": ["4000"]}, 3000),
        ({"ports": ["3000"], **extension(port=5000)}, 5000),
    ],
)
def test_a_port_that_is_clear_needs_not_be_named(keys: Any, port: int, tmp_path: Path) -> None:
    (route,) = routes(tmp_path, compose(web=keys), "routes: {web: {}}\n")
    assert route.port == port


@pytest.mark.parametrize("keys", [{}, {"ports": ["3000", "4000"]}, {"ports": ["2222:22"]}])
def test_a_port_that_is_not_clear_must_be_named(keys: Any, tmp_path: Path) -> None:
    assert any(
        "routes.web[0].port: is required" in rule
        for rule in refused(tmp_path, compose(web=keys), "routes: {web: {}}\n")
    )


@pytest.mark.parametrize("port", [5432, 6379, 3306, 27017])
def test_a_database_is_never_routed(port: int, tmp_path: Path) -> None:
    assert any(
        "does not speak HTTP" in rule
        for rule in refused(tmp_path, compose(web={}), f"routes: {{web: {{port: {port}}}}}\n")
    )


def test_an_app_without_any_route_is_refused_with_a_proposal(tmp_path: Path) -> None:
    (problem,) = problems(lambda: routes(tmp_path, compose(web={"ports": ["8080:3000"]})))
    assert problem.key == "routes"
    assert "web: {port: 3000}" in problem.hint


@pytest.mark.parametrize(
    "settings",
    [
        "routes: {a: {port: 1}, b: {port: 2}}\n",
        "routes: {a: {port: 1, paths: [/x]}, b: {port: 2, paths: [/x/]}}\n",
        "routes: {a: [{port: 1, paths: [/x]}, {port: 1, paths: [/x]}]}\n",
        "routes: {a: {port: 1, host: h}, b: {port: 2, host: h.notes.example.com}}\n",
    ],
)
def test_one_address_that_goes_to_two_services_is_refused(settings: str, tmp_path: Path) -> None:
    assert any("duplicate" in rule for rule in refused(tmp_path, compose(a={}, b={}), settings))


def test_a_route_on_the_host_of_the_dashboard_is_refused(tmp_path: Path) -> None:
    base = "name: acme\napp: ./compose.yaml\ndomain: notes.example.com\ntls: {mode: internal-ca}\nedge: {dashboard: {enabled: true}}\n"
    assert refused(
        tmp_path,
        compose(a={}),
        "routes: {a: [{port: 80}, {port: 81, host: traefik}]}\n",
        base=base,
        secrets={"DASHBOARD_PASSWORD": "x", "DASHBOARD_USERS": "x"},
    )


@pytest.mark.parametrize(
    "host", ["Admin", "a_b", "'a b'", "'x`) || Host(`y'", "-a", "https://a.de", "'*.x'", "müller", "':'"]
)
def test_a_host_that_is_none_is_refused_and_no_crash(host: str, tmp_path: Path) -> None:
    assert refused(tmp_path, compose(a={}), f"routes: {{a: {{port: 80, host: {host}}}}}\n")


@pytest.mark.parametrize("host", ["a..b", "a.-b", "a-.b", "1.2.3.4"])
def test_a_host_of_moorage_yaml_that_is_none_is_refused(host: str, tmp_path: Path) -> None:
    assert refused(tmp_path, compose(a={}), f"routes: {{a: {{port: 80, host: {host}}}}}\n")


@pytest.mark.parametrize("host", ["a..b", "a.-b", "a-.b"])
def test_a_host_of_the_apps_file_that_is_none_is_refused(host: str, tmp_path: Path) -> None:
    assert refused(tmp_path, compose(a=extension(port=80, route={"host": host, "paths": ["/"]})))


def test_every_subdomain_needs_a_wildcard_domain(tmp_path: Path) -> None:
    assert any("`*`" in rule for rule in refused(tmp_path, compose(a={}), "routes: {a: {port: 80, host: '*'}}\n"))


def test_a_service_that_does_not_run_here_has_no_route(tmp_path: Path) -> None:
    content = compose(
        a=extension(port=1, route={"paths": ["/"]}), b=extension(port=1, route={"paths": ["/"]}, targets=["eks"])
    )
    assert [route.service for route in routes(tmp_path, content)] == ["a"]


def test_a_service_that_is_left_out_by_its_profile_has_no_route(tmp_path: Path) -> None:
    content = compose(
        a=extension(port=1, route={"paths": ["/"]}),
        b={"profiles": ["dev"], **extension(port=1, route={"paths": ["/dev"]})},
    )
    found = deployment(tmp_path, content).stack
    assert {route.service for route in found.routes} <= {service.name for service in found.services}


@pytest.mark.parametrize("keys", [{"profiles": ["dev"]}, {"build": ".", **extension(build_only=True)}])
def test_a_route_or_port_of_a_service_that_never_runs_is_refused(keys: dict[str, Any], tmp_path: Path) -> None:
    content = compose(a=extension(port=1, route={"paths": ["/"]}), b=keys)
    (rule,) = refused(tmp_path, content, "routes: {b: {port: 2, host: b}}\n")
    assert rule.startswith("routes.b: ")
    (rule,) = refused(tmp_path, content, "publish: [{service: b, port: 22}]\n")
    assert rule.startswith("publish[0].service: ")


def test_an_app_whose_only_route_is_left_out_by_its_profile_is_refused(tmp_path: Path) -> None:
    content = compose(a={}, b={"profiles": ["dev"], **extension(port=1, route={"paths": ["/"]})})
    assert [rule.partition(":")[0] for rule in refused(tmp_path, content)] == ["routes"]


@pytest.mark.parametrize("mode", ["service:a", "none"])
def test_nothing_leads_to_a_service_without_a_network_of_its_own(mode: str, tmp_path: Path) -> None:
    content = compose(a=extension(port=1, route={"paths": ["/"]}), side={"network_mode": mode})
    (rule,) = refused(tmp_path, content, "routes: {side: {port: 2, host: b}}\n")
    assert rule.startswith("routes.side[0].port: ")
    (rule,) = refused(tmp_path, content, "publish: [{service: side, port: 22}]\n")
    assert rule.startswith("publish[0].service: ")


def test_routes_of_different_services_have_different_names(tmp_path: Path) -> None:
    found = routes(
        tmp_path,
        compose(web={}, web_1={}),
        "routes: {web: [{port: 80}, {port: 80, host: b}], web-1: {port: 80, host: c}}\n",
    )
    assert len({route.name for route in found}) == 3


def test_headers_for_https_are_added_with_https_only(tmp_path: Path) -> None:
    content = compose(a=extension(port=1, route={"paths": ["/"], "headers": {"A": "1"}, "https_headers": {"B": "2"}}))
    assert routes(tmp_path, content)[0].headers == {"A": "1"}
    base = "name: acme\napp: ./compose.yaml\ndomain: notes.example.com\ntls: {mode: internal-ca}\n"
    assert routes(tmp_path, content, base=base)[0].headers == {"A": "1", "B": "2"}


def test_published_ports_are_those_that_the_operator_insists_on(tmp_path: Path) -> None:
    content = compose(a={"ports": ["2222:22", "80:80"]})
    settings = "routes: {a: {port: 80}}\npublish: [{service: a, port: 2222, target: 22}, {service: a, port: 53, protocol: udp, address: 127.0.0.1}]\n"
    found = deployment(tmp_path, content, settings).stack.publications
    assert [(item.host_port, item.container_port, item.protocol, item.address) for item in found] == [
        (2222, 22, "tcp", "0.0.0.0"),
        (53, 53, "udp", "127.0.0.1"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "fine"),
    [
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", False),
        ("'::'", "0.0.0.0", True),
        ("'::'", "'::1'", False),
    ],
)
def test_one_port_on_two_addresses_is_two_ports(first: str, second: str, fine: bool, tmp_path: Path) -> None:
    settings = "routes: {a: {port: 80}}\npublish:\n" + "".join(
        f"- {{service: a, port: 53, protocol: udp, address: {address}}}\n" for address in (first, second)
    )
    if fine:
        assert len(deployment(tmp_path, compose(a={}), settings).stack.publications) == 2
    else:
        assert any("is taken by" in rule for rule in refused(tmp_path, compose(a={}), settings))


def test_a_published_service_has_one_container(tmp_path: Path) -> None:
    content = compose(a={"deploy": {"replicas": 2}, **extension(port=1, route={"paths": ["/"]})})
    (rule,) = refused(tmp_path, content, "publish: [{service: a, port: 22}]\n")
    assert "several containers" in rule


def test_a_port_that_nobody_opened_is_told(tmp_path: Path) -> None:
    found = deployment(tmp_path, compose(a={"ports": ["80:80", "2222:22"]}), "routes: {a: {port: 80}}\n").stack
    assert [notice.subject for notice in found.notices if "port 22 is not published" in notice.text] == ["service a"]
