"""Which router gets a request, asked of an evaluator that knows Traefik and not our code."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moorage.stack.model import Route, Stack
from moorage.targets.compose import edge
from moorage.templating import render_template
from tests.unit.given import compose_of, deployment, rendering
from tests.unit.targets.compose.traefik import Request, matches, outcome

DOMAIN = "notes.example.com"
# Given rather than made: hashing a password takes its time.
DASHBOARD = {"DASHBOARD_PASSWORD": "x", "DASHBOARD_USERS": "admin:$2b$12$x"}
HTTPS = f"name: acme\napp: ./compose.yaml\ndomain: {{name: {DOMAIN}, wildcard: true}}\ntls: {{mode: internal-ca}}\n"


@cache
def plain_stack() -> Stack:
    with tempfile.TemporaryDirectory() as folder:
        return deployment(Path(folder), write_secrets=False).stack


def route(service: str, **keys: Any) -> Route:
    usual: dict[str, Any] = {
        "name": service, "service": service, "port": 80, "hosts": (DOMAIN,), "wildcard_of": "", "paths": (), "exact": (), "denied": (),
        "strip_prefix": False, "headers": {}, "compress": False, "sticky": False, "unlogged": (),
    }  # fmt: skip
    return Route(**{**usual, **keys})


def http_of(*routes: Route) -> dict[str, Any]:
    http: dict[str, Any] = edge.routes(replace(plain_stack(), routes=routes))["http"]
    return http


def test_the_evaluator_knows_traefiks_rules() -> None:
    request = Request("a.example.com", "/api/x")
    assert matches("Host(`a.example.com`) && PathPrefix(`/api`)", request)
    assert not matches("Host(`a.example.com`) && Path(`/api`)", request)
    assert matches("(Host(`b`) || Host(`a.example.com`)) && PathPrefix(`/`)", request)
    assert matches("Host(`b`) && Path(`/`) || PathPrefix(`/a`)", request)
    assert matches("HostRegexp(`^[a-z]+\\.example\\.com$`)", request)


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "web-80"),
        ("/x", "web-80"),
        ("/api", "api-80"),
        ("/api/v1/x", "api-80"),
        ("/api/v2", "new-80"),
        ("/health", "web-80"),
        ("/ap", "web-80"),
    ],
)
def test_the_longest_path_wins(path: str, service: str) -> None:
    http = http_of(route("web", paths=("/",)), route("api", paths=("/api",)), route("new", paths=("/api/v2",)))
    assert outcome(http, Request(DOMAIN, path)) == service


def test_an_unlogged_path_is_served_like_the_rest_and_leaves_no_line() -> None:
    http = http_of(route("api", paths=("/api",), unlogged=("/api/chat", "/api")), route("web", paths=("/",)))
    assert outcome(http, Request(DOMAIN, "/api/chat/x")) == "api-80"
    plain, quiet, same = (http["routers"][name] for name in ("api", "api:unlogged-0", "api:unlogged-1"))
    assert quiet["observability"] == same["observability"] == {"accessLogs": False}
    assert "observability" not in plain
    assert (quiet["middlewares"], quiet["service"]) == (plain["middlewares"], plain["service"])
    assert plain["priority"] < same["priority"] < plain["priority"] + 5 < quiet["priority"]


def test_a_single_path_wins_over_every_prefix() -> None:
    http = http_of(route("web", paths=("/", "/status/very/long/prefix")), route("api", exact=("/status",)))
    assert outcome(http, Request(DOMAIN, "/status")) == "api-80"
    assert outcome(http, Request(DOMAIN, "/status/")) == "web-80"


def test_a_denied_path_is_denied_whoever_would_get_it() -> None:
    http = http_of(
        route("web", paths=("/",), denied=("/metrics",)),
        route("api", paths=("/metrics/public",), exact=("/metrics/x",)),
    )
    for path in (
        "/metrics",
        "/metrics/",
        "/metrics/public",
        "/metrics/x",
        "/%2Fmetrics",
        "/%2fmetrics%2Fx",
        "//metrics",
        "/METRICS/x",
    ):
        assert outcome(http, Request(DOMAIN, path)) == "denied"
    assert outcome(http, Request("other.example.com", "/metrics")) == ""


def test_a_denial_alone_denies() -> None:
    http = http_of(route("web", denied=("/private",)))
    assert outcome(http, Request(DOMAIN, "/private")) == "denied"
    assert outcome(http, Request(DOMAIN, "/")) == ""


@pytest.mark.parametrize(
    ("host", "service"),
    [
        (DOMAIN, "web-80"),
        (f"x.{DOMAIN}", "tenants-80"),
        (f"a-1.{DOMAIN}", "tenants-80"),
        (f"admin.{DOMAIN}", "admin-80"),
        (f"a.b.{DOMAIN}", ""),
        (f".{DOMAIN}", ""),
        (f"x{DOMAIN}", ""),
        (f"x.{DOMAIN}.evil.com", ""),
        ("x.notesXexample.com", ""),
        ("evil.com", ""),
    ],
)
def test_a_wildcard_is_exactly_one_label_and_never_wins_over_a_name(host: str, service: str) -> None:
    http = http_of(
        route("web", paths=("/",)),
        route("tenants", hosts=(), wildcard_of=DOMAIN, paths=("/", "/a/very/long/path/that/is/longer"), exact=("/a",)),
        route("admin", hosts=(f"admin.{DOMAIN}",), paths=("/",)),
    )
    for path in ("/", "/a", "/a/very/long/path/that/is/longer/x"):
        assert outcome(http, Request(host, path)) == service


@pytest.mark.parametrize("path", ["/internal", "/internal/x"])
def test_a_denial_of_a_wildcard_does_not_reach_named_hosts(path: str) -> None:
    http = http_of(
        route("tenants", hosts=(), wildcard_of=DOMAIN, paths=("/",), denied=("/internal",)),
        route("admin", hosts=(f"admin.{DOMAIN}",), paths=("/",)),
    )
    assert outcome(http, Request(f"x.{DOMAIN}", path)) == "denied"
    assert outcome(http, Request(f"admin.{DOMAIN}", path)) == "admin-80"


def test_a_route_of_several_hosts_and_paths_is_one_service() -> None:
    http = http_of(
        route("web", hosts=(DOMAIN, "other.example.org"), paths=("/a", "/b"), exact=("/c",), denied=("/a/x", "/b/x"))
    )
    for host in (DOMAIN, "other.example.org"):
        for path, expected in (
            ("/a", "web-80"),
            ("/b/y", "web-80"),
            ("/c", "web-80"),
            ("/c/d", ""),
            ("/a/x", "denied"),
            ("/b/x/y", "denied"),
        ):
            assert outcome(http, Request(host, path)) == expected
    assert list(http["services"]) == ["web-80"]


PATHS = st.lists(st.sampled_from(["a", "b", "ab", "api", "v1"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
HOSTS = [DOMAIN, f"x.{DOMAIN}", f"y.{DOMAIN}", f"a.b.{DOMAIN}", "other.example.org"]


@st.composite
def route_sets(draw: st.DrawFn) -> tuple[Route, ...]:
    """Routes of several services; every host and path belongs to one of them."""
    taken: set[tuple[str, str, str]] = set()
    result = []
    for number in range(draw(st.integers(1, 4))):
        host = draw(st.sampled_from([DOMAIN, f"x.{DOMAIN}", "*"]))

        def free(kind: str, host: str = host) -> tuple[str, ...]:
            found = draw(st.lists(PATHS, max_size=3, unique=True))
            new = tuple(path for path in found if (kind, host, path) not in taken)
            taken.update((kind, host, path) for path in new)
            return new

        denied = tuple(path for path in draw(st.lists(PATHS, max_size=1)) if path != "/")
        result.append(
            route(
                f"s{number}",
                hosts=() if host == "*" else (host,),
                wildcard_of=DOMAIN if host == "*" else "",
                paths=free("prefix"),
                exact=free("exact"),
                denied=denied,
            )
        )
    return tuple(result)


def expected_outcome(routes: tuple[Route, ...], request: Request) -> str:
    """What a person would say: names before wildcards; denials, then single paths before prefixes, long before short."""
    label, _, rest = request.host.partition(".")

    def is_named(item: Route) -> bool:
        return request.host in item.hosts

    def is_wild(item: Route) -> bool:
        return bool(item.wildcard_of) and rest == item.wildcard_of and label != ""

    def outcome_on(items: list[Route]) -> str:
        if any(request.path.startswith(prefix) for item in items for prefix in item.denied):
            return "denied"
        ranked = [
            ((kind, len(path)), item.service)
            for item in items
            for kind, paths in ((1, item.exact), (0, item.paths))
            for path in paths
            if (request.path == path if kind else request.path.startswith(path))
        ]
        return f"{max(ranked)[1]}-80" if ranked else ""

    return outcome_on([item for item in routes if is_named(item)]) or outcome_on(
        [item for item in routes if is_wild(item)]
    )


@given(routes=route_sets(), host=st.sampled_from(HOSTS), paths=st.lists(PATHS, min_size=3, max_size=6))
def test_of_any_set_of_routes_the_right_one_gets_a_request(
    routes: tuple[Route, ...], host: str, paths: list[str]
) -> None:
    http = http_of(*routes)
    for path in paths:
        request = Request(host, path)
        assert outcome(http, request) == expected_outcome(routes, request), (routes, request)


@given(routes=route_sets())
def test_every_name_that_is_used_is_defined(routes: tuple[Route, ...]) -> None:
    http = http_of(*routes)
    for router in http["routers"].values():
        assert router["service"] in http["services"]
        assert set(router["middlewares"]) <= set(http["middlewares"])
        assert router["entryPoints"] == ["web"]
        assert isinstance(router["priority"], int)


@given(routes=route_sets())
def test_routes_do_not_depend_on_the_order_of_services(routes: tuple[Route, ...]) -> None:
    assert http_of(*routes) == http_of(*reversed(routes))


def test_options_of_a_route_become_middlewares_of_its_routers_only() -> None:
    http = http_of(
        route("web", paths=("/",)),
        route("api", paths=("/api",), headers={"B": "2", "A": "1"}, compress=True, strip_prefix=True, sticky=True),
    )
    assert set(http["routers"]["api"]["middlewares"]) - set(http["routers"]["web"]["middlewares"]) == {
        "api:headers",
        "moorage::compress",
        "api:strip",
    }
    assert http["middlewares"]["api:strip"] == {"stripPrefix": {"prefixes": ["/api"]}}
    assert http["middlewares"]["api:headers"] == {"headers": {"customResponseHeaders": {"A": "1", "B": "2"}}}
    assert http["services"][http["routers"]["api"]["service"]]["loadBalancer"]["sticky"]
    assert "sticky" not in http["services"]["web-80"]["loadBalancer"]


def test_a_service_never_takes_the_name_of_one_of_our_middlewares() -> None:
    plain = http_of(route("web", paths=("/",)))["middlewares"]["moorage::security-headers"]
    http = http_of(route("web", paths=("/",)), route("security", paths=("/s",), headers={"A": "1"}))
    assert http["middlewares"]["moorage::security-headers"] == plain


def test_a_service_called_dashboard_keeps_its_route(tmp_path: Path) -> None:
    compose = {"services": {"dashboard": {"image": "x", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}}}
    found = rendering(tmp_path, compose, "edge: {dashboard: {enabled: true}}\n", base=HTTPS, secrets=DASHBOARD)
    http = yaml.safe_load(found.public.files["compose/traefik/dynamic/routes.yaml"].content)["http"]
    assert outcome(http, Request(DOMAIN, "/")) == "dashboard-80"


def test_services_with_names_like_parts_of_others_keep_their_routes() -> None:
    web = route("web", paths=("/", "/b"), exact=("/c",), denied=("/d",), headers={"A": "1"}, strip_prefix=True)
    names = ("web-denied", "web-exact-0", "web-path-1", "web-headers", "web-strip", "web-80", "moorage", "deny")
    others = [route(name, paths=(f"/to/{name}",), headers={"B": name}, denied=(f"/no/{name}",)) for name in names]
    http = http_of(web, *others)
    assert outcome(http, Request(DOMAIN, "/c")) == "web-80"
    assert outcome(http, Request(DOMAIN, "/d")) == "denied"
    for name in names:
        assert outcome(http, Request(DOMAIN, f"/to/{name}")) == f"{name}-80"
        assert outcome(http, Request(DOMAIN, f"/no/{name}")) == "denied"
        chain = [http["middlewares"][item] for item in http["routers"][name]["middlewares"]]
        assert {"headers": {"customResponseHeaders": {"B": name}}} in chain


def test_no_path_is_long_enough_to_stand_above_what_is_more_exact() -> None:
    long = "/" + "a" * 60_000
    http = http_of(
        route("web", paths=("/", long), exact=("/x",), denied=(f"{long}/no",)),
        route("tenants", hosts=(), wildcard_of=DOMAIN, paths=(long,), exact=(f"{long}/x",), denied=("/no",)),
        route("admin", hosts=(f"admin.{DOMAIN}",), paths=("/",)),
    )
    for host, path, expected in (
        (DOMAIN, f"{long}/no", "denied"),
        (f"x.{DOMAIN}", "/no", "denied"),
        (f"admin.{DOMAIN}", f"{long}/x", "admin-80"),
    ):
        assert outcome(http, Request(host, path)) == expected


def test_a_denial_of_the_wildcard_does_not_reach_the_dashboard(tmp_path: Path) -> None:
    own = {"port": 80, "route": {"host": "*", "paths": ["/"], "deny": ["/dashboard", "/api"]}}
    compose = {"services": {"tenants": {"image": "x", "x-moorage": own}}}
    found = rendering(tmp_path, compose, "edge: {dashboard: {enabled: true}}\n", base=HTTPS, secrets=DASHBOARD)
    http = yaml.safe_load(found.public.files["compose/traefik/dynamic/routes.yaml"].content)["http"]
    assert outcome(http, Request(f"x.{DOMAIN}", "/api/overview")) == "denied"
    assert outcome(http, Request(f"traefik.{DOMAIN}", "/api/overview")) == "api@internal"


@pytest.mark.parametrize(
    "value", ['{{ env "DASHBOARD_USERS" }}', "{{", "a {{{b}} `c`", "{{/*", "nonce-{{ 'x' }} \"y\""]
)
def test_a_header_is_a_text_and_never_an_expression_of_traefik(value: str, tmp_path: Path) -> None:
    own = {"port": 80, "route": {"paths": ["/"], "headers": {"X-Own": value}}}
    compose = {"services": {"web": {"image": "x", "x-moorage": own}}}
    text = rendering(tmp_path, compose).public.files["compose/traefik/dynamic/routes.yaml"].content.decode()
    # What Go's template engine makes of a raw string in an expression, and of everything outside of one.
    assert "{{" not in text.replace("{{`{{`}}", "")
    http = yaml.safe_load(text.replace("{{`{{`}}", "{{"))["http"]
    assert http["middlewares"]["web:headers"]["headers"]["customResponseHeaders"] == {"X-Own": value}


# The files as a whole.


def files(folder: Path, base: str, settings: str = "", **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Traefik's static and dynamic file."""
    found = rendering(folder, settings=settings, base=base, **more).public.files
    static = yaml.safe_load(found["compose/traefik/traefik.yaml"].content)
    dynamic = yaml.safe_load(found["compose/traefik/dynamic/routes.yaml"].content)
    return static, dynamic


