"""What a foreign Compose file tells about itself: its site, its variables, its secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moorage.carrying import Inferred, InferredRoute
from moorage.errors import InputError
from moorage.inference import infer
from tests.unit.given import as_text, folder_with


def look(folder: Path, services: dict[str, Any], *chosen: str, env: str | None = None, **top: Any) -> Inferred:
    files: dict[str, str | bytes | None] = {"compose.yaml": as_text({"services": services, **top})}
    if env is not None:
        files[".env"] = env
    folder_with(folder, files)
    return infer(folder, "./compose.yaml", chosen)


def web(**keys: Any) -> dict[str, Any]:
    return {"image": "nginx", **keys}


POSTGRES = {"image": "postgres:16", "ports": ["5432:5432"], "environment": {"POSTGRES_PASSWORD": "p"}}


# The site.


@pytest.mark.parametrize(
    ("services", "route"),
    [
        ({"web": web(ports=["8080:80"])}, ("web", 80)),
        ({"web": web(ports=["8080:80"]), "db": POSTGRES}, ("web", 80)),
        ({"web": web(ports=["80:80", "443:443"])}, ("web", 80)),
        ({"git": web(ports=["3000:3000", "2222:22"])}, ("git", 3000)),
        ({"app": web(ports=["3000:3000"]), "api": web(ports=["4000:4000"])}, ("app", 3000)),
        ({"x": web(ports=["8080:8080"]), "y": web(ports=["4000:4000"])}, ("x", 8080)),
        ({"web": web(expose=["8000"])}, ("web", 8000)),
        ({"web": web(ports=["8000"]), "other": web(expose=["9000"])}, ("web", 8000)),
        ({"web": web(ports=["8000"]), "debug": web(ports=["9000"], profiles=["debug"])}, ("web", 8000)),
        ({"web": web(ports=["8000:8000/udp", "80:80"])}, ("web", 80)),
        ({"web": web(ports=[{"target": 8000, "published": 80}])}, ("web", 8000)),
        ({"wiki": web(ports=["80:3000", "443:3443"])}, ("wiki", 3000)),
        ({"server": web(ports=["9000:9000", "9443:9443"])}, ("server", 9000)),
        ({"x-worker": web(ports=["127.0.0.1:3030:3030"]), "x-web": web(ports=["3000:3000"])}, ("x-web", 3000)),
        ({"store": web(image="minio/minio", ports=["9000", "9001"]), "site": web(ports=["8000:8000"])}, ("site", 8000)),
        ({"proxy": web(ports=["80:80"]), "app": web(ports=["8000:8000"])}, ("proxy", 80)),
        ({"acme": web(image="acme/acme", ports=["5000:5000"]), "x": web(ports=["6000:6000"])}, ("acme", 5000)),
        ({"store": web(image="minio/minio", ports=["9000:9000"])}, ("store", 9000)),
    ],
)
def test_a_clear_site_is_taken(services: dict[str, Any], route: tuple[str, int], tmp_path: Path) -> None:
    assert look(tmp_path, services).routes == [InferredRoute(*route)]


@pytest.mark.parametrize(
    ("services", "candidates"),
    [
        ({"a": web(ports=["3000:3000"]), "b": web(ports=["4000:4000"])}, [("a", 3000), ("b", 4000)]),
        ({"web": web(ports=["3000:3000"]), "app": web(ports=["4000:4000"])}, [("web", 3000), ("app", 4000)]),
        (
            {
                "store": web(image="quay.io/minio/minio:1", ports=["9000:9000"]),
                "a": web(ports=["1:1"]),
                "b": web(ports=["2:2"]),
            },
            [("a", 1), ("b", 2), ("store", 9000)],
        ),
        ({"worker": web()}, []),
        ({"db": POSTGRES}, []),
        ({"mail": web(ports=["25:25", "143:143"])}, []),
    ],
)
def test_an_unclear_site_is_left_to_a_person(
    services: dict[str, Any], candidates: list[tuple[str, int]], tmp_path: Path
) -> None:
    found = look(tmp_path, services)
    assert (found.routes, found.candidates) == ([], candidates)


@pytest.mark.parametrize(
    ("chosen", "route"),
    [
        ("a:3000", InferredRoute("a", 3000)),
        ("a", InferredRoute("a", 3000)),
        ("admin=b:4000", InferredRoute("b", 4000, "admin")),
        ("other.example.org=b", InferredRoute("b", 4000, "other.example.org")),
        ("a:9999", InferredRoute("a", 9999)),
    ],
)
def test_the_chosen_site_is_taken(chosen: str, route: InferredRoute, tmp_path: Path) -> None:
    services = {"a": web(ports=["3000:3000"]), "b": web(ports=["4000:4000"])}
    assert look(tmp_path, services, chosen).routes == [route]


@pytest.mark.parametrize("chosen", ["nobody:80", "worker", "worker:http", "worker:", "=a", "a:80:90"])
def test_a_choice_that_cannot_be_is_refused(chosen: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        look(tmp_path, {"a": web(), "worker": web()}, chosen)


def test_a_route_of_the_app_itself_is_enough(tmp_path: Path) -> None:
    found = look(tmp_path, {"web": web(ports=["80:80"], **{"x-moorage": {"port": 80, "route": {"paths": ["/"]}}})})
    assert (found.routes, found.candidates) == ([], [])


@pytest.mark.parametrize(
    ("ports", "is_told"), [(["80:80", "443:443"], True), (["80:80"], False), (["9000", "9443"], False)]
)
def test_a_site_with_https_of_its_own_is_told_of_the_circle(ports: list[str], is_told: bool, tmp_path: Path) -> None:
    told = [notice.text for notice in look(tmp_path, {"web": web(ports=ports)}).notices]
    assert any("in a circle" in text for text in told) is is_told


def test_closed_ports_are_told_with_the_line_that_opens_them(tmp_path: Path) -> None:
    services = {
        "web": web(ports=["80:80", "443:443"]),
        "admin": web(ports=["9000:9000"]),
        "git": web(ports=["127.0.0.1:2222:22"]),
        "db": POSTGRES,
    }
    text = "\n".join(look(tmp_path, services, "web:80").comments)
    assert "routes: {admin: {port: 9000, host: admin}}" in text
    assert "publish: [{service: git, port: 2222, target: 22}]" in text
    assert "db" not in text
    assert "443" not in text


def test_the_line_that_opens_a_port_names_the_port_of_the_host(tmp_path: Path) -> None:
    services = {"web": web(ports=["80:80"]), "git": web(ports=["2222:22"])}
    assert "publish: [{service: git, port: 2222, target: 22}]" in "\n".join(look(tmp_path, services, "web:80").comments)


# Variables.


def test_values_are_carried_from_the_env_file_and_secrets_apart(tmp_path: Path) -> None:
    services = {
        "web": web(environment={"A": "${SITE_NAME}", "B": "${API_TOKEN}", "C": "${DATABASE_URL}"}, ports=["80"])
    }
    found = look(
        tmp_path,
        services,
        env="SITE_NAME=My site\nAPI_TOKEN=abc123\nDATABASE_URL=postgres://u:hunter22@db/x\nUNUSED=x\n",
    )
    assert found.env == {"SITE_NAME": "My site"}
    assert found.secret_names == ["API_TOKEN", "DATABASE_URL"]
    assert found.secret_values["API_TOKEN"].reveal() == "abc123"
    text = " ".join(notice.text for notice in found.notices)
    assert "API_TOKEN" in text
    assert "abc123" not in text + repr(found)


@pytest.mark.parametrize(
    "environment",
    [
        {"SMTP_PASSWORD": "${MAIL}"},
        ["SMTP_PASSWORD=${MAIL:-x}"],
        {"URL": "amqp://user:${MAIL}@broker/"},
        {"TOKEN": "Bearer $MAIL"},
    ],
)
def test_a_value_that_is_used_as_a_secret_is_one(environment: Any, tmp_path: Path) -> None:
    found = look(tmp_path, {"web": web(environment=environment, ports=["80"])}, env="MAIL=hunter22\n")
    assert (found.secret_names, found.env) == (["MAIL"], {})


def test_a_switch_is_no_secret_wherever_it_is_used(tmp_path: Path) -> None:
    environment = {"USE_TOKEN": "${SWITCH}", "URL": "https://${NAME}:80/$$MAIL"}
    found = look(tmp_path, {"web": web(environment=environment, ports=["80"])}, env="SWITCH=true\nNAME=x\n")
    assert found.env == {"SWITCH": "true", "NAME": "x"}


def test_a_secret_without_value_is_made(tmp_path: Path) -> None:
    services = {
        "web": web(environment={"A": "${SECRET_KEY}", "B": "${OTHER_SECRET:-}", "C": "${PLAIN:-x}"}, ports=["80"])
    }
    found = look(tmp_path, services)
    assert found.secret_names == ["SECRET_KEY"]
    assert len(found.secret_values["SECRET_KEY"].reveal()) == 64
    assert found.secret_values["SECRET_KEY"].reveal() not in " ".join(notice.text for notice in found.notices)


def test_a_name_alone_counts_as_used(tmp_path: Path) -> None:
    found = look(tmp_path, {"web": web(environment={"TOKEN": None}, ports=["80"])}, env="TOKEN=abc\n")
    assert found.secret_names == ["TOKEN"]


@pytest.mark.parametrize(
    ("keys", "top"),
    [({"environment": ["API_TOKEN"]}, {}), ({"secrets": ["s"]}, {"secrets": {"s": {"environment": "API_TOKEN"}}})],
)
def test_every_way_of_using_a_variable_counts(keys: dict[str, Any], top: dict[str, Any], tmp_path: Path) -> None:
    found = look(tmp_path, {"web": web(ports=["80"], **keys)}, env="API_TOKEN=abc\n", **top)
    assert found.secret_names == ["API_TOKEN"]


def test_a_broken_env_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        look(tmp_path, {"web": web(ports=["80"])}, env="A=${\n")
    assert str(error.value.problems[0].place) == ".env:1:1"


def test_an_example_is_not_taken_for_the_real_file(tmp_path: Path) -> None:
    folder_with(tmp_path, {".env.example": "A=x\n"})
    found = look(tmp_path, {"web": web(environment={"A": "${A:-y}"}, ports=["80"])})
    assert found.env == {}
    assert any(".env.example" in notice.text for notice in found.notices)


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "REDIS_PASSWORD"])
def test_a_password_of_a_foreign_database_is_made_as_any_other(name: str, tmp_path: Path) -> None:
    found = look(
        tmp_path,
        {
            "web": web(ports=["80"]),
            "db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": f"${{{name}}}"}},
        },
    )
    assert found.secret_names == [name]


@pytest.mark.parametrize(
    ("environment", "env", "name"),
    [
        ({"POSTGRES_PASSWORD": "${DB_PASS}"}, "DB_PASS=\n", "DB_PASS"),
        ({"POSTGRES_PASSWORD": "${DB_PASS:-}"}, "", "DB_PASS"),
        ({"POSTGRES_PASSWORD": None}, "", "POSTGRES_PASSWORD"),
        (["POSTGRES_PASSWORD"], "", "POSTGRES_PASSWORD"),
        (["POSTGRES_PASSWORD=${PW}", "POSTGRES_DB=x"], "", "PW"),
    ],
)
def test_a_database_whose_password_is_empty_gets_one(environment: Any, env: str, name: str, tmp_path: Path) -> None:
    found = look(
        tmp_path, {"web": web(ports=["80"]), "db": {"image": "postgres:16", "environment": environment}}, env=env
    )
    assert found.secret_names == [name]
    assert len(found.secret_values[name].reveal()) == 64
    assert name not in found.env


@pytest.mark.parametrize(
    "environment",
    [
        {"POSTGRES_PASSWORD": "given"},
        {"POSTGRES_PASSWORD": "${PW:-given}"},
        {"POSTGRES_PASSWORD_FILE": "/run/secrets/x"},
        {"POSTGRES_HOST_AUTH_METHOD": "trust", "POSTGRES_PASSWORD": "${PW:-}"},
        {"POSTGRES_PASSWORD": ""},
        {},
        True,
        5,
    ],
)
def test_a_database_that_needs_no_password_gets_none(environment: Any, tmp_path: Path) -> None:
    assert look(tmp_path, {"db": {"image": "postgres:16", "environment": environment}}).secret_names == []


def test_what_moorage_knows_better_is_not_carried_but_told(tmp_path: Path) -> None:
    environment = {"A": "${DOMAIN} ${ENVIRONMENT} ${IMAGE_TAG} ${PROTOCOL}"}
    env = "DOMAIN=old.example.org\nENVIRONMENT=production\nIMAGE_TAG=1.2\nPROTOCOL=http\n"
    found = look(tmp_path, {"web": web(ports=["80"], environment=environment)}, env=env)
    assert found.env == {"ENVIRONMENT": "production", "IMAGE_TAG": "1.2"}
    assert any("DOMAIN, PROTOCOL: set by moorage" in notice.text for notice in found.notices)


def test_values_of_declared_variables_are_carried_too(tmp_path: Path) -> None:
    top = {"x-moorage": {"variables": {"SMTP_HOST": {}, "API_URL": {"secret": True}, "OTHER": {"secret": True}}}}
    environment = {"A": "${SMTP_HOST} ${API_URL} ${OTHER}"}
    env = "SMTP_HOST=mail\nAPI_URL=https://x/y\n"
    found = look(tmp_path, {"web": web(ports=["80"], environment=environment)}, env=env, **top)
    assert found.env == {"SMTP_HOST": "mail"}
    assert found.secret_names == ["API_URL"]


@pytest.mark.parametrize("value", ["", "x"])
def test_a_declared_secret_is_never_carried_in_the_open(value: str, tmp_path: Path) -> None:
    top = {"x-moorage": {"variables": {"API_URL": {"secret": True}}}}
    found = look(tmp_path, {"web": web(ports=["80"], labels={"a": "${API_URL}"})}, env=f"API_URL={value}\n", **top)
    assert found.env == {}


def test_secrets_of_env_files_are_moved_to_the_others(tmp_path: Path) -> None:
    folder_with(
        tmp_path,
        {
            "app.env": "SITE=x\nDB_PASSWORD=hunter22\nDB=postgres://u:${DB_PASSWORD}@db/x\nOWN_TOKEN=a\nEMPTY_TOKEN=\ndb.password=x\nSAME_TOKEN=$DB_PASSWORD\n",
            "other.env": "DB_PASSWORD=hunter22\nOWN_TOKEN=b\n",
        },
    )
    services = {"web": web(ports=["80"], env_file="app.env"), "other": web(env_file=["other.env"])}
    found = look(tmp_path, services)
    # Of a name with two values each service keeps its own, out of the rendered folder all the same.
    assert found.secret_names == ["DB_PASSWORD"]
    assert found.secret_values["DB_PASSWORD"].reveal() == "hunter22"
    assert found.env == {}
    assert any("DB_PASSWORD" in notice.text for notice in found.notices)


def test_the_chosen_profiles_are_carried(tmp_path: Path) -> None:
    services = {"web": web(ports=["80"]), "extra": web(profiles=["more"])}
    assert look(tmp_path, services, env="COMPOSE_PROFILES=more\n").env == {"COMPOSE_PROFILES": "more"}
    assert look(tmp_path / "none", {"web": web(ports=["80"])}, env="COMPOSE_PROFILES=more\n").env == {}


@pytest.mark.parametrize(
    ("files", "env", "subject"),
    [
        ({"compose.override.yaml": "services: {}\n"}, "", "compose.override.yaml"),
        ({"docker-compose.override.yml": "services: {}\n"}, "", "docker-compose.override.yml"),
        ({}, "COMPOSE_FILE=compose.yaml:more.yaml\n", ".env"),
        ({}, "COMPOSE_FILE=compose.yaml\n", ""),
    ],
)
def test_other_files_that_compose_would_have_read_are_told(
    files: dict[str, str], env: str, subject: str, tmp_path: Path
) -> None:
    folder_with(tmp_path, files)
    found = look(tmp_path, {"web": web(ports=["80"])}, env=env)
    assert [notice.subject for notice in found.notices if "merge them" in notice.text] == ([subject] if subject else [])


def test_a_file_without_services_is_told_as_that(tmp_path: Path) -> None:
    folder_with(tmp_path, {"compose.yaml": "services: [web]\n"})
    with pytest.raises(InputError) as error:
        infer(tmp_path, "./compose.yaml", ("web:80",))
    assert [problem.key for problem in error.value.problems] == ["services"]


@pytest.mark.parametrize(("line", "value"), [("DB_PASSWORD=hunter22\n", "hunter22"), ("DB_PASSWORD=\n", ""), ("", "")])
def test_a_password_of_an_env_file_is_better_than_a_random_one(line: str, value: str, tmp_path: Path) -> None:
    folder_with(tmp_path, {"app.env": line})
    database = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "${DB_PASSWORD}"}}
    found = look(tmp_path, {"web": web(ports=["80"], env_file="app.env"), "db": database})
    kept = found.secret_values["DB_PASSWORD"].reveal()
    assert kept == value or (not value and len(kept) == 64)
    assert any("a random one was made" in notice.text for notice in found.notices) == (not value)


def test_one_name_for_two_secrets_is_refused(tmp_path: Path) -> None:
    folder_with(tmp_path, {"app.env": "API_TOKEN=other\n"})
    with pytest.raises(InputError) as error:
        look(
            tmp_path, {"web": web(ports=["80"], env_file="app.env", labels={"a": "${API_TOKEN}"})}, env="API_TOKEN=a\n"
        )
    assert "API_TOKEN has another value" in str(error.value.problems)
    assert "other" not in str(error.value.problems).replace("another", "")


def test_variables_of_env_files_are_carried(tmp_path: Path) -> None:
    folder_with(tmp_path, {"app.env": "URL=https://${HOST_NAME}/\n"})
    found = look(tmp_path, {"web": web(ports=["80"], env_file="app.env")}, env="HOST_NAME=x.example.org\nOTHER=1\n")
    assert found.env == {"HOST_NAME": "x.example.org"}


def test_a_range_of_closed_ports_is_one_line(tmp_path: Path) -> None:
    services = {"web": web(ports=["80:80"]), "turn": web(ports=["49152-65535:49152-65535/udp", "3478:3478/udp"])}
    assert look(tmp_path, services, "web:80").comments == [
        "closed: turn:49152-65535 (UDP). To open them: one line under `publish` for each that is needed",
        "closed: turn:3478 (UDP). To open it: `publish: [{service: turn, port: 3478, target: 3478, protocol: udp}]`",
    ]


@pytest.mark.parametrize("chosen", ["a:80:90", "a:", "a:0", "a:65536", "a:http", "a:²"])
def test_a_port_that_is_none_is_not_guessed(chosen: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        look(tmp_path, {"a": web(ports=["3000:3000"])}, chosen)


def test_a_file_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert infer(tmp_path, "./compose.yaml", ()) == Inferred()


def test_a_shipped_app_needs_no_inference(tmp_path: Path) -> None:
    assert infer(tmp_path, "notes", ()) == Inferred()
