"""During an update the new containers get exactly the requests that the service always gets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.stack.model import Route
from moorage.targets.compose.facts import ServiceFacts
from moorage.targets.compose.rollout import rollout_routes
from tests.unit.targets.compose.test_edge import DOMAIN, HOSTS, PATHS, http_of, route, route_sets
from tests.unit.targets.compose.traefik import Request, outcome

TOKEN = "0123456789abcdef"


def facts(service: str, **keys: Any) -> ServiceFacts:
    return ServiceFacts(service, "app", f"{service}:1", "r", **keys)


def rolling(
    http: dict[str, Any], service: str, names: tuple[str, ...] = ("acme-web-2",), **keys: Any
) -> dict[str, Any]:
    """The rollout file beside the rendered one, as Traefik sees both."""
    extra = rollout_routes({"http": http}, facts(service, **keys), list(names), DOMAIN, TOKEN)["http"]
    for kind in ("routers", "services", "middlewares"):
        assert not set(extra[kind]) & set(http[kind])
    return {kind: {**http[kind], **extra[kind]} for kind in ("routers", "services", "middlewares")}


def test_every_request_of_the_service_goes_to_the_new_containers_by_name() -> None:
    http = rolling(http_of(route("web", paths=("/",), exact=("/x",), port=8000)), "web", ("acme-web-2", "acme-web-3"))
    for path in ("/", "/a/b", "/x"):
        assert outcome(http, Request(DOMAIN, path)) == "web-8000:rollout"
    servers = http["services"]["web-8000:rollout"]["loadBalancer"]["servers"]
    assert servers == [{"url": "http://acme-web-2:8000"}, {"url": "http://acme-web-3:8000"}]


def test_denials_stay_above_the_new_containers() -> None:
    http = rolling(http_of(route("web", paths=("/",), exact=("/metrics/x",), denied=("/metrics",))), "web")
    for path in ("/metrics", "/metrics/x", "/metrics/deep"):
        assert outcome(http, Request(DOMAIN, path)) == "denied"


def test_what_is_set_for_a_route_is_set_for_the_new_containers_too() -> None:
    http = rolling(
        http_of(route("web", paths=("/app",), strip_prefix=True, compress=True, sticky=True, headers={"A": "1"})), "web"
    )
    steady, during = http["routers"]["web"], http["routers"]["web:rollout"]
    assert {**steady, "priority": 0, "service": "", "middlewares": []} == {
        **during,
        "priority": 0,
        "service": "",
        "middlewares": [],
    }
    applied = [[http["middlewares"][name] for name in router["middlewares"]] for router in (steady, during)]
    assert applied[0] == applied[1]
    assert (
        http["services"]["web-80-sticky:rollout"]["loadBalancer"]["sticky"]
        == http["services"]["web-80-sticky"]["loadBalancer"]["sticky"]
    )


@pytest.mark.parametrize(("probe_path", "asked"), [("/health", "/health"), ("", "/")])
def test_the_new_containers_can_be_asked_by_a_secret_path(probe_path: str, asked: str) -> None:
    http = rolling(http_of(route("web", paths=("/api",), denied=("/",))), "web", probe_path=probe_path)
    request = Request(DOMAIN, f"/.moorage/{TOKEN}")
    assert outcome(http, request) == "web-80:rollout"
    assert http["middlewares"]["moorage::probe"] == {"replacePath": {"path": asked}}
    assert http["routers"]["moorage::probe"]["middlewares"] == [
        "moorage::security-headers:rollout",
        "moorage::probe",
    ]
    assert outcome(http, Request(DOMAIN, "/.moorage/other")) == "denied"
    assert outcome(http, Request("other.example.com", f"/.moorage/{TOKEN}")) == ""


def test_the_routes_of_an_update_need_nothing_that_is_not_published_yet() -> None:
    new = http_of(route("web", paths=("/",), denied=("/no",), headers={"NEW": "1"}, compress=True))
    extra = rollout_routes({"http": new}, facts("web"), ["acme-web-2"], DOMAIN, TOKEN)["http"]
    for router in extra["routers"].values():
        assert set(router["middlewares"]) <= set(extra["middlewares"])
        assert router["service"] in extra["services"]
    # Both files are one provider: a name that stands in both is in force in neither.
    assert not set(extra["middlewares"]) & set(new["middlewares"])


def test_other_services_with_a_similar_name_are_left_alone() -> None:
    http = rolling(http_of(route("web", paths=("/",)), route("web-api", paths=("/api",), port=81)), "web")
    assert "web-api-81:rollout" not in http["services"]


def test_a_service_without_route_has_no_rollout_routes() -> None:
    assert (
        rollout_routes({"http": http_of(route("web", paths=("/",)))}, facts("worker"), ["x"], DOMAIN, TOKEN)["http"][
            "routers"
        ]
        == {}
    )


def test_the_rendered_routes_are_not_changed() -> None:
    http = http_of(route("web", paths=("/",), sticky=True))
    before = repr(http)
    rolling(http, "web")
    assert repr(http) == before


SPLIT = (route("web", paths=("/",), denied=("/secret",)), route("api", paths=("/api",), denied=("/metrics",)))


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/api", "api-80"), ("/api/users", "api-80"), ("/metrics", "denied")],
)
def test_other_services_keep_their_requests_during_an_update(path: str, expected: str) -> None:
    assert outcome(http_of(*SPLIT), Request(DOMAIN, path)) == expected
    assert outcome(rolling(http_of(*SPLIT), "web"), Request(DOMAIN, path)) == expected


def same_during_update(routes: tuple[Route, ...], service: str, host: str, paths: list[str]) -> None:
    http = http_of(*routes)
    during = rolling(http, service)
    for path in paths:
        request = Request(host, path)
        assert outcome(during, request).removesuffix(":rollout") == outcome(http, request), request
        assert outcome(during, request) in ("", "denied") or (outcome(http, request) == f"{service}-80") == outcome(
            during, request
        ).endswith(":rollout")


@given(
    routes=route_sets(),
    number=st.integers(0, 3),
    host=st.sampled_from(HOSTS),
    paths=st.lists(PATHS, min_size=3, max_size=6),
)
def test_an_update_of_any_service_changes_nothing_for_anybody(
    routes: tuple[Route, ...], number: int, host: str, paths: list[str]
) -> None:
    same_during_update(routes, routes[number % len(routes)].service, host, paths)
