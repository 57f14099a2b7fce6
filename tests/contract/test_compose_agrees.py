"""The real `docker compose config` agrees with our reading and writing. It needs no engine.

Many values go through one call: a call takes a tenth of a second.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage import flow
from moorage.app.env_file import read_env_file
from moorage.app.interpolation import TemplateError, UnsetVariable, parse_template, substitute
from moorage.formats import dump_env, dump_yaml, parse_yaml
from moorage.sensitive import reveal
from tests.conftest import need
from tests.unit.app.test_env_file import TABLE
from tests.unit.app.test_interpolation import BROKEN, LITERAL
from tests.unit.given import app, deployment, folder_with

pytestmark = pytest.mark.docker
FEW = settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


class Refused(Exception):
    """Compose does not accept the file."""


@pytest.fixture(autouse=True, scope="module")
def _compose() -> None:
    found = shutil.which("docker") is not None and (
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    )
    need(found, "docker compose")


def config(
    folder: Path, compose: str | Mapping[str, Any], variables: Mapping[str, str] | None = None, *arguments: str
) -> dict[str, Any]:
    """What Compose makes of a file, with `variables` in the environment and in nothing else."""
    text = compose if isinstance(compose, str) else yaml.safe_dump(dict(compose), allow_unicode=True)
    folder_with(folder, {"compose.yaml": text})
    return resolved(folder, variables, *arguments)


def resolved(folder: Path, variables: Mapping[str, str] | None = None, *arguments: str) -> dict[str, Any]:
    finished = subprocess.run(
        ["docker", "compose", "--project-name", "contract", *arguments, "config", "--format", "json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **(variables or {})},
        capture_output=True,
        check=False,
    )
    if finished.returncode:
        raise Refused(finished.stderr.decode(errors="replace")[-400:])
    content: dict[str, Any] = json.loads(finished.stdout)
    return content


def plain(text: str | None) -> str | None:
    """A value as the container gets it: `config` doubles dollar signs, so that its output can be read again."""
    return None if text is None else text.replace("$$", "$")


def environment_of(content: Mapping[str, Any], service: str = "web") -> dict[str, str | None]:
    return {name: plain(value) for name, value in (content["services"][service].get("environment") or {}).items()}


def by_compose(folder: Path, texts: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str | None]:
    """The value of each text after Compose has filled in its variables."""
    return environment_of(config(folder, {"services": {"web": {"image": "x", "environment": dict(texts)}}}, variables))


# Interpolation.

VARIABLES = {"SET": "value", "EMPTY": "", "DOLLAR": "a$b", "QUOTE": 'it\'s "x"', "LINES": "a\nb", "BRACE": "}{"}
INTERPOLATED = [
    "plain", "$SET", "${SET}", "a$SET.b", "${SET}SET", "$EMPTY|", "${SET:-x}", "${EMPTY:-x}", "${NONE:-x}", "${SET-x}", "${EMPTY-x}",
    "${NONE-x}", "${NONE:-}", "${SET:+x}", "${EMPTY:+x}", "${NONE:+x}", "${SET+x}", "${EMPTY+x}", "${NONE+x}", "${SET:?m}", "${SET?m}",
    "${EMPTY?m}", "$$", "$$SET", "$${SET}", "$$$SET", "$$$$", "${NONE:-$$}", "${NONE:-${SET}}", "${NONE:-$SET}",
    "${NONE:-a${NONE:-b${SET}c}d}", "${NONE:-${EMPTY:-${NONE-deep}}}", "${SET:+${EMPTY:-other}}", "${NONE:-x:-y}", "${NONE:-a b#c}",
    "${NONE:--x}", "${NONE--}", "${NONE:-http://h:80/p?q}", '${NONE:-{"a":1}}', "${NONE:-a}b}", "a}b{c", "ü$SET", "$SETü", "$DOLLAR",
    "${DOLLAR}", "${NONE:-$DOLLAR}", "$QUOTE", "$LINES", "${LINES:-x}", "$BRACE", "${NONE:-${BRACE}}", "${SET:+$DOLLAR}", "%s $SET %d",
]  # fmt: skip


def test_every_form_of_a_variable_means_the_same(tmp_path: Path) -> None:
    texts = {f"V{number}": text for number, text in enumerate(INTERPOLATED)}
    theirs = by_compose(tmp_path, texts, VARIABLES)
    ours = {name: substitute(parse_template(text), VARIABLES) for name, text in texts.items()}
    assert {texts[name]: value for name, value in theirs.items()} == {
        texts[name]: value for name, value in ours.items()
    }


@pytest.mark.parametrize("text", [*BROKEN, "${NONE:?give it}", "${NONE?give it}", "${EMPTY:?x}"])
def test_what_compose_refuses_we_refuse(text: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        by_compose(tmp_path, {"A": text}, VARIABLES)
    with pytest.raises((TemplateError, UnsetVariable)):
        substitute(parse_template(text), VARIABLES)


def test_a_dollar_sign_that_starts_no_variable_is_one_to_compose(tmp_path: Path) -> None:
    # What we do with it: tests/unit/app/test_interpolation.py.
    theirs = by_compose(tmp_path, {f"V{number}": text for number, text in enumerate(LITERAL)}, {})
    for number, text in enumerate(LITERAL):
        assert theirs[f"V{number}"] == text.removeprefix("${NONE:-").removesuffix("}" if text.startswith("${") else "")


PIECES = st.sampled_from(
    [
        "a",
        "-",
        ":",
        "$$",
        "${SET}",
        "$SET ",
        "${EMPTY}",
        "${NONE:-",
        "${EMPTY:-",
        "${SET:+",
        "${EMPTY+",
        "${SET-",
        "}",
        "{",
        " ",
        "'",
        '"',
        "#",
        "\\",
        "ü",
    ]
)


@FEW
@given(texts=st.lists(st.lists(PIECES, max_size=7).map("".join), min_size=60, max_size=60))
def test_any_text_with_variables_means_the_same(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    ours: dict[str, str] = {}
    named: dict[str, str] = {}
    for number, text in enumerate(texts):
        try:
            ours[f"V{number}"] = reveal(substitute(parse_template(text), VARIABLES))
            named[f"V{number}"] = text
        except TemplateError:
            # An unclosed brace spoils the whole file for Compose; the table above has such cases.
            continue
    theirs = by_compose(tmp_path_factory.mktemp("interpolation"), named, VARIABLES)
    assert {named[name]: value for name, value in theirs.items()} == {
        named[name]: value for name, value in ours.items()
    }


# Values of the file itself.


def our_environment(folder: Path, text: str) -> dict[str, str]:
    return {name: reveal(value) for name, value in app(folder, text).services["web"].environment.items()}


PLAIN = [
    "text", "'1'", "5", "true", "True", "false", '""', "yes", "no", "on", "1.5", "0.25", "22:22", "0x1F", "0o17", '"a\\nb"', "1.2.3", "-5",
    "12345678901234567890", "~x", "0.1e", "1.10", "1.0",
    "1e3", "1234567.0", "123456.7", "999999.5", "1000000.0", "0.0001", "0.00001", "1e21", "1E-7", "-0.0", ".5", "+1.5", "-.25e2",
    "0.1234567890123456789", "12.e1",
]  # fmt: skip


def test_a_plain_value_of_the_environment_means_the_same(tmp_path: Path) -> None:
    lines = "".join(f"      V{number}: {written}\n" for number, written in enumerate(PLAIN))
    text = f"services:\n  web:\n    image: x\n    environment:\n{lines}"
    assert our_environment(tmp_path, text) == environment_of(config(tmp_path, text))


COMMANDS = [
    "run --port 80", "sh -c 'a b' \"c d\"", "a  b\tc", "echo 'it''s'", "a\\ b", "--x=\"y z\"", "echo '$$HOME' \"$$HOME\"", "a 'b\nc'", "echo #x", "''",
]  # fmt: skip


@pytest.mark.parametrize("key", ["command", "entrypoint"])
def test_a_command_line_is_split_the_same(key: str, tmp_path: Path) -> None:
    content = {"services": {f"s{number}": {"image": "x", key: command} for number, command in enumerate(COMMANDS)}}
    theirs = {
        name: [plain(word) for word in service[key]] for name, service in config(tmp_path, content)["services"].items()
    }
    assert {name: list(getattr(service, key)) for name, service in app(tmp_path, content).services.items()} == theirs


PORTS: list[Any] = [
    "80", 80, ":81", "8080:80", "2222:22", "53:53/udp", "8080:80/TCP", "08080:080", "127.0.0.1:8080:80", "127.0.0.1::82", "0.0.0.0:80:80",
    "[::1]:8080:80", "[::1]::80", "[::]:8080:80", "[127.0.0.1]:80:80", "3000-3002", "9090-9091:8080-8081", "127.0.0.1:53:53/udp", "8080-8080:80",
    "3000-3005:80", "127.0.0.1:3000-3005:80", "3000-3001:80-80", "0:80", "20000-20300:20000-20300/udp",
    {"target": 80}, {"target": "80"}, {"target": 80, "published": 8080}, {"target": 80, "published": ""}, {"target": 80, "published": "8080-8090"},
    {"target": 80, "published": "80", "host_ip": "::1", "protocol": "udp", "mode": "host", "name": "x", "app_protocol": "http"}, {"target": 80, "x-y": 1},
]  # fmt: skip
NO_PORTS: list[Any] = [
    "::1:8080:80", "::8080:80", "8080:80:90", "1.2.3:80:90", "...:80:90", "300.1.1.1:80:90", "[:]:80:90", "localhost:80:80", "*:80:80",
    "8080:80/icmp", "8080:", "0", "65536", "8080-8090:80-81", "20000-20003:80-81", "90-80", "80-", "-80", " 80", " 8080:80 ", "80.0", "+80:80", True,
    1.5, {"target": "80-81"}, {"published": 80}, {"target": "0x50"}, {"target": 80, "nonsense": 1},
]  # fmt: skip


def test_ports_are_read_the_same(tmp_path: Path) -> None:
    content = {"services": {f"s{number}": {"image": "x", "ports": [port]} for number, port in enumerate(PORTS)}}
    theirs = {
        name: {
            # Of a range of host ports for one container port Compose takes any, we name the first.
            (item["target"], _first(item.get("published")), item.get("protocol", "tcp"), item.get("host_ip", ""))
            for item in service["ports"]
        }
        for name, service in config(tmp_path, content)["services"].items()
    }
    found = app(tmp_path, content)
    assert found.problems == []
    ours = {
        name: {(item.container_port, item.host_port, item.protocol, item.address) for item in service.ports}
        for name, service in found.services.items()
    }
    assert ours == theirs


def _first(published: str | None) -> int | None:
    return int((published or "0").partition("-")[0]) or None


@pytest.mark.parametrize("port", NO_PORTS)
def test_what_is_no_port_to_compose_is_none_to_us(port: Any, tmp_path: Path) -> None:
    content = {"services": {"web": {"image": "x", "ports": [port]}}}
    with pytest.raises(Refused):
        config(tmp_path, content)
    assert app(tmp_path, content).problems


# Env files.


def env_by_compose(folder: Path, content: str, variables: Mapping[str, str]) -> dict[str, str | None]:
    folder_with(folder, {"app.env": content})
    return environment_of(config(folder, {"services": {"web": {"image": "x", "env_file": ["app.env"]}}}, variables))


# Compose 2.26 makes nonsense of a name alone: {'': 'A'}. The documentation has it as we do.
ODD = {"A\n"}


def test_the_table_of_env_files_is_composes(tmp_path: Path) -> None:
    for variables in ({}, {"X": "v"}, {"X": ""}):
        fitting = [row for row in TABLE if row[1] == variables and row[0] not in ODD]
        services = {}
        for number, (content, _, _) in enumerate(fitting):
            folder_with(tmp_path, {f"{number}.env": content})
            services[f"s{number}"] = {"image": "x", "env_file": [f"{number}.env"]}
        found = config(tmp_path, {"services": services}, variables)
        for number, (content, _, meant) in enumerate(fitting):
            assert environment_of(found, f"s{number}") == meant, content


def test_a_later_env_file_may_use_an_earlier_one(tmp_path: Path) -> None:
    folder_with(tmp_path, {"a.env": "A=1\nX=file\n", "b.env": "B=$A$X\n"})
    content = {"services": {"web": {"image": "x", "env_file": ["a.env", "b.env"]}}}
    theirs = environment_of(config(tmp_path, content, {"X": "outside"}))
    ours = app(tmp_path, content, {"X": "outside"}).services["web"].environment
    assert {name: reveal(value) for name, value in ours.items()} == theirs


@pytest.mark.parametrize(
    "content", ['A="x\nPASSWORD=p', "A='tis the season\nPASSWORD=p\n", "A='x' 'y'", "A B=c", "A,B=1", "A=${"]
)
def test_a_broken_env_file_is_refused_by_compose(content: str, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        env_by_compose(tmp_path, content, {})


SPITEFUL = st.text(
    st.one_of(
        st.sampled_from("a1 \n\r\t#'\"\\$={}[]()`%!&*~;|<>?.,:-+@^/\x01\x07\x0b\x0c\x7f\x85\u2028\u2029\ufeffü🙂"),
        st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
    ),
    max_size=14,
)
VALUES = [
    "", " ", "  a  ", "a b", "a # b", "#", "'", '"', "''", '""', "'a'", '"a"', "\\", "\\\\", "a\\", "\\n", "a\nb", "a\n", "\n", "\r\n", "\t", "$", "$$", "$A", "${A}",
    "${A:-b}", "$(a)", "a$", "$1", "\\$A", "'$A'", "%s", "a=b", "=", "export A=b", "`a`", "!", "ü🙂", "\u2028", "\x85", "\x0b\x0c", "\x7f", "{}", "[]", "a: b", "- a",
    "null", "true", "1e-3", "0755", "-----BEGIN KEY-----\nab+/==\n-----END KEY-----\n", '{"a": "b\\n$c"}', "a" * 5000,
]  # fmt: skip


def written_by_us(folder: Path, values: Mapping[str, str]) -> dict[str, str | None]:
    """What Compose reads from our env file."""
    return env_by_compose(folder, dump_env(values, "Written by moorage.\nTwo lines."), {"A": "from outside"})


def test_every_value_that_we_write_into_an_env_file_arrives(tmp_path: Path) -> None:
    values = {f"V{number}": value for number, value in enumerate(VALUES)}
    assert written_by_us(tmp_path, values) == values


@FEW
@given(texts=st.lists(SPITEFUL, min_size=80, max_size=80))
def test_any_value_that_we_write_into_an_env_file_arrives(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = {f"V{number}": value for number, value in enumerate(texts)}
    assert written_by_us(tmp_path_factory.mktemp("env"), values) == values


def test_our_env_files_are_variables_too(tmp_path: Path) -> None:
    values = {f"V{number}": value for number, value in enumerate(VALUES)}
    folder_with(tmp_path, {".env": dump_env(values)})
    texts = {name: f"${{{name}}}" for name in values}
    assert by_compose(tmp_path, texts, {}) == values


# YAML.


def yaml_by_compose(folder: Path, values: Mapping[str, str]) -> dict[str, str | None]:
    content = {
        "services": {
            "web": {"image": "x", "environment": {name: value.replace("$", "$$") for name, value in values.items()}}
        }
    }
    return environment_of(config(folder, dump_yaml(content, "Header: [x\n- y")))


def test_every_value_that_we_write_into_yaml_arrives(tmp_path: Path) -> None:
    values = {f"V{number}": value for number, value in enumerate([*VALUES, "1E+5", "2e-7", "+.5", "0b1_1"])}
    assert yaml_by_compose(tmp_path, values) == values


@FEW
@given(texts=st.lists(SPITEFUL, min_size=80, max_size=80))
def test_any_value_that_we_write_into_yaml_arrives(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    values = {f"V{number}": value for number, value in enumerate(texts)}
    assert yaml_by_compose(tmp_path_factory.mktemp("yaml"), values) == values


NUMBER_LIKE = st.text(st.sampled_from("0123456789.eExXoObB+-_:,afAFyYnN~<="), min_size=1, max_size=7)


@FEW
@given(texts=st.lists(NUMBER_LIKE, min_size=150, max_size=150))
def test_any_text_that_looks_like_a_number_stays_a_text(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = {f"V{number}": value for number, value in enumerate(texts)}
    assert yaml_by_compose(tmp_path_factory.mktemp("yaml"), values) == values


# A whole rendered folder.

APP = """\
services:
  web:
    image: nginx:1.27
    command: ["sh", "-c", "echo $$HOME $${X} $$$$"]
    environment: {PLAIN: "a$$b ${GREETING}", SECRET: "x${TOKEN}y", EMPTY: ""}
    labels: {price: "5$$"}
    healthcheck: {test: "test $$A = 1", interval: 1m30s}
    configs: [site]
    tmpfs: ["/run:size=1m,mode=1777"]
    volumes: ["data:/data:ro"]
    ulimits: {nofile: {soft: 10, hard: 20}}
    stop_grace_period: 1m30s
    x-moorage: {port: 80, route: {paths: [/]}, resources: {memory: 64Mi, cpu: 0.25}}
  db:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: "${TOKEN}", TZ: UTC}
