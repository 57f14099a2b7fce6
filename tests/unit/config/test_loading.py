"""moorage.yaml per environment: overrides, defaults, everything that is wrong at once and at its place."""

from __future__ import annotations

from typing import Any

import pytest

from moorage.config.loading import LoadedConfig, environment_names, environment_problem, is_builtin_name, load_config
from moorage.errors import Problem
from moorage.formats import parse_yaml
from moorage.quantities import GIBIBYTE, MEBIBYTE

GOOD = "name: acme\napp: notes\ndomain: notes.example.com\n"


def load(text: str, environment: str = "compose") -> tuple[LoadedConfig | None, list[Problem]]:
    return load_config(parse_yaml(text, "moorage.yaml"), environment)


def good(text: str, environment: str = "compose") -> LoadedConfig:
    loaded, problems = load(text, environment)
    assert problems == []
    assert loaded is not None
    return loaded


def keys(text: str, environment: str = "compose") -> dict[str, Problem]:
    return {problem.key: problem for problem in load(text, environment)[1]}


def test_three_lines_are_enough() -> None:
    config = good(GOOD).config
    assert (config.name, config.app, config.domain.name, config.domain.wildcard) == (
        "acme",
        "notes",
        "notes.example.com",
        False,
    )
    assert config.target == "compose"
    assert config.tls.mode == "letsencrypt"
    assert config.resources.host.memory == 4 * GIBIBYTE
    assert config.postgres.version == "17"


def test_a_domain_may_be_a_mapping() -> None:
    text = "name: acme\napp: notes\ndomain: {name: notes.example.com, wildcard: true}\n"
    assert good(text).config.domain.wildcard


def test_numbers_are_versions_and_texts_where_a_text_is_meant() -> None:
    config = good(
        GOOD + "postgres: {version: 16}\nredis: {version: 7.2}\nenv: {A: 1, B: true, C: 0755, D: 1.50, E: yes}\n"
    ).config
    assert config.postgres.version == "16"
    assert config.redis.version == "7.2"
    assert (config.env["A"], config.env["B"], config.env["C"], config.env["E"]) == ("1", "true", "0755", "yes")


@pytest.mark.parametrize(
    "written", ["1.50", "1.0", "1e3", "+49123", "0x1F", "0o17", "007", "-0", ".5", "12345678901234567890"]
)
def test_a_number_under_env_is_taken_as_written(written: str) -> None:
    text = GOOD + f"env: {{VERSION: {written}}}\nenvironments: {{staging: {{env: {{OTHER: {written}}}}}}}\n"
    assert good(text).config.env["VERSION"] == written
    assert good(text, "staging").config.env == {"VERSION": written, "OTHER": written}


def test_a_version_and_a_parameter_are_taken_as_written() -> None:
    config = good(GOOD + "redis: {version: 7.20}\npostgres: {parameters: {random_page_cost: 1.10}}\n").config
    assert config.redis.version == "7.20"
    assert config.postgres.parameters == {"random_page_cost": "1.10"}


def test_numbers_are_plain_numbers_where_numbers_are_meant() -> None:
    config = good(GOOD + "tls: {hsts_days: 7}\nedge: {http_port: 8080}\nlogs: {total: 1073741824}\n").config
    assert [type(item) for item in (config.tls.hsts_days, config.edge.http_port, config.logs.total)] == [int] * 3


@pytest.mark.parametrize("block", ["secrets: ['TOKEN=s3cr3t value']", "secrets: [s3cr3t-value]", "secrets: 's3cr3t'"])
def test_a_secret_among_the_names_of_secrets_is_not_shown(block: str) -> None:
    (problem,) = load(GOOD + block + "\n")[1]
    assert "s3cr3t" not in str(problem)
    (problem,) = load(GOOD + f"environments: {{staging: {{{block}}}}}\n", "staging")[1]
    assert "s3cr3t" not in str(problem)


@pytest.mark.parametrize(
    "block",
    [
        "publish: [{service: 5, port: 22}]",
        "backups: {stores: [{name: A, bucket: abc}]}",
        "backups: {assertions: [{name: a, sql: ''}]}",
    ],
)
def test_what_only_follows_from_a_wrong_value_is_no_problem_of_its_own(block: str) -> None:
    assert len(load(GOOD + block + "\n")[1]) == 1


