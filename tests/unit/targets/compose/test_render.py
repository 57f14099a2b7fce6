"""The rendered folder as a whole: the same every time, no secret in it, nothing left for Compose to fill in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage import flow
from moorage.app.env_file import read_env_file
from moorage.config.secrets import SecretStore
from moorage.errors import InputError
from moorage.formats import parse_yaml
from moorage.sensitive import reveal
from moorage.targets.base import Rendering
from moorage.targets.builds import ASSETS_VARIABLE
from moorage.tree import MANIFEST
from tests.unit.given import NOW, SETTINGS, as_text, compose_of, deployment, folder_with, rendering

# Everything that can be rendered at once.
COMPOSE: dict[str, Any] = {
    "x-moorage": {
        "requires": {"postgres": {"database": "notes", "user": "notes"}, "redis": {}},
        "variables": {
            "TOKEN": {"secret": True, "generate": "hex32"},
            "GREETING": {"default": "hello $$ ${DOMAIN}"},
            "URL": {"default": "db://${POSTGRES_USER}:${POSTGRES_PASSWORD}@${POSTGRES_HOST}"},
        },
        "jobs": {
            "migrate": {"service": "web", "command": ["m"], "run": "before-rollout"},
            "clean": {"service": "worker", "command": ["c"], "schedule": "0 3 1 * mon"},
        },
    },
    "services": {
        "web": {
            "image": "web:1",
            "build": {"context": "./src", "args": {"B": "2", "A": "1"}},
            "environment": {
                "Z": "1",
                "A": "${GREETING}",
                "TOKEN": "${TOKEN}",
                "URL": "${URL}",
                "REDIS": "${REDIS_URL}",
            },
            "volumes": ["uploads:/u", "./conf:/conf:ro", "/var/cache"],
            "configs": ["site"],
            "secrets": ["key"],
            "labels": {"z": "1", "a": "2"},
            "networks": {"front": {"aliases": ["www"]}, "default": None},
            "ulimits": {"nofile": 1024},
            "x-moorage": {
                "port": 8000,
                "route": {"paths": ["/"], "deny": ["/metrics"], "headers": {"B": "1", "A": "2"}},
                "health": {"path": "/h"},
            },
        },
        "worker": {
            "image": "web:1",
            "depends_on": {"web": {"condition": "service_started"}},
            "environment": ["P=${POSTGRES_HOST}"],
        },
    },
    "networks": {"front": None, "back": {"internal": True}},
    "volumes": {"uploads": {"labels": {"b": "1", "a": "2"}}, "other": None},
    "configs": {"site": {"content": "token=${TOKEN}"}},
    "secrets": {"key": {"file": "key.pem"}},
}
FILES: dict[str, str | bytes | None] = {
    "conf/a": "1",
    "conf/b/c": "2",
    "key.pem": "private-key",
    "src/Dockerfile": "FROM x",
}
WHOLE = SETTINGS.replace('{mode: "off"}', "{mode: internal-ca}") + (
    "edge: {dashboard: {enabled: true}}\nenv: {GREETING: 'it costs 5$$ or ${DOMAIN}'}\nsecrets: [EXTRA]\n"
)


# Given rather than made: hashing a password takes its time.
KEPT = {
    "EXTRA": "extra-secret",
    "DASHBOARD_PASSWORD": "dashboard-secret",
    "DASHBOARD_USERS": "admin:$2b$12$dashboard-hash",
}


def whole(folder: Path, compose: dict[str, Any] | None = None, base: str = WHOLE) -> tuple[flow.Deployment, Rendering]:
    found = deployment(folder, compose or COMPOSE, base=base, files=FILES, secrets=KEPT)
    return found, flow.render(found.stack)


def texts(rendered: Rendering) -> dict[str, bytes]:
    return {path: file.content for path, file in rendered.public.files.items()}


def every_secret(found: flow.Deployment) -> set[str]:
    store = SecretStore(found.folder, found.environment)
    kept = {reveal(store.read(name) or "") for name in store.names()} | {store.recovery_key(write=False).reveal()}
    return {secret for secret in kept if secret}


def test_there_is_something_to_look_at(tmp_path: Path) -> None:
    found, rendered = whole(tmp_path)
    assert len(every_secret(found)) >= 7
    assert {"compose/compose.yaml", "compose/.env", "compose/build.yaml", "stack.json", "README.md", MANIFEST} <= set(
        rendered.public.files
    )
    assert {
        "env/web.env",
        "platform/redis.env",
        "files/postgres_password",
        "files/web/secret-key",
        "files/web/config-site",
    } <= set(rendered.private.files)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    _, first = whole(tmp_path)
    _, second = whole(tmp_path)
    assert first.public.files == second.public.files
    assert first.private.files == second.private.files


def test_the_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    whole(tmp_path)
    script = "import sys; from pathlib import Path; from moorage import flow; found = flow.render(flow.open_deployment(Path(sys.argv[1])).stack); print(found.public.digest(), found.private.digest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, locale, zone in (("0", "C", "UTC"), ("12345", "C.UTF-8", "Asia/Tokyo"))
    }
    assert len(digests) == 1


def shuffled(value: Any, draw: Any) -> Any:
    """The same data with mappings in another order, where the order says nothing."""
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


@settings(max_examples=15)
@given(data=st.data())
def test_the_order_of_keys_in_the_files_changes_no_container(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    _, usual = whole(folder)
    other_base = as_text(shuffled(parse_yaml(WHOLE, "f").value, data.draw))
    _, other = whole(folder, shuffled(COMPOSE, data.draw), other_base)
    assert compose_of(other) == compose_of(usual)
    by_name = {
        name: {item["name"]: item["revision"] for item in json.loads(texts(rendered)["stack.json"])["services"]}
        for name, rendered in (("a", usual), ("b", other))
    }
    assert by_name["a"] == by_name["b"]
    changed = {path for path in texts(usual) if texts(usual)[path] != texts(other).get(path)}
    # The order of services is that of the file: it is kept where people read it.
    assert changed <= {
        "compose/compose.yaml",
        "compose/build.yaml",
        "stack.json",
        "README.md",
        "host/systemd/moorage-acme.service",
        MANIFEST,
    }


def test_the_order_of_labels_in_the_file_changes_no_bytes(tmp_path: Path) -> None:
    _, usual = whole(tmp_path)
    services = {**COMPOSE["services"], "web": {**COMPOSE["services"]["web"], "labels": {"a": "2", "z": "1"}}}
    _, other = whole(tmp_path, {**COMPOSE, "services": services})
    assert texts(other)["compose/compose.yaml"] == texts(usual)["compose/compose.yaml"]


def test_no_byte_of_any_secret_is_in_the_public_folder(tmp_path: Path) -> None:
    found, rendered = whole(tmp_path)
    for secret in (*every_secret(found), "private-key"):
        for path, content in texts(rendered).items():
            assert secret.encode() not in content, path
            assert secret not in path
    for path, file in rendered.private.files.items():
        assert file.mode & 0o077 == 0, path


# Values that would be found by accident are left out: short ones, and words that are in the files anyway.
SECRETS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r\n"), min_size=1, max_size=20
).map(lambda text: f"~{text}~s3cr3t")
PLACES = st.sampled_from(["{}", "x{}y", "db://u:{}@h", "{} {}", "$$HOME {}", '"{}"', "{}\\", "a\n{}\tb"])


@given(
    secrets=st.dictionaries(st.sampled_from(["S1", "S2", "S3"]), SECRETS, min_size=1),
    plain=st.dictionaries(
        st.sampled_from(["P1", "P2"]),
        st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20),
    ),
    place=PLACES,
)
def test_secrets_stay_private_and_every_value_arrives(
    secrets: dict[str, str], plain: dict[str, str], place: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    environment = {name: place.replace("{}", f"${{{name}}}") for name in secrets} | {
        name: f"${{{name}}}" for name in plain
    }
    content = {
        "services": {
            "web": {
                "image": "x",
                "environment": environment,
                "configs": ["c"],
                "x-moorage": {"port": 1, "route": {"paths": ["/"]}},
            }
        },
        "configs": {"c": {"content": " ".join(f"${{{name}}}" for name in secrets)}},
    }
    more = as_text({"secrets": list(secrets), "env": plain})
    try:
        rendered = rendering(folder, content, more, secrets=secrets)
    except InputError as error:
        # Some plain values look like secrets; those are refused, and not shown.
        assert all("is a secret" in problem.rule for problem in error.problems)
        return
    for secret in secrets.values():
        for path, text in texts(rendered).items():
            assert secret.encode() not in text, path
    written = compose_of(rendered)["services"]["web"]["environment"] if plain else {}
    assert {name: value.replace("$$", "$") for name, value in written.items()} == plain
    private = rendered.private.files["env/web.env"].content
    (folder / "web.env").write_bytes(private)
    for name, secret in secrets.items():
        expected = place.replace("$$", "$").replace("{}", secret)
        # Our own reader splits lines at more than \n, see test_env_file.py.
        if len(expected.splitlines()) == len(expected.split("\n")) and "\r" not in expected:
            assert read_env_file(folder / "web.env", "f")[0][name] == expected


def scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from scalars(item)
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item)
    elif isinstance(value, str):
        yield value


def test_nothing_is_left_for_compose_to_fill_in(tmp_path: Path) -> None:
    content = {
        **COMPOSE,
        "services": {
            **COMPOSE["services"],
            "worker": {
                "image": "web:1",
                "command": ["sh", "-c", "echo $$HOME $$$$ $${X}"],
                "environment": {"A": "5$$", "B": "$${NOT}"},
                "healthcheck": {"test": "test $$X = 1"},
                "labels": {"price": "5$$"},
                "working_dir": "/$$dir",
            },
        },
    }
    _, rendered = whole(tmp_path, content)
    found = [text for text in scalars(compose_of(rendered)) if "$" in text]
    assert len(found) >= 6
    for text in found:
        assert "$" not in text.replace("$$", ""), text
    worker = compose_of(rendered)["services"]["worker"]
    assert worker["command"] == ["sh", "-c", "echo $$HOME $$$$ $${X}"]
    assert worker["environment"] == {"A": "5$$", "B": "$${NOT}"}


def test_every_variable_of_a_platform_fragment_has_a_value(tmp_path: Path) -> None:
    _, rendered = whole(tmp_path)
    given_values = set(re.findall(r"^([A-Z_]+)=", texts(rendered)["compose/.env"].decode(), re.MULTILINE))
    for path, content in texts(rendered).items():
        if path.startswith("compose/platform/") and path.endswith(".yaml"):
            used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)\}", content.decode()))
            assert used <= given_values, path


def test_every_file_is_read_by_a_reader_of_its_kind(tmp_path: Path) -> None:
    _, rendered = whole(tmp_path)
    for path, content in texts(rendered).items():
        assert content.endswith(b"\n") or not content or "files/" in path, path
        if path.endswith((".yaml", ".yml")):
            assert isinstance(yaml.safe_load(content), dict), path
            assert parse_yaml(content.decode(), path).value == yaml.safe_load(content), path
        elif path.endswith(".json"):
            json.loads(content)
        elif "systemd" in path:
            assert re.match(rb"^\[Unit\]\n", content), path
            for line in content.decode().splitlines():
                assert not line or line.startswith(("[", "#")) or "=" in line, (path, line)


def test_the_manifests_name_every_file_with_its_digest(tmp_path: Path) -> None:
    _, rendered = whole(tmp_path)
    for tree in (rendered.public, rendered.private):
        written = json.loads(tree.files[MANIFEST].content)["files"]
        assert written == {path: file.digest for path, file in tree.files.items() if path != MANIFEST}


def test_an_extra_image_takes_no_services_place_in_the_build(tmp_path: Path) -> None:
    content = {
        "services": {
            "web": {"image": "acme/site:1", "build": ".", "x-moorage": {"port": 1, "route": {"paths": ["/"]}}},
            "tool": {"image": "acme/web:1", "build": ".", "x-moorage": {"build_only": True}},
        }
    }
    built = yaml.safe_load(rendering(tmp_path, content).public.files["compose/build.yaml"].content)
    assert {item["image"] for item in built["services"].values()} == {"acme/site:1", "acme/web:1"}


def test_no_time_and_no_place_of_this_machine_is_in_the_files(tmp_path: Path) -> None:
    _, rendered = whole(tmp_path)
    for path, content in texts(rendered).items():
        assert str(tmp_path).encode() not in content, path
        # Not as a part of some digest, which may have these digits by chance.
        assert not re.search(rb"(?<![0-9a-f])%d(?![0-9a-f])" % NOW.year, content), path


WITH_POSTGRES = {
    "x-moorage": {"requires": {"postgres": {}}},
    "services": {"web": {"image": "x", "x-moorage": {"port": 1, "route": {"paths": ["/"]}}}},
}


@given(
    parameters=st.dictionaries(
        st.sampled_from(["work_mem", "log_line_prefix", "search_path"]),
        st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12),
        min_size=1,
    )
)
def test_any_parameter_reaches_the_database_unchanged(
    parameters: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("postgres")
    more = as_text({"postgres": {"parameters": parameters}})
    text = rendering(folder, WITH_POSTGRES, more).public.files["compose/postgres/postgresql.conf"].content.decode()
    for name, value in parameters.items():
        (line,) = [line for line in text.split("\n") if line.startswith(f"{name} = ")]
        quoted = line.partition(" = ")[2]
        # The server's own rule for quoted values: a doubled quote is one; backslashes escape.
        assert quoted.startswith("'")
        assert quoted.endswith("'")
        assert re.sub(r"''|\\(.)", lambda found: found[1] or "'", quoted[1:-1]) == value


@pytest.mark.parametrize("value", ["C:\\new", "\\", "a\\'b"])
def test_a_backslash_in_a_parameter_reaches_the_database_unchanged(value: str, tmp_path: Path) -> None:
    settings = f"postgres: {{parameters: {{log_line_prefix: {json.dumps(value)}}}}}\n"
    text = (
        rendering(tmp_path, WITH_POSTGRES, settings).public.files["compose/postgres/postgresql.conf"].content.decode()
    )
    assert "log_line_prefix = '" + value.replace("\\", "\\\\").replace("'", "''") + "'" in text


@pytest.mark.parametrize(
    ("name", "value"), [("work_mem", "1MB\nlisten_addresses = 'x"), ("work mem", "1MB"), ("a = 1 #", "x"), ("", "x")]
)
def test_a_parameter_cannot_add_lines_to_the_servers_file(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        rendering(tmp_path, WITH_POSTGRES, f"postgres: {{parameters: {{{json.dumps(name)}: {json.dumps(value)}}}}}\n")


ADOPTED = """\
services:
  web:
    image: nginx
    x-moorage: {port: 80, route: {paths: [/]}}
  db:
    image: postgres:16
    environment:
      POSTGRES_PASSWORD: ${PASSWORD}
      POSTGRES_USER: app
      TZ: Europe/Vienna
  cache:
    image: redis:7
    command: redis-server --requirepass ${CACHE_PASSWORD}
