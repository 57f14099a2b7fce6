"""`moorage init`: a moorage.yaml that is right the first time, or nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage import flow
from moorage.answers import Answers
from moorage.console import Console
from moorage.errors import InputError
from moorage.formats import read_yaml
from moorage.setup import initialise
from tests.unit.given import as_text, folder_with, problems

APP = {"services": {"web": {"image": "nginx", "ports": ["8080:80"], "environment": {"A": "${GREETING:-hi}"}}}}


def init(
    folder: Path,
    compose: Any = None,
    *,
    env_file: str | None = None,
    answers_file: Path | None = None,
    dry_run: bool = False,
    **answers: Any,
) -> None:
    files: dict[str, str | bytes | None] = {"compose.yaml": as_text(compose or APP)}
    if env_file is not None:
        files[".env"] = env_file
    folder_with(folder, files)
    usual: dict[str, Any] = {"domain": "notes.example.com", "tls": "off", "memory": "4Gi", "cpus": 2}
    initialise(
        folder,
        Console(quiet=True),
        Answers(**{**usual, **answers}),
        answers_file=answers_file,
        ask=False,
        dry_run=dry_run,
    )


def written(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(folder / "moorage.yaml").value
    return content


def listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_folder_with_a_compose_file_becomes_a_deployment(tmp_path: Path) -> None:
    init(tmp_path)
    content = written(tmp_path)
    assert (content["name"], content["app"], content["domain"], content["routes"]) == (
        "notes",
        "./compose.yaml",
        "notes.example.com",
        {"web": {"port": 80}},
    )
    assert (tmp_path / "secrets/recovery.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".gitignore").read_text() == "/secrets/\n/releases/\n/backups/\n"
    assert not (tmp_path / ".dockerignore").exists()
    assert not list(tmp_path.glob(".moorage*"))
    assert flow.open_deployment(tmp_path).stack.base_url == "http://notes.example.com"


def test_secrets_of_the_env_file_are_kept_and_not_written_down(tmp_path: Path) -> None:
    compose = {
        "services": {"web": {"image": "nginx", "ports": ["80"], "environment": {"A": "${API_TOKEN}", "B": "${SITE}"}}}
    }
    init(tmp_path, compose, env_file="API_TOKEN=s3cr3t-Zq\nSITE='it costs $5 #1'\n")
    assert "s3cr3t-Zq" not in (tmp_path / "moorage.yaml").read_text()
    assert written(tmp_path)["env"] == {"SITE": "it costs $5 #1"}
    web = flow.open_deployment(tmp_path).stack.service("web")
    assert web.secret_environment["A"].reveal() == "s3cr3t-Zq"
    assert web.environment == {"B": "it costs $5 #1"}


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    init(tmp_path, dry_run=True)
    assert listing(tmp_path) == {"compose.yaml"}


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    folder_with(tmp_path, {"moorage.yaml": "mine\n"})
    with pytest.raises(InputError, match="1 problem"):
        init(tmp_path)
    assert (tmp_path / "moorage.yaml").read_text() == "mine\n"
    assert listing(tmp_path) == {"compose.yaml", "moorage.yaml"}


@pytest.mark.parametrize(
    "answers",
    [
        {"domain": None},
        {"domain": "no domain"},
        {"domain": "https://notes.example.com"},
        {"tls": "nonsense"},
        {"tls": "letsencrypt"},
        {"email": "nonsense", "tls": "letsencrypt"},
        {"app": "./missing.yaml"},
        {"app": "ntoes"},
        {"name": "Not A Name"},
        {"name": "docker"},
        {"target": "swarm"},
        {"memory": "lots"},
        {"env": {"NOBODY": "x"}},
        {"routes": ("nobody:80",)},
    ],
)
def test_a_wrong_answer_is_refused_and_nothing_is_written(answers: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        init(tmp_path, **answers)
    assert listing(tmp_path) == {"compose.yaml"}


@pytest.mark.parametrize(
    ("environment", "env"),
    [
        (
            {"DB": "postgres://${POSTGRES_USER}:${POSTGRES_PASSWORD}@db/${POSTGRES_DB}"},
            "POSTGRES_USER=app\nPOSTGRES_PASSWORD=geheim123\nPOSTGRES_DB=app\n",
        ),
        ({"HOST": "${DOMAIN}"}, "DOMAIN=old.example.org\n"),
        ({"REDIS": "${REDIS_HOST}:${REDIS_PORT}"}, "REDIS_HOST=cache\nREDIS_PORT=6379\n"),
        ({"ENV": "${ENVIRONMENT}"}, "ENVIRONMENT=production\n"),
        ({"URL": "${BASE_URL}"}, "BASE_URL=https://old.example.org\n"),
    ],
)
def test_an_app_with_common_names_in_its_env_file_can_be_taken_over(
    environment: dict[str, str], env: str, tmp_path: Path
) -> None:
    compose = {"services": {"web": {"image": "nginx", "ports": ["80"], "environment": environment}}}
    init(tmp_path, compose, env_file=env)


def test_a_foreign_database_without_password_can_be_taken_over(tmp_path: Path) -> None:
    compose = {
        "services": {
            "web": {"image": "nginx", "ports": ["80"]},
            "db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "${POSTGRES_PASSWORD}"}},
        }
    }
    init(tmp_path, compose)


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("notes.example.com", "notes"),
        ("1und1.example.com", "app-1und1"),
        ("www.example.com", "www-app"),
        ("docker.example.com", "docker-app"),
        ("xn--mller-kva.de", "xn--mller-kva"),
        ("localhost", "localhost-app"),
        ("x" * 39 + ".example.com", "x" * 39),
        ("x" * 50 + ".example.com", "x" * 40),
        ("1" * 38 + ".example.com", "app-" + "1" * 36),
        ("a" * 39 + "-b.example.com", "a" * 39),
        ("a--b.example.com", "a-b"),
    ],
)  # fmt: skip
def test_the_name_follows_from_the_domain(domain: str, name: str, tmp_path: Path) -> None:
    init(tmp_path, domain=domain)
    assert written(tmp_path)["name"] == name


@pytest.mark.parametrize("app", ["compose.yaml", "./compose.yaml", ".", "./"])
def test_the_app_may_be_a_file_or_a_folder(app: str, tmp_path: Path) -> None:
    init(tmp_path, app=app)
    assert flow.open_deployment(tmp_path).app.name == app


def test_answers_come_from_a_file_and_options_win(tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text("domain: file.example.com\nname: from-file\nenv: {GREETING: 5}\nroutes: ['web:80']\n")
    init(tmp_path, answers_file=file, domain="option.example.com", name=None)
    content = written(tmp_path)
    assert (content["domain"], content["name"], content["env"]) == (
        "option.example.com",
        "from-file",
        {"GREETING": "5"},
    )


@pytest.mark.parametrize("text", ["nonsense: 1\n", "domian: x\n", "a: ["])
def test_a_wrong_file_of_answers_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(text)
    with pytest.raises(InputError):
        init(tmp_path, answers_file=file)


@pytest.mark.parametrize("text", ["- a\n", "word\n", "env: [a]\n", "routes: 5\n", "domain: [a]\n", "cpus: many\n"])
def test_a_file_of_answers_of_another_shape_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(text)
    with pytest.raises(InputError):
        init(tmp_path, answers_file=file)


VALUES = st.text(
    st.one_of(
        st.sampled_from("\"'\\#:{}[]&*!|>%@`$,\n\r\t -~?\x85\u2028\ufeff"), st.characters(blacklist_categories=("Cs",))
    ),
    max_size=15,
)


@given(value=VALUES)
def test_any_value_of_the_env_arrives(value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("init")
    folder_with(folder, {"compose.yaml": as_text(APP)})
    answers = Answers(domain="notes.example.com", tls="off", env={"GREETING": value}, memory="4Gi", cpus=2)
    try:
        initialise(folder, Console(quiet=True), answers, answers_file=None, ask=False, dry_run=False)
    except InputError as error:
        assert "is a secret" in str(error.problems)
        return
    assert written(folder)["env"] == {"GREETING": value}


@pytest.mark.parametrize(
    "value",
    ["\x7f", "a\x80b", "1e-3", "a\nb\n", "yes", "x: y # z", "a, {b}", "-----\nA\n-----\n", "~", "\ufeffa", " a "],
)
def test_any_sign_of_an_env_file_arrives(value: str, tmp_path: Path) -> None:
    init(tmp_path, env={"GREETING": value})
    assert written(tmp_path)["env"] == {"GREETING": value}


@pytest.mark.parametrize(
    ("text", "place", "rule"),
    [
        ("- a\n", "answers.yaml:1:1", "must be a mapping of answers, such as `domain: …`"),
        ("cpus: many\n", "answers.yaml:1:7", "must be a whole number of at least 1"),
        ("wildcard: yes\n", "answers.yaml:1:11", "must be true or false"),
        ("env: {A: [b]}\n", "answers.yaml:1:6", "must be a mapping of names and values"),
        ("routes: web:80\n", "answers.yaml:1:9", "must be a list of texts"),
    ],
)
def test_a_wrong_answer_of_a_file_is_shown_at_its_place(text: str, place: str, rule: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.yaml"
    file.write_text(text)
    (problem,) = problems(lambda: init(tmp_path, answers_file=file))
    assert (str(problem.place), problem.rule) == (place, rule)


@pytest.mark.parametrize(
    "answers",
    [
        {"memory": "4Gi\n  cpus: 99"},
        {"challenge": "nonsense", "tls": "letsencrypt", "email": "a@example.com"},
        {"name": "a\nb"},
        {"target": "compose\ntls: {}"},
        {"app": "a" * 300},
    ],
)
def test_no_answer_writes_more_than_its_own_line(answers: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        init(tmp_path, **answers)
    assert listing(tmp_path) == {"compose.yaml"}


def test_one_service_may_have_several_routes(tmp_path: Path) -> None:
    init(tmp_path, routes=("web:80", "admin=web:9000"))
    assert written(tmp_path)["routes"] == {"web": [{"port": 80}, {"port": 9000, "host": "admin"}]}


@pytest.mark.parametrize(
    ("services", "rule"),
    [
        (
            {"a": {"image": "x", "ports": ["3000:3000"]}, "b": {"image": "x", "ports": ["4000:4000"]}},
            "moorage init: --route: is needed: the site could be a:3000 or b:4000 → --route a:3000",
        ),
        (
            {"worker": {"image": "x"}, "app": {"image": "x"}},
            "moorage init: --route: is needed: the file publishes no port that could be the site → "
            "name the service and the port inside its container, for instance `--route app:80`",
        ),
    ],
)
def test_a_site_that_is_not_clear_must_be_named(services: dict[str, Any], rule: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        init(tmp_path, {"services": services})
    assert [str(problem) for problem in caught.value.problems] == [rule]


def test_an_unclear_site_is_asked_until_the_answer_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter(["nonsense", "worker", "b:99999", "b:4000"])
    monkeypatch.setattr(Console, "is_interactive", staticmethod(lambda: True))
    monkeypatch.setattr(Console, "ask", lambda *_: next(given))
    services = {"a": {"image": "x", "ports": ["3000:3000"]}, "b": {"image": "x", "ports": ["4000:4000"]}}
    folder_with(tmp_path, {"compose.yaml": as_text({"services": services})})
    answers = Answers(app="./compose.yaml", domain="a.example.com", tls="off", memory="4Gi", cpus=2)
    initialise(tmp_path, Console(quiet=True), answers, answers_file=None, ask=True, dry_run=False)
    assert written(tmp_path)["routes"] == {"b": {"port": 4000}}


def test_an_unclear_site_is_told_together_with_what_else_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        init(tmp_path, {"services": {"worker": {"image": "x", "privileged": True}}})
    assert {problem.key for problem in caught.value.problems} == {"--route", "services.worker.privileged"}


def test_a_permission_can_be_given_before_there_is_a_file_to_write_it_into(tmp_path: Path) -> None:
    services = {"web": {"image": "x", "ports": ["80:80"], "volumes": ["/var/run/docker.sock:/s", "/srv/a b:/m:ro"]}}
    with pytest.raises(InputError) as caught:
        init(tmp_path, {"services": services})
    assert "--permit docker_access=SERVICE" in caught.value.hint
    init(tmp_path, {"services": services}, permit=("docker_access=web", "host_paths=/srv/a b"))
    assert written(tmp_path)["permissions"] == {"docker_access": ["web"], "host_paths": ["/srv/a b"]}


@pytest.mark.parametrize("permit", ["docker_access", "docker=web", "privileged=", "=web"])
def test_a_permission_of_another_form_is_refused(permit: str, tmp_path: Path) -> None:
    (problem,) = problems(lambda: init(tmp_path, permit=(permit,)))
    assert problem.key == "--permit"


def test_a_variable_without_a_value_is_given_beside_the_compose_file(tmp_path: Path) -> None:
    content = {"services": {"web": {"image": "x:${TAG}", "ports": ["80:80"]}}}
    with pytest.raises(InputError) as caught:
        init(tmp_path, content)
    assert "taken from a .env" in caught.value.hint
    init(tmp_path, content, env_file="TAG=1.2\n")
    assert written(tmp_path)["env"] == {"TAG": "1.2"}


def test_a_mistake_says_that_moorage_yaml_is_not_written_yet(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        init(tmp_path, domain="no domain")
    assert "would have written" in error.value.hint


def test_secrets_of_an_app_that_names_its_env_file_stay_out_of_the_rendered_folder(tmp_path: Path) -> None:
    compose = {"services": {"web": {"image": "nginx", "ports": ["80"], "env_file": ".env"}}}
    init(tmp_path, compose, env_file="DB_PASSWORD=hunter22-Zq\nSITE=x\n")
    rendered = flow.render(flow.open_deployment(tmp_path).stack)
    assert not [path for path, file in rendered.public.files.items() if b"hunter22-Zq" in file.content]
    assert b"hunter22-Zq" in rendered.private.files["env/web.env"].content
    assert written(tmp_path)["secrets"] == ["DB_PASSWORD"]
    assert (tmp_path / "secrets/compose/values/DB_PASSWORD").read_text() == "hunter22-Zq\n"


def test_a_gitignore_is_completed_and_not_replaced(tmp_path: Path) -> None:
    folder_with(tmp_path, {".gitignore": "*.log\n/secrets/"})
    init(tmp_path)
    assert (tmp_path / ".gitignore").read_text().split() == ["*.log", "/secrets/", "/releases/", "/backups/"]


def test_what_is_secret_or_large_stays_out_of_images_made_of_the_same_folder(tmp_path: Path) -> None:
    folder_with(tmp_path, {"Dockerfile": "FROM scratch\nCOPY . .\n", ".dockerignore": "*.log"})
    init(tmp_path, {"services": {"web": {"build": ".", "ports": ["8080:80"]}}})
    lines = (tmp_path / ".dockerignore").read_text().split()
    assert lines == ["*.log", "/secrets/", "/releases/", "/backups/", "/rendered/"]