NAMED = f"name: acme\napp: ./compose.yaml\ndomain: {DOMAIN}\n"


def test_without_https_there_is_one_entry_and_no_redirect(tmp_path: Path) -> None:
    static, dynamic = files(tmp_path, NAMED + 'tls: {mode: "off"}\n')
    assert set(static["entryPoints"]) == {"ping", "web"}
    assert "redirections" not in static["entryPoints"]["web"]["http"]
    assert "tls" not in dynamic
    assert dynamic["http"]["routers"]["web"]["entryPoints"] == ["web"]
    assert "stsSeconds" not in dynamic["http"]["middlewares"]["moorage::security-headers"]["headers"]


@pytest.mark.parametrize(("port", "to"), [(443, "websecure"), (8443, ":8443")])
def test_with_https_everything_else_is_sent_there(port: int, to: str, tmp_path: Path) -> None:
    static, dynamic = files(tmp_path, NAMED + f"tls: {{mode: internal-ca}}\nedge: {{https_port: {port}}}\n")
    redirect = static["entryPoints"]["web"]["http"]["redirections"]["entryPoint"]
    assert (redirect["to"], redirect["scheme"], redirect["permanent"]) == (to, "https", True)
    assert dynamic["http"]["routers"]["web"]["entryPoints"] == ["websecure"]
    assert dynamic["tls"]["options"]["default"]["minVersion"] == "VersionTLS12"
    assert dynamic["http"]["middlewares"]["moorage::security-headers"]["headers"]["stsSeconds"] == 365 * 86400


