"""The stack as a whole: sizes that fit together, jobs, volumes, what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.errors import InputError
from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.stack.model import BundledPostgres, BundledRedis, Stack
from tests.unit.given import deployment, problems

ROUTED = {"port": 80, "route": {"paths": ["/"]}}


def stack(folder: Path, services: dict[str, Any], settings_text: str = "", **top: Any) -> Stack:
    first = next(iter(services))
    services = {**services, first: {**services[first], "x-moorage": {**ROUTED, **services[first].get("x-moorage", {})}}}
    return deployment(folder, {**top, "services": services}, settings_text).stack


@settings(max_examples=25)
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    total=st.integers(16, 4096),
    max_files=st.integers(2, 6),
    platform=st.booleans(),
    jobs=st.integers(0, 3),
)
def test_all_logs_together_stay_inside_their_budget_also_during_an_update(
    counts: list[int], total: int, max_files: int, platform: bool, jobs: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    extension: dict[str, Any] = {
        "jobs": {f"job-{number}": {"service": "s0", "command": ["x"], "run": "manual"} for number in range(jobs)}
    }
    if platform:
        extension["requires"] = {"postgres": {}, "redis": {}}
    services = {f"s{number}": {"image": "x", "deploy": {"replicas": count}} for number, count in enumerate(counts)}
    try:
        found = stack(
            tmp_path_factory.mktemp("logs"),
            services,
            f"logs: {{total: {total}Mi, max_files: {max_files}}}\n",
            **{"x-moorage": extension},
        )
    except InputError as error:
        assert [problem.key for problem in error.problems] == ["logs.total"]
        return
    budget = found.edge.logs.budget + sum(found.service(job.service).logs.budget for job in found.jobs)
    budget += sum(
        item.logs.budget for item in (found.postgres, found.redis) if isinstance(item, (BundledPostgres, BundledRedis))
    )
    budget += sum(2 * service.replicas * service.logs.budget for service in found.services)
    # The one that publishes routes: twice a megabyte, see compose/traefik.yaml.
    assert budget + 2 * MEBIBYTE <= total * MEBIBYTE
    assert found.edge.logs.max_files == max_files


@settings(max_examples=25)
@given(
    memory=st.integers(2, 256),
    cpus=st.integers(1, 64),
    count=st.integers(1, 6),
    asked=st.lists(st.integers(64, 4096), max_size=3),
)
def test_sizes_fit_into_the_host_or_that_is_told(
    memory: int, cpus: int, count: int, asked: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    services = {f"s{number}": {"image": "x"} for number in range(count)}
    services |= {
        f"a{number}": {"image": "x", "mem_limit": f"{size}m", "cpus": 100} for number, size in enumerate(asked)
    }
    found = stack(
        tmp_path_factory.mktemp("memory"),
        services,
        f"resources: {{host: {{memory: {memory}Gi, cpus: {cpus}}}}}\nlogs: {{total: 4Gi}}\n",
        **{"x-moorage": {"requires": {"postgres": {}, "redis": {}}}},
    )
    assert isinstance(found.postgres, BundledPostgres)
    assert isinstance(found.redis, BundledRedis)
    limits = [
        found.postgres.limits,
        found.redis.limits,
        found.edge.limits,
        *(service.limits for service in found.services),
    ]
    assert all(0 < item.cpu <= cpus * 1000 and 0 < item.memory_request <= item.memory for item in limits)
    total = sum(item.memory for item in limits)
    assert total <= memory * GIBIBYTE or any(notice.subject == "memory" for notice in found.notices)
    parameters = {parameter.name: parameter.value for parameter in found.postgres.parameters}
    assert int(parameters["shared_buffers"].removesuffix("MB")) * MEBIBYTE <= found.postgres.limits.memory // 4
    assert sum(line.count * line.memory for line in found.budget) == total


def test_services_that_ask_for_more_than_there_is_are_refused(tmp_path: Path) -> None:
    services = {f"s{number}": {"image": "x", "mem_limit": "2g", "mem_reservation": "2g"} for number in range(3)}
    found = problems(lambda: stack(tmp_path, services, "resources: {host: {memory: 4Gi}}\n"))
    assert [problem.key for problem in found] == ["resources.host.memory"]


def test_a_job_has_the_sizes_of_its_service_or_its_own_memory(tmp_path: Path) -> None:
    jobs = {
        "a": {"service": "web", "command": ["x"], "run": "before-rollout", "timeout_seconds": 5, "describe": "does a"},
        "b": {"service": "web", "command": ["y"], "schedule": "5 * * * *", "memory": "32m"},
        "c": {"service": "web", "command": ["z"], "run": "manual"},
    }
    found = stack(tmp_path, {"web": {"image": "x", "mem_limit": "128m"}}, **{"x-moorage": {"jobs": jobs}})
    first, second, third = found.jobs
    assert (first.run, first.schedule, first.timeout_seconds, first.describe) == ("before-rollout", "", 5, "does a")
    assert (second.run, second.schedule) == ("schedule", "5 * * * *")
    assert third.run == "manual"
    assert first.limits == found.service("web").limits
    assert (second.limits.memory, second.limits.memory_request) == (32 * MEBIBYTE, 32 * MEBIBYTE)


def test_a_job_that_no_container_can_be_made_for_is_refused(tmp_path: Path) -> None:
    jobs = {"a": {"service": "web", "command": ["x"], "run": "manual", "memory": "1m"}}
    (problem,) = problems(lambda: stack(tmp_path, {"web": {"image": "x"}}, **{"x-moorage": {"jobs": jobs}}))
    assert problem.key == "x-moorage.jobs.a.memory"


def test_volumes_say_what_is_done_with_them(tmp_path: Path) -> None:
    found = stack(
        tmp_path,
        {"web": {"image": "x", "volumes": ["b:/b", "/cache"]}},
        volumes={"b": {"x-moorage": {"backup": False, "size": "1Gi", "exclude": ["*.tmp"]}}, "a": {"name": "fixed"}},
    )
    assert [volume.name for volume in found.volumes] == ["a", "b", "web-cache"]
    fixed, plain, unnamed = found.volumes
    assert fixed.fixed_name == "fixed"
    assert (plain.backup, plain.size, plain.exclude) == (False, GIBIBYTE, ("*.tmp",))
    assert unnamed.backup


def test_everything_that_was_adapted_is_told(tmp_path: Path) -> None:
    found = stack(
        tmp_path,
        {
            "web": {
                "image": "x",
                "ports": ["8080:80", "2222:22"],
                "restart": "unless-stopped",
                "container_name": "old",
                "volumes": ["./empty:/x"],
            },
            "db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}, "ports": ["5432:5432"]},
        },
        version="3.8",
    )
    told = "\n".join(f"{notice.subject}: {notice.text}" for notice in found.notices)
    for words in (
        "`version`",
        "`ports`",
        "`restart`",
        "`container_name`",
        "./empty",
        "its Postgres",
        "port is closed",
        "port 22 is not published",
    ):
        assert words in told, words


@pytest.mark.parametrize(
    ("command", "is_told"),
    [
        ("server --api-key=s3cr3t-Zq", True),
        (["server", "--db-password", "s3cr3t-Zq"], True),
        (["sh", "-c", "exec server --token s3cr3t-Zq"], True),
        ("server --db postgres://app:s3cr3t-Zq@db/app", True),
        ("server --password-file /run/secrets/x", False),
        (["sh", "-c", 'exec server --token "$$TOKEN"'], False),
        ("server --token --verbose", False),
        ("server --enable-token true", False),
        (["sh", "-c", "server postgres://app:$$PASSWORD@db/app"], False),
    ],
)
def test_a_secret_that_stands_in_a_command_is_told_without_it(command: Any, is_told: bool, tmp_path: Path) -> None:
    told = [notice.text for notice in stack(tmp_path, {"web": {"image": "x", "command": command}}).notices]
    assert any("has a secret written out" in text for text in told) is is_told
    assert "s3cr3t" not in str(told)


def test_a_password_that_an_adopted_database_takes_out_of_its_command_is_nothing_to_tell(tmp_path: Path) -> None:
    services = {"web": {"image": "x"}, "cache": {"image": "redis:7", "command": "redis-server --requirepass s3cr3t-Zq"}}
    assert not any("written out" in notice.text for notice in stack(tmp_path, services).notices)


@pytest.mark.parametrize(
    ("settings_text", "project"),
    [("", "acme"), ("environments: {staging: {}}\n", "acme")],
)
def test_the_default_environment_has_the_plain_name(settings_text: str, project: str, tmp_path: Path) -> None:
    assert stack(tmp_path, {"web": {"image": "x"}}, settings_text).project == project


def test_what_every_app_may_know_of_its_installation(tmp_path: Path) -> None:
    names = [
        "DEPLOYMENT_NAME",
        "COMPOSE_PROJECT_NAME",
        "ENVIRONMENT",
        "DOMAIN",
        "BASE_URL",
        "PROTOCOL",
        "IMAGE_PREFIX",
        "IMAGE_TAG",
        "TLS_MODE",
    ]
    found = stack(
        tmp_path,
        {"web": {"image": "x", "environment": {name: f"${{{name}}}" for name in names}}},
        "images: {registry: ghcr.io/acme/, tag: v2}\n",
    )
    assert found.service("web").environment == {
        "DEPLOYMENT_NAME": "acme", "COMPOSE_PROJECT_NAME": "acme", "ENVIRONMENT": "compose", "DOMAIN": "notes.example.com", "BASE_URL": "http://notes.example.com",
        "PROTOCOL": "http", "IMAGE_PREFIX": "ghcr.io/acme/", "IMAGE_TAG": "v2", "TLS_MODE": "off",
    }  # fmt: skip
