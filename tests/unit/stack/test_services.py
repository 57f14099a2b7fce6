"""App services as they really run: images, networks, confinement, health, rollout."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moorage.app.model import Dependency, MemoryMount, VolumeMount
from moorage.quantities import MEBIBYTE
from moorage.sensitive import Sensitive
from moorage.stack.model import BundledPostgres, Service, Stack
from tests.unit.given import compose_of, deployment, problems, rendering

ROUTED = {"port": 80, "route": {"paths": ["/"]}}


def stack(folder: Path, web: dict[str, Any] | None = None, settings: str = "", **more: Any) -> Stack:
    keys = {"image": "nginx:1.27", **(web or {})}
    keys["x-moorage"] = {**ROUTED, **keys.get("x-moorage", {})}
    top = more.pop("top", {})
    services = {"web": keys, **more.pop("others", {})}
    return deployment(folder, {**top, "services": services}, settings, **more).stack


def web(folder: Path, keys: dict[str, Any] | None = None, settings: str = "", **more: Any) -> Service:
    return stack(folder, keys, settings, **more).service("web")


def refused(folder: Path, keys: dict[str, Any], settings: str = "", **more: Any) -> list[str]:
    return [f"{problem.key}: {problem.rule}" for problem in problems(lambda: stack(folder, keys, settings, **more))]


# Images.


@pytest.mark.parametrize(
    ("keys", "settings", "reference", "is_built"),
    [
        ({}, "", "nginx:1.27", False),
        (
            {"image": "${IMAGE_PREFIX}web:${IMAGE_TAG}"},
            "images: {registry: ghcr.io/acme/, tag: '2'}\n",
            "ghcr.io/acme/web:2",
            False,
        ),
        ({"image": "${IMAGE_PREFIX}web:${IMAGE_TAG}"}, "", "web:latest", False),
        ({"image": "web:1", "build": "."}, "", "web:1", True),
        ({"image": "web:1", "build": "."}, "images: {registry: ghcr.io/acme}\n", "web:1", False),
        ({"image": "web:1", "build": "."}, "images: {registry: ghcr.io/acme, source: ../src}\n", "web:1", True),
        ({"image": None, "build": "."}, "", "acme-web:latest", True),
        (
            {"image": None, "build": "."},
            "images: {registry: ghcr.io/acme, tag: v1}\n",
            "ghcr.io/acme/acme-web:v1",
            False,
        ),
        ({"image": "web:1", "build": "."}, "images: {overrides: {web: 'other:2'}}\n", "other:2", False),
    ],
)
def test_the_image_is_a_full_name(keys: Any, settings: str, reference: str, is_built: bool, tmp_path: Path) -> None:
    found = web(tmp_path, keys, settings).image
    assert (found.reference, found.build is not None) == (reference, is_built)


# Sizes.


@pytest.mark.parametrize(
    ("keys", "settings", "memory", "cpu"),
    [
        ({"mem_limit": "100m", "cpus": 0.5}, "", 100, 500),
        ({"mem_limit": "100m", "x-moorage": {"resources": {"memory": "200m", "cpu": 1}}}, "", 200, 1000),
        (
            {"mem_limit": "100m", "x-moorage": {"resources": {"memory": "200m"}}},
            "resources: {services: {web: {memory: 300m, cpu: 250m}}}\n",
            300,
            250,
        ),
        ({"cpus": 64}, "resources: {host: {cpus: 4}}\n", None, 4000),
    ],
)
def test_sizes_come_from_the_nearest_to_the_operator(
    keys: Any, settings: str, memory: int | None, cpu: int, tmp_path: Path
) -> None:
    found = web(tmp_path, keys, settings).limits
    assert found.cpu == cpu
    assert memory is None or found.memory == memory * MEBIBYTE
    assert found.memory_request <= found.memory


# Environment.


def test_plain_and_secret_values_are_kept_apart(tmp_path: Path) -> None:
    found = web(tmp_path, {"environment": {"A": "x", "B": "p-${S}"}}, "secrets: [S]\n", secrets={"S": "s3cr3t"})
    assert found.environment == {"A": "x"}
    assert found.secret_environment == {"B": Sensitive("p-s3cr3t")}


def test_the_environment_of_a_target_replaces_and_takes_away(tmp_path: Path) -> None:
    keys = {
        "environment": {"A": "x", "B": "y", "C": "z"},
        "x-moorage": {"environment": {"compose": {"A": "1", "B": None}, "eks": {"C": "2"}}},
    }
    assert web(tmp_path, keys).environment == {"A": "1", "C": "z"}


# Which services run.


def test_only_services_of_this_target_and_without_profile_run(tmp_path: Path) -> None:
    others = {
        "eks-only": {"image": "x", "x-moorage": {"targets": ["eks"]}},
        "debug": {"image": "x", "profiles": ["debug"]},
        "base": {"image": "x", "build": ".", "x-moorage": {"build_only": True}},
        "worker": {"image": "x"},
        "tool": {"image": "x", "profiles": ["tools"]},
    }
    top = {"x-moorage": {"jobs": {"clean": {"service": "tool", "command": ["x"], "run": "manual"}}}}
    found = stack(tmp_path, others=others, top=top)
    assert [service.name for service in found.services] == ["web", "worker", "tool"]
    assert found.service("tool").restart == "no"


@pytest.mark.parametrize(
    ("keys", "settings", "count"),
    [
        ({}, "", 1),
        ({"deploy": {"replicas": 2}}, "", 2),
        ({"deploy": {"replicas": 0}}, "", 0),
        ({"deploy": {"replicas": 2}, "x-moorage": {"replicas": {"compose": 3}}}, "", 3),
        ({"x-moorage": {"replicas": {"eks": 3}}}, "", 1),
        ({"deploy": {"replicas": 2}}, "resources: {services: {web: {replicas: 4}}}\n", 4),
        ({"deploy": {"replicas": 2}}, "resources: {services: {web: {replicas: 0}}}\n", 0),
    ],
)
def test_the_number_of_containers_comes_from_the_nearest_to_the_operator(
    keys: Any, settings: str, count: int, tmp_path: Path
) -> None:
    assert web(tmp_path, keys, settings).replicas == count


# Networks.


@pytest.mark.parametrize(
    ("keys", "networks"),
    [
        ({}, {"app": (), "edge": ()}),
        ({"networks": ["front"]}, {"edge": (), "front": ()}),
        (
            {"networks": {"front": {"aliases": ["www"]}}, "container_name": "old_web"},
            {"edge": (), "front": ("www", "old_web")},
        ),
        ({"container_name": "web"}, {"app": (), "edge": ()}),
    ],
)
def test_a_service_is_on_its_networks_and_on_the_edge_when_it_is_routed(
    keys: Any, networks: Any, tmp_path: Path
) -> None:
    assert dict(web(tmp_path, keys, top={"networks": {"front": None}}).networks) == networks


def test_a_service_without_network_is_on_none(tmp_path: Path) -> None:
    found = stack(tmp_path, others={"lone": {"image": "x", "network_mode": "none"}})
    assert dict(found.service("lone").networks) == {}


@pytest.mark.parametrize("name", ["data", "edge", "app", "socket-proxy"])
def test_services_of_one_network_reach_each_other_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    found = stack(
        tmp_path,
        {"networks": [name]},
        others={"api": {"image": "x", "networks": [name]}},
        top={"networks": {name: None}},
    )
    assert set(found.service("web").networks) & set(found.service("api").networks)


@pytest.mark.parametrize("name", ["default", "app", "data", "edge", "socket-proxy"])
def test_an_internal_network_stays_internal_whatever_it_is_called(name: str, tmp_path: Path) -> None:
    content = {
        "networks": {name: {"internal": True}},
        "services": {
            "web": {"image": "nginx", "x-moorage": ROUTED},
            "worker": {"image": "x", "networks": [name]},
        },
    }
    found = compose_of(rendering(tmp_path, content))
    (used,) = found["services"]["worker"]["networks"]
    assert found["networks"][used] == {"internal": True}


def test_networks_that_were_apart_stay_apart(tmp_path: Path) -> None:
    names = ["data", "edge", "app", "default", "app-data", "app-default", "socket-proxy"]
    others: dict[str, Any] = {f"on-{name}": {"image": "x", "networks": [name]} for name in names}
    content = {
        "x-moorage": {"requires": {"postgres": {}}, "creates_containers": True},
        "networks": dict.fromkeys(names),
        "services": {"web": {"image": "nginx", "x-moorage": ROUTED}, **others},
    }
    found = compose_of(rendering(tmp_path, content))
    used = [tuple(found["services"][f"on-{name}"]["networks"]) for name in names]
    assert len(set(used)) == len(names)
    platform = {name for service in ("traefik", "postgres") for name in found["services"][service]["networks"]}
    assert not platform & {name for networks in used for name in networks}
    assert all(set(networks) <= set(found["networks"]) for networks in used)


def test_who_uses_the_database_is_on_its_network_and_waits_for_it(tmp_path: Path) -> None:
    top = {"x-moorage": {"requires": {"postgres": {}, "redis": {}}}}
    others = {"worker": {"image": "x", "environment": {"URL": "${REDIS_URL}"}}, "idle": {"image": "x"}}
    found = stack(tmp_path, {"environment": {"DB": "x@${POSTGRES_HOST}:5432"}}, others=others, top=top)
    assert set(found.service("web").networks) == {"app", "data", "edge"}
    assert found.service("web").depends_on == {"postgres": Dependency("service_healthy")}
    assert found.service("worker").depends_on == {"redis": Dependency("service_healthy")}
    assert set(found.service("idle").networks) == {"app"}
    assert found.service("idle").depends_on == {}


@pytest.mark.parametrize(
    "keys",
    [
        {"command": ["serve", "--db=${POSTGRES_HOST}:5432"]},
        {"entrypoint": ["wait-for", "${POSTGRES_HOST}:5432"]},
        {"x-moorage": {"environment": {"compose": {"DB": "postgres"}}}},
        {"configs": ["settings"]},
    ],
)
def test_the_database_is_reached_wherever_its_address_stands(keys: dict[str, Any], tmp_path: Path) -> None:
    top = {
        "x-moorage": {"requires": {"postgres": {}}},
        "configs": {"settings": {"content": "host = ${POSTGRES_HOST}"}},
    }
    found = web(tmp_path, keys, top=top)
    assert "data" in found.networks
    assert set(found.depends_on) == {"postgres"}


def test_a_sidecar_reaches_the_database_through_the_service_whose_network_it_shares(tmp_path: Path) -> None:
    side = {"image": "x", "network_mode": "service:web", "environment": {"DB": "${POSTGRES_HOST}"}}
    found = stack(tmp_path, others={"side": side}, top={"x-moorage": {"requires": {"postgres": {}}}})
    assert "data" in found.service("web").networks
    assert set(found.service("side").depends_on) == {"postgres"}


@pytest.mark.parametrize("text", ["postgresql", "mypostgres", "postgres.example.com", "x-postgres"])
def test_a_word_that_only_contains_the_name_is_not_the_database(text: str, tmp_path: Path) -> None:
    found = stack(tmp_path, {"environment": {"A": text}}, top={"x-moorage": {"requires": {"postgres": {}}}})
    assert "data" not in found.service("web").networks


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_service_with_the_name_of_a_required_one_is_refused(name: str, tmp_path: Path) -> None:
    top = {"x-moorage": {"requires": {name: {}}}}
    assert refused(tmp_path, {}, others={name: {"image": "acme/own:1"}}, top=top)


def test_dependencies_on_an_adopted_database_wait_for_its_health(tmp_path: Path) -> None:
    others = {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}}}
    found = stack(tmp_path, {"depends_on": ["db"]}, others=others)
    assert isinstance(found.postgres, BundledPostgres)
    assert found.service("web").depends_on == {"db": Dependency("service_healthy")}
    assert "data" in found.service("web").networks


@pytest.mark.parametrize(
    "keys",
    [
        {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}},
        {"image": "x", "build": ".", "x-moorage": {"build_only": True}},
    ],
)
def test_a_job_in_a_service_that_does_not_run_as_such_is_refused(keys: dict[str, Any], tmp_path: Path) -> None:
    top = {"x-moorage": {"jobs": {"dump": {"service": "db", "command": ["pg_dump"], "schedule": "0 3 * * *"}}}}
    assert [rule.partition(":")[0] for rule in refused(tmp_path, {}, others={"db": keys}, top=top)] == [
        "x-moorage.jobs.dump.service"
    ]


@pytest.mark.parametrize("name", ["web", "traefik", "postgres", "edge-routes"])
def test_a_job_takes_no_name_of_a_service(name: str, tmp_path: Path) -> None:
    jobs = {name: {"service": "web", "command": ["x"], "run": "manual"}}
    top = {"x-moorage": {"jobs": jobs, "requires": {"postgres": {}}}}
    assert [rule.partition(":")[0] for rule in refused(tmp_path, {}, top=top)] == [f"x-moorage.jobs.{name}"]


@pytest.mark.parametrize("name", ["postgres-data", "redis-data", "edge-acme"])
def test_a_volume_of_the_app_is_never_one_of_the_platform(name: str, tmp_path: Path) -> None:
    top = {"x-moorage": {"requires": {"postgres": {}, "redis": {}}}, "volumes": {name: None}}
    assert any(f"volumes.{name}" in rule for rule in refused(tmp_path, {"volumes": [f"{name}:/x"]}, top=top))


def test_a_volume_is_never_that_of_an_adopted_database_by_chance(tmp_path: Path) -> None:
    others = {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}}}
    assert refused(tmp_path, {"volumes": ["db-data:/x"]}, others=others, top={"volumes": {"db-data": None}})
    shared = {"db": {**others["db"], "volumes": ["db-data:/var/lib/postgresql/data"]}}
    assert stack(tmp_path, {"volumes": ["db-data:/x:ro"]}, others=shared, top={"volumes": {"db-data": None}})


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("resources: {services: {db: {memory: 1Gi}}}\n", "resources.services.db"),
        ("images: {overrides: {db: 'postgres:17'}}\n", "images.overrides.db"),
        ("publish: [{service: db, port: 5432, address: 127.0.0.1}]\n", "publish[0].service"),
        ("routes: {db: {port: 5433}}\n", "routes.db"),
        ("permissions: {privileged: [db]}\n", "permissions.privileged[0]"),
    ],
)
def test_a_setting_that_an_adopted_database_does_not_follow_is_refused(settings: str, key: str, tmp_path: Path) -> None:
    others = {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}}}
    (problem,) = problems(lambda: stack(tmp_path, {}, settings, others=others))
    assert (problem.key, "postgres." in problem.hint) == (key, True)


# Confinement.


def test_a_service_keeps_only_what_starting_as_root_needs(tmp_path: Path) -> None:
    found = web(tmp_path).security
    assert found.cap_drop == ("ALL",)
    assert "CHOWN" in found.cap_add
    assert not {"NET_RAW", "SYS_ADMIN", "MKNOD"} & set(found.cap_add)
    assert found.no_new_privileges


@pytest.mark.parametrize(
    ("keys", "added"),
    [
        ({"x-moorage": {"security": {"capabilities": []}}}, ()),
        ({"x-moorage": {"security": {"capabilities": ["NET_RAW"]}}}, ("NET_RAW",)),
        ({"cap_drop": ["ALL"]}, ()),
        ({"cap_drop": ["ALL"], "cap_add": ["NET_BIND_SERVICE"]}, ("NET_BIND_SERVICE",)),
        ({"cap_drop": ["ALL"], "cap_add": ["CAP_CHOWN"]}, ("CHOWN",)),
        ({"cap_drop": ["all"]}, ()),
        ({"cap_drop": ["ALL"], "cap_add": ["cap_chown"]}, ("CHOWN",)),
        ({"x-moorage": {"security": {"capabilities": ["cap_net_raw"]}}}, ("NET_RAW",)),
    ],
)  # fmt: skip
def test_capabilities_are_those_that_are_wanted(keys: Any, added: tuple[str, ...], tmp_path: Path) -> None:
    assert web(tmp_path, keys).security.cap_add == added


@pytest.mark.parametrize(
    "keys",
    [
        {"cap_add": ["ALL"]},
        {"cap_add": ["sys_admin"]},
        {"cap_drop": ["all"], "cap_add": ["CAP_SYS_MODULE"]},
        {"x-moorage": {"security": {"capabilities": ["SYS_ADMIN"]}}},
    ],
)
def test_an_app_cannot_give_itself_the_rights_of_root(keys: Any, tmp_path: Path) -> None:
    assert any("same as root" in rule for rule in refused(tmp_path, keys))
    found = web(tmp_path, keys, "permissions: {privileged: [web]}\n").security
    assert {"ALL", "SYS_ADMIN", "SYS_MODULE"} & set(found.cap_add)


@pytest.mark.parametrize(
    "option",
    [
        "seccomp:unconfined", "seccomp=unconfined", "seccomp:./all.json", "apparmor:unconfined", "systempaths=unconfined",
        "label:disable", "label=type:spc_t",
    ],
)  # fmt: skip
def test_an_app_cannot_take_its_own_confinement_away(option: str, tmp_path: Path) -> None:
    keys = {"security_opt": ["no-new-privileges", option]}
    assert any(option in rule for rule in refused(tmp_path, keys))
    assert web(tmp_path, keys, "permissions: {privileged: [web]}\n").security.security_opt == (option,)


def test_options_that_take_nothing_away_need_no_word(tmp_path: Path) -> None:
    options = ["seccomp=builtin", "apparmor:docker-default", "label:level:s0:c100,c200"]
    assert web(tmp_path, {"security_opt": options}).security.security_opt == tuple(options)


def test_all_capabilities_but_one_are_all_but_one(tmp_path: Path) -> None:
    keys = {"cap_add": ["ALL"], "cap_drop": ["net_raw"]}
    found = web(tmp_path, keys, "permissions: {privileged: [web]}\n").security
    assert (found.cap_add, found.cap_drop) == (("ALL",), ("ALL", "NET_RAW"))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, True),
        ({"security_opt": ["no-new-privileges:true"]}, True),
        ({"security_opt": ["no-new-privileges=false"]}, False),
        ({"x-moorage": {"security": {"no_new_privileges": False}}}, False),
    ],
)
def test_setuid_programs_are_powerless_unless_said_otherwise(keys: Any, expected: bool, tmp_path: Path) -> None:
    assert web(tmp_path, keys).security.no_new_privileges is expected


def test_a_read_only_service_has_a_place_for_temporary_files(tmp_path: Path) -> None:
    assert web(tmp_path, {"read_only": True}).mounts == (MemoryMount("/tmp"),)
    with_own = web(tmp_path, {"read_only": True, "volumes": ["tmp:/tmp"]}, top={"volumes": {"tmp": None}})
    assert with_own.mounts == (VolumeMount("tmp", "/tmp"),)


def test_the_docker_socket_needs_the_operators_word(tmp_path: Path) -> None:
    keys = {"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]}
    assert any("same as root" in rule for rule in refused(tmp_path, keys))
    found = web(tmp_path, keys, "permissions: {docker_access: [web]}\n")
    assert found.docker_access == "write"


def test_an_app_cannot_give_itself_the_docker_socket(tmp_path: Path) -> None:
    assert refused(tmp_path, {"x-moorage": {"docker_access": "write"}})


@pytest.mark.parametrize(
    "path",
    ["/var/run", "/", "/run", "/var/lib/../run/", "/run/containerd", "/run/user/1000/docker.sock", "/run/podman"],
)
def test_a_host_path_that_contains_the_docker_socket_counts_as_it(path: str, tmp_path: Path) -> None:
    found = web(
        tmp_path, {"volumes": [f"{path}:/host"]}, f"permissions: {{host_paths: [{path}], docker_access: [web]}}\n"
    )
    assert found.docker_access == "write"
    assert any(
        "same as root" in rule
        for rule in refused(tmp_path, {"volumes": [f"{path}:/host"]}, f"permissions: {{host_paths: [{path}]}}\n")
    )


def test_a_host_path_beside_the_docker_socket_is_no_access_to_it(tmp_path: Path) -> None:
    found = web(tmp_path, {"volumes": ["/run/lock:/host"]}, "permissions: {host_paths: [/run/lock]}\n")
    assert found.docker_access == ""


def test_the_operator_is_asked_for_access_and_told_what_it_is(tmp_path: Path) -> None:
    keys = {"x-moorage": {"docker_access": "write"}}
    (problem,) = problems(lambda: web(tmp_path, keys))
    assert (problem.key, "permissions.docker_access" in problem.hint) == (
        "services.web.x-moorage.docker_access",
        True,
    )
    assert web(tmp_path, keys, "permissions: {docker_access: [web]}\n").docker_access == "write"


def test_access_that_only_reads_does_not_exist(tmp_path: Path) -> None:
    # A read-only mount hinders nobody from sending commands to a socket.
    (problem,) = problems(lambda: web(tmp_path, {"x-moorage": {"docker_access": "read"}}))
    assert problem.key == "services.web.x-moorage.docker_access"
    assert problem.rule == "must be write"


# Restart, rollout, stopping.


@pytest.mark.parametrize("restart", [None, "unless-stopped", "always", "no", "on-failure", "on-failure:3"])
@pytest.mark.parametrize("keys", [{"ports": ["80"]}, {"expose": ["80"]}, {"healthcheck": {"test": "x"}}])
def test_what_is_reached_or_looked_after_is_always_restarted(
    keys: dict[str, Any], restart: str | None, tmp_path: Path
) -> None:
    found = stack(tmp_path, others={"b": {"image": "x", "restart": restart, **keys}})
    assert found.service("b").restart == "always"
    assert any("is restarted always" in notice.text for notice in found.notices) is (restart == "no")


@pytest.mark.parametrize(
    ("name", "restart", "expected"),
    [
        ("b", None, "always"),
        ("b", "unless-stopped", "always"),
        ("b", "no", "no"),
        ("b", "on-failure", "always"),
        ("db-migrate", "on-failure", "on-failure"),
        ("migrations", "on-failure:3", "on-failure:3"),
        ("init_data", "always", "always"),
    ],
)
def test_what_nobody_reaches_may_end(name: str, restart: str | None, expected: str, tmp_path: Path) -> None:
    found = stack(tmp_path, others={name: {"image": "x", "restart": restart, "healthcheck": {"disable": True}}})
    assert found.service(name).restart == expected
    assert found.service(name).is_one_shot is (expected != "always")


def test_what_others_wait_for_to_be_healthy_stays(tmp_path: Path) -> None:
    keys = {"depends_on": {"b": {"condition": "service_healthy"}}}
    assert stack(tmp_path, keys, others={"b": {"image": "x", "restart": "no"}}).service("b").restart == "always"


def test_what_others_wait_for_to_end_keeps_its_tries(tmp_path: Path) -> None:
    keys = {"depends_on": {"b": {"condition": "service_completed_successfully"}}}
    others = {"b": {"image": "x", "restart": "on-failure:3", "ports": ["80"]}}
    assert stack(tmp_path, keys, others=others).service("b").restart == "on-failure:3"


def test_what_others_wait_for_to_end_is_not_restarted(tmp_path: Path) -> None:
    keys = {"depends_on": {"migrate": {"condition": "service_completed_successfully"}}}
    found = stack(tmp_path, keys, others={"migrate": {"image": "x", "restart": "always"}})
    assert found.service("migrate").restart == "no"
    assert found.service("migrate").is_one_shot


@pytest.mark.parametrize(
    ("keys", "settings", "others", "expected"),
    [
        ({}, "", {}, "rolling"),
        ({"volumes": ["data:/srv"]}, "", {}, "recreate"),
        ({"volumes": ["data:/srv:ro"]}, "", {}, "rolling"),
        ({"volumes": ["data:/srv"], "x-moorage": {"rollout": "rolling"}}, "", {}, "rolling"),
        ({"x-moorage": {"rollout": "recreate"}}, "", {}, "recreate"),
        ({"container_name": "x", "x-moorage": {"fixed_name": True, "rollout": "rolling"}}, "", {}, "recreate"),
        ({"x-moorage": {"rollout": "rolling"}}, "publish: [{service: web, port: 2222, target: 22}]\n", {}, "recreate"),
        ({}, "", {"side": {"image": "x", "network_mode": "service:web"}}, "recreate"),
    ],
)
def test_a_service_is_rolled_when_two_of_it_can_run_side_by_side(
    keys: Any, settings: str, others: Any, expected: str, tmp_path: Path
) -> None:
    assert web(tmp_path, keys, settings, others=others, top={"volumes": {"data": None}}).rollout == expected


def test_a_service_without_route_is_not_rolled(tmp_path: Path) -> None:
    assert (
        stack(tmp_path, others={"worker": {"image": "x", "x-moorage": {"rollout": "rolling"}}})
        .service("worker")
        .rollout
        == "recreate"
    )


def test_a_fixed_name_cannot_run_twice(tmp_path: Path) -> None:
    keys = {"container_name": "x", "deploy": {"replicas": 2}, "x-moorage": {"fixed_name": True}}
    assert any("container_name" in rule for rule in refused(tmp_path, keys))


@pytest.mark.parametrize(("written", "seconds"), [(None, 30), ("1m30s", 90), ("500ms", 0.5), (10, 10), ("0s", 0)])
def test_the_time_to_stop_is_read(written: Any, seconds: float, tmp_path: Path) -> None:
    found = web(tmp_path, {"stop_grace_period": written})
    assert found.stop_grace_seconds == seconds
    assert "stop_grace_period" not in found.other


# Health.


def test_the_files_own_check_wins(tmp_path: Path) -> None:
    keys = {"healthcheck": {"test": ["CMD", "own"]}, "x-moorage": {"health": {"path": "/health"}}}
    found = web(tmp_path, keys)
    assert found.health_check is not None
    assert found.health_check.test == ("CMD", "own")
    assert found.probe is not None


def test_without_any_word_the_images_own_check_stays(tmp_path: Path) -> None:
    assert web(tmp_path).health_check is None


@pytest.mark.parametrize(
    "path", ["/health", "/a-b_c/d.e~f", "/%20x", "/health&full", "/health;v=1", "/it's", "/a(b)", "/*!"]
)
def test_an_http_check_asks_for_exactly_its_path(path: str, tmp_path: Path) -> None:
    check = web(tmp_path, {"x-moorage": {"health": {"path": path, "port": 8000}}}).health_check
    assert check is not None
    kind, line = check.test
    assert kind == "CMD-SHELL"
    # A `wget` that writes its arguments down stands for the one in the image.
    asked = subprocess.run(
        ["/bin/sh", "-c", f'wget() {{ printf "%s\\n" "$@"; }}; command() {{ [ "$2" = wget ]; }}\n{line}'],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert asked.returncode == 0
    assert asked.stdout.splitlines()[-1] == f"http://127.0.0.1:8000{path}"
    assert shlex.split(line)


@pytest.mark.parametrize("program", ["wget", "curl", "python3", "node"])
@pytest.mark.parametrize("path", ["/health", "/it's;a&b(c)"])
def test_an_http_check_asks_with_what_the_image_has(program: str, path: str, tmp_path: Path) -> None:
    check = web(tmp_path, {"x-moorage": {"health": {"path": path, "port": 8000}}}).health_check
    assert check is not None
    found = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f'{program}() {{ printf "%s\\n" "$@"; }}; command() {{ [ "$2" = {program} ]; }}\n{check.test[1]}',
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert found.stdout.splitlines()[-1] == f"http://127.0.0.1:8000{path}"