def test_behind_a_proxy_its_headers_are_believed_and_nobody_elses(tmp_path: Path) -> None:
    static, dynamic = files(tmp_path, NAMED + "tls: {mode: behind-proxy, trusted_proxies: [10.0.0.0/8, 'fd00::/8']}\n")
    assert static["entryPoints"]["web"]["forwardedHeaders"] == {"trustedIPs": ["10.0.0.0/8", "fd00::/8"]}
    assert "websecure" not in static["entryPoints"]
    assert dynamic["http"]["middlewares"]["moorage::security-headers"]["headers"]["stsSeconds"]
    static, _ = files(tmp_path, NAMED + 'tls: {mode: "off"}\n')
    assert "forwardedHeaders" not in static["entryPoints"]["web"]


def test_certificates_are_ordered_as_said(tmp_path: Path) -> None:
    static, _ = files(tmp_path, NAMED + "tls: {mode: letsencrypt, email: ops@example.com}\n")
    acme = static["certificatesResolvers"]["letsencrypt"]["acme"]
    assert acme["email"] == "ops@example.com"
    assert acme["httpChallenge"] == {"entryPoint": "web"}
    assert static["entryPoints"]["websecure"]["http"]["tls"] == {"certResolver": "letsencrypt"}


def test_a_wildcard_certificate_covers_the_domain_and_what_is_below(tmp_path: Path) -> None:
    base = f"name: acme\napp: ./compose.yaml\ndomain: {{name: {DOMAIN}, wildcard: true}}\ntls: {{mode: letsencrypt, email: a@b.de, challenge: cloudflare-dns}}\n"
    static, _ = files(tmp_path, base, files={"secrets/compose/values/CF_DNS_API_TOKEN": "t\n"})
    assert static["entryPoints"]["websecure"]["http"]["tls"]["domains"] == [{"main": DOMAIN, "sans": [f"*.{DOMAIN}"]}]
    assert "dnsChallenge" in static["certificatesResolvers"]["letsencrypt"]["acme"]


