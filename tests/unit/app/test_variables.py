"""The values behind `${VARIABLE}`, and what must not stand in a plain file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moorage.app.compose_file import read_extension
from moorage.app.reader import Reader
from moorage.app.secrecy import looks_secret
from moorage.app.variables import env_problems, secret_needs, used_names, variable_values
from moorage.config.loading import LoadedConfig, load_config
from moorage.errors import Problem
from moorage.formats import parse_yaml
from moorage.sensitive import Sensitive, Text
from tests.unit.given import as_text

BASE = "name: acme\napp: ./compose.yaml\ndomain: notes.example.com\n"


def loaded(settings: str = "") -> LoadedConfig:
    found, problems = load_config(parse_yaml(BASE + settings, "moorage.yaml"), "compose")
    assert problems == []
    assert found is not None
    return found


def values(
    variables: dict[str, Any],
    settings: str = "",
    platform: dict[str, Text] | None = None,
    secrets: dict[str, Text] | None = None,
) -> tuple[dict[str, Text], list[Problem]]:
    extension, reader = read_extension(
        parse_yaml(as_text({"x-moorage": {"variables": variables}}), "compose.yaml"), Path()
    )
    assert reader.problems == []
    found = variable_values(extension, loaded(settings), platform or {}, secrets or {}, reader)
    return found, reader.problems


def test_the_operators_value_wins_over_the_apps_default() -> None:
    assert values({"A": {"default": "app"}, "B": {"default": "app"}}, "env: {A: mine}\n")[0] == {
        "A": "mine",
        "B": "app",
    }


def test_defaults_may_name_other_variables_in_any_order() -> None:
    found, problems = values({"A": {"default": "${B}/a"}, "B": {"default": "${C:-x}b"}, "C": {"default": "c"}})
    assert problems == []
    assert found == {"A": "cb/a", "B": "cb", "C": "c"}


def test_a_default_that_uses_a_secret_is_secret() -> None:
    found, _ = values(
        {"URL": {"default": "db://${PASSWORD}@h"}, "NEXT": {"default": "${URL}/x"}},
        secrets={"PASSWORD": Sensitive("p")},
    )
    assert found["URL"] == Sensitive("db://p@h")
    assert found["NEXT"] == Sensitive("db://p@h/x")


@pytest.mark.parametrize(
    "variables",
    [
        {"A": {"default": "${A}"}},
        {"A": {"default": "${B}"}, "B": {"default": "${A}"}},
        {"A": {"default": "${B}"}, "B": {"default": "$C"}, "C": {"default": "${A:-x}"}},
    ],
)
def test_a_circle_of_defaults_is_refused(variables: dict[str, Any]) -> None:
    _, problems = values(variables)
    assert problems
    assert all(problem.place.line for problem in problems)


@pytest.mark.parametrize("default", ["${", "${NOBODY}", "${1}", "${NOBODY:?give it}"])
def test_a_broken_default_is_refused_at_its_place(default: str) -> None:
    _, (problem,) = values({"OK": {"default": "x"}, "A": {"default": default}})
    assert problem.key == "x-moorage.variables.A.default"


def test_what_the_platform_sets_wins() -> None:
    found, _ = values({"DOMAIN": {"default": "app"}}, platform={"DOMAIN": "real"})
    assert found["DOMAIN"] == "real"


# What looks like a secret.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "hunter22"),
        ("PASSWORD", "x"),
        ("db_passwd", "x"),
        ("API_TOKEN", "abc"),
        ("SECRET_KEY", "abc"),
        ("STRIPE_API_KEY", "sk_live_x"),
        ("AWS_SECRET_ACCESS_KEY", "abc"),
        ("JWT_SECRET", "abc"),
        ("MASTER_KEY", "abc"),
        ("DATABASE_URL", "postgres://app:hunter22@db/app"),
        ("REDIS", "redis://:hunter22@redis:6379"),
        ("ANYTHING", "amqp://u:p@h"),
        ("SMTP_PASS", "x"),
        ("DB_PASSWORD", "12345678"),
        ("CARD_PIN", "1234"),
        ("KEY", "abc"),
        ("MYSQL_DSN", "app:hunter22@tcp(db:3306)/app"),
        ("JDBC", "jdbc:postgresql://u:p@db/app"),
        ("BROKERS", "amqp://a/,amqp://u:p@b/"),
        ("CONNECTION", "Server=db;Database=app;User=sa;Password=hunter22"),
        ("CERTIFICATE", "-----BEGIN RSA PRIVATE KEY-----\nMII"),
        ("KEY_SALT", "0f" * 8 + "3a9b1c7d5e2f4086a1b2c3d4e5f60718"),
    ],
)
def test_a_secret_is_recognised_by_its_name_or_value(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_HOST", "db"),
        ("DB_PASSWORD", ""),
        ("USE_TOKEN", "true"),
        ("TOKEN_TTL", "3600"),
        ("PASSWORD_MIN_LENGTH", "12"),
        ("MAX_TOKENS", "4096"),
        ("COMPASS", "north"),
        ("PROXY", "http://proxy:3128/a@b"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_live_x"),
        ("PUBLIC_KEY", "abc"),
        ("SECRET_KEY_FILE", "/run/secrets/key"),
        ("TOKEN_URL", "https://auth.example.com/token"),
        ("DB_PASSWORD", "${DB_PASSWORD}"),
        ("URL", "https://example.com/a:b@c"),
        ("PATH_LIST", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"),
        ("SITE_NAME", "Notes of Example and Sons"),
    ],
)
def test_what_is_no_secret_is_left_alone(name: str, value: str) -> None:
    assert not looks_secret(name, value)


# Names.


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("a: $A ${B:-$C} $$D\n", {"A", "B", "C"}),
        ("environment: {A: ~, B: x, C: $D}\n", {"A", "D"}),
        ("environment: [A, B=x, 'C=$D']\n", {"A", "D"}),
        ("secrets: {s: {environment: TOKEN}}\n", {"TOKEN"}),
        ("build: {args: {A: ~, B: x}}\n", {"A"}),
        ("build: {args: [A, B=x]}\n", {"A"}),
        ("- [$A, {b: $B}]\n", {"A", "B"}),
        ("a: 5\n", set()),
        ("a: $\n", set()),
    ],
)
def test_every_variable_that_a_file_uses_is_found(content: str, names: set[str]) -> None:
    assert used_names(parse_yaml(content, "f").value) == names


def told(
    variables: dict[str, Any], settings: str, used: set[str] = frozenset(), *, builtin: bool = False
) -> dict[str, Problem]:  # type: ignore[assignment]
    extension, _ = read_extension(parse_yaml(as_text({"x-moorage": {"variables": variables}}), "compose.yaml"), Path())
    return {
        problem.key: problem
        for problem in env_problems(extension, loaded(settings), builtin=builtin, used=frozenset(used))
    }


def test_a_value_that_fits_is_no_problem() -> None:
    assert (
        told(
            {"A": {"choices": ["x", "y"]}, "B": {"pattern": "[0-9]+"}, "C": {"required": True}},
            "env: {A: x, B: 12, C: c, D: d}\n",
            {"D"},
        )
        == {}
    )


@pytest.mark.parametrize(
    ("variables", "settings", "words"),
    [
        ({"A": {"choices": ["x", "y"]}}, "env: {A: z}\n", "must be x or y"),
        ({"A": {"pattern": "[0-9]+"}}, "env: {A: 12x}\n", "must match"),
        ({"A": {"required": True, "describe": "the relay"}}, "", "the relay"),
        ({"A": {"secret": True}}, "env: {A: x}\n", "is a secret"),
        ({}, "env: {A_PASSWORD: hunter22}\n", "is a secret"),
        ({"ABLE": {}}, "env: {ABEL: x}\n", "is not a variable"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(variables: dict[str, Any], settings: str, words: str) -> None:
    (problem,) = told(variables, settings).values()
    assert words in problem.rule
    assert "hunter22" not in str(problem)


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    assert told({"SMTP_HOST": {}}, "env: {SMTP_HSOT: x}\n")["env.SMTP_HSOT"].suggestion == "SMTP_HOST"


@pytest.mark.parametrize("name", ["POSTGRES_USER", "POSTGRES_DB", "POSTGRES_HOST", "REDIS_HOST"])
def test_a_name_of_the_platform_that_it_does_not_set_here_may_be_given(name: str) -> None:
    assert told({}, f"env: {{{name}: x}}\n", {name}) == {}


def test_what_moorage_sets_itself_must_not_be_given() -> None:
    assert "set by moorage" in told({}, "env: {DOMAIN: x}\n", {"DOMAIN"})["env.DOMAIN"].rule
    assert "set by moorage" in told({}, "env: {BASE_URL: x}\n", set(), builtin=True)["env.BASE_URL"].rule


@pytest.mark.parametrize("name", ["POSTGRES_USER", "REDIS_URL", "POSTGRES_HOST"])
def test_what_the_required_database_is_called_must_not_be_given(name: str) -> None:
    extension, _ = read_extension(
        parse_yaml("x-moorage: {requires: {postgres: {}, redis: {}}}\n", "compose.yaml"), Path()
    )
    (problem,) = env_problems(
        extension, loaded(f"env: {{{name}: x}}\n"), builtin=False, used=frozenset({name, "ENVIRONMENT"})
    )
    assert "set by moorage" in problem.rule


@pytest.mark.parametrize(
    ("content", "settings", "meant"),
    [
        ("a: '${ENVIRONMENT:-production} ${IMAGE_TAG:-1.2}'\n", "", {}),
        ("a: '${ENVIRONMENT:-production}'\n", "env: {ENVIRONMENT: live}\n", {"ENVIRONMENT": "live"}),
        ("a: '${IMAGE_TAG:-1.2}'\n", "images: {tag: v2}\n", {"IMAGE_TAG": "p"}),
        ("a: '${IMAGE_TAG} ${ENVIRONMENT:-}'\n", "", {"IMAGE_TAG": "p", "ENVIRONMENT": "p"}),
        ("x-moorage: {}\na: '${IMAGE_TAG:-1.2}'\n", "", {"IMAGE_TAG": "p"}),
    ],
)
def test_a_default_of_somebodys_own_file_is_the_apps(content: str, settings: str, meant: dict[str, str]) -> None:
    document = parse_yaml(content, "compose.yaml")
    extension, reader = read_extension(document, Path())
    platform: dict[str, Text] = {"ENVIRONMENT": "p", "IMAGE_TAG": "p"}
    found = variable_values(extension, loaded(settings), platform, {}, reader)
    assert {name: found[name] for name in used_names(document.value) if name in found} == meant


def test_the_secrets_of_the_app_and_of_the_operator_are_needed() -> None:
    extension, _ = read_extension(
        parse_yaml(
            as_text(
                {
                    "x-moorage": {
                        "variables": {
                            "MADE": {"secret": True, "generate": "hex32", "prefix": "sk-", "describe": "signs"},
                            "GIVEN": {"secret": True, "required": True},
                            "PERHAPS": {"secret": True},
                            "PLAIN": {"default": "x"},
                        }
                    }
                }
            ),
            "f",
        ),
        Path(),
    )
    needs = {need.name: need for need in secret_needs(extension, loaded("secrets: [MINE, MADE]\n"))}
    assert list(needs) == ["MADE", "GIVEN", "PERHAPS", "MINE"]
    assert (needs["MADE"].generator, needs["MADE"].prefix, needs["MADE"].why) == ("hex32", "sk-", "signs")
    assert [name for name, need in needs.items() if need.optional] == ["PERHAPS"]


def test_a_reader_without_content_has_no_problem() -> None:
    assert Reader(parse_yaml("", "f"), Path()).problems == []
