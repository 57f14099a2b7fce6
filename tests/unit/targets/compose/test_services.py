"""App services and jobs as Compose data: nothing that was said is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.given import compose_of, rendering

ROUTED = {"port": 80, "route": {"paths": ["/"]}}


def web(folder: Path, keys: dict[str, Any] | None = None, settings: str = "", **more: Any) -> dict[str, Any]:
    """The rendered service `web`."""
    found = {"image": "nginx:1.27", "x-moorage": ROUTED, **(keys or {})}
    content = {**more.pop("top", {}), "services": {"web": found, **more.pop("others", {})}}
    service: dict[str, Any] = compose_of(rendering(folder, content, settings, **more))["services"]["web"]
    return service


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("command", ["run", "a b", "$HOME"]),
        ("entrypoint", ["/start.sh"]),
        ("environment", {"A": "x", "B": "", "C": "$x"}),
        ("user", "1000:1000"),
        ("user", "0"),
        ("group_add", ["video"]),
        ("working_dir", "/srv"),
        ("hostname", "h"),
        ("init", True),
        ("tty", True),
        ("stop_signal", "SIGINT"),
        ("shm_size", "64m"),
        ("ulimits", {"nofile": {"soft": 1024, "hard": 2048}}),
        ("sysctls", {"net.core.somaxconn": 1024}),
        ("extra_hosts", ["a:1.2.3.4"]),
        ("dns", ["1.1.1.1"]),
        ("platform", "linux/amd64"),
        ("entrypoint", []),
        ("command", []),
        ("init", False),
    ],
)  # fmt: skip
def test_what_was_said_is_said_again(key: str, value: Any, tmp_path: Path) -> None:
    def dollars(item: Any) -> Any:
        if isinstance(item, str):
            return item.replace("$", "$$")
        if isinstance(item, dict):
            return {name: dollars(inner) for name, inner in item.items()}
        return [dollars(inner) for inner in item] if isinstance(item, list) else item

    # `$` is written as `$$` before and after: Compose reads both files.
    assert web(tmp_path, {key: dollars(value)})[key] == dollars(value)


@pytest.mark.parametrize(
    ("key", "value"), [("user", 0), ("user", 1000), ("hostname", 5), ("working_dir", 1.5), ("stop_signal", 9)]
)
def test_a_number_is_written_as_the_text_that_compose_insists_on(key: str, value: float, tmp_path: Path) -> None:
    assert web(tmp_path, {key: value})[key] == str(value)


@pytest.mark.parametrize(("key", "value"), [("user", ""), ("dns", []), ("sysctls", {}), ("read_only", False)])
def test_what_says_nothing_is_not_written(key: str, value: Any, tmp_path: Path) -> None:
    assert key not in web(tmp_path, {key: value})


def test_a_secret_value_is_read_from_a_private_file(tmp_path: Path) -> None:
    found = web(tmp_path, {"environment": {"A": "${S}", "B": "x"}}, "secrets: [S]\n", secrets={"S": "s3cr3t"})
    assert found["environment"] == {"B": "x"}
    assert found["env_file"] == ["../../../secrets/compose/compose/env/web.env"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("data:/srv", {"type": "volume", "source": "data", "target": "/srv"}),
        ("data:/srv:ro", {"type": "volume", "source": "data", "target": "/srv", "read_only": True}),
        ({"type": "volume", "source": "data", "target": "/srv", "volume": {"nocopy": True, "subpath": "a"}},
         {"type": "volume", "source": "data", "target": "/srv", "volume": {"subpath": "a", "nocopy": True}}),
        ("/etc/localtime:/etc/localtime:ro",
         {"type": "bind", "source": "/etc/localtime", "target": "/etc/localtime", "read_only": True, "bind": {"create_host_path": False}}),
        ("./a.conf:/etc/a.conf:ro",
         {"type": "bind", "source": "./files/web/a-conf", "target": "/etc/a.conf", "read_only": True, "bind": {"create_host_path": False}}),
    ],
)  # fmt: skip
def test_mounts_are_written_in_the_long_form(written: Any, expected: Any, tmp_path: Path) -> None:
    assert web(tmp_path, {"volumes": [written]}, top={"volumes": {"data": None}}, files={"a.conf": "x"})["volumes"] == [
        expected
    ]


def test_memory_is_mounted_with_its_size(tmp_path: Path) -> None:
    assert web(tmp_path, {"tmpfs": ["/run", "/tmp:size=1m,mode=1777"]})["tmpfs"] == [
        "/run",
        "/tmp:size=1048576,mode=1777",
    ]


@pytest.mark.parametrize(
    ("volumes", "files"),
    [
        (["./c:/a:ro", "./c:/b:ro"], {"c/x": "1"}),
        (["./a.b:/a:ro", "./a-b:/b:ro"], {"a.b": "1", "a-b": "2"}),
        (["./nginx.conf:/a:ro", "./nginx/conf:/b:ro"], {"nginx.conf": "1", "nginx/conf/x": "2"}),
        (["./ä.conf:/a:ro", "./ö.conf:/b:ro"], {"ä.conf": "1", "ö.conf": "2"}),
    ],
)
def test_copies_never_take_each_others_place(volumes: list[str], files: dict[str, str], tmp_path: Path) -> None:
    content = {"services": {"web": {"image": "x", "volumes": volumes, "x-moorage": ROUTED}}}
    found = rendering(tmp_path, content, files=files)
    found.public.write(tmp_path / "written")
    sources = [mount["source"] for mount in compose_of(found)["services"]["web"]["volumes"]]
    assert len(set(sources)) == len(sources)


def test_a_copy_keeps_that_a_file_can_be_run(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!")
    (tmp_path / "run.sh").chmod(0o755)
    content = {"services": {"web": {"image": "x", "volumes": ["./run.sh:/run.sh:ro"], "x-moorage": ROUTED}}}
    assert rendering(tmp_path, content).public.files["compose/files/web/run-sh"].mode == 0o755


def test_a_secret_file_is_written_apart(tmp_path: Path) -> None:
    content = {
        "services": {"web": {"image": "x", "secrets": ["key"], "x-moorage": ROUTED}},
        "secrets": {"key": {"file": "key.pem"}},
    }
    found = rendering(tmp_path, content, files={"key.pem": b"\xff\x00private"})
    assert found.private.files["files/web/secret-key"].content == b"\xff\x00private"
    assert found.private.files["files/web/secret-key"].mode == 0o600
    (mount,) = compose_of(found)["services"]["web"]["volumes"]
    assert mount["source"] == "../../../secrets/compose/compose/files/web/secret-key"


@pytest.mark.parametrize(("name", "mode"), [("run.sh", 0o755), ("plain.conf", 0o644), ("own.sh", 0o700)])
def test_a_private_file_takes_no_right_from_the_files_beside_it(name: str, mode: int, tmp_path: Path) -> None:
    for file, bits in (("key.pem", 0o600), ("run.sh", 0o755), ("plain.conf", 0o644), ("own.sh", 0o700)):
        (tmp_path / "conf").mkdir(exist_ok=True)
        (tmp_path / "conf" / file).write_text("x")
        (tmp_path / "conf" / file).chmod(bits)
    content = {"services": {"web": {"image": "x", "volumes": ["./conf:/conf:ro"], "x-moorage": ROUTED}}}
    assert rendering(tmp_path, content).private.files[f"files/web/conf/{name}"].mode == mode


def test_only_private_files_are_given_to_the_containers_user(tmp_path: Path) -> None:
    for file, bits in (("key.pem", 0o600), ("plain.conf", 0o644)):
        (tmp_path / "conf").mkdir(exist_ok=True)
        (tmp_path / "conf" / file).write_text("x")
        (tmp_path / "conf" / file).chmod(bits)
    keys = {"image": "x", "user": 1000, "volumes": ["./conf:/conf:ro"], "x-moorage": ROUTED}
    found = rendering(tmp_path, {"services": {"web": keys}}).private.files
    assert {path: found[path].owner for path in found if "conf/" in path} == {
        "files/web/conf/key.pem": 1000,
        "files/web/conf/plain.conf": None,
    }


def test_sizes_limits_and_logs_are_written(tmp_path: Path) -> None:
    found = web(
        tmp_path,
        {"mem_limit": "64m", "cpus": 0.25, "pids_limit": 99, "deploy": {"replicas": 3}},
        "logs: {max_size: 2Mi, max_files: 4}\n",
    )
    assert found["deploy"] == {
        "replicas": 3,
        "resources": {
            "limits": {"cpus": "0.25", "memory": "67108864", "pids": 99},
            "reservations": {"memory": "67108864"},
        },
    }
    assert found["logging"] == {"driver": "json-file", "options": {"max-size": "2048k", "max-file": "4"}}


def test_a_health_check_is_written_whole(tmp_path: Path) -> None:
    check = {
        "test": ["CMD", "x", "$$Y"],
        "interval": "1m30s",
        "timeout": "500ms",
        "retries": 2,
        "start_period": "2m",
        "start_interval": "2s",
    }
    assert web(tmp_path, {"healthcheck": check})["healthcheck"] == {
        "test": ["CMD", "x", "$$Y"], "interval": "90s", "timeout": "500ms", "retries": 2, "start_period": "120s", "start_interval": "2s",
    }  # fmt: skip
    assert web(tmp_path, {"healthcheck": {"disable": True}})["healthcheck"] == {"disable": True}


def test_ports_are_only_those_that_are_published(tmp_path: Path) -> None:
    found = web(
        tmp_path,
        {"ports": ["8080:80", "2222:22"]},
        "publish: [{service: web, port: 2222, target: 22, address: '::'}]\n",
    )
    assert found["ports"] == [{"target": 22, "published": "2222", "host_ip": "::", "protocol": "tcp", "mode": "host"}]
    assert "ports" not in web(tmp_path, {"ports": ["8080:80"]})


def test_networks_and_their_names_are_written(tmp_path: Path) -> None:
    top = {"networks": {"front": None}}
    assert web(tmp_path)["networks"] == ["app", "edge"]
    assert web(tmp_path, {"networks": {"front": {"aliases": ["a"]}}}, top=top)["networks"] == {
        "edge": {},
        "front": {"aliases": ["a"]},
    }
    others = {"lone": {"image": "x", "network_mode": "none"}}
    found = compose_of(rendering(tmp_path, {"services": {"web": {"image": "x", "x-moorage": ROUTED}, **others}}))
    assert found["services"]["lone"]["network_mode"] == "none"


JOBS = {
    "x-moorage": {
        "requires": {"postgres": {}},
        "jobs": {
            "migrate": {"service": "web", "command": ["m", "$x"], "run": "before-rollout"},
            "clean": {
                "service": "web",
                "command": ["c"],
                "schedule": "*/5 3 * * mon",
                "timeout_seconds": 60,
                "memory": "64m",
            },
        },
    }
}


def jobs(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    keys = {
        "image": "x:1",
        "environment": {"DB": "${POSTGRES_HOST}"},
        "hostname": "h",
        "user": "5",
        "volumes": ["d:/d"],
        "x-moorage": ROUTED,
    }
    found = rendering(folder, {**JOBS, "services": {"web": keys, "worker": {"image": "x:1"}}, "volumes": {"d": None}})
    units = {path: file.content.decode() for path, file in found.public.files.items() if "systemd" in path}
    services: dict[str, Any] = compose_of(found)["services"]
    return services, units


def test_a_job_is_its_service_with_another_command_that_ends(tmp_path: Path) -> None:
    services, _ = jobs(tmp_path)
    job, service = services["migrate"], services["web"]
    assert (job["image"], job["environment"], job["volumes"], job["user"]) == (
        service["image"],
        service["environment"],
        service["volumes"],
        "5",
    )
    assert (job["command"], job["restart"]) == (["m", "$$x"], "no")
    assert "hostname" not in job
    assert job["networks"] == ["app", "data"]
    assert job["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_services_start_after_the_jobs_that_come_before_and_others_wait_in_a_profile(tmp_path: Path) -> None:
    services, _ = jobs(tmp_path)
    for name in ("web", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert "clean" not in services[name]["depends_on"]
    assert "profiles" not in services["migrate"]
    assert services["clean"]["profiles"] == ["jobs"]
    assert services["clean"]["deploy"]["resources"]["limits"]["memory"] == "67108864"


def test_a_scheduled_job_is_a_timer(tmp_path: Path) -> None:
    _, units = jobs(tmp_path)
    timer = units["host/systemd/moorage-acme.clean.timer"]
    assert "OnCalendar=Mon *-*-* 3:0,5,10,15,20,25,30,35,40,45,50,55:00\n" in timer
    assert "TimeoutStartSec=60" in units["host/systemd/moorage-acme.clean.service"]
    assert "host/systemd/moorage-acme.migrate.timer" not in units


@pytest.mark.parametrize("text", ["one\nExecStart=/bin/evil", "100% sure", "ends with \\", "\r\nUser=root"])
def test_a_description_cannot_add_to_a_unit(text: str, tmp_path: Path) -> None:
    job = {"service": "web", "command": ["c"], "schedule": "0 3 * * *", "describe": text}
    content = {"x-moorage": {"jobs": {"clean": job}}, "services": {"web": {"image": "x", "x-moorage": ROUTED}}}
    units = rendering(tmp_path, content).public.files
    unit = units["host/systemd/moorage-acme.clean.service"].content.decode()
    assert [line for line in unit.splitlines() if line.startswith("ExecStart=")] == [
        "ExecStart=/usr/bin/env docker compose run --rm --no-deps -T clean"
    ]
    assert "% " not in unit.replace("%%", "")
    assert "User=" not in [line[:5] for line in unit.splitlines()]
    assert not [line for line in unit.splitlines() if line.endswith("\\")]


def test_no_container_may_have_more_processes_than_its_limit(tmp_path: Path) -> None:
    content = {
        "x-moorage": {"requires": {"postgres": {"database": "x"}, "redis": {}}, "creates_containers": True},
        "services": {
            "web": {"image": "x", "x-moorage": ROUTED},
            "few": {"image": "x", "pids_limit": 50},
            "many": {"image": "x", "deploy": {"resources": {"limits": {"pids": 9000}}}},
        },
    }
    rendered = rendering(tmp_path, content)
    found = {
        name: service["deploy"]["resources"]["limits"]["pids"]
        for name, service in compose_of(rendered)["services"].items()
        if "extends" not in service
    }
    assert found == {"web": 4096, "few": 50, "many": 9000}
    for path, file in rendered.public.files.items():
        if path.startswith("compose/platform/") and path.endswith(".yaml"):
            services = yaml.safe_load(file.content)["services"].values()
            for service in (service for service in services if "extends" not in service):
                assert service["deploy"]["resources"]["limits"]["pids"] == 4096, path
