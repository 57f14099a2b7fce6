"""One service of a Compose file: all forms of each key, and the place of everything that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.app import subset
from moorage.app.model import AppService, Dependency, HealthCheck, Sizes
from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.sensitive import Sensitive
from tests.unit.given import app, rules_of
from tests.unit.given import service as read_service

SECRET = "s3cr3t-Zq"


def read(folder: Path, keys: Any, **more: Any) -> AppService:
    """The service, which must have no problem."""
    found, around = read_service(folder, keys, **more)
    assert rules_of(around) == []
    return found


def refused(folder: Path, keys: Any, **more: Any) -> list[str]:
    """Why the service is refused."""
    found = rules_of(read_service(folder, keys, **more)[1])
    assert found
    return found


# Ports.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("80", [(80, None, "tcp", "")]),
        (80, [(80, None, "tcp", "")]),
        (":80", [(80, None, "tcp", "")]),
        ("127.0.0.1:8080:80", [(80, 8080, "tcp", "127.0.0.1")]),
        (":8080:80", [(80, 8080, "tcp", "")]),
        ("127.0.0.1::80", [(80, None, "tcp", "127.0.0.1")]),
        ("[::1]:8080:80", [(80, 8080, "tcp", "::1")]),
        ("3000-3002", [(3000, None, "tcp", ""), (3001, None, "tcp", ""), (3002, None, "tcp", "")]),
        ("9090-9091:8080-8081", [(8080, 9090, "tcp", ""), (8081, 9091, "tcp", "")]),
        ("127.0.0.1:5000-5001:5000-5001/udp", [(5000, 5000, "udp", "127.0.0.1"), (5001, 5001, "udp", "127.0.0.1")]),
        ({"target": 80}, [(80, None, "tcp", "")]),
        ({"target": "80", "published": "8080"}, [(80, 8080, "tcp", "")]),
        ({"target": 80, "published": 8080, "protocol": "udp", "host_ip": "::1", "mode": "host", "name": "web", "app_protocol": "http"},
         [(80, 8080, "udp", "::1")]),
    ],
)  # fmt: skip
def test_every_form_of_a_port_is_read(written: Any, meant: list[tuple[Any, ...]], tmp_path: Path) -> None:
    ports = read(tmp_path, {"ports": [written]}).ports
    assert [(port.container_port, port.host_port, port.protocol, port.address) for port in ports] == meant
    assert all(port.path == ("services", "web", "ports", 0) for port in ports)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("8080:80", (80, 8080, "tcp", "")),
        ("8080:80/udp", (80, 8080, "udp", "")),
        ("2222:22", (22, 2222, "tcp", "")),
        ("53:53/tcp", (53, 53, "tcp", "")),
    ],
)
def test_the_commonest_form_of_a_port_is_read(written: str, meant: tuple[Any, ...], tmp_path: Path) -> None:
    (port,) = read(tmp_path, {"ports": [written]}).ports
    assert (port.container_port, port.host_port, port.protocol, port.address) == meant


@pytest.mark.parametrize("written", ["8080:80:90", "1.2.3:80:90", "...:80:90", "300.1.1.1:80:90", "[:]:80:90"])
def test_an_address_of_a_port_that_is_none_is_refused(written: str, tmp_path: Path) -> None:
    refused(tmp_path, {"ports": [written]})


@pytest.mark.parametrize(
    "written",
    ["", "http", "8080:", "80/icmp", "a:80", "0", "65536", "8080:65536", "90-80", "8080-8090:80-81", "-80",
     "80-", "8080:80/", "[::1]:80:90:100", "80.0", True, {"target": "http"}, {}, {"target": 0}, {"target": 80, "published": 70000},
     {"target": 80, "nonsense": 1}],
)  # fmt: skip
def test_what_is_no_port_is_refused_at_its_index(written: Any, tmp_path: Path) -> None:
    assert all(".ports[0]" in rule for rule in refused(tmp_path, {"ports": [written]}))


@pytest.mark.parametrize("published", ["http", "8080-", "80:80", "127.0.0.1:80", " "])
def test_a_published_port_that_is_no_number_is_refused_and_no_crash(published: str, tmp_path: Path) -> None:
    refused(tmp_path, {"ports": [{"target": 80, "published": published}]})


@pytest.mark.parametrize("protocol", ["icmp", "TCP6", "x"])
def test_an_unknown_protocol_of_a_long_port_is_refused(protocol: str, tmp_path: Path) -> None:
    refused(tmp_path, {"ports": [{"target": 80, "protocol": protocol}]})


def test_a_range_of_ports_is_whole_or_refused(tmp_path: Path) -> None:
    found, around = read_service(tmp_path, {"ports": ["20000-21999:20000-21999/udp"]})
    assert around.problems or len(found.ports) == 2000


def test_a_range_of_host_ports_for_one_container_port_is_read(tmp_path: Path) -> None:
    assert [port.container_port for port in read(tmp_path, {"ports": ["3000-3005:80"]}).ports] == [80]


def test_the_first_of_a_range_of_host_ports_is_named(tmp_path: Path) -> None:
    assert [port.host_port for port in read(tmp_path, {"ports": ["3000-3005:80", "0:81"]}).ports] == [3000, None]


# Commands.


@pytest.mark.parametrize("key", ["command", "entrypoint"])
@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("run --port 80", ("run", "--port", "80")),
        ("sh -c 'a b' \"c d\" e\\ f", ("sh", "-c", "a b", "c d", "e f")),
        (["run", "--port", 80], ("run", "--port", "80")),
        (["sh", "-c", "echo $$HOME"], ("sh", "-c", "echo $HOME")),
        ("a\n  b\n  c\n", ("a", "b", "c")),
        ("echo #no comment", ("echo", "#no", "comment")),
        ([], ()),
        ("", ()),
        (None, None),
        ([True, "x"], ("true", "x")),
    ],
)
def test_a_command_is_words(key: str, written: Any, words: tuple[str, ...] | None, tmp_path: Path) -> None:
    assert getattr(read(tmp_path, {key: written}), key) == words


@pytest.mark.parametrize("written", ["'unclosed", 'a "b', "a \\", {"a": 1}, [["a"]]])
def test_what_is_no_command_is_refused(written: Any, tmp_path: Path) -> None:
    assert "services.web.command" in refused(tmp_path, {"command": written})[0]


# Environment.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"A": "x", "B": 1, "C": True, "D": 1.5, "E": ""}, {"A": "x", "B": "1", "C": "true", "D": "1.5", "E": ""}),
        (["A=x", "B=", "C=a=b", "D= x "], {"A": "x", "B": "", "C": "a=b", "D": " x "}),
        ({"A": None, "NOBODY": None}, {"A": "from outside"}),
        (["A", "NOBODY"], {"A": "from outside"}),
        ({"A": "${A} and $$A"}, {"A": "from outside and $A"}),
        ({"spring.config": "x", "a-b": "y"}, {"spring.config": "x", "a-b": "y"}),
        (["A=1", "A=2"], {"A": "2"}),
        (None, {}),
        ({}, {}),
    ],
)
def test_every_form_of_the_environment_is_read(written: Any, meant: dict[str, str], tmp_path: Path) -> None:
    assert read(tmp_path, {"environment": written}, values={"A": "from outside"}).environment == meant


@pytest.mark.parametrize(
    "written", [{"1A": "x"}, ["A B=x"], ["=x"], {"A": ["x"]}, {"A": {"B": "x"}}, "A=x B=y", 5, [["A"]], {"": "x"}]
)
def test_what_is_no_environment_is_refused(written: Any, tmp_path: Path) -> None:
    assert "services.web.environment" in refused(tmp_path, {"environment": written})[0]


def test_a_value_that_uses_a_secret_is_secret_and_the_others_are_not(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"environment": {"URL": "db://u:${S}@h", "PLAIN": "x"}},
        values={"S": Sensitive(SECRET)},
    ).environment
    assert found == {"URL": Sensitive(f"db://u:{SECRET}@h"), "PLAIN": "x"}
    listed = read(tmp_path, {"environment": ["URL=db://u:${S}@h", "S"]}, values={"S": Sensitive(SECRET)}).environment
    assert listed == {"URL": Sensitive(f"db://u:{SECRET}@h"), "S": Sensitive(SECRET)}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("command", "run --password ${S}"),
        ("command", ["run", "${S}"]),
        ("entrypoint", ["${S}"]),
        ("labels", {"a": "${S}"}),
        ("labels", ["a=${S}"]),
        ("healthcheck", {"test": "curl -u ${S} localhost"}),
        ("healthcheck", {"test": ["CMD", "curl", "${S}"]}),
        ("user", "${S}"),
        ("hostname", "${S}"),
        ("working_dir", "/${S}"),
        ("extra_hosts", ["a:${S}"]),
        ("sysctls", {"a": "${S}"}),
        ("container_name", "${S}"),
        ("ports", ["${S}:80"]),
        ("volumes", ["${S}:/data"]),
        ("volumes", [{"type": "bind", "source": "${S}", "target": "/x"}]),
        ("tmpfs", "${S}"),
        ("networks", ["${S}"]),
        ("depends_on", ["${S}"]),
        ("env_file", "${S}"),
        ("cap_add", ["${S}"]),
        ("build", {"context": "${S}"}),
        ("build", {"context": ".", "args": {"TOKEN": "${S}"}}),
        ("build", {"context": ".", "args": ["TOKEN=${S}"]}),
        ("build", {"context": ".", "additional_contexts": {"x": "${S}"}}),
        ("build", "${S}"),
        ("deploy", {"labels": {"a": "${S}"}}),
        ("mem_limit", "${S}"),
        ("network_mode", "${S}"),
        ("profiles", ["${S}"]),
        ("links", ["${S}"]),
        ("platform", "${S}"),
    ],
)  # fmt: skip
def test_a_secret_outside_of_the_environment_is_refused_and_never_shown(key: str, value: Any, tmp_path: Path) -> None:
    found, around = read_service(tmp_path, {key: value}, values={"S": Sensitive(SECRET)})
    assert any("secret" in problem.rule for problem in around.problems)
    assert SECRET not in str(around.problems)
    assert SECRET not in repr(around.problems)
    assert SECRET not in repr(found)
    assert all(problem.key.startswith(f"services.web.{key}") for problem in around.problems)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dockerfile_inline", "FROM x\nRUN login ${S}"),
        ("labels", {"a": "${S}"}),
        ("network", "${S}"),
        ("extra_hosts", ["a:${S}"]),
    ],
)
def test_a_secret_anywhere_in_a_build_is_refused(key: str, value: Any, tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"build": {"context": ".", key: value}}, values={"S": Sensitive(SECRET)})
    assert any("secret" in problem.rule for problem in around.problems)


@pytest.mark.parametrize("key", ["environment", "labels"])
@pytest.mark.parametrize("secret", ["two words", "s3cr3t", "left=right", "traefik.x"])
def test_a_secret_in_the_place_of_a_name_is_refused_and_never_shown(key: str, secret: str, tmp_path: Path) -> None:
    found, around = read_service(tmp_path, {key: ["${S}"]}, values={"S": Sensitive(secret)})
    assert around.problems
    for part in secret.split("="):
        assert part not in str(around.problems)
        assert part not in repr(found)


@pytest.mark.parametrize(
    ("keys", "where"), [({"labels": ["alone"]}, "labels"), ({"build": {"context": ".", "args": ["GIT_SHA"]}}, "args")]
)
def test_a_name_without_value_is_not_dropped(keys: Any, where: str, tmp_path: Path) -> None:
    found = read(tmp_path, keys, values={"GIT_SHA": "abc"})
    if where == "labels":
        assert found.labels == {"alone": ""}
    else:
        assert found.build is not None
        assert found.build.arguments == {"GIT_SHA": "abc"}


def test_the_name_before_a_secret_is_what_stands_in_the_file(tmp_path: Path) -> None:
    values = {"S": Sensitive("left=right"), "P": "X"}
    assert read(tmp_path, {"environment": ["A=${S}", "B=$P=${S}"]}, values=values).environment == {
        "A": Sensitive("left=right"),
        "B": Sensitive("X=left=right"),
    }
    (rule,) = refused(tmp_path, {"environment": ["${P}_URL=${S}"]}, values=values)
    assert rule.startswith("services.web.environment[0]: uses a secret in the place of a name")


def test_an_argument_of_a_build_that_has_no_value_is_left_to_the_dockerfile(tmp_path: Path) -> None:
    found = read(tmp_path, {"build": {"context": ".", "args": {"A": None, "B": "", "C": 1}}})
    assert found.build is not None
    assert found.build.arguments == {"B": "", "C": "1"}


def test_a_build_context_without_a_path_is_refused(tmp_path: Path) -> None:
    (rule,) = refused(tmp_path, {"build": {"context": ".", "additional_contexts": ["base"]}})
    assert rule.startswith("services.web.build.additional_contexts.base:")


# Env files.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a.env", {"A": "file", "B": "file"}),
        (["a.env", "b.env"], {"A": "file", "B": "second"}),
        ([{"path": "a.env"}], {"A": "file", "B": "file"}),
        ([{"path": "missing.env", "required": False}, "b.env"], {"B": "second"}),
        ("./a.env", {"A": "file", "B": "file"}),
    ],
)
def test_every_form_of_env_file_is_read(written: Any, meant: dict[str, str], tmp_path: Path) -> None:
    files = {"a.env": "A=file\nB=file\n", "b.env": "B=second\n"}
    assert read(tmp_path, {"env_file": written}, files=files).environment == meant


def test_the_environment_wins_over_env_files(tmp_path: Path) -> None:
    found = read(tmp_path, {"env_file": "a.env", "environment": {"A": "key"}}, files={"a.env": "A=file\nB=file\n"})
    assert found.environment == {"A": "key", "B": "file"}


@pytest.mark.parametrize("form", [dict, lambda pairs: [f"{name}={text}" for name, text in pairs.items()]])
def test_a_secret_that_is_written_out_is_kept_out_of_sight_and_told(form: Any, tmp_path: Path) -> None:
    environment = {
        "DATABASE_URL": f"postgres://app:{SECRET}@db/app",
        "APP_SECRET": SECRET,
        "API_KEY": f"${{API_KEY:-{SECRET}}}",
        "TLS_KEY": "/certs/tls.key",
        "LEVEL": "info",
    }
    found, around = read_service(tmp_path, {"environment": form(environment)})
    assert {name for name, value in found.environment.items() if isinstance(value, Sensitive)} == {
        "DATABASE_URL",
        "APP_SECRET",
        "API_KEY",
    }
    written, defaults = (notice.text for notice in around.notices if notice.subject == "compose file")
    assert "web (DATABASE_URL, APP_SECRET)" in written
    assert ": API_KEY." in defaults
    assert SECRET not in str(around.notices)


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("ENCRYPTION_KEY", "0" * 64, True),
        ("SALT", "mysalt", True),
        ("REDIS_AUTH", "myredissecret", True),
        ("SMTP_AUTH", "login", False),
        ("SESSION_KEY", "3600", False),
        ("TLS_KEY", "./certs/server.pem", False),
    ],
)
def test_a_secret_is_told_from_a_setting(name: str, value: str, is_secret: bool, tmp_path: Path) -> None:
    found = read(tmp_path, {"environment": {name: value}})
    assert isinstance(found.environment[name], Sensitive) is is_secret


@pytest.mark.parametrize("key", ["uts", "userns_mode", "cgroup", "pid", "ipc"])
def test_what_a_permission_is_named_for_can_be_permitted(key: str, tmp_path: Path) -> None:
    (rule,) = refused(tmp_path, {key: "host"})
    assert "`permissions.privileged`" in rule
    found = read(tmp_path, {key: "host"}, allowed_privileges=("web",))
    assert (found.privileges, found.other) == ((key,), {key: "host"})


def test_a_secret_that_comes_from_a_variable_is_nothing_to_tell(tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"environment": {"A": "${S}", "B_KEY": "$S"}}, values={"S": Sensitive(SECRET)})
    assert around.notices == []


@pytest.mark.parametrize(
    ("chosen", "left_out"),
    [("", True), ("b", True), ("a", False), ("b, a", False), ("*", False)],
)
def test_profiles_are_chosen_as_compose_does(chosen: str, left_out: bool, tmp_path: Path) -> None:
    values = {"COMPOSE_PROFILES": chosen} if chosen else {}
    found, around = read_service(tmp_path, {"profiles": ["a", "c"]}, values=values)
    assert bool(found.profiles) is left_out
    assert any("left out" in notice.text for notice in around.notices) is left_out


def test_a_missing_env_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path, {"env_file": "missing.env"})[0]
    assert "does not exist" in refused(tmp_path, {"env_file": [{"path": "missing.env", "required": True}]})[0]


def test_a_missing_env_file_is_refused_at_its_index(tmp_path: Path) -> None:
    files = {"a.env": "A=1\n"}
    assert "env_file[1]" in refused(tmp_path, {"env_file": ["a.env", "missing.env"]}, files=files)[0]


@pytest.mark.parametrize("line", ["DB_PASSWORD=hunter22", "DATABASE_URL=postgres://app:hunter22@db/app"])
def test_what_looks_like_a_secret_in_an_env_file_is_secret_or_asked_about(line: str, tmp_path: Path) -> None:
    found, around = read_service(tmp_path, {"env_file": ".env"}, files={".env": f"{line}\n"})
    assert around.problems or all(isinstance(value, Sensitive) for value in found.environment.values())


def test_a_line_that_uses_a_secret_line_is_secret_too(tmp_path: Path) -> None:
    files = {"a.env": "APP_TOKEN=abc\nHEADER=Bearer ${APP_TOKEN}\nPLAIN=x\n"}
    found, around = read_service(tmp_path, {"env_file": "a.env"}, files=files)
    assert found.environment == {
        "APP_TOKEN": Sensitive("abc"),
        "HEADER": Sensitive("Bearer abc"),
        "PLAIN": "x",
    }
    assert "abc" not in str(around.notices)


def test_what_becomes_of_an_env_file_is_told_once(tmp_path: Path) -> None:
    lines = "".join(f"PLAIN_{number}=x\n" for number in range(10))
    _, around = read_service(
        tmp_path,
        {"env_file": ["a.env"]},
        files={"a.env": f"API_TOKEN=abc\n{lines}"},
        others={"other": {"image": "x", "env_file": "a.env"}},
    )
    (notice,) = (notice for notice in around.notices if notice.subject == "env file a.env")
    assert "API_TOKEN: kept out of rendered/" in notice.text
    assert "PLAIN_7 and 2 more: written into rendered/" in notice.text


def test_a_secret_that_the_operator_has_set_wins_over_an_env_file(tmp_path: Path) -> None:
    found, around = read_service(
        tmp_path,
        {"env_file": "a.env"},
        files={"a.env": "API_TOKEN=old\nUNSET=file\n"},
        values={"API_TOKEN": Sensitive(SECRET), "UNSET": Sensitive("")},
        secrets=frozenset({"API_TOKEN", "UNSET"}),
    )
    assert found.environment == {"API_TOKEN": Sensitive(SECRET), "UNSET": Sensitive("file")}
    assert "API_TOKEN: taken from secrets/" in str(around.notices)


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ({"path": "a.env", "format": "raw"}, "env_file[0].format"),
        ({"path": "a.env", "requird": False}, "env_file[0].requird"),
        ({"required": False}, "env_file[0].path"),
        ("", "env_file[0]"),
        ("a" * 300, "env_file[0]"),
    ],
)
def test_what_is_no_env_file_is_refused(entry: Any, where: str, tmp_path: Path) -> None:
    (rule,) = refused(tmp_path, {"env_file": [entry]}, files={"a.env": "A=1\n"})
    assert rule.startswith(f"services.web.{where}:")


# Dependencies.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["db"], Dependency()),
        ({"db": {"condition": "service_healthy"}}, Dependency("service_healthy")),
        ({"db": {"condition": "service_completed_successfully", "required": False, "restart": True}},
         Dependency("service_completed_successfully", False, True)),
        ({"db": {"condition": "service_started"}}, Dependency()),
        ({"db": {}}, Dependency()),
        ({"db": None}, Dependency()),
    ],
)  # fmt: skip
def test_every_form_of_a_dependency_is_read(written: Any, meant: Dependency, tmp_path: Path) -> None:
    found = read(tmp_path, {"depends_on": written}, others={"db": {"image": "x"}})
    assert found.depends_on == {"db": meant}


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"db": {"condition": "service_helthy"}}, "depends_on.db.condition"),
        (["bd"], "depends_on.bd"),
        ("db", "depends_on"),
        ({"db": "service_healthy"}, "depends_on.db"),
        ({"db": {"required": "perhaps"}}, "depends_on.db.required"),
    ],
)
def test_what_is_no_dependency_is_refused(written: Any, where: str, tmp_path: Path) -> None:
    found = refused(tmp_path, {"depends_on": written}, others={"db": {"image": "x"}})
    assert found[0].startswith(f"services.web.{where}:")


def test_an_unknown_key_of_a_dependency_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, {"depends_on": {"db": {"conditoin": "service_healthy"}}}, others={"db": {"image": "x"}})


def test_a_dependency_that_is_not_required_may_be_missing(tmp_path: Path) -> None:
    read(tmp_path, {"depends_on": {"db": {"condition": "service_started", "required": False}}})


@pytest.mark.parametrize(
    "others",
    [
        {"b": {"image": "x", "depends_on": ["web"]}},
        {"b": {"image": "x", "depends_on": ["c"]}, "c": {"image": "x", "depends_on": ["web"]}},
    ],
)
def test_services_that_wait_for_each_other_are_refused(others: Any, tmp_path: Path) -> None:
    refused(tmp_path, {"depends_on": ["b"]}, others=others)


def test_a_service_that_waits_for_itself_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, {"depends_on": ["web"]})


def test_a_circle_is_told_once_from_its_first_service_on(tmp_path: Path) -> None:
    others = {
        "b": {"image": "x", "network_mode": "service:c"},
        "c": {"image": "x", "links": ["web:site"]},
        "d": {"image": "x", "depends_on": {"d": {"required": False}, "web": {}}},
    }
    first, second = refused(tmp_path, {"depends_on": ["b"]}, others=others)
    assert first.startswith("services.web.depends_on: waits for itself")
    assert first.endswith(": web → b → c → web")
    assert second.startswith("services.d.depends_on:")
    assert second.endswith(": d → d")


# Health.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"test": "curl -f localhost"}, HealthCheck(("CMD-SHELL", "curl -f localhost"), 30, 30, 3, 60, 1)),
        ({"test": ["CMD", "check", 1]}, HealthCheck(("CMD", "check", "1"), 30, 30, 3, 60, 1)),
        ({"test": ["CMD-SHELL", "a && b"]}, HealthCheck(("CMD-SHELL", "a && b"), 30, 30, 3, 60, 1)),
        ({"test": "x", "interval": "1m30s", "timeout": "500ms", "retries": 5, "start_period": "2m", "start_interval": "3s"},
         HealthCheck(("CMD-SHELL", "x"), 90, 0.5, 5, 120, 3)),
        ({"disable": True}, HealthCheck((), 30, 30, 3, 60, 1, True)),
        ({"test": ["NONE"]}, HealthCheck(("NONE",), 30, 30, 3, 60, 1, True)),
        (None, None),
    ],
)  # fmt: skip
def test_every_form_of_a_health_check_is_read(written: Any, meant: HealthCheck | None, tmp_path: Path) -> None:
    assert read(tmp_path, {"healthcheck": written}).health_check == meant


@pytest.mark.parametrize("written", [{"disable": False}, {"disable": "false"}, {}, {"test": []}])
def test_a_block_that_says_nothing_leaves_the_images_own_check(written: Any, tmp_path: Path) -> None:
    assert read(tmp_path, {"healthcheck": written}).health_check is None


@pytest.mark.parametrize(
    "keys",
    [
        {"privileged": False},
        {"privileged": "false"},
        {"devices": []},
        {"ipc": "private"},
        {"deploy": {"mode": "replicated"}},
        {"pid": ""},
    ],
)
def test_a_key_that_asks_for_nothing_is_no_reason_to_refuse(keys: Any, tmp_path: Path) -> None:
    assert read(tmp_path, keys).privileges == ()


@pytest.mark.parametrize("keys", [{"privileged": "yes"}, {"ipc": "host"}, {"deploy": {"mode": "global"}}])
def test_a_key_that_asks_for_something_is_refused_still(keys: Any, tmp_path: Path) -> None:
    assert refused(tmp_path, keys)


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"test": ["curl", "localhost"]}, "test"),
        ({"interval": "10s"}, ""),
        ({"test": [], "interval": "10s"}, ""),
        ({"test": "x", "interval": "soon"}, "interval"),
        ({"test": "x", "retries": 0}, "retries"),
        ({"test": "x", "retries": "many"}, "retries"),
        ({"test": "x", "intervall": "10s"}, "intervall"),
        ({"test": {"a": "b"}}, "test"),
        ("curl", ""),
    ],
)
def test_what_is_no_health_check_is_refused(written: Any, where: str, tmp_path: Path) -> None:
    key = "services.web.healthcheck" + (f".{where}" if where else "")
    assert any(rule.startswith(f"{key}:") for rule in refused(tmp_path, {"healthcheck": written}))


# Sizes.


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        ({"deploy": {"resources": {"limits": {"memory": "512M", "cpus": "0.5", "pids": 100}, "reservations": {"memory": "128m", "cpus": 0.25}}}},
         Sizes(512 * MEBIBYTE, 128 * MEBIBYTE, 500, 250, 100)),
        ({"mem_limit": "1g", "mem_reservation": "256m", "cpus": 1.5, "pids_limit": 50}, Sizes(GIBIBYTE, 256 * MEBIBYTE, 1500, None, 50)),
        ({"mem_limit": "1g", "deploy": {"resources": {"limits": {"memory": "2g"}}}}, Sizes(memory=2 * GIBIBYTE)),
        ({"mem_limit": 536870912}, Sizes(memory=512 * MEBIBYTE)),
        ({}, Sizes()),
    ],
)  # fmt: skip
def test_every_form_of_a_size_is_read(keys: Any, meant: Sizes, tmp_path: Path) -> None:
    assert read(tmp_path, keys).sizes == meant


@pytest.mark.parametrize(
    "keys",
    [
        {"mem_limit": "lots"},
        {"cpus": "half"},
        {"pids_limit": -1},
        {"deploy": {"resources": {"limits": {"memory": "-1"}}}},
        {"deploy": {"resources": {"limits": {"memory": "1g"}, "reservations": {"memory": "2g"}}}},
        {"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia"}]}}}},
        {"deploy": {"resources": [1]}},
        {"deploy": {"placement": {"max_replicas_per_node": 1}}},
        {"deploy": {"nonsense": 1}},
        {"deploy": {"replicas": -1}},
        {"deploy": {"replicas": "two"}},
    ],
)
def test_what_is_no_size_is_refused(keys: Any, tmp_path: Path) -> None:
    assert refused(tmp_path, keys)


def test_an_unknown_key_of_resources_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, {"deploy": {"resources": {"limit": {"memory": "1g"}}}})


@pytest.mark.parametrize(
    ("keys", "count"),
    [({"deploy": {"replicas": 3}}, 3), ({"scale": 2}, 2), ({"deploy": {"replicas": 0}}, 0), ({}, None)],
)
def test_the_number_of_containers_is_read(keys: Any, count: int | None, tmp_path: Path) -> None:
    assert read(tmp_path, keys).replicas == count


def test_two_numbers_of_containers_that_differ_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, {"scale": 2, "deploy": {"replicas": 3}})[0].startswith("services.web.scale: contradicts")
    assert refused(tmp_path, {"scale": "x"})[0].startswith("services.web.scale:")


# Networks and names.


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["front", "default"], {"front": (), "default": ()}),
        ({"front": {"aliases": ["www", "site"]}, "back": None}, {"front": ("www", "site"), "back": ()}),
        ({"front": {"priority": 10}}, {"front": ()}),
        (None, {}),
    ],
)
def test_every_form_of_networks_is_read(written: Any, meant: dict[str, tuple[str, ...]], tmp_path: Path) -> None:
    found = read(tmp_path, {"networks": written}, top={"networks": {"front": None, "back": None}})
    assert found.networks == meant


@pytest.mark.parametrize(
    "written",
    [["nowhere"], {"front": {"ipv4_address": "10.0.0.2"}}, {"front": {"aliases": {"a": 1}}}, {"front": "x"}, 5],
)
def test_what_is_no_network_is_refused(written: Any, tmp_path: Path) -> None:
    refused(tmp_path, {"networks": written}, top={"networks": {"front": None}})


def test_links_become_names_of_the_other_service(tmp_path: Path) -> None:
    found, around = read_service(
        tmp_path,
        {"links": ["db:database", "db", "cache:cache"]},
        others={"db": {"image": "x"}, "cache": {"image": "x"}},
    )
    assert rules_of(around) == []
    assert around.link_aliases == {"db": ["database"]}
    assert found.aliases == ("db", "db", "cache")


def test_a_link_to_nobody_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, {"links": ["nobody:database"]})


@pytest.mark.parametrize(
    ("written", "meant"), [("none", "none"), ("service:db", "service:db"), ("bridge", ""), ("default", ""), (None, "")]
)
def test_a_network_mode_is_read(written: Any, meant: str, tmp_path: Path) -> None:
    assert read(tmp_path, {"network_mode": written}, others={"db": {"image": "x"}}).network_mode == meant


@pytest.mark.parametrize("written", ["host", "container:abc", "service:nobody", "service:", "mynet"])
def test_what_is_no_network_mode_is_refused(written: str, tmp_path: Path) -> None:
    assert refused(tmp_path, {"network_mode": written})[0].startswith("services.web.network_mode:")


def test_the_operator_may_insist_on_the_hosts_network_and_privileges(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {"network_mode": "host", "privileged": True, "devices": ["/dev/kvm"], "pid": "host"},
        allowed_privileges=("web",),
    )
    assert found.network_mode == "host"
    assert found.privileges == ("privileged", "devices", "pid")
    assert found.other["devices"] == ["/dev/kvm"]
    refused(tmp_path, {"privileged": True}, allowed_privileges=("other",))


# Everything else.


def test_what_is_carried_over_is_carried_over(tmp_path: Path) -> None:
    keys = {
        "user": "1000:1000", "group_add": ["video"], "working_dir": "/srv", "hostname": "h", "domainname": "d", "init": True, "tty": True,
        "stdin_open": True, "stop_signal": "SIGINT", "stop_grace_period": "1m", "shm_size": "64m", "ulimits": {"nofile": 1024},
        "sysctls": {"net.core.somaxconn": 1024}, "extra_hosts": ["a:1.2.3.4"], "dns": ["1.1.1.1"], "dns_search": ["x"],
        "dns_opt": ["ndots:1"], "platform": "linux/amd64", "annotations": {"a": "b"},
    }  # fmt: skip
    assert dict(read(tmp_path, keys).other) == keys


@pytest.mark.parametrize(
    ("key", "value"),
    [("stop_grace_period", "soon"), ("shm_size", "big")],
)
def test_what_is_carried_over_is_looked_at(key: str, value: str, tmp_path: Path) -> None:
    assert refused(tmp_path, {key: value})[0].startswith(f"services.web.{key}:")


def test_labels_of_both_places_are_read_and_those_of_traefik_refused(tmp_path: Path) -> None:
    found = read(tmp_path, {"labels": {"a": 1, "b": "x"}, "deploy": {"labels": ["c=d"]}})
    assert found.labels == {"a": "1", "b": "x", "c": "d"}
    (rule,) = refused(tmp_path, {"labels": ["traefik.enable=true", "traefik.http.routers.x.rule=y"]})
    assert rule.startswith("services.web.labels.traefik.enable:")


@pytest.mark.parametrize("key", sorted(key for key, rule in subset.SERVICE.items() if rule.verdict == "refused"))
def test_a_refused_key_is_refused_with_its_reason(key: str, tmp_path: Path) -> None:
    (rule,) = refused(tmp_path, {key: "x"})
    assert rule == f"services.web.{key}: is not supported: {subset.SERVICE[key].note}"


@pytest.mark.parametrize(
    ("key", "meant"), [("enviroment", "environment"), ("port", "ports"), ("depends-on", "depends_on"), ("xyz", "")]
)
def test_an_unknown_key_is_refused_at_its_place_with_the_nearest_one(key: str, meant: str, tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"restart": "always", key: "x"})
    (problem,) = around.problems
    assert problem.key == f"services.web.{key}"
    assert problem.suggestion == meant
    assert problem.place.line == 4
    assert problem.place.column == 5


def test_keys_that_start_with_x_are_for_others(tmp_path: Path) -> None:
    assert read(tmp_path, {"x-anything": {"deep": [1, {"x": "${NOT:-set}"}]}}).name == "web"


def test_an_adapted_key_is_told(tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"restart": "always", "logging": {"driver": "syslog"}, "container_name": "c"})
    assert {notice.text.partition("`: ")[0] for notice in around.notices} == {"`restart", "`logging", "`container_name"}


@pytest.mark.parametrize("value", [None, [], "text", 5, True])
def test_a_service_that_is_no_mapping_is_refused(value: Any, tmp_path: Path) -> None:
    found = app(tmp_path, {"services": {"web": value}})
    (problem,) = found.problems
    assert problem.key == "services.web"


@pytest.mark.parametrize(
    "keys",
    [
        {"healthcheck": {"test": {"a": "b"}}},
        {"healthcheck": "curl"},
        {"healthcheck": {"test": ["${S}", "x"]}},
        {"networks": ["${S}"]},
        {"depends_on": ["${S}"]},
        {"links": ["${S}"]},
        {"env_file": ["${S}"]},
        {"ports": ["${S}"]},
        {"ports": [{"target": "${S}"}]},
        {"build": "${S}", "image": None},
    ],
)
def test_a_mistake_is_told_without_its_consequences(keys: Any, tmp_path: Path) -> None:
    assert len(refused(tmp_path, keys, values={"S": Sensitive(SECRET)})) == 1


def test_a_service_needs_an_image_or_a_build(tmp_path: Path) -> None:
    found = app(tmp_path, {"services": {"web": {"command": "x"}}})
    assert rules_of(found) == ["services.web: needs an `image` or a `build`"]


@pytest.mark.parametrize("image", ["Nginx", "nginx:", "${IMAGE:-a b}", "https://x/y"])
def test_an_image_must_be_one(image: str, tmp_path: Path) -> None:
    assert refused(tmp_path, {"image": image})[0].startswith("services.web.image:")


@pytest.mark.parametrize("image", ["nginx:${TAG}", "acme/${S}:1"])
def test_an_image_whose_variable_is_wrong_is_one_problem(image: str, tmp_path: Path) -> None:
    assert len(refused(tmp_path, {"image": image}, values={"S": Sensitive(SECRET)})) == 1


def test_an_unset_variable_is_refused_with_the_way_out(tmp_path: Path) -> None:
    _, around = read_service(tmp_path, {"hostname": "web-${TAG}"}, values={"TAGS": "1"})
    (problem,) = around.problems
    assert "TAG" in problem.rule
    assert "env" in problem.hint


# Hostile values under every key.

WEIRD = [
    None,
    "",
    "x",
    0,
    1,
    -1,
    1.5,
    True,
    [],
    ["x"],
    [None],
    [[1]],
    [{"a": 1}],
    {},
    {"a": 1},
    {"a": None},
    {"": ""},
    {"a": {"b": []}},
]


@pytest.mark.parametrize("key", sorted(key for key, rule in subset.SERVICE.items() if rule.verdict != "refused"))
def test_no_kind_of_value_under_any_key_crashes(key: str, tmp_path: Path) -> None:
    for value in WEIRD:
        _, around = read_service(tmp_path, {key: value})
        for problem in around.problems:
            assert problem.place.line, (value, problem)


@given(
    key=st.sampled_from(
        ["ports", "volumes", "environment", "command", "healthcheck", "deploy", "build", "networks", "depends_on"]
    ),
    value=st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(-5, 99999), st.text(st.sampled_from("a1:/-.=[]$ "), max_size=8)
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        "target",
                        "source",
                        "type",
                        "test",
                        "resources",
                        "limits",
                        "memory",
                        "context",
                        "args",
                        "aliases",
                        "a",
                    ]
                ),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=6,
    ),
)
def test_no_combination_of_values_crashes(key: str, value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    # A volume `..` would be copied.
    folder = tmp_path_factory.mktemp("a") / "b"
    folder.mkdir()
    _, around = read_service(folder, {key: value})
    assert all(problem.place.line for problem in around.problems)
