"""Postgres, Redis and the edge: how large they are, how they are reached, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.sensitive import Sensitive
from moorage.stack.model import BundledPostgres, BundledRedis, ExternalPostgres, ExternalRedis, Host, Stack
from moorage.stack.platform.postgres import SMALLEST_MEMORY, usable_memory
from tests.unit.given import as_text, deployment, problems

NEEDS: dict[str, Any] = {
    "x-moorage": {"requires": {"postgres": {"database": "notes", "user": "notes"}, "redis": {}}},
    "services": {
        "web": {
            "image": "nginx:1.27",
            "environment": {
                "DB": "${POSTGRES_HOST}:${POSTGRES_PORT}/${POSTGRES_DB}",
                "USER": "${POSTGRES_USER}",
                "REDIS": "${REDIS_URL}",
            },
            "x-moorage": {"port": 80, "route": {"paths": ["/"]}, "resources": {"memory": "128Mi"}},
        }
    },
}


def stack(folder: Path, settings: str = "", compose: Any = None, **more: Any) -> Stack:
    return deployment(folder, compose or NEEDS, settings, **more).stack


def refused(folder: Path, settings: str, compose: Any = None, **more: Any) -> list[str]:
    return [f"{problem.key}: {problem.rule}" for problem in problems(lambda: stack(folder, settings, compose, **more))]


SIZES = st.integers(256, 1 << 20).map(lambda count: count * MEBIBYTE)


@given(limit=SIZES, memory=SIZES, others=SIZES)
def test_the_server_is_tuned_for_what_it_may_really_use(limit: int, memory: int, others: int) -> None:
    found = usable_memory(limit, Host(memory, 4, "ssd", 0, ""), others)
    assert SMALLEST_MEMORY <= found <= limit
    assert found <= max(SMALLEST_MEMORY, memory - others)


@pytest.mark.parametrize("limit", [64 * MEBIBYTE, 128 * MEBIBYTE, 255 * MEBIBYTE])
def test_the_server_is_never_tuned_for_more_than_its_limit(limit: int) -> None:
    assert usable_memory(limit, Host(4 * GIBIBYTE, 4, "ssd", 0, ""), GIBIBYTE) <= limit


@pytest.mark.parametrize("memory", ["1", "1Mi", "64Mi"])
def test_a_limit_too_small_for_a_database_is_refused(memory: str, tmp_path: Path) -> None:
    assert refused(tmp_path, f"postgres: {{memory: {memory}}}\n")


@pytest.mark.parametrize(
    ("host", "limit"),
    [("1536Mi", 512 * MEBIBYTE), ("4Gi", GIBIBYTE), ("64Gi", 16 * GIBIBYTE), ("256Gi", 32 * GIBIBYTE)],
)
def test_the_database_gets_a_quarter_of_the_host(host: str, limit: int, tmp_path: Path) -> None:
    found = stack(tmp_path, f"resources: {{host: {{memory: {host}}}}}\n").postgres
    assert isinstance(found, BundledPostgres)
    assert found.limits.memory == limit


def test_a_server_of_one_gigabyte_is_enough_for_a_small_app(tmp_path: Path) -> None:
    assert stack(tmp_path, "resources: {host: {memory: 1Gi, cpus: 1}}\n").host.memory == GIBIBYTE


@pytest.mark.parametrize("memory", ["1Gi", "914Mi"])
def test_the_demo_app_runs_on_the_smallest_server(memory: str, tmp_path: Path) -> None:
    base = "name: acme\napp: notes\ndomain: notes.example.com\ntls: {mode: internal-ca}\n"
    found = stack(tmp_path, f"resources: {{host: {{memory: {memory}, cpus: 1}}}}\n", base=base)
    assert isinstance(found.postgres, BundledPostgres)
    assert isinstance(found.redis, BundledRedis)
    # What must always be there leaves the system its own part.
    limits = [found.edge.limits, found.postgres.limits, found.redis.limits, *(item.limits for item in found.services)]
    assert sum(item.memory_request for item in limits) <= found.host.memory - 384 * MEBIBYTE
    # That not all limits fit at once is told.
    assert any(notice.subject == "memory" for notice in found.notices)


@pytest.mark.parametrize("more", ["", "resources: {services: {web: {memory: 1Gi}}}\n"])
def test_one_more_limit_does_not_change_what_the_database_is_tuned_for(more: str, tmp_path: Path) -> None:
    usual, found = stack(tmp_path).postgres, stack(tmp_path, more).postgres
    assert isinstance(usual, BundledPostgres)
    assert isinstance(found, BundledPostgres)
    assert (found.parameters, found.basis) == (usual.parameters, usual.basis)


def test_a_database_that_cannot_have_its_limit_is_tuned_for_a_part_of_it(tmp_path: Path) -> None:
    settings = "resources: {services: {web: {memory: 2560Mi}}}\nredis: {memory: 256Mi}\n"
    found = stack(tmp_path, settings).postgres
    assert isinstance(found, BundledPostgres)
    assert found.limits.memory == GIBIBYTE
    assert "512 MiB of the container's limit (1 GiB)" in found.basis


def test_bundled_services_are_reached_by_name_with_generated_passwords(tmp_path: Path) -> None:
    found = stack(tmp_path)
    assert isinstance(found.postgres, BundledPostgres)
    assert isinstance(found.redis, BundledRedis)
    assert (found.postgres.user, found.postgres.databases, found.postgres.superuser) == (
        "notes",
        ("notes",),
        "postgres",
    )
    web = found.service("web")
    assert web.environment == {"DB": "postgres:5432/notes", "USER": "notes"}
    assert found.redis.password is not None
    assert web.secret_environment["REDIS"] == Sensitive(f"redis://:{found.redis.password.reveal()}@redis:6379/0")
    assert set(web.networks) == {"app", "data", "edge"}
    assert {name: dependency.condition for name, dependency in web.depends_on.items()} == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
    }


def test_external_services_are_reached_where_they_are(tmp_path: Path) -> None:
    found = stack(
        tmp_path,
        "postgres: {mode: external, host: db.example.com, port: 6543, user: me, database: theirs}\n"
        "redis: {mode: external, host: 10.0.0.5, port: 6380}\n",
        files={"secrets/compose/values/POSTGRES_PASSWORD": "p\n", "secrets/compose/values/REDIS_PASSWORD": "a/b@c d\n"},
    )
    assert isinstance(found.postgres, ExternalPostgres)
    assert (found.postgres.host, found.postgres.port, found.postgres.user, found.postgres.databases) == (
        "db.example.com",
        6543,
        "me",
        ("theirs",),
    )
    assert isinstance(found.redis, ExternalRedis)
    web = found.service("web")
    assert web.environment == {"DB": "db.example.com:6543/theirs", "USER": "me"}
    url = urlsplit(web.secret_environment["REDIS"].reveal())
    assert (url.hostname, url.port, unquote(url.password or "")) == ("10.0.0.5", 6380, "a/b@c d")
    assert set(web.networks) == {"app", "edge"}
    assert web.depends_on == {}


@pytest.mark.parametrize("host", ["'a b'", "'a/b'", "'redis:6379'", "a..b"])
def test_the_host_of_an_external_redis_is_looked_at_too(host: str, tmp_path: Path) -> None:
    settings = f"redis: {{mode: external, host: {host}}}\n"
    assert any(rule.startswith("redis.host:") for rule in refused(tmp_path, settings, secrets={"REDIS_PASSWORD": "x"}))


def test_an_external_server_may_have_a_short_name_or_an_address(tmp_path: Path) -> None:
    found = stack(
        tmp_path,
        "postgres: {mode: external, host: db}\nredis: {mode: external, host: 'fd00::5'}\n",
        files={"secrets/compose/values/POSTGRES_PASSWORD": "p\n", "secrets/compose/values/REDIS_PASSWORD": "r\n"},
    )
    assert isinstance(found.postgres, ExternalPostgres)
    assert found.postgres.host == "db"
    url = urlsplit(found.service("web").secret_environment["REDIS"].reveal())
    assert (url.hostname, url.port) == ("fd00::5", 6379)


def test_the_password_of_an_external_server_must_be_given(tmp_path: Path) -> None:
    (rule,) = refused(tmp_path, "postgres: {mode: external, host: db.example.com}\n")
    assert "POSTGRES_PASSWORD" in rule


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ("postgres: {mode: external}\n", "postgres.host"),
        ("postgres: {host: db.example.com}\n", "postgres.host"),
        ("postgres: {mode: external, host: 'not a host.x'}\n", "postgres.host"),
        ("postgres: {parameters: {config_file: /x}}\n", "postgres.parameters.config_file"),
        ("postgres: {parameters: {Config_File: /x}}\n", "postgres.parameters.Config_File"),
        ("postgres: {parameters: {include: /x}}\n", "postgres.parameters.include"),
        ("postgres: {parameters: {logging_collector: true}}\n", "postgres.parameters.logging_collector"),
        ("postgres: {parameters: {work_mem: 1MB, Work_Mem: 2MB}}\n", "postgres.parameters.Work_Mem"),
        ("postgres: {parameters: {max_connections: many}}\n", "postgres.parameters.max_connections"),
        ("postgres: {parameters: {max_connections: 0}}\n", "postgres.parameters.max_connections"),
        (f"postgres: {{parameters: {{max_connections: '{'9' * 5000}'}}}}\n", "postgres.parameters.max_connections"),
        ("logs: {max_size: 500}\n", "logs.max_size"),
        ("resources: {services: {web: {memory: 1Mi}}}\n", "resources.services.web.memory"),
        ("resources: {services: {web: {cpu: 1m}}}\n", "resources.services.web.cpu"),
        ("postgres: {image: 'postgres:18'}\n", "postgres.image"),
        ("postgres: {version: 18, image: 'pgvector/pgvector:0.8.0-pg17'}\n", "postgres.image"),
        ("postgres: {memory: 100Gi}\n", "postgres.memory"),
        ("redis: {mode: external}\n", "redis.host"),
        ("redis: {host: x}\n", "redis.host"),
        ("redis: {memory: 1Mi}\n", "redis.memory"),
        ("redis: {memory: 100Gi}\n", "redis.memory"),
        ("edge: {http_port: 443}\n", "edge.https_port"),
        ("edge: {dashboard: {enabled: true}}\n", "edge.dashboard.enabled"),
        ("resources: {services: {nobody: {cpu: 1}}}\n", "resources.services.nobody"),
        ("images: {overrides: {nobody: nginx}}\n", "images.overrides.nobody"),
        ("routes: {nobody: {port: 80}}\n", "routes.nobody"),
        ("publish: [{service: nobody, port: 22}]\n", "publish[0].service"),
        ("publish: [{service: web, port: 80}]\n", "publish[0].port"),
        ("permissions: {docker_access: [nobody]}\n", "permissions.docker_access[0]"),
        ("permissions: {privileged: [nobody]}\n", "permissions.privileged[0]"),
        ("logs: {total: 5Mi}\n", "logs.total"),
        ("logs: {max_size: 1Gi}\n", "logs.max_size"),
        ("resources: {services: {web: {memory: 100Gi}}}\n", "resources.services.web.memory"),
        ("resources: {services: {web: {memory_request: 100Gi, memory: 100Gi}}}\n", "resources.services.web.memory"),
    ],
)
def test_what_contradicts_itself_is_refused_under_its_key(settings: str, key: str, tmp_path: Path) -> None:
    assert any(rule.startswith(f"{key}:") for rule in refused(tmp_path, settings))


@pytest.mark.parametrize("host", ["'not a host'", "'a/b'", "'db:5432'"])
def test_a_short_host_name_is_looked_at_too(host: str, tmp_path: Path) -> None:
    settings = f"postgres: {{mode: external, host: {host}}}\n"
    assert any(
        rule.startswith("postgres.host:") for rule in refused(tmp_path, settings, secrets={"POSTGRES_PASSWORD": "x"})
    )


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_that_is_published_twice_is_refused(protocol: str, tmp_path: Path) -> None:
    settings = "".join(
        f"- {{service: web, port: 2222, target: {target}, protocol: {protocol}}}\n" for target in (22, 23)
    )
    assert any("taken" in rule for rule in refused(tmp_path, f"publish:\n{settings}"))


@pytest.mark.parametrize(
    ("tls", "key"),
    [
        ("{mode: letsencrypt}", "tls.email"),
        ("{mode: files}", "tls.certificate"),
        ("{mode: files, certificate: c.pem, key: k.pem}", "tls.certificate"),
        ("{mode: behind-proxy}", "tls.trusted_proxies"),
        ("{mode: internal-ca, certificate: c.pem}", "tls.certificate"),
        ("{mode: internal-ca, trusted_proxies: [10.0.0.0/8]}", "tls.trusted_proxies"),
        ("{mode: letsencrypt, email: a@b.de, staging: true, acme_server: 'https://x.example.com/d'}", "tls.staging"),
        ("{mode: letsencrypt, email: a@b.de, acme_ca_file: missing.pem}", "tls.acme_ca_file"),
        ("{mode: letsencrypt, email: a@b.de, challenge: cloudflare-dns}", "secrets"),
    ],
)
def test_a_certificate_that_cannot_be_had_is_refused(tls: str, key: str, tmp_path: Path) -> None:
    base = f"name: acme\napp: ./compose.yaml\ndomain: notes.example.com\ntls: {tls}\n"
    assert any(rule.startswith(f"{key}:") for rule in refused(tmp_path, "", base=base))


@pytest.mark.parametrize(
    ("domain", "fine"),
    [("notes.localhost", False), ("localhost", False), ("notes.example.com", True), ("mylocalhost.com", True)],
)
def test_no_public_certificate_for_a_name_that_is_not_public(domain: str, fine: bool, tmp_path: Path) -> None:
    base = f"name: acme\napp: ./compose.yaml\ndomain: {domain}\ntls: {{mode: letsencrypt, email: a@b.de}}\n"
    if fine:
        assert stack(tmp_path, "", base=base).edge.acme is not None
    else:
        assert any(rule.startswith("domain:") for rule in refused(tmp_path, "", base=base))


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ('tls: {mode: "off"}', "http://notes.example.com"),
        ('tls: {mode: "off"}\nedge: {http_port: 8080}', "http://notes.example.com:8080"),
        ("tls: {mode: internal-ca}", "https://notes.example.com"),
        ("tls: {mode: internal-ca}\nedge: {https_port: 8443}", "https://notes.example.com:8443"),
        (
            "tls: {mode: behind-proxy, trusted_proxies: [10.0.0.0/8]}\nedge: {http_port: 8080}",
            "https://notes.example.com",
        ),
    ],
)
def test_the_address_of_the_site_is_what_a_browser_writes(settings: str, url: str, tmp_path: Path) -> None:
    base = f"name: acme\napp: ./compose.yaml\ndomain: notes.example.com\n{settings}\n"
    found = stack(tmp_path, "", base=base)
    assert found.base_url == url


def test_staging_and_real_certificates_are_kept_apart(tmp_path: Path) -> None:
    base = "name: acme\napp: ./compose.yaml\ndomain: notes.example.com\ntls: {mode: letsencrypt, email: a@b.de%s}\n"
    real = stack(tmp_path, "", base=base % "").edge.acme
    staging = stack(tmp_path, "", base=base % ", staging: true").edge.acme
    assert real is not None
    assert staging is not None
    assert real.storage != staging.storage
    assert real.server != staging.server


ADOPTED = """\
services:
  web:
    image: nginx:1.27
    links: ["db:database"]
    networks: [front]
    environment: {DB: "postgres://db"}
    x-moorage: {port: 80, route: {paths: [/]}}
  db:
    image: postgres:16
    container_name: acme_db
    environment: {POSTGRES_PASSWORD: geheim}
    networks: {front: {aliases: [sql]}}
