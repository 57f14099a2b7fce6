"""Limits that hold: logs inside their budget, a hog ended by the kernel, values that arrive unchanged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.site import Site, docker

pytestmark = pytest.mark.docker

SPITEFUL = {
    "QUOTES": 'it\'s "quoted" `twice`',
    "DOLLARS": "$HOME ${PATH} $$ $(id) $",
    "HASH": "value # not a comment #",
    "SPACES": "  leading and trailing  ",
    "JSON": '{"a": [1, "two", null], "b": "c\\\\d"}',
    "UNICODE": "ünïcödé ✓ 日本語",
    "BACKSLASH": "C:\\new\\table\\",
    "EQUALS": "a=b=c",
    "PERCENT": "100%s %d",
    "LINES": "first\nsecond\n",
    "EMPTY": "",
    "NUMBERLIKE": "0755",
    "BOOLLIKE": "yes",
    "TAB": "a\tb",
}


def _own_app(site: Site, compose: dict[str, Any], **settings: Any) -> None:
    (site.folder / "compose.yaml").write_text(yaml.safe_dump(compose, allow_unicode=True), encoding="utf-8")
    site.write(app="./compose.yaml", **settings)


def test_spiteful_values_arrive_unchanged(make_site: Callable[..., Site]) -> None:
    """Plain ones through compose.yaml, secret ones through an env file, both through the real program."""
    site = make_site()
    names = list(SPITEFUL)
    environment = {name: f"${{{name}}}" for name in names} | {f"SECRET_{name}": f"${{SECRET_{name}}}" for name in names}
    _own_app(
        site,
        {
            "services": {
                "web": {"image": "nginx:stable", "environment": environment, "labels": {"note": "$$literal ${QUOTES}"}}
            }
        },
        env=SPITEFUL,
        secrets=[f"SECRET_{name}" for name in names if name != "EMPTY"],
        routes={"web": {"port": 80}},
    )
    for name in names:
        if name != "EMPTY":
            value = SPITEFUL[name]
            outcome = site.moorage("secrets", "set", f"SECRET_{name}", stdin=value + "\n")
            assert outcome.status == 0, outcome.text
    site.write(env={**SPITEFUL, "SECRET_EMPTY": ""})
    outcome = site.up()
    assert outcome.status == 0, outcome.text
    found = json.loads(docker("inspect", "--format", "{{json .Config.Env}}", site.container("web")))
    arrived = dict(item.split("=", 1) for item in found)
    for name in names:
        assert arrived[name] == SPITEFUL[name], name
        assert arrived[f"SECRET_{name}"] == SPITEFUL[name], name
    labels = json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", site.container("web")))
    assert labels["note"] == f"$literal {SPITEFUL['QUOTES']}"


def test_a_talkative_container_stays_inside_its_log_budget(make_site: Callable[..., Site]) -> None:
    site = make_site()
    talk = "i=0; while [ $$i -lt 500 ]; do head -c 1000000 /dev/zero | tr '\\0' 'x' | fold -w 999; i=$$((i+1)); done; echo finished; sleep 3600"
    _own_app(
        site,
        {
            "services": {
                "web": {"image": "nginx:stable"},
                "talker": {"image": "busybox:stable", "command": ["sh", "-c", talk]},
            }
        },
        routes={"web": {"port": 80}},
        logs={"total": "48Mi", "max_files": 2},
    )
    assert site.up().status == 0
    container = site.container("talker")
    budget = 0
    for line in (
        site.must("render").output,
        (site.folder / "rendered" / "compose" / "compose" / "compose.yaml").read_text(),
    ):
        for service in (yaml.safe_load(line) or {}).get("services", {}).values():
            options = (service.get("logging") or {}).get("options")
            if options and service.get("command", [""])[:1] == ["sh"]:
                budget = int(options["max-size"].removesuffix("k")) * 1024 * int(options["max-file"])
    assert 0 < budget < 48 * 1024 * 1024
    place = Path(docker("inspect", "--format", "{{.LogPath}}", container).strip()).parent
    end = time.monotonic() + 300
    largest = 0
    while time.monotonic() < end:
        largest = max(largest, sum(path.stat().st_size for path in place.glob("*.log*") if path.exists()))
        if "finished" in docker("logs", "--tail", "1", container, check=False):
            break
        time.sleep(0.2)
    else:
        pytest.fail("the talker did not come to its end")
    # One message may go over the mark before the file is turned.
    assert largest <= budget + 64 * 1024
    assert largest > budget // 4


def test_the_memory_limit_ends_a_hog_and_the_stack_recovers(make_site: Callable[..., Site]) -> None:
    site = make_site()
    hog = (
        "while [ ! -e /tmp/eat ]; do sleep 0.2; done; rm /tmp/eat; echo eating; tail -c 200m /dev/zero && echo survived"
    )
    _own_app(
        site,
        {
            "services": {
                "web": {"image": "nginx:stable"},
                "hog": {"image": "busybox:stable", "command": ["sh", "-c", hog], "mem_limit": "48m", "tmpfs": ["/tmp"]},
            }
        },
        routes={"web": {"port": 80}},
    )
    assert site.up().status == 0
    container = site.container("hog")
    docker("exec", container, "touch", "/tmp/eat")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        facts = json.loads(docker("inspect", container))[0]
        if facts["RestartCount"] >= 1 and facts["State"]["Running"]:
            break
        time.sleep(0.3)
    assert facts["RestartCount"] >= 1
    assert "survived" not in docker("logs", container)
    assert site.request("GET", "/").status == 200
    assert site.moorage("status").status == 0


def test_a_foreign_file_comes_up_as_it_is_hardened(make_site: Callable[..., Site]) -> None:
    """A Compose file that knows nothing of moorage: databases adopted, ports closed, configuration copied."""
    site = make_site()
    site.remove()
    site.folder.mkdir(parents=True)
    (site.folder / "nginx.conf").write_text(
        "server { listen 80; location / { proxy_pass http://app:8000; proxy_set_header Host $host; } }\n",
        encoding="utf-8",
    )
    (site.folder / ".env").write_text(
        'DB_PASSWORD=blog\'s-"password"\nSITE_NAME=Bring your own\nFERNET=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n',
        encoding="utf-8",
    )
    (site.folder / "compose.yaml").write_text(FOREIGN, encoding="utf-8")
    made = site.moorage(
        "init",
        "--app",
        "./compose.yaml",
        "--domain",
        "notes.example.com",
        "--tls",
        "internal-ca",
        "--name",
        site.name,
        "--route",
        "proxy:80",
        "--yes",
    )
    assert made.status == 0, made.text
    assert "is run by moorage as its Postgres" in made.errors
    config = (site.folder / "moorage.yaml").read_text(encoding="utf-8")
    assert "blog's" not in config
    settings = yaml.safe_load(config)
    assert settings["env"]["SITE_NAME"] == "Bring your own"
    assert settings["secrets"] == ["DB_PASSWORD", "FERNET"]
    settings["edge"] = {"http_port": site.http_port, "https_port": site.https_port}
    site.settings = {}
    site.write(**settings)
    outcome = site.up()
    assert outcome.status == 0, outcome.text
    assert site.request("GET", "/health").json()["status"] == "ok"
    assert site.request("GET", "/api/about").json()["site_name"] == "Bring your own"
    for service in ("db", "cache"):
        facts = json.loads(docker("inspect", site.container(service)))[0]
        assert not any((facts["HostConfig"]["PortBindings"] or {}).values())
        assert facts["HostConfig"]["Memory"] > 0
    conf = docker(
        "exec",
        site.container("db"),
        "psql",
        "-U",
        "blog",
        "-d",
        "blog",
        "-tAc",
        "SHOW max_connections; SHOW wal_compression",
    )
    assert conf.split() == ["42", "lz4"]
    assert site.moorage("plan").status == 0
    made_note = site.request("POST", "/api/notes", {"title": "kept", "body": "b"}).json()["id"]
    assert site.must("down")
    assert site.up().status == 0
    assert site.request("GET", f"/api/notes/{made_note}").status == 200


FOREIGN = """\
services:
  proxy:
    image: nginx:stable
    ports: ["80:80", "443:443"]
    volumes: ["./nginx.conf:/etc/nginx/conf.d/default.conf"]
    depends_on: [app]
  app:
    image: notes:latest
    container_name: blog_app
    environment: &environment
      DATABASE_URL: postgresql://blog:blog%27s-%22password%22@db:5432/blog
      DATABASE_PASSWORD: ${DB_PASSWORD}
      REDIS_URL: redis://cache:6379/0
      SECRET_KEY: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
      NOTES_ENCRYPTION_KEY: ${FERNET}
      SITE_NAME: ${SITE_NAME}
    volumes: ["uploads:/srv/uploads"]
    depends_on:
      migrate: {condition: service_completed_successfully}
      cache: {condition: service_started}
    restart: unless-stopped
  migrate:
    image: notes:latest
    command: python3 -m notes.migrate
    environment: *environment
    depends_on:
      db: {condition: service_healthy}
  db:
    image: postgres:15
    command: postgres -c max_connections=42
    ports: ["5432:5432"]
    environment: {POSTGRES_USER: blog, POSTGRES_PASSWORD: "${DB_PASSWORD}"}
    volumes: ["dbdata:/var/lib/postgresql/data"]
    healthcheck: {test: ["CMD-SHELL", "pg_isready -U blog"], interval: 5s}
  cache:
    image: redis:7
    ports: ["6379:6379"]
volumes: {uploads: , dbdata: }
"""
