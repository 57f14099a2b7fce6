"""The whole program up to the files: what is wrong is told before anything is written, and nothing else is raised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage import flow
from moorage.config import rules
from moorage.errors import InputError, MoorageError
from moorage.formats import parse_yaml
from moorage.sensitive import Sensitive
from tests.unit.given import (
    NOW,
    SETTINGS,
    WEB,
    as_text,
    compose_of,
    deployment,
    folder_with,
    problems,
    repeatable_bytes,
)

GOOD = """\
name: acme
app: ./compose.yaml
domain: {name: notes.example.com, wildcard: false}
target: compose
tls: {mode: internal-ca, hsts_days: 30}
edge: {address: 127.0.0.1, http_port: 8080, https_port: 8443, dashboard: {enabled: false}}
images: {registry: ghcr.io/acme, tag: v1, pull: always, overrides: {web: "nginx:1.27"}}
env: {GREETING: hello, NUMBER: 5}
secrets: [TOKEN]
routes: {web: [{port: 80, paths: [/]}, {port: 80, paths: [/admin]}]}
publish: [{service: web, port: 2222, target: 22}]
permissions: {docker_access: [web], host_paths: [/opt/x]}
postgres: {version: 16, memory: 512Mi, max_connections: 50, parameters: {work_mem: 8MB}}
redis: {memory: 128Mi, policy: allkeys-lru}
resources: {host: {memory: 4Gi, cpus: 2, disk: ssd, disk_size: 40Gi}, services: {web: {memory: 256m, cpu: 0.5, replicas: 1}}}
logs: {total: 1Gi, max_files: 3}
backups: {schedule: "30 3 * * *", stores: [{name: a, directory: /backup}], retention: {daily: 7}}
projects: {enabled: false}
environments: {staging: {domain: staging.example.com, env: {GREETING: hi}}, live: {}}
"""
COMPOSE = """\
x-moorage:
  requires: {postgres: {}, redis: {}}
  jobs: {migrate: {service: web, command: [m], run: before-rollout}}
services:
  web:
    image: nginx
    environment: {A: "${GREETING}", B: "${NUMBER}", C: "${TOKEN}", D: "${POSTGRES_PASSWORD}"}
    volumes: [data:/data, ./conf:/conf:ro]
    ports: ["8080:80", "2222:22"]
