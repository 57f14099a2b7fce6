"""The Compose file as a whole: its top level, names that one part uses of another, places of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.app import subset
from moorage.app.compose_file import find_compose_file, read_app
from moorage.app.model import AppNetwork
from moorage.errors import InputError
from moorage.formats import parse_yaml
from moorage.quantities import GIBIBYTE
from moorage.sensitive import Sensitive
from tests.unit.given import app, folder_with

WEB: dict[str, Any] = {"services": {"web": {"image": "nginx"}}}


@pytest.mark.parametrize(
    ("files", "path", "found"),
    [
        (["compose.yaml", "docker-compose.yml"], ".", "compose.yaml"),
        (["docker-compose.yml"], ".", "docker-compose.yml"),
        (["compose.yml"], ".", "compose.yml"),
        (["docker-compose.yaml"], ".", "docker-compose.yaml"),
        (["other.yaml"], ".", None),
        (["other.yaml"], "other.yaml", "other.yaml"),
        ([], "missing.yaml", None),
    ],
)
def test_the_compose_file_is_found_by_its_usual_names(
    files: list[str], path: str, found: str | None, tmp_path: Path
) -> None:
    folder_with(tmp_path, dict.fromkeys(files, ""))
    assert find_compose_file(tmp_path / path) == (tmp_path / found if found else None)


@pytest.mark.parametrize(
    "text", ["", "~", "5", "text", "[]", "services:", "services: {}", "services: []", "services: 5", "x-a: 1"]
)
def test_a_file_without_services_is_refused(text: str, tmp_path: Path) -> None:
    found = read_app("app", parse_yaml(text, "compose.yaml"), tmp_path, {})
    assert found.problems
    assert found.services == {}


@pytest.mark.parametrize("key", ["include", "models", "nonsense"])
def test_a_top_level_key_outside_of_the_subset_is_refused(key: str, tmp_path: Path) -> None:
    (problem,) = app(tmp_path, {**WEB, key: ["x"]}).problems
    assert (problem.key, problem.place.line, problem.place.column) == (key, 4, 1)


def test_what_only_compose_needs_is_told_and_taken() -> None:
    found = app(Path(), {**WEB, "version": "3.8", "name": "old", "x-common": {"a": "${NOT_SET}"}})
    assert found.problems == []
    assert [notice.text.partition("`: ")[0] for notice in found.notices] == ["`version", "`name"]


@pytest.mark.parametrize("name", ["web", "web-1", "web_api", "w", "2fa", "a" * 63])
def test_a_service_name_is_accepted(name: str) -> None:
    assert app(Path(), {"services": {name: {"image": "x"}}}).problems == []


@pytest.mark.parametrize(
    "name",
    ["Web", "web.api", "-web", "web-", "_web", "a" * 64, "ä", "web api", "traefik", "edge-routes", "socket-proxy"],
)
def test_a_service_name_that_cannot_be_is_refused_at_its_key(name: str) -> None:
    (problem,) = app(Path(), {"services": {name: {"image": "x"}}}).problems
    assert problem.key == f"services.{name}"
    assert problem.place.line == 2


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"front": None, "back": {"internal": True}}, {"front": AppNetwork("front"), "back": AppNetwork("back", True)}),
        (
            {"front": {"driver": "bridge", "labels": {"a": "b"}, "name": "x", "attachable": True}},
            {"front": AppNetwork("front")},
        ),
        (None, {}),
    ],
)
def test_networks_are_read(written: Any, meant: dict[str, AppNetwork]) -> None:
    found = app(Path(), {**WEB, "networks": written})
    assert found.problems == []
    assert found.networks == meant


@pytest.mark.parametrize("settings", [{"external": False}, {"external": "false"}, {"ipam": {}}, {"driver_opts": None}])
def test_a_network_that_asks_for_nothing_special_is_read(settings: Any) -> None:
    assert app(Path(), {**WEB, "networks": {"front": settings}}).problems == []


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"driver": "overlay"}, "networks.front.driver"),
        ({"external": True}, "networks.front.external"),
        ({"ipam": {"driver": "default"}}, "networks.front.ipam"),
        ({"internal": "perhaps"}, "networks.front.internal"),
        ({"nonsense": 1}, "networks.front.nonsense"),
        ([1], "networks.front"),
    ],
)
def test_what_is_no_network_is_refused(settings: Any, key: str) -> None:
    assert [problem.key for problem in app(Path(), {**WEB, "networks": {"front": settings}}).problems] == [key]


def test_volumes_are_read() -> None:
    found = app(
        Path(),
        {
            **WEB,
            "volumes": {
                "plain": None,
                "named": {"name": "fixed", "labels": ["a=b"], "driver": "local"},
                "theirs": {"external": True},
                "theirs-named": {"external": True, "name": "real"},
                "more": {"x-moorage": {"size": "5Gi", "backup": False, "exclude": ["*.tmp"]}},
            },
        },
    )
    assert found.problems == []
    volumes = found.volumes
    assert (volumes["plain"].fixed_name, volumes["plain"].external) == ("", False)
    assert (volumes["named"].fixed_name, volumes["named"].labels) == ("fixed", {"a": "b"})
    assert (volumes["theirs"].fixed_name, volumes["theirs"].external) == ("theirs", True)
    assert (volumes["theirs-named"].fixed_name, volumes["theirs-named"].external) == ("real", True)
    extension = volumes["more"].extension
    assert (extension.size, extension.backup, extension.exclude) == (5 * GIBIBYTE, False, ("*.tmp",))
    assert volumes["plain"].extension.backup


def test_the_old_form_of_an_external_name_is_read_or_refused() -> None:
    found = app(Path(), {**WEB, "volumes": {"theirs": {"external": {"name": "real"}}}})
    assert found.problems or found.volumes["theirs"].fixed_name == "real"


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"driver": "nfs"}, "volumes.v.driver"),
        ({"driver_opts": {"type": "nfs"}}, "volumes.v.driver_opts"),
        ({"external": "perhaps"}, "volumes.v.external"),
        ({"nonsense": 1}, "volumes.v.nonsense"),
        ({"x-moorage": {"nonsense": 1}}, "volumes.v.x-moorage.nonsense"),
        ({"x-moorage": {"size": "big"}}, "volumes.v.x-moorage.size"),
        (5, "volumes.v"),
    ],
)
def test_what_is_no_volume_is_refused(settings: Any, key: str) -> None:
    assert [problem.key for problem in app(Path(), {**WEB, "volumes": {"v": settings}}).problems] == [key]


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ({"requires": {"postgres": {"database": "My DB"}}}, "requires.postgres.database"),
        ({"requires": {"mysql": {}}}, "requires.mysql"),
        ({"variables": {"A": {"generate": "hex32"}}}, "variables.A"),
        ({"variables": {"A": {"secret": True, "default": "x"}}}, "variables.A"),
        ({"variables": {"A": {"secret": True, "generate": "hex99"}}}, "variables.A.generate"),
        ({"variables": {"1A": {}}}, "variables.1A"),
        ({"jobs": {"m": {"service": "nobody", "command": ["x"], "run": "manual"}}}, "jobs.m.service"),
        ({"jobs": {"m": {"service": "web", "command": ["x"]}}}, "jobs.m"),
        ({"jobs": {"m": {"service": "web", "command": ["x"], "run": "manual", "schedule": "* * * * *"}}}, "jobs.m"),
        ({"jobs": {"m": {"service": "web", "command": [], "run": "manual"}}}, "jobs.m.command"),
        ({"jobs": {"m": {"service": "web", "command": ["x"], "schedule": "@daily"}}}, "jobs.m.schedule"),
        ({"jobs": {"M": {"service": "web", "command": ["x"], "run": "manual"}}}, "jobs.M"),
        ({"nonsense": 1}, "nonsense"),
        ([1], ""),
    ],
)
def test_what_is_wrong_in_the_extension_is_refused_under_its_key(block: Any, key: str) -> None:
    found = app(Path(), {"x-moorage": block, **WEB})
    assert [problem.key for problem in found.problems] == ["x-moorage" + (f".{key}" if key else "")]
    assert all(problem.place.line for problem in found.problems)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ({"port": 0}, "port"),
        ({"route": {}}, "route[0]"),
        ({"route": {"paths": ["api"]}}, "route[0].paths[0]"),
        ({"route": [{"paths": ["/"]}, {"nonsense": 1, "paths": ["/x"]}]}, "route[1].nonsense"),
        ({"route": {"paths": ["/"], "host": "ADMIN"}}, "route[0].host"),
        ({"health": {"path": "health"}}, "health.path"),
        ({"health": {"startup_seconds": 0}}, "health.startup_seconds"),
        ({"resources": {"cpu": "half"}}, "resources.cpu"),
        ({"targets": ["compose", "swarm"]}, "targets[1]"),
        ({"replicas": {"swarm": 1}}, "replicas.swarm"),
        ({"rollout": "blue-green"}, "rollout"),
        ({"docker_access": "all"}, "docker_access"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_is_wrong_in_a_services_extension_is_refused_under_its_key(block: Any, key: str) -> None:
    found = app(Path(), {"services": {"web": {"image": "x", "x-moorage": block}}})
    keys = [problem.key for problem in found.problems]
    assert f"services.web.x-moorage.{key}" in keys
    assert all(problem.place.line >= 3 for problem in found.problems)


def test_a_negative_number_of_replicas_is_refused() -> None:
    assert app(Path(), {"services": {"web": {"image": "x", "x-moorage": {"replicas": {"compose": -1}}}}}).problems


def test_every_problem_is_found_at_once_with_line_and_column() -> None:
    text = (
        "services:\n"  # 1
        "  web:\n"  # 2
        "    image: Nginx\n"  # 3
        "    privilged: true\n"  # 4
        "    ports:\n"  # 5
        "      - '80'\n"  # 6
        "      - http\n"  # 7
        "  Worker:\n"  # 8
        "    image: x\n"  # 9
        "    depends_on: [nobody]\n"  # 10
        "volumes:\n"  # 11
        "  v: {driver: nfs}\n"  # 12
    )
    found = read_app("app", parse_yaml(text, "compose.yaml"), Path(), {})
    places = {problem.key: (problem.place.line, problem.place.column) for problem in found.problems}
    assert places == {
        "services.web.image": (3, 12),
        "services.web.privilged": (4, 5),
        "services.web.ports[1]": (7, 9),
        "services.Worker": (8, 3),
        "services.Worker.depends_on.nobody": (10, 17),
        "volumes.v.driver": (12, 15),
    }


@pytest.mark.parametrize("key", [*subset.TOP, "x-moorage"])
def test_no_kind_of_value_under_any_key_crashes(key: str, tmp_path: Path) -> None:
    for value in (None, 5, True, "x", [], {}, [{}], {"a": None}, {"a": 5}, {"a": []}, {"a": {"b": {}}}, {"": {}}):
        found = app(tmp_path, {**WEB, key: value})
        assert all(problem.place.line or problem.key in ("", "services") for problem in found.problems), value


@given(st.lists(st.sampled_from(["web", "db", "x"]), unique=True, min_size=1))
def test_services_keep_the_order_of_the_file(names: list[str]) -> None:
    assert list(app(Path(), {"services": {name: {"image": "i"} for name in names}}).services) == names


@given(st.text(st.sampled_from("services:wb imag{}[]-\n #&*!|>'\"$x"), max_size=40))
def test_no_text_makes_the_reader_raise_anything_but_a_problem_of_the_input(text: str) -> None:
    try:
        document = parse_yaml("services:\n  web: " + text, "compose.yaml")
    except InputError:
        return
    found = read_app("app", document, Path("/nowhere"), {})
    assert found.problems or found.services


def test_every_rule_of_the_subset_has_a_verdict_and_refusals_have_a_reason() -> None:
    for level, rules in subset.LEVELS.items():
        for key, rule in rules.items():
            assert rule.verdict in ("kept", "adapted", "refused"), (level, key)
            assert rule.note or rule.verdict == "kept", (level, key)


def test_no_message_shows_the_value_of_a_secret(tmp_path: Path) -> None:
    secret = Sensitive("s3cr3t-Zq")
    found = app(
        tmp_path,
        {
            "services": {
                "web": {"image": "${S}", "command": "${S}", "networks": ["${S}"], "deploy": "${S}", "volumes": ["${S}"]}
            },
            "volumes": {"v": {"name": "${S}", "labels": {"a": "${S}"}, "external": "${S}"}},
            "networks": {"n": {"driver": "${S}", "internal": "${S}"}},
            "configs": {"c": {"file": "${S}"}},
        },
        {"S": secret},
    )
    assert len(found.problems) >= 8
    assert "s3cr3t" not in str(found.problems) + repr(found.notices) + repr(found.services) + repr(found.volumes)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"external": {"name": "real"}}, "real"),
        ({"external": {}}, "theirs"),
        ({"external": {"name": "real"}, "name": "real"}, "real"),
        ({"external": False}, ""),
    ],
)
def test_every_form_of_an_external_volume_is_read(settings: Any, name: str) -> None:
    found = app(Path(), {**WEB, "volumes": {"theirs": settings}})
    assert found.problems == []
    assert (found.volumes["theirs"].fixed_name, found.volumes["theirs"].external) == (name, bool(name))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("v", {"external": {"name": "real"}, "name": "other"}),
        ("v", {"external": {"nmae": "real"}}),
        ("v", {"name": "no/name"}),
        ("a b", None),
    ],
)
def test_a_volume_whose_name_cannot_be_is_refused(name: str, settings: Any) -> None:
    (problem,) = app(Path(), {**WEB, "volumes": {name: settings}}).problems
    assert problem.key.startswith(f"volumes.{name}")
    assert problem.place.line


def test_a_variable_without_a_value_is_one_mistake_however_often_it_is_used(tmp_path: Path) -> None:
    services = {"a": {"image": "x:${TAG}", "ports": ["${TAG}:80"]}, "b": {"image": "y:${TAG}", "command": "$OTHER"}}
    found = app(tmp_path, {"services": services}).problems
    assert [problem.key for problem in found] == ["services.a.image", "services.b.command"]