@pytest.mark.parametrize(
    "email",
    [
        "ops@example.com",
        "a#b@example.com",
        "null@example.com",
        "#ops@example.com",
        "&a@example.com",
        "*a@example.com",
        "{a@example.com",
        "!a@example.com",
        "%a@example.com",
    ],
)
def test_any_accepted_address_arrives_unchanged(email: str, tmp_path: Path) -> None:
    static, _ = files(tmp_path, NAMED + f"tls: {{mode: letsencrypt, email: '{email}'}}\n")
    assert static["certificatesResolvers"]["letsencrypt"]["acme"]["email"] == email


def test_any_accepted_acme_server_arrives_unchanged(tmp_path: Path) -> None:
    server = "https://acme.example.com/dir#x?a=&b=*%20:[y]"
    static, _ = files(tmp_path, NAMED + f"tls: {{mode: letsencrypt, email: a@b.de, acme_server: '{server}'}}\n")
    assert static["certificatesResolvers"]["letsencrypt"]["acme"]["caServer"] == server


def test_own_certificates_are_mounted_and_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    base = NAMED + f"tls: {{mode: files, certificate: ./tls/site.crt, key: {tmp_path / 'key'}}}\n"
    found = rendering(tmp_path, base=base, files={"tls/site.crt": "x"})
    mounts = {item["target"]: item["source"] for item in compose_of(found)["services"]["traefik"]["volumes"]}
    assert mounts == {"/tls/tls.crt": "../../../tls/site.crt", "/tls/tls.key": str(tmp_path / "key")}
    dynamic = yaml.safe_load(found.public.files["compose/traefik/dynamic/routes.yaml"].content)
    assert dynamic["tls"]["certificates"] == [{"certFile": "/tls/tls.crt", "keyFile": "/tls/tls.key"}]