volumes: {data: {}}
configs: {site: {content: "token = ${TOKEN}"}}
"""


@pytest.mark.parametrize("token", ["s3cr3t", "a$b${c}\\", 'it\'s "quoted" # x', "two\nlines", " blanks "])
def test_a_rendered_folder_means_to_compose_what_was_written(token: str, tmp_path: Path) -> None:
    settings_text = "secrets: [TOKEN]\nenv: {GREETING: 'it costs $5, ${NOT} #1'}\n"
    found = deployment(tmp_path, APP, settings_text, secrets={"TOKEN": token})
    rendered = flow.render(found.stack)
    rendered.public.write(found.rendered_folder)
    rendered.private.write(found.private_folder)
    folder = found.rendered_folder / "compose"
    content = resolved(folder, {"X": "wrong", "HOME": "wrong", "A": "wrong", "NOT": "wrong"})
    web = content["services"]["web"]
    assert environment_of(content) == {
        "PLAIN": "a$b it costs $5, ${NOT} #1",
        "SECRET": f"x{token}y",
        "EMPTY": "",
    }
    assert [plain(word) for word in web["command"]] == ["sh", "-c", "echo $HOME ${X} $$"]
    assert plain(web["labels"]["price"]) == "5$"
    assert [plain(word) for word in web["healthcheck"]["test"]] == ["CMD-SHELL", "test $A = 1"]
    assert web["deploy"]["resources"]["limits"] == {"cpus": 0.25, "memory": str(64 * 1024**2), "pids": 4096}
    assert web["stop_grace_period"] == "1m30s"
    assert content["services"]["db"]["environment"]["TZ"] == "UTC"
    assert content["services"]["db"]["environment"]["POSTGRES_USER"] == "postgres"
    assert content["services"]["db"]["shm_size"] == str(256 * 1024**2)
    # Every file that is mounted from the rendered folder or beside it is there.
    for service in content["services"].values():
        for mount in service.get("volumes", ()):
            if mount["type"] == "bind" and str(tmp_path) in mount["source"]:
                assert Path(mount["source"]).exists(), mount
    if "\n" not in token:
        text = (found.private_folder / "env/web.env").read_text()
        assert reveal(read_env_file(found.private_folder / "env/web.env", "f")[0]["SECRET"]) == f"x{token}y"
        assert parse_yaml((folder / "compose.yaml").read_text(), "f").value["name"] == "acme"
        assert text.startswith("# Written by moorage.")


def test_the_shipped_app_is_an_ordinary_compose_file(tmp_path: Path) -> None:
    from moorage.assets import asset

    for place in asset("compose", "apps").glob("*/compose.yaml"):
        variables = dict.fromkeys(
            (
                "POSTGRES_USER",
                "POSTGRES_PASSWORD",
                "POSTGRES_HOST",
                "POSTGRES_PORT",
                "POSTGRES_DB",
                "REDIS_URL",
                "IMAGE_TAG",
            ),
            "x",
        )
        content = resolved(place.parent, variables)
        assert content["services"], place