networks: {front: {}}
"""


def test_an_adopted_database_keeps_its_names(tmp_path: Path) -> None:
    found = stack(tmp_path, "", ADOPTED).postgres
    assert isinstance(found, BundledPostgres)
    assert found.service == "db"
    assert {"sql", "acme_db"} <= set(found.aliases)
    assert found.user_is_superuser


def test_an_adopted_database_keeps_the_names_that_links_give_it(tmp_path: Path) -> None:
    found = stack(tmp_path, "", ADOPTED).postgres
    assert isinstance(found, BundledPostgres)
    assert "database" in found.aliases


@pytest.mark.parametrize(
    ("image", "fine"),
    [("postgres:16-alpine", True), ("postgis/postgis:16-3.4", True), ("acme/own:2.1", True), ("postgres:18", False)],
)
def test_an_adopted_database_gets_no_image_that_cannot_read_its_data(image: str, fine: bool, tmp_path: Path) -> None:
    settings = f"postgres: {{image: '{image}'}}\n"
    if fine:
        assert stack(tmp_path, settings, ADOPTED).postgres
    else:
        assert any("postgres.image" in rule for rule in refused(tmp_path, settings, ADOPTED))


def test_an_adopted_redis_fits_its_data(tmp_path: Path) -> None:
    compose = as_text(
        {
            "services": {
                "web": {"image": "nginx", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}},
                "cache": {"image": "redis:7", "command": "redis-server --maxmemory 2gb --maxmemory-policy allkeys-lru"},
            }
        }
    )
    found = stack(tmp_path, "", compose).redis
    assert isinstance(found, BundledRedis)
    assert (found.data_memory, found.policy) == (2 * GIBIBYTE, "allkeys-lru")
    assert found.limits.memory > found.data_memory


def test_the_memory_of_an_adopted_redis_is_counted(tmp_path: Path) -> None:
    compose = as_text(
        {
            "services": {
                "web": {"image": "nginx", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}},
                "cache": {"image": "redis:7", "command": "redis-server --maxmemory 8gb"},
            }
        }
    )
    found = stack(tmp_path, "resources: {host: {memory: 4Gi}}\n", compose)
    assert any(notice.subject == "memory" for notice in found.notices)
