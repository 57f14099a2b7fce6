"""What `up` would do to the containers: a table of what should be and what is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.targets.compose.docker import Container
from moorage.targets.compose.facts import ExtraImageFacts, JobFacts, ServiceFacts, StackFacts
from moorage.targets.compose.plan import ContainerPlan, is_current, must_go_first, plan_containers

IMAGES = {"web:1": "sha256:web", "postgres:17": "sha256:pg", "redis:7": "sha256:redis", "traefik:v3": "sha256:traefik"}


def service(name: str = "web", **keys: Any) -> ServiceFacts:
    return ServiceFacts(**{"name": name, "kind": "app", "image": "web:1", "revision": "r1", **keys})


def stack(*services: ServiceFacts, **keys: Any) -> StackFacts:
    usual: dict[str, Any] = {
        "project": "acme", "environment": "compose", "deployment_id": "1", "domain": "d", "base_url": "http://d", "check_path": "/",
        "tls_mode": "off", "acme_server": "", "address": "0.0.0.0", "http_port": 80, "https_port": 0, "unit": "u", "build_base": "",
        "pull": "missing", "running": (), "volumes": (), "external_volumes": (), "extra_images": (), "jobs": (), "routes": (),
    }  # fmt: skip
    return StackFacts(**{**usual, "services": services, **keys})


def container(name: str = "web", **keys: Any) -> Container:
    usual: dict[str, Any] = {
        "id": f"{name}-1", "name": f"acme-{name}-1", "service": name, "is_one_off": False, "state": "running", "health": "healthy",
        "exit_code": 0, "restarts": 0, "started": "2026-05-04T12:00:00Z", "revision": "r1", "image_id": "sha256:web", "image": "web:1",
        "network_of": "", "out_of_memory": False,
    }  # fmt: skip
    return Container(**{**usual, **keys})


def plan(
    facts: StackFacts, *containers: Container, previous: StackFacts | None = None, volumes: Any = (), networks: Any = ()
) -> ContainerPlan:
    return plan_containers(facts, containers, IMAGES, dict.fromkeys(volumes), previous, dict(networks))


@pytest.mark.parametrize(
    ("wanted", "exists", "why"),
    [
        (True, True, ""),
        (False, False, ""),
        (True, None, ""),
        (True, False, "its network acme_back loses its way out"),
        (False, True, "its network acme_back gets a way out"),
    ],
)
def test_a_network_that_gets_or_loses_its_way_out_replaces_who_hangs_on_it(
    wanted: bool, exists: bool | None, why: str
) -> None:
    facts = stack(service(rollout="rolling"), service("other"), networks={"back": wanted, "front": False})
    networks = {"acme_front": False} | ({} if exists is None else {"acme_back": exists})
    found = plan(
        facts, container(networks=("acme_back",)), container("other", networks=("acme_front",)), networks=networks
    )
    assert [(item.service, item.action, item.why) for item in found.changes] == (
        [("web", "recreate", why)] if why else []
    )


def action(*containers: Container, **keys: Any) -> str:
    """What happens to the one service `web`."""
    change = plan(stack(service(**keys)), *containers).of("web")
    return change.action if change else ""


OLD = {"revision": "r0"}
STOPPED = {"state": "exited"}


@pytest.mark.parametrize(
    ("containers", "keys", "expected"),
    [
        ([{}], {}, ""),
        ([], {}, "create"),
        ([OLD], {}, "recreate"),
        ([{"image_id": "sha256:older"}], {}, "recreate"),
        ([OLD], {"rollout": "rolling"}, "roll"),
        ([{"image_id": "sha256:older"}], {"rollout": "rolling"}, "roll"),
        ([{**OLD, **STOPPED}], {"rollout": "rolling"}, "recreate"),
        ([{**OLD, **STOPPED}, OLD], {"rollout": "rolling"}, "roll"),
        ([OLD, {}], {"rollout": "rolling"}, "roll"),
        ([STOPPED], {}, "start"),
        ([{"state": "created"}], {}, "start"),
        ([{}, STOPPED], {"replicas": 2}, "start"),
        ([{}], {"replicas": 2}, "scale"),
        ([{}, {}], {}, "scale"),
        ([{}], {"replicas": 0}, "scale"),
        ([], {"replicas": 0}, ""),
        ([OLD], {"replicas": 0}, "scale"),
        ([{}], {"image": "unknown:1"}, ""),
        ([{"health": "unhealthy"}], {}, ""),
        # One-shot services.
        ([], {"one_shot": True}, "create"),
        ([STOPPED], {"one_shot": True}, ""),
        ([{**STOPPED, "exit_code": 1}], {"one_shot": True}, "recreate"),
        ([{**STOPPED, **OLD}], {"one_shot": True}, "recreate"),
        ([{**STOPPED, "image_id": "sha256:older"}], {"one_shot": True}, "recreate"),
        ([{}], {"one_shot": True}, ""),
        ([{"state": "created"}], {"one_shot": True}, "recreate"),
    ],
)
def test_a_service_changes_as_the_table_says(
    containers: list[dict[str, Any]], keys: dict[str, Any], expected: str
) -> None:
    found = [container(id=f"web-{number}", **item) for number, item in enumerate(containers)]
    assert action(*found, **keys) == expected


def test_nothing_changes_when_all_is_as_it_should_be() -> None:
    facts = stack(service(), service("db", kind="postgres", image="postgres:17"))
    found = plan(facts, container(), container("db", image_id="sha256:pg"))
    assert not found
    assert (found.risk, found.risk_reasons) == ("none", ())


def test_containers_of_single_commands_are_not_the_service() -> None:
    assert action(container(is_one_off=True, **OLD)) == "create"
    assert action(container(), container(id="x", is_one_off=True, **OLD)) == ""


def test_what_is_no_longer_in_the_stack_is_removed_and_jobs_are_not() -> None:
    facts = stack(service(), jobs=(JobFacts("migrate", "web", "before-rollout", 900, ""),))
    found = plan(facts, container(), container("old"), container("migrate", **STOPPED), container("gone"))
    assert [(change.service, change.action) for change in found.changes] == [("gone", "remove"), ("old", "remove")]


def test_who_shares_a_network_is_replaced_with_its_partner() -> None:
    facts = stack(service(), service("side", follows="web"))
    found = plan(facts, container(**OLD), container("side", network_of="web-1", started="2026-05-04T12:00:01Z"))
    assert [(change.service, change.action) for change in found.changes] == [("web", "recreate"), ("side", "recreate")]


@pytest.mark.parametrize(
    ("partner", "started", "expected"),
    [
        ("web-1", "2026-05-04T12:00:01Z", ""),
        ("gone", "2026-05-04T12:00:01Z", "recreate"),
        ("web-1", "2026-05-04T11:59:59Z", "recreate"),
    ],
)
def test_a_network_partner_that_is_not_the_same_any_more_means_replacement(
    partner: str, started: str, expected: str
) -> None:
    facts = stack(service(), service("side", follows="web"))
    change = plan(facts, container(), container("side", network_of=partner, started=started)).of("side")
    assert (change.action if change else "") == expected


def test_who_shares_a_network_is_replaced_when_its_partner_is_started_again() -> None:
    facts = stack(service(), service("side", follows="web"))
    found = plan(facts, container(**STOPPED), container("side", network_of="web-1", started="2026-05-04T12:00:01Z"))
    change = found.of("side")
    assert change is not None
    assert change.action == "recreate"


@pytest.mark.parametrize(
    ("partner", "own", "expected"),
    [
        ("2026-05-04T12:00:00Z", "2026-05-04T12:00:00.5Z", ""),
        ("2026-05-04T12:00:00.5Z", "2026-05-04T12:00:00Z", "recreate"),
        ("2026-05-04T12:00:00.05Z", "2026-05-04T12:00:00.1Z", ""),
    ],
)
def test_fractions_of_a_second_are_compared_as_numbers(partner: str, own: str, expected: str) -> None:
    facts = stack(service(), service("side", follows="web"))
    found = plan(facts, container(started=partner), container("side", network_of="web-1", started=own)).of("side")
    assert (found.action if found else "") == expected


def test_who_has_done_its_work_does_not_do_it_again_because_of_its_partner() -> None:
    facts = stack(service(), service("once", follows="web", one_shot=True), service("off", follows="web", replicas=0))
    assert [change.service for change in plan(facts, container(**OLD), container("once", **STOPPED)).changes] == ["web"]


def test_a_database_with_another_name_never_runs_beside_the_old_one() -> None:
    files = {"volumes": ("acme_data",)}
    facts = stack(service("database", kind="postgres", image="postgres:17", **files), service("web", **files))
    old = container("db", **files)
    others = (container("web", **files), container("gone"), container("run", is_one_off=True, **files))
    assert must_go_first(facts, [old, *others]) == [old]
    assert must_go_first(stack(service("site", rollout="rolling", **files)), [old]) == []
    assert must_go_first(stack(service("other", volumes=("acme_other",))), [old]) == []


def test_the_proxys_routes_are_published_and_not_replaced() -> None:
    facts = stack(service("edge-routes", kind="edge", image="traefik:v3", one_shot=True))
    for containers in ([], [container("edge-routes", image_id="sha256:traefik", **STOPPED, **OLD)]):
        change = plan(facts, *containers).of("edge-routes")
        assert change is not None
        assert (change.action, change.downtime) == ("publish", "none")


@pytest.mark.parametrize(
    ("kind", "image", "risk"),
    [("postgres", "postgres:17", "restart"), ("redis", "redis:7", "restart"), ("app", "web:1", "none")],
)
def test_replacing_a_database_is_a_risk_that_is_named(kind: str, image: str, risk: str) -> None:
    found = plan(stack(service("db", kind=kind, image=image)), container("db", image_id=IMAGES[image], **OLD))
    assert found.risk == risk
    change = found.of("db")
    assert change is not None
    assert change.downtime != "none"


PG = service("postgres", kind="postgres", image="postgres:17")
BEFORE = stack(PG, postgres_service="postgres", postgres_version=17, postgres_volume="acme_postgres-data")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (BEFORE, ""),
        (replace(BEFORE, postgres_version=16), "Postgres 17 → 16"),
        (replace(BEFORE, postgres_version=18), "Postgres 17 → 18"),
        (replace(BEFORE, postgres_volume="acme_db-data"), "start empty"),
        (replace(BEFORE, services=(replace(PG, image="postgres:17-alpine"),)), "Alpine"),
        (replace(BEFORE, services=(replace(PG, name="db"),), postgres_service="db"), ""),
        (replace(BEFORE, services=(), postgres_service="", postgres_version=0, postgres_volume=""), ""),
    ],
)
def test_what_would_make_data_unreadable_is_a_risk_with_its_reason(now: StackFacts, words: str) -> None:
    found = plan(now, previous=BEFORE)
    assert (found.risk == "data") == bool(words)
    assert words in " ".join(found.risk_reasons)
    assert plan(now, previous=None).risk != "data"


def test_volumes_that_do_not_exist_yet_are_named() -> None:
    assert plan(stack(volumes=("a", "b", "c")), volumes=["b"]).new_volumes == ("a", "c")


def test_an_override_that_changed_starts_its_services_again() -> None:
    facts = stack(service(), override_services=("extra",), override_digest="2")
    running = (container(), container("extra"))
    assert not plan(facts, *running, previous=facts)
    assert plan(facts, *running, previous=replace(facts, override_digest="1")).of("extra")
    assert plan(facts, container(), previous=facts).of("extra")


@given(
    wanted=st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
    present=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "d"]), st.sampled_from(["running", "exited"]), st.sampled_from(["r0", "r1"])
        ),
        max_size=5,
    ),
    rollout=st.sampled_from(["rolling", "recreate"]),
)
def test_every_service_is_in_a_plan_once_and_only_for_a_reason(
    wanted: list[str], present: list[tuple[str, str, str]], rollout: str
) -> None:
    facts = stack(*(service(name, rollout=rollout) for name in wanted))
    containers = [
        container(name, id=str(number), state=state, revision=revision)
        for number, (name, state, revision) in enumerate(present)
    ]
    changes = plan(facts, *containers).changes
    assert len({change.service for change in changes}) == len(changes)
    assert all(change.why and change.downtime for change in changes)
    for name in {*wanted, *(item.service for item in containers)}:
        mine = [item for item in containers if item.service == name]
        is_right = (
            (name in wanted) and len(mine) == 1 and mine[0].is_running and is_current(service(name), mine[0], IMAGES)
        )
        assert (name in {change.service for change in changes}) != is_right


def test_an_image_that_only_the_app_starts_must_be_here_by_both_its_names() -> None:
    projects = ExtraImageFacts("projects:latest", "ghcr.io/acme/projects:1", builds=False)
    facts = stack(service(), extra_images=(projects,))
    found = plan(facts, container())
    assert found.missing_images == ("ghcr.io/acme/projects:1", "projects:latest")
    assert found
    assert found.changes == ()
    here = {**IMAGES, "ghcr.io/acme/projects:1": "sha256:p", "projects:latest": "sha256:p"}
    assert not plan_containers(facts, [container()], here, {}, None, {})