"""


@pytest.mark.parametrize(
    "password", ["hunter2-hunter2", "it has 'quotes' and \"more\"", "a$b${c}", "back\\slash", "ünïcödé"]
)
def test_passwords_of_adopted_databases_stay_private(password: str, tmp_path: Path) -> None:
    settings = "secrets: [PASSWORD, CACHE_PASSWORD]\n"
    rendered = rendering(tmp_path, ADOPTED, settings, secrets={"PASSWORD": password, "CACHE_PASSWORD": "cache-hunter2"})
    for secret in (password, "cache-hunter2"):
        assert not [path for path, content in texts(rendered).items() if secret.encode() in content]
    assert rendered.private.files["files/postgres_password"].content.decode() == password
    environment = compose_of(rendered)["services"]["db"]["environment"]
    assert environment == {"PGDATA": "/var/lib/postgresql/data", "TZ": "Europe/Vienna"}


def test_a_plain_password_of_an_adopted_database_is_made_private(tmp_path: Path) -> None:
    rendered = rendering(
        tmp_path, ADOPTED.replace("${PASSWORD}", "plain-hunter2").replace("${CACHE_PASSWORD}", "plain-cache")
    )
    for secret in ("plain-hunter2", "plain-cache"):
        assert not [path for path, content in texts(rendered).items() if secret.encode() in content]


@pytest.mark.parametrize(
    "source",
    [
        ".",
        "./",
        "../deployment",
        "..",
        "./rendered",
        "./rendered/compose",
        "./secrets",
    ],
)
def test_a_mount_of_the_deployments_own_folder_is_refused_or_shows_no_secret_and_does_not_grow(
    source: str, tmp_path: Path
) -> None:
    folder = tmp_path / "deployment"
    content = {
        "services": {
            "web": {
                "image": "x",
                "environment": {"A": "${EXTRA}"},
                "volumes": [f"{source}:/app:ro"],
                "x-moorage": {"port": 1, "route": {"paths": ["/"]}},
            }
        }
    }
    sizes = []
    folder_with(folder, {"rendered/compose/x": "x"})
    for _ in range(3):
        try:
            found = deployment(folder, content, "secrets: [EXTRA]\n", secrets={"EXTRA": "extra-secret"})
        except InputError:
            return
        rendered = flow.render(found.stack)
        rendered.public.write(found.rendered_folder)
        rendered.private.write(found.private_folder)
        sizes.append(len(rendered.public.files) + len(rendered.private.files))
        key = (folder / "secrets/recovery.key").read_bytes().strip()
        assert not [path for path, file in rendered.private.files.items() if key in file.content]
        for secret in every_secret(found):
            assert not [path for path, text in texts(rendered).items() if secret.encode() in text]
    assert len(set(sizes)) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (".", "${MOORAGE_SOURCES}"),
        ("./src/", "${MOORAGE_SOURCES}/src"),
        ("..", "${MOORAGE_SOURCES}/.."),
        ("/srv/src", "/srv/src"),
        ("https://github.com/example/app.git#v1:docker", "https://github.com/example/app.git#v1:docker"),
        ("git@github.com:example/app.git", "git@github.com:example/app.git"),
        ("github.com/example/app", "github.com/example/app"),
    ],
)
def test_a_build_starts_where_the_file_says(written: str, meant: str, tmp_path: Path) -> None:
    content = {"services": {"web": {"build": written, "x-moorage": {"port": 1, "route": {"paths": ["/"]}}}}}
    build = yaml.safe_load(rendering(tmp_path, content).public.files["compose/build.yaml"].content)
    assert build["services"]["web"]["build"]["context"] == meant.replace("MOORAGE_SOURCES", ASSETS_VARIABLE)


def test_a_secret_in_a_build_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    content = {
        "services": {
            "web": {
                "build": {"context": ".", "dockerfile_inline": "FROM x\nENV A=${EXTRA}"},
                "x-moorage": {"port": 1, "route": {"paths": ["/"]}},
            }
        }
    }
    with pytest.raises(InputError):
        rendering(tmp_path, content, "secrets: [EXTRA]\n", secrets={"EXTRA": "extra-secret"})


@pytest.mark.parametrize("value", [".nan", ".inf"])
@pytest.mark.parametrize("key", ["stop_grace_period: {}", "healthcheck: {{test: x, interval: {}}}"])
def test_a_time_that_is_no_number_is_a_problem_and_no_crash(key: str, value: str, tmp_path: Path) -> None:
    compose = (
        f"services:\n  web:\n    image: x\n    {key.format(value)}\n    x-moorage: {{port: 1, route: {{paths: [/]}}}}\n"
    )
    with pytest.raises(InputError):
        rendering(tmp_path, compose)
