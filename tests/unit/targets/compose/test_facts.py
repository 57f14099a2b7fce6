"""stack.json says what the deployer must know, and is read back as the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moorage import flow
from moorage.config.secrets import make_recovery_key
from moorage.targets.compose.facts import StackFacts, read_facts
from tests.unit.given import deployment

COMPOSE: dict[str, Any] = {
    "x-moorage": {
        "requires": {"postgres": {"database": "notes"}},
        "jobs": {
            "migrate": {"service": "web", "command": ["m"], "run": "before-rollout"},
            "clean": {"service": "worker", "command": ["c"], "schedule": "0 3 * * *"},
        },
    },
    "services": {
        "web": {
            "image": "web:1", "deploy": {"replicas": 2}, "environment": {"DB": "${POSTGRES_HOST}"}, "stop_grace_period": "45s",
            "x-moorage": {"port": 8000, "route": {"paths": ["/"], "exact": ["/x"]}, "health": {"path": "/health", "startup_seconds": 90}},
        },
        "side": {"image": "side:1", "network_mode": "service:web"},
        "worker": {"image": "web:1", "depends_on": ["web"]},
        "once": {"image": "web:1", "restart": "no"},
    },
    "volumes": {"data": None, "fixed": {"name": "real"}, "theirs": {"external": True}},
}  # fmt: skip


def facts(folder: Path) -> StackFacts:
    return flow.facts_of_stack(deployment(folder, COMPOSE).stack)


def test_the_deployer_knows_every_service(tmp_path: Path) -> None:
    found = facts(tmp_path)
    web = found.service("web")
    assert (web.kind, web.image, web.replicas, web.port, web.probe_path) == ("app", "web:1", 2, 8000, "/health")
    assert (web.startup_seconds, web.stop_seconds, web.needs, web.rollout) == (90, 45, ("postgres",), "recreate")
    assert found.service("side").follows == "web"
    assert found.service("worker").needs == ("web",)
    assert found.service("once").one_shot
    assert (found.service("postgres").kind, found.postgres_service, found.postgres_volume) == (
        "postgres",
        "postgres",
        "acme_postgres-data",
    )
    assert {"traefik", "edge-routes"} <= {service.name for service in found.services}
    with pytest.raises(KeyError):
        found.service("nobody")


def test_the_deployer_knows_jobs_routes_and_volumes(tmp_path: Path) -> None:
    found = facts(tmp_path)
    assert [(job.name, job.service, job.run) for job in found.jobs] == [
        ("migrate", "web", "before-rollout"),
        ("clean", "worker", "schedule"),
    ]
    assert [(route.service, route.host, route.path) for route in found.routes] == [("web", "notes.example.com", "/")]
    assert {"acme_data", "real", "acme_postgres-data"} <= set(found.volumes)
    assert found.external_volumes == ("theirs",)
    assert "theirs" not in found.volumes
    assert found.running == ("traefik", "postgres", "web", "side", "worker")


def test_facts_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = facts(tmp_path)
    written = json.loads(
        json.dumps(
            {name: getattr(found, name) for name in found.__dataclass_fields__}, default=lambda item: item.__dict__
        )
    )
    assert read_facts(written) == found


@pytest.mark.parametrize(
    "data", [{}, {"services": []}, {"services": [{"nonsense": 1}], "jobs": [], "routes": [], "extra_images": []}]
)
def test_a_file_of_another_shape_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        read_facts(data)


def test_a_revision_changes_with_what_makes_the_container_and_with_nothing_else(tmp_path: Path) -> None:
    def revisions(settings: str = "", **web: Any) -> dict[str, str]:
        content = {**COMPOSE, "services": {**COMPOSE["services"], "web": {**COMPOSE["services"]["web"], **web}}}
        found = flow.facts_of_stack(deployment(tmp_path, content, settings).stack)
        return {service.name: service.revision for service in found.services}

    usual = revisions()
    assert revisions() == usual
    assert {name for name, value in revisions(command="x").items() if value != usual[name]} == {"web"}
    assert {name for name, value in revisions(environment={"A": "1"}).items() if value != usual[name]} == {"web"}
    assert revisions(depends_on=["once"]) == usual
    assert {
        name for name, value in revisions("postgres: {parameters: {work_mem: 8MB}}\n").items() if value != usual[name]
    } == {"postgres"}
    assert {name for name, value in revisions("routes: {web: {port: 8001}}\n").items() if value != usual[name]} == {
        "edge-routes"
    }


@pytest.mark.parametrize("change", [{"deploy": {"replicas": 3}}, {"mem_limit": "1g"}])
def test_a_change_of_one_service_does_not_restart_the_database(change: dict[str, Any], tmp_path: Path) -> None:
    def revision(**web: Any) -> str:
        content = {**COMPOSE, "services": {**COMPOSE["services"], "web": {**COMPOSE["services"]["web"], **web}}}
        return flow.facts_of_stack(deployment(tmp_path, content).stack).service("postgres").revision

    assert revision(**change) == revision()


def test_a_revision_changes_with_the_mode_of_a_mounted_file(tmp_path: Path) -> None:
    content = {
        "services": {
            "web": {
                "image": "x",
                "volumes": ["./run.sh:/run.sh:ro"],
                "x-moorage": {"port": 1, "route": {"paths": ["/"]}},
            }
        }
    }
    found = []
    for mode in (0o644, 0o755):
        (tmp_path / "run.sh").write_text("x")
        (tmp_path / "run.sh").chmod(mode)
        found.append(flow.facts_of_stack(deployment(tmp_path, content).stack).service("web").revision)
    assert found[0] != found[1]


def test_a_revision_changes_with_a_secret_and_does_not_give_it_away(tmp_path: Path) -> None:
    def revision(secret: str, folder: Path) -> str:
        compose = {
            "services": {
                "web": {"image": "x", "environment": {"A": "${S}"}, "x-moorage": {"port": 1, "route": {"paths": ["/"]}}}
            }
        }
        found = deployment(folder, compose, "secrets: [S]\n", secrets={"S": secret})
        return flow.facts_of_stack(found.stack).service("web").revision

    first = revision("one", tmp_path)
    assert revision("two", tmp_path) != first
    assert revision("one", tmp_path) == first
    # Another deployment with the same weak secret has another revision, so nobody can look it up in a table.
    other = tmp_path / "other"
    (other / "secrets").mkdir(parents=True)
    (other / "secrets/recovery.key").write_text(make_recovery_key(bytes(32)) + "\n")
    assert revision("one", other) != first