volumes: {data: {}}
"""


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file of a folder with its content and mode, and every folder."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes() if path.is_file() else b"", path.stat().st_mode)
        for path in folder.rglob("*")
    }


def place(folder: Path, text: str | bytes, compose: str = COMPOSE) -> Path:
    return folder_with(
        folder, {"moorage.yaml": text, "compose.yaml": compose, "conf/a": "1", "secrets/compose/values/TOKEN": "t\n"}
    )


def open_it(folder: Path, environment: str = "") -> flow.Deployment:
    return flow.open_deployment(folder, environment, write_secrets=True, random_bytes=repeatable_bytes(), now=NOW)


def test_the_good_file_is_good(tmp_path: Path) -> None:
    found = open_it(place(tmp_path, GOOD))
    assert found.stack.name == "acme"
    assert found.stack.service("web").environment == {"A": "hello", "B": "5"}
    assert (tmp_path / "secrets/recovery.key").is_file()
    assert (tmp_path / "secrets/compose/tls/ca.crt").is_file()


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    place(tmp_path, GOOD.replace("environments:", "environments_of_old:").partition("environments_of_old")[0])
    before = snapshot(tmp_path)
    flow.open_deployment(tmp_path, random_bytes=repeatable_bytes())
    assert [item.environment for item in flow.validate(tmp_path)] == ["compose"]
    assert snapshot(tmp_path) == before


def test_problems_of_both_files_are_told_together_and_nothing_is_written(tmp_path: Path) -> None:
    place(tmp_path, GOOD.replace("max_files: 3", "max_files: 1"), COMPOSE.replace("image: nginx", "image: Nginx"))
    before = snapshot(tmp_path)
    found = problems(lambda: open_it(tmp_path))
    assert {problem.place.file for problem in found} == {"moorage.yaml", "compose.yaml"}
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("web", "key"),
    [
        ({"image": "nginx", "ports": ["x"]}, "services.web.ports[0]"),
        ({"image": "nginx", "ports": ["${NOPE}:80"]}, "services.web.ports[0]"),
        ({"image": "nginx", "expose": ["x"]}, "services.web.expose[0]"),
        ({"image": "${NOPE}", "ports": ["80"]}, "services.web.image"),
        ({"image": "nginx", "ports": ["80"], "volumes": ["${NOPE}:/data"]}, "services.web.volumes[0]"),
        ({"image": "nginx", "ports": ["80"], "mem_limit": "${NOPE}"}, "services.web.mem_limit"),
        ({"image": "nginx", "ports": ["80"], "environment": ["A=${NOPE}"]}, "services.web.environment[0]"),
        ({"image": "nginx", "ports": ["80"], "labels": ["A=${NOPE}"]}, "services.web.labels[0]"),
        ("x", "services.web"),
    ],
)
def test_one_mistake_is_one_problem(web: Any, key: str, tmp_path: Path) -> None:
    found = problems(lambda: deployment(tmp_path, {"services": {"web": web}}, "routes: {web: {}}\n"))
    assert [problem.key for problem in found] == [key]


@pytest.mark.parametrize("services", [["web"], "x", {}, None])
def test_an_app_without_services_is_one_problem(services: Any, tmp_path: Path) -> None:
    (problem,) = problems(lambda: deployment(tmp_path, {"services": services}, "routes: {web: {port: 80}}\n"))
    assert problem.key == "services"


def test_every_environment_has_secrets_and_names_of_its_own(tmp_path: Path) -> None:
    place(tmp_path, GOOD)
    folder_with(tmp_path, {"secrets/staging/values/TOKEN": "other\n"})
    default, staging = open_it(tmp_path), open_it(tmp_path, "staging")
    assert (default.stack.project, staging.stack.project) == ("acme", "acme--staging")
    assert staging.stack.domain == "staging.example.com"
    assert staging.stack.service("web").secret_environment["C"] == Sensitive("other")
    assert default.rendered_folder != staging.rendered_folder
    assert default.private_folder != staging.private_folder
    with pytest.raises(InputError):
        open_it(tmp_path, "live")


@pytest.mark.parametrize("environment", ["nothing", "../x", "compose/..", "Staging"])
def test_an_unknown_environment_is_refused(environment: str, tmp_path: Path) -> None:
    place(tmp_path, GOOD)
    before = snapshot(tmp_path)
    (problem,) = problems(lambda: open_it(tmp_path, environment))
    assert "no environment" in problem.rule
    assert problems(lambda: flow.chosen_environment(tmp_path, environment))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("ntoes", "neither a built-in app"),
        ("./missing.yaml", "does not exist"),
        ("./conf", "does not exist"),
        ("../..", "does not exist"),
    ],
)
def test_an_app_that_is_not_there_is_refused(app: str, words: str, tmp_path: Path) -> None:
    found = problems(lambda: open_it(place(tmp_path / "a", GOOD.replace("./compose.yaml", app))))
    assert any(problem.key == "app" and words in problem.rule for problem in found)


def test_without_moorage_yaml_that_is_said(tmp_path: Path) -> None:
    (problem,) = problems(lambda: open_it(tmp_path))
    assert "does not exist" in problem.rule
    assert problem.place.file == "moorage.yaml"


def test_secrets_that_only_the_operator_has_are_asked_for(tmp_path: Path) -> None:
    place(tmp_path, GOOD)
    (tmp_path / "secrets/compose/values/TOKEN").unlink()
    (problem,) = problems(lambda: open_it(tmp_path))
    assert "TOKEN" in problem.rule
    assert "moorage secrets set TOKEN" in problem.hint
    assert [need.name for need in flow.secret_needs_of(tmp_path, "compose")] == [
        "TOKEN",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
    ]


def test_an_override_is_taken_along_and_changes_what_it_is_about(tmp_path: Path) -> None:
    usual = flow.facts_of_stack(deployment(tmp_path, WEB).stack)
    folder_with(tmp_path, {"overrides/compose.yaml": "services: {web: {cpus: 1}, extra: {image: x}}\n"})
    found = deployment(tmp_path, WEB)
    changed = flow.facts_of_stack(found.stack)
    assert changed.service("web").revision != usual.service("web").revision
    assert changed.service("traefik").revision == usual.service("traefik").revision
    assert changed.override_services == ("extra",)
    assert b"overrides/compose.yaml" in flow.render(found.stack).public.files["compose/.env"].content


@pytest.mark.parametrize("text", ["services: [", "a: 1\na: 2\n"])
def test_a_broken_override_is_a_problem_of_its_own_file(text: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {"overrides/compose.yaml": text})
    (problem,) = problems(lambda: deployment(tmp_path, WEB))
    assert problem.place.file == "overrides/compose.yaml"


@pytest.mark.parametrize("text", ["- a\n", "text\n", "services: []\n"])
def test_an_override_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {"overrides/compose.yaml": text})
    assert problems(lambda: deployment(tmp_path, WEB))


@pytest.mark.parametrize("text", ["", "# services: {}\n", "~\n"])
def test_an_override_without_content_is_none(text: str, tmp_path: Path) -> None:
    # Compose refuses an empty file.
    found = deployment(tmp_path, WEB, files={"overrides/compose.yaml": text})
    assert found.stack.override is None
    settings_file = flow.render(found.stack).public.files["compose/.env"].content.decode()
    (line,) = (line for line in settings_file.splitlines() if line.startswith("COMPOSE_FILE="))
    assert "overrides" not in line


def test_problems_of_an_override_are_told_with_the_others(tmp_path: Path) -> None:
    files = {"overrides/compose.yaml": "services: {web: [], db: x}\nnetworks: 5\n"}
    found = problems(lambda: deployment(tmp_path, WEB, "env: {NOBODY: x}\n", files=files))
    assert [(problem.place.file, problem.key) for problem in found] == [
        ("moorage.yaml", "env.NOBODY"),
        ("overrides/compose.yaml", "services.web"),
        ("overrides/compose.yaml", "services.db"),
        ("overrides/compose.yaml", "networks"),
    ]


def test_a_name_that_keeps_an_env_file_private_needs_no_value_of_its_own(tmp_path: Path) -> None:
    compose = WEB.replace("    x-moorage", "    env_file: [app.env]\n    x-moorage")
    found = deployment(tmp_path, compose, "secrets: [NICK]\n", files={"app.env": "NICK=hidden\n"})
    assert found.stack.service("web").secret_environment == {"NICK": Sensitive("hidden")}
    with pytest.raises(InputError):
        deployment(tmp_path, compose + "    environment: {A: '${NICK}'}\n", "secrets: [NICK]\n")


def test_a_variable_of_an_env_file_may_be_given(tmp_path: Path) -> None:
    compose = WEB.replace("    x-moorage", "    env_file: [app.env]\n    x-moorage")
    found = deployment(tmp_path, compose, "env: {HOST_NAME: x}\n", files={"app.env": "URL=https://${HOST_NAME}/\n"})
    assert found.stack.service("web").environment == {"URL": "https://x/"}


def test_the_certificate_of_a_lan_is_noticed_when_it_changes(tmp_path: Path) -> None:
    base = SETTINGS.replace('{mode: "off"}', "{mode: internal-ca}")
    first = flow.facts_of_stack(deployment(tmp_path, WEB, base=base).stack).service("traefik").revision
    assert flow.facts_of_stack(deployment(tmp_path, WEB, base=base).stack).service("traefik").revision == first
    (tmp_path / "secrets/compose/tls/server.crt").unlink()
    assert flow.facts_of_stack(deployment(tmp_path, WEB, base=base).stack).service("traefik").revision != first


def test_the_shipped_app_renders(tmp_path: Path) -> None:
    folder_with(tmp_path, {"moorage.yaml": SETTINGS.replace("./compose.yaml", "notes")})
    services = compose_of(flow.render(open_it(tmp_path).stack))["services"]
    assert {"web", "worker", "migrate", "postgres", "redis", "traefik"} <= set(services)


# Names that contradict each other.


def test_two_deployments_never_have_one_project_name(tmp_path: Path) -> None:
    first = deployment(tmp_path / "a", WEB, "environments: {b: {}}\n", environment="b").stack.project
    second = deployment(tmp_path / "b", WEB, base=SETTINGS.replace("name: acme", "name: acme-b")).stack.project
    assert first != second


@pytest.mark.parametrize(
    ("old", "new"),
    [("app: ./compose.yaml", "app: " + "a" * 300), ("secrets: [TOKEN]", f"secrets: [TOKEN, {'A' * 300}]")],
)
def test_a_name_too_long_for_a_file_is_a_problem_and_no_crash(old: str, new: str, tmp_path: Path) -> None:
    assert problems(lambda: open_it(place(tmp_path, GOOD.replace(old, new))))


NAMES = st.from_regex(r"(xn--)?[a-z](-?[a-z0-9]){0,4}", fullmatch=True).filter(lambda text: text != "xn")


@given(first=st.tuples(NAMES, st.none() | NAMES), second=st.tuples(NAMES, st.none() | NAMES))
@settings(max_examples=300)
def test_every_environment_has_a_project_of_its_own(
    first: tuple[str, str | None], second: tuple[str, str | None]
) -> None:
    def project(name: str, environment: str | None) -> str:
        rules.deployment_name(name)
        return name if environment is None else rules.project_name(name, rules.environment_name(environment))

    try:
        found = project(*first), project(*second)
    except ValueError:
        return
    assert (found[0] == found[1]) == (first == second)


@pytest.mark.parametrize(
    ("settings_text", "key"),
    [("name: acme--b\n", "name"), ("name: xn\n", "name"), ("environments: {a--b: {}}\n", "environments.a--b")],
)
def test_names_that_would_make_two_projects_one_are_refused(settings_text: str, key: str, tmp_path: Path) -> None:
    base = SETTINGS.replace("name: acme\n", "") if key == "name" else SETTINGS
    (problem,) = problems(lambda: deployment(tmp_path, WEB, settings_text, base=base))
    assert problem.key == key


# Whatever stands in moorage.yaml.


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if here:
        yield here
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*here, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths(item, (*here, index))


CONTENT = parse_yaml(GOOD, "f").value
PATHS = list(paths(CONTENT))
REPLACEMENTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70000),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(
        [
            "",
            "a b",
            "../x",
            "$x",
            "${X}",
            "*",
            "-",
            "a" * 80,
            "0",
            "1.5",
            "1Gi",
            "/",
            "web",
            "ä",
            "\n",
            "'",
            "{",
            "compose",
            "eks",
            "files",
        ]
    ),
    st.lists(st.one_of(st.none(), st.integers(0, 3), st.text(max_size=3)), max_size=2),
    st.dictionaries(
        st.sampled_from(["a", "name", "mode", "", "1", "port", "[key]"]),
        st.one_of(st.none(), st.integers(), st.text(max_size=3)),
        max_size=2,
    ),
)


def changed(value: Any, path: tuple[Any, ...], replacement: Any, *, delete: bool) -> Any:
    head, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if rest:
        copy[head] = changed(copy[head], tuple(rest), replacement, delete=delete)
    elif delete:
        del copy[head]
    else:
        copy[head] = replacement
    return copy


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """A good moorage.yaml with a few things changed, taken away or renamed."""
    content = CONTENT
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(content))))
        kind = draw(st.sampled_from(["replace", "replace", "delete", "rename"]))
        if kind == "rename" and isinstance(path[-1], str):
            name = draw(st.sampled_from([path[-1] + "x", path[-1][1:], path[-1].upper(), "", "compose", "0"]))
            value = content
            for part in path:
                value = value[part]
            content = changed(content, path, None, delete=True)
            content = changed(content, (*path[:-1], name), value, delete=False)
        else:
            content = changed(content, path, draw(REPLACEMENTS), delete=kind == "delete")
        if not content:
            break
    return as_text(content)


def nothing_but_a_refusal(folder: Path, text: str | bytes) -> None:
    place(folder, text)
    before = snapshot(folder)
    with contextlib.suppress(MoorageError):
        flow.validate(folder)
    assert snapshot(folder) == before
    try:
        open_it(folder)
    except InputError as error:
        assert error.problems or error.message
        assert all(problem.rule and problem.place.file for problem in error.problems)
        assert snapshot(folder) == before
    except MoorageError:
        assert snapshot(folder) == before
    else:
        assert {path for path in snapshot(folder) if path not in before} <= {
            path for path in snapshot(folder) if path.startswith("secrets")
        }


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(text=mutations())
def test_a_bad_file_is_refused_and_nothing_is_written(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    nothing_but_a_refusal(tmp_path_factory.mktemp("bad"), text)


@given(position=st.integers(0, len(GOOD)), length=st.integers(0, 30), garbage=st.binary(max_size=8))
def test_a_damaged_file_is_refused_and_nothing_is_written(
    position: int, length: int, garbage: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = GOOD.encode()
    nothing_but_a_refusal(tmp_path_factory.mktemp("damaged"), text[:position] + garbage + text[position + length :])


APP = parse_yaml(COMPOSE, "f").value


@st.composite
def app_mutations(draw: st.DrawFn) -> str:
    content = APP
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(content))))
        content = changed(content, path, draw(REPLACEMENTS), delete=draw(st.booleans()))
        if not content:
            break
    return as_text(content)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(text=app_mutations())
def test_a_bad_app_is_refused_and_nothing_is_written(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("app") / "a" / "b" / "c"
    place(folder, GOOD, text)
    before = snapshot(folder)
    try:
        found = open_it(folder)
    except MoorageError:
        assert snapshot(folder) == before
        return
    flow.render(found.stack)