def test_sizes_and_shares_are_numbers() -> None:
    config = good(
        GOOD + "resources: {host: {memory: 2Gi}, services: {web: {memory: 512m, cpu: 0.5, cpu_request: 100m}}}\n"
    ).config
    assert config.resources.host.memory == 2 * GIBIBYTE
    web = config.resources.services["web"]
    assert (web.memory, web.cpu, web.cpu_request) == (512 * MEBIBYTE, 500, 100)


def test_every_problem_is_found_at_once_and_at_its_place() -> None:
    text = (
        "name: Acme\n"  # 1
        "app: notes\n"  # 2
        "domain: http://x\n"  # 3
        "tls:\n"  # 4
        "  mode: letsencript\n"  # 5
        "  emial: a@b.de\n"  # 6
        "env:\n"  # 7
        "  1A: x\n"  # 8
        "  LIST: [1]\n"  # 9
        "publish:\n"  # 10
        "  - {service: a, port: 22}\n"  # 11
        "  - {service: a, port: 99999}\n"  # 12
        "logs: {total: lots}\n"  # 13
        "nonsense: 1\n"  # 14
    )
    found = keys(text)
    lines = {key: problem.place.line for key, problem in found.items()}
    assert lines == {
        "name": 1,
        "domain.name": 3,
        "tls.mode": 5,
        "tls.emial": 6,
        "env.1A": 8,
        "env.LIST": 9,
        "publish[1].port": 12,
        "logs.total": 13,
        "nonsense": 14,
    } or lines == {**lines, "domain": 3}
    assert found["tls.mode"].suggestion == "letsencrypt"
    assert found["tls.emial"].suggestion == "email"


def test_what_is_missing_is_named() -> None:
    assert {"name", "app", "domain"} <= set(keys("tls: {}\n"))


@pytest.mark.parametrize("text", ["", "- a\n", "just words\n", "5\n", "~\n"])
def test_a_file_that_is_no_mapping_is_one_problem(text: str) -> None:
    loaded, problems = load(text)
    assert loaded is None
    assert len(problems) == 1


def test_the_best_reading_of_the_rest_is_given_back() -> None:
    loaded, problems = load(GOOD + "tls: {mode: nonsense, hsts_days: 7}\nlogs: 5\nenv: {A: x, B: [1]}\n")
    assert len(problems) == 3
    assert loaded is not None
    assert loaded.config.name == "acme"
    assert loaded.config.tls.hsts_days == 7
    assert loaded.config.env == {"A": "x"}


ENVIRONMENTS = GOOD + (
    "env: {A: base, B: base}\n"
    "publish: [{service: git, port: 22}]\n"
    "environments:\n"
    "  staging:\n"
    "    domain: staging.example.com\n"
    "    env: {B: staging}\n"
    "    publish: []\n"
    "  live: {}\n"
    "  minikube: {tls: {mode: 'off'}}\n"
)


def test_an_environment_overrides_key_by_key_and_replaces_lists() -> None:
    config = good(ENVIRONMENTS, "staging").config
    assert config.domain.name == "staging.example.com"
    assert config.env == {"A": "base", "B": "staging"}
    assert config.publish == ()
    assert config.name == "acme"
    assert good(ENVIRONMENTS, "live").config.env == {"A": "base", "B": "base"}
    assert good(ENVIRONMENTS, "live").config.publish[0].port == 22


def test_an_environment_named_like_a_target_is_for_that_target() -> None:
    assert good(ENVIRONMENTS, "minikube").config.target == "minikube"
    assert good(ENVIRONMENTS, "staging").config.target == "compose"


def test_the_default_environment_comes_first() -> None:
    assert environment_names(parse_yaml(ENVIRONMENTS, "f")) == ("compose", "staging", "live", "minikube")
    assert environment_names(parse_yaml(GOOD + "target: eks\n", "f")) == ("eks",)


