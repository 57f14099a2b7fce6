"""One folder = one test: what is written in it must render to exactly what lies in `expected/`.

`pytest tests/golden --update-golden` rewrites the expectation: read that diff as a reviewer would.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml

from moorage import flow
from moorage.config.loading import environment_names, load_document
from moorage.config.secrets import SecretStore
from moorage.sensitive import Sensitive
from moorage.targets.base import Rendering
from moorage.tree import Tree
from tests.conftest import need

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if (path / "moorage.yaml").is_file())
_GIVEN = {
    "CF_DNS_API_TOKEN": "cloudflare-test-token",
    "DB_PASSWORD": "blog-database-password",
    "ADMIN_TOKEN": "admin-token-value",
}


def seeded(seed: str):  # type: ignore[no-untyped-def]
    """Random bytes that are the same in every run."""
    counter = 0

    def random_bytes(count: int) -> bytes:
        nonlocal counter
        counter += 1
        return hashlib.shake_256(f"{seed}/{counter}".encode()).digest(count)

    return random_bytes


def render_case(case: Path, folder: Path, environment: str) -> tuple[flow.Deployment, Rendering]:
    """Render a copy of the case, secrets and all."""
    shutil.copytree(case, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected"))
    store = SecretStore(folder, environment)
    for name in flow.secret_needs_of(folder, environment):
        if not name.generator:
            store.replace(name.name, Sensitive(_GIVEN.get(name.name, f"given-{name.name}")))
    now = datetime(2026, 11, 22, tzinfo=timezone.utc)
    deployment = flow.open_deployment(folder, environment, write_secrets=True, random_bytes=seeded(case.name), now=now)
    # A fresh authority makes another certificate each time, and with it another revision of the proxy.
    edge = replace(deployment.stack.edge, certificate_digest="golden")
    deployment = replace(deployment, stack=replace(deployment.stack, edge=edge))
    return deployment, flow.render(deployment.stack)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_renders_to_what_is_expected(case: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for environment in environment_names(load_document(case)):
        _, rendering = render_case(case, tmp_path / environment, environment)
        expected = case / "expected" / environment
        shown = rendering.public
        if request.config.getoption("--update-golden"):
            shutil.rmtree(expected, ignore_errors=True)
            shown.write(expected)
            (expected / "private.txt").write_text(_private_list(rendering.private), encoding="utf-8")
            continue
        difference = shown.compare(expected)
        assert not difference.added, "not expected"
        assert not difference.changed, "rendered otherwise"
        present = {path.relative_to(expected).as_posix() for path in expected.rglob("*") if path.is_file()}
        assert present - {"private.txt"} == set(shown.files)
        assert _private_list(rendering.private) == (expected / "private.txt").read_text(encoding="utf-8")


def _private_list(tree: Tree) -> str:
    return "".join(f"{file.mode:o} {path}\n" for path, file in sorted(tree.files.items()))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_no_secret_stands_in_a_rendered_file(case: Path, tmp_path: Path) -> None:
    for environment in environment_names(load_document(case)):
        folder = tmp_path / environment
        deployment, rendering = render_case(case, folder, environment)
        secrets = [value.reveal() for value in deployment.secrets.values.values()]
        secrets.append((folder / "secrets" / "recovery.key").read_text(encoding="ascii").strip())
        assert len(secrets) > 1
        for path, file in rendering.public.files.items():
            for secret in secrets:
                assert secret.encode() not in file.content, f"a secret in {path}"
        assert all(file.mode == 0o600 for file in rendering.private.files.values())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_same_input_gives_the_same_bytes(case: Path, tmp_path: Path) -> None:
    environment = environment_names(load_document(case))[0]
    deployment, first = render_case(case, tmp_path, environment)
    again = flow.open_deployment(tmp_path, environment).stack
    second = flow.render(replace(again, edge=replace(again.edge, certificate_digest="golden")))
    assert first.public.files == second.public.files
    assert first.private.files == second.private.files
    first.public.write(deployment.rendered_folder)
    assert not second.public.compare(deployment.rendered_folder)


@pytest.mark.docker
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_docker_compose_accepts_it_and_every_service_is_hardened(case: Path, tmp_path: Path) -> None:
    need(shutil.which("docker") is not None, "docker")
    from moorage.process import run

    for environment in environment_names(load_document(case)):
        folder = tmp_path / environment
        deployment, rendering = render_case(case, folder, environment)
        if deployment.stack.cluster is not None:
            continue
        rendering.public.write(deployment.rendered_folder)
        rendering.private.write(deployment.private_folder)
        compose = deployment.rendered_folder / "compose"
        profiles = ["--profile", "jobs", "--profile", "backup"]
        answer = run(["docker", "compose", *profiles, "config", "--format", "json"], folder=compose)
        assert not answer.errors, "Compose warns about the rendered file"
        services = json.loads(answer.output)["services"]
        for name, service in services.items():
            assert service["logging"]["driver"] == "json-file", name
            assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
            assert int(service["deploy"]["resources"]["limits"]["memory"]) > 0, name
            assert float(service["deploy"]["resources"]["limits"]["cpus"]) > 0, name
            assert "no-new-privileges:true" in service["security_opt"], name
            assert "ALL" in service["cap_drop"], name
            assert service["restart"] in ("always", "no"), name
        night = deployment.stack.backups
        assert night is not None
        assert {name for name, service in services.items() if "backup" in service.get("profiles", ())} == set(
            night.services
        )
        published = {name for name, service in services.items() if service.get("ports")}
        assert published <= {"traefik", *(item.service for item in deployment.stack.publications)}
        _assert_networks_are_apart(services, deployment)


def _assert_networks_are_apart(services: dict, deployment: flow.Deployment) -> None:  # type: ignore[type-arg]
    for platform in (deployment.stack.postgres, deployment.stack.redis):
        name = getattr(platform, "service", "")
        if name:
            assert not set(services[name]["networks"]) & set(services["traefik"]["networks"])


def test_routes_are_what_traefik_can_read() -> None:
    for file in (Path(__file__).parent / "cases").glob("*/expected/*/compose/traefik/**/*.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        http = content.get("http")
        if http:
            for router in http["routers"].values():
                assert router["service"] in http["services"] or router["service"].endswith("@internal")
                assert set(router["middlewares"]) <= set(http["middlewares"])


def test_every_case_has_an_expectation() -> None:
    assert len(CASES) >= 6
    for case in CASES:
        assert any((case / "expected").glob("*/manifest.json")), os.fspath(case)
