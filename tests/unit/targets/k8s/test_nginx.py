"""Routes for an ingress-nginx: paths as it matches them, and what is read back of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from moorage.parity.ingress_nginx import PathRead, read_path
from tests.unit.targets.k8s.given import Object, manifests, objects

_OPTION = "nginx.ingress.kubernetes.io/"
_NGINX = "kubernetes: {ingress: nginx}\n"


def _ingresses(folder: Path, route: dict[str, Any]) -> dict[str, Object]:
    web = {"image": "nginx:1.27", "x-moorage": {"port": 80, "route": route}}
    rendered = manifests(folder, {"web": web}, _NGINX)
    return {item["metadata"]["name"]: item for item in objects(rendered) if item["kind"] == "Ingress"}


def _options(item: Object) -> dict[str, str]:
    return {name.removeprefix(_OPTION): text for name, text in item["metadata"]["annotations"].items()}


def _path(item: Object) -> tuple[str, str]:
    (path,) = item["spec"]["rules"][0]["http"]["paths"]
    return path["path"], path["pathType"]


def test_without_expressions_paths_stay_as_they_are(tmp_path: Path) -> None:
    found = _ingresses(tmp_path, {"paths": ["/a.b"], "exact": ["/c.d"]})
    assert _path(found["web"]) == ("/a.b", "ImplementationSpecific")
    assert _path(found["web-exact-0"]) == ("/c.d", "Exact")


@pytest.mark.parametrize(
    ("name", "asked", "given"),
    [
        ("web", "/files/a", "/a"),
        ("web", "/files", "/"),
        ("web-path-1", "/old.files/a", "/a"),
        ("web-exact-0", "/files/one", "/one"),
        ("web-unlogged-0", "/files/live/now", "/live/now"),
    ],
)
def test_a_prefix_is_taken_off_as_traefik_does_it(tmp_path: Path, name: str, asked: str, given: str) -> None:
    route = {
        "paths": ["/files", "/old.files"],
        "exact": ["/files/one"],
        "unlogged": ["/files/live"],
        "strip_prefix": True,
    }
    found = _ingresses(tmp_path, route)[name]
    assert _options(found)["rewrite-target"] == "/$2"
    match = re.match(f"^{_path(found)[0]}", asked, re.IGNORECASE)
    assert match is not None
    assert f"/{match[2]}" == given


def test_what_is_not_below_the_prefix_is_not_rewritten(tmp_path: Path) -> None:
    found = _ingresses(tmp_path, {"paths": ["/files"], "exact": ["/one.txt", "/filesystem"], "strip_prefix": True})
    for name, path in (("web-exact-0", r"/one\.txt$"), ("web-exact-1", "/filesystem$")):
        assert _path(found[name]) == (path, "ImplementationSpecific")
        assert "rewrite-target" not in _options(found[name])


def test_a_denied_path_lets_nobody_in_and_is_read_back(tmp_path: Path) -> None:
    found = _ingresses(tmp_path, {"paths": ["/"], "deny": ["/api/v1.0"]})
    assert {
        name: _options(found[name])["whitelist-source-range"] for name in ("web-denied", "web-denied-expression")
    } == {
        "web-denied": "255.255.255.255/32",
        "web-denied-expression": "255.255.255.255/32",
    }
    read = {name: read_path(*_path(item), _options(item), is_expression=True) for name, item in found.items()}
    assert read["web-denied"] == PathRead("below", "/api/v1.0")
    assert read["web-denied-expression"].kind == "like"
    assert re.match(read["web-denied-expression"].path, "/API%2Fv1.0/x")
    assert not re.match(read["web-denied-expression"].path, "/api/v1x0")


def test_a_visitor_stays_by_the_ingress_and_not_by_the_service(tmp_path: Path) -> None:
    found = _ingresses(tmp_path, {"paths": ["/"], "sticky": True})
    assert _options(found["web"])["affinity"] == "cookie"
    assert _options(found["web"])["session-cookie-path"] == "/"