def test_an_unknown_environment_is_a_problem_with_the_nearest_one() -> None:
    document = parse_yaml(ENVIRONMENTS, "moorage.yaml")
    assert environment_problem(document, "staging") is None
    problem = environment_problem(document, "stagign")
    assert problem is not None
    assert problem.suggestion == "staging"


@pytest.mark.parametrize(
    ("override", "line"),
    [("name: other", 5), ("environments: {}", 5), ("tls: {mode: nonsense}", 5), ("nonsense: 1", 5)],
)
def test_what_is_wrong_in_an_environment_stands_there(override: str, line: int) -> None:
    text = GOOD + f"environments:\n  staging: {{{override}}}\n"
    _, problems = load(text, "staging")
    assert [problem.place.line for problem in problems] == [line]


def test_a_wrong_value_of_the_base_is_found_when_an_environment_does_not_replace_it() -> None:
    text = GOOD + "tls: {hsts_days: -1}\nenvironments:\n  staging: {tls: {mode: 'off'}}\n"
    (problem,) = load(text, "staging")[1]
    assert (problem.key, problem.place.line) == ("tls.hsts_days", 4)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ("resources: {services: {web: {memory: 1g, memory_request: 2g}}}", "resources.services.web"),
        ("backups: {stores: [{name: a, directory: /a, bucket: abc}]}", "backups.stores[0]"),
        ("backups: {stores: [{name: a}]}", "backups.stores[0]"),
        ("backups: {stores: [{name: a, directory: relative}]}", "backups.stores[0].directory"),
        ("backups: {schedule: '@daily'}", "backups.schedule"),
        ("edge: {version: v2.11}", "edge.version"),
        ("images: {tag: 'a b'}", "images.tag"),
        ("postgres: {version: 13}", "postgres.version"),
        ("postgres: {max_connections: 5}", "postgres.max_connections"),
        ("resources: {host: {cpus: 0}}", "resources.host.cpus"),
        ("tls: {trusted_proxies: [10.1.1.1/8]}", "tls.trusted_proxies[0]"),
        ("secrets: [OK, not-ok]", "secrets[1]"),
        ("env: {A: ~}", "env.A"),
        ('env: {A: "x\\0y"}', "env.A"),
        ("routes: {web: {paths: [api]}}", "routes.web[0].paths[0]"),
        ("routes: {web: {paths: []}}", "routes.web[0].paths"),
    ],
)
def test_a_wrong_value_is_refused_under_its_key(block: str, key: str) -> None:
    assert list(keys(GOOD + block + "\n")) == [key]


def test_a_path_of_the_merged_configuration_knows_where_it_was_written() -> None:
    loaded = good(ENVIRONMENTS, "staging")
    assert loaded.source(("domain", "name")) == ("environments", "staging", "domain", "name")
    assert loaded.source(("env", "A")) == ("env", "A")
    assert loaded.source(("env", "B")) == ("environments", "staging", "env", "B")
    assert loaded.problem(("env", "B"), "is wrong").place.line == 9


@pytest.mark.parametrize(
    ("text", "builtin"),
    [
        ("notes", True),
        ("opensail", True),
        ("./compose.yaml", False),
        ("compose.yaml", False),
        ("a/b", False),
        ("..", False),
    ],
)
def test_a_built_in_app_is_a_name_and_a_file_is_a_path(text: str, builtin: bool) -> None:
    assert is_builtin_name(text) is builtin


@pytest.mark.parametrize(
    "key",
    ["name", "app", "domain", "target", "environments", "tls", "edge", "images", "env", "secrets", "routes", "publish",
     "permissions", "postgres", "redis", "resources", "logs", "backups", "projects"],
)  # fmt: skip
def test_no_kind_of_value_under_any_key_crashes(key: str) -> None:
    content: dict[str, Any] = parse_yaml(GOOD, "moorage.yaml").value
    for value in ("5", "[]", "{}", "true", "~", "1.5", "text", "[{a: b}]", "{a: {b: c}}", "'5'"):
        text = "".join(f"{name}: {item}\n" for name, item in {**content, key: value}.items())
        loaded, problems = load(text)
        assert loaded is not None or problems, value
        assert all(problem.place.line for problem in problems if problem.rule != "is required"), value