def test_the_dashboard_is_behind_a_password_on_its_own_host(tmp_path: Path) -> None:
    static, dynamic = files(
        tmp_path, NAMED + "tls: {mode: internal-ca}\n", "edge: {dashboard: {enabled: true}}\n", secrets=DASHBOARD
    )
    assert static["api"] == {"dashboard": True}
    router = dynamic["http"]["routers"]["moorage::dashboard"]
    assert router["service"] == "api@internal"
    assert "moorage::dashboard-password" in router["middlewares"]
    assert matches(router["rule"], Request(f"traefik.{DOMAIN}", "/"))
    assert not matches(router["rule"], Request(DOMAIN, "/dashboard"))
    static, _ = files(tmp_path, NAMED + "tls: {mode: internal-ca}\n")
    assert "api" not in static


def test_the_static_file_is_made_of_the_view_only() -> None:
    text = render_template("traefik/traefik.yaml.j2", edge.static_view(plain_stack()))
    assert set(yaml.safe_load(text)["providers"]) == {"providersThrottleDuration", "file"}


def test_no_query_string_gets_into_the_log() -> None:
    text = render_template("traefik/traefik.yaml.j2", edge.static_view(plain_stack()))
    assert yaml.safe_load(text)["accessLog"]["fields"]["queryParameters"] == {"defaultMode": "drop"}
