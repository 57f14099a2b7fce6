"""A foreign file's own database becomes the platform's, or stays as it is with the reason told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moorage import flow
from moorage.app.adoption import AdoptedPostgres, AdoptedRedis, Adoption, adopt
from moorage.app.model import App, VolumeMount
from moorage.quantities import MEBIBYTE
from moorage.sensitive import Sensitive, reveal
from tests.unit.given import app, compose_of, deployment, folder_with, rendering, rules_of

DIGEST = "sha256:" + "0" * 64
BOTH = frozenset({"postgres", "redis"})


def outcome(folder: Path, services: dict[str, Any], **more: Any) -> tuple[Adoption, App]:
    found = app(folder, {"services": services, **more.pop("top", {})}, adoptable=more.pop("adoptable", BOTH), **more)
    assert rules_of(found) == []
    return adopt(found, "17", "7"), found


def postgres(folder: Path, keys: dict[str, Any] | None = None, **more: Any) -> AdoptedPostgres:
    """The adopted database of a service `db`."""
    keys = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "geheim"}, **(keys or {})}
    adoption, found = outcome(folder, {"db": keys}, **more)
    assert adoption.postgres is not None, found.notices
    assert "db" not in found.services
    assert adoption.names == {"db": "postgres"}
    return adoption.postgres


def redis(folder: Path, keys: dict[str, Any] | None = None, **more: Any) -> AdoptedRedis:
    adoption, found = outcome(folder, {"cache": {"image": "redis:7", **(keys or {})}}, **more)
    assert adoption.redis is not None, found.notices
    assert adoption.names == {"cache": "redis"}
    return adoption.redis


def reason(folder: Path, keys: dict[str, Any], **more: Any) -> str:
    """Why a service stays an ordinary one."""
    adoption, found = outcome(folder, {"db": keys}, **more)
    assert adoption.postgres is None
    assert adoption.redis is None
    assert "db" in found.services
    told = [notice.text for notice in found.notices if "stays an ordinary service" in notice.text]
    assert len(told) == 1
    return told[0]


# Postgres.


@pytest.mark.parametrize(
    ("environment", "user", "database"),
    [
        ({"POSTGRES_PASSWORD": "p"}, "postgres", "postgres"),
        ({"POSTGRES_PASSWORD": "p", "POSTGRES_USER": "app"}, "app", "app"),
        ({"POSTGRES_PASSWORD": "p", "POSTGRES_USER": "app", "POSTGRES_DB": "main"}, "app", "main"),
        (["POSTGRES_PASSWORD=p", "POSTGRES_DB=main"], "postgres", "main"),
    ],
)
def test_user_password_and_database_are_those_of_the_official_image(
    environment: Any, user: str, database: str, tmp_path: Path
) -> None:
    found = postgres(tmp_path, {"environment": environment})
    assert (found.user, found.database, reveal(found.password)) == (user, database, "p")


@pytest.mark.parametrize(
    ("image", "used", "version"),
    [
        ("postgres:16", "postgres:16", 16),
        ("postgres:15-alpine", "postgres:15-alpine", 15),
        ("postgres", "postgres:17", 17),
        ("postgres:latest", "postgres:17", 17),
        ("postgres:alpine", "postgres:17-alpine", 17),
        ("pgvector/pgvector:pg16", "pgvector/pgvector:pg16", 16),
        ("postgis/postgis:16-3.4", "postgis/postgis:16-3.4", 16),
        (f"postgres:14@{DIGEST}", f"postgres:14@{DIGEST}", 14),
        ("docker.io/library/postgres:15", "docker.io/library/postgres:15", 15),
        ("registry.example.com/postgres:15", "registry.example.com/postgres:15", 15),
    ],
)
def test_the_image_is_kept_and_gets_a_version_when_it_has_none(
    image: str, used: str, version: int, tmp_path: Path
) -> None:
    found = postgres(tmp_path, {"image": image})
    assert (found.image, found.version) == (used, version)


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("pgvector/pgvector:latest", {"pgvector/pgvector:pg17"}),
        ("pgvector/pgvector", {"pgvector/pgvector:pg17"}),
        (f"postgres@{DIGEST}", {f"postgres@{DIGEST}"}),
        ("registry.example.com/postgres", {"registry.example.com/postgres:17"}),
        ("docker.io/library/postgres:latest", {"docker.io/library/postgres:17"}),
    ],
)
def test_an_image_without_version_never_becomes_another_image(image: str, allowed: set[str], tmp_path: Path) -> None:
    adoption, _ = outcome(tmp_path, {"db": {"image": image, "environment": {"POSTGRES_PASSWORD": "p"}}})
    assert adoption.postgres is None or adoption.postgres.image in allowed


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("postgres -c max_connections=200 -c shared_buffers=1GB", {"max_connections": "200", "shared_buffers": "1GB"}),
        (["postgres", "-c", "work_mem=16MB"], {"work_mem": "16MB"}),
        (["-c", "work_mem=16MB"], {"work_mem": "16MB"}),
        ("-cwork_mem=16MB", {"work_mem": "16MB"}),
        ("--work-mem=16MB --log_line_prefix='%t - '", {"work_mem": "16MB", "log_line_prefix": "%t - "}),
        ("-N 300", {"max_connections": "300"}),
        (
            "postgres -c shared_preload_libraries=pg_stat_statements,auto_explain",
            {"shared_preload_libraries": "pg_stat_statements,auto_explain"},
        ),
        ("postgres", {}),
        (None, {}),
        ([], {}),
    ],
)
def test_parameters_of_the_command_are_carried_over(command: Any, parameters: dict[str, str], tmp_path: Path) -> None:
    assert postgres(tmp_path, {"command": command}).parameters == parameters


@pytest.mark.parametrize(
    "command",
    ["sh -c 'postgres'", "postgres -c config_file=/etc/x.conf", "postgres -c hba_file=/x", "postgres -D /data", "-c", "postgres -B 100",
     "postgres -c work_mem", "docker-entrypoint.sh postgres", ["bash", "-c", "exec postgres"], "postgres -c data_directory=/x"],
)  # fmt: skip
def test_a_command_that_cannot_be_carried_over_is_left_alone(command: Any, tmp_path: Path) -> None:
    keys = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}, "command": command}
    assert "its command has" in reason(tmp_path, keys)


@pytest.mark.parametrize(
    "parameter", ["port=5433", "listen_addresses=localhost", "unix_socket_directories=/x", "external_pid_file=/x"]
)
def test_parameters_that_our_container_relies_on_are_left_alone(parameter: str, tmp_path: Path) -> None:
    adoption, _ = outcome(
        tmp_path,
        {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}, "command": f"-c {parameter}"}},
    )
    assert adoption.postgres is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"environment": {"POSTGRES_HOST_AUTH_METHOD": "trust"}}, "POSTGRES_HOST_AUTH_METHOD"),
        ({"environment": {"POSTGRES_HOST_AUTH_METHOD": "md5", "POSTGRES_PASSWORD": "p"}}, "POSTGRES_HOST_AUTH_METHOD"),
        ({}, "no POSTGRES_PASSWORD"),
        ({"environment": {"POSTGRES_PASSWORD": ""}}, "no POSTGRES_PASSWORD"),
        ({"image": "postgres:9.6", "environment": {"POSTGRES_PASSWORD": "p"}}, "version 9"),
        ({"image": "postgres:19", "environment": {"POSTGRES_PASSWORD": "p"}}, "version 19"),
        (
            {"environment": {"POSTGRES_PASSWORD": "p"}, "volumes": ["./pg.conf:/etc/postgresql/postgresql.conf"]},
            "/etc/postgresql/postgresql.conf",
        ),
        ({"environment": {"POSTGRES_PASSWORD": "p"}, "volumes": ["data:/backup"]}, "/backup"),
        ({"environment": {"POSTGRES_PASSWORD": "p"}, "tmpfs": "/var/lib/postgresql/data"}, "/var/lib/postgresql/data"),
        ({"environment": {"POSTGRES_PASSWORD_FILE": "/run/secrets/nothing"}}, "no POSTGRES_PASSWORD"),
    ],
)
def test_a_database_that_is_set_up_in_its_own_way_is_left_alone(keys: Any, words: str, tmp_path: Path) -> None:
    assert words in reason(
        tmp_path, {"image": "postgres:16", **keys}, files={"pg.conf": "x"}, top={"volumes": {"data": None}}
    )


def test_a_secret_that_nobody_set_is_no_password(tmp_path: Path) -> None:
    keys = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "${PASSWORD}"}}
    assert "no POSTGRES_PASSWORD" in reason(tmp_path, keys, values={"PASSWORD": Sensitive("")})


def test_a_database_whose_user_is_secret_is_left_alone(tmp_path: Path) -> None:
    keys = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p", "POSTGRES_USER": "${U}"}}
    assert "POSTGRES_USER uses a secret" in reason(tmp_path, keys, values={"U": Sensitive("someone")})


def test_a_password_file_is_read_where_it_is_mounted(tmp_path: Path) -> None:
    found = postgres(
        tmp_path,
        {"environment": {"POSTGRES_PASSWORD_FILE": "/run/secrets/db"}, "secrets": ["db"]},
        top={"secrets": {"db": {"file": "db.txt"}}},
        files={"db.txt": "geheim\n"},
    )
    assert found.password == Sensitive("geheim")


def test_a_secret_password_stays_secret(tmp_path: Path) -> None:
    found = postgres(tmp_path, {"environment": {"POSTGRES_PASSWORD": "${P}"}}, values={"P": Sensitive("s3cr3t-Zq")})
    assert found.password == Sensitive("s3cr3t-Zq")
    assert "s3cr3t-Zq" not in repr(found)


@pytest.mark.parametrize(
    "keys",
    [
        {"environment": {"POSTGRES_PASSWORD": "p", "REPLICATION_PASSWORD": "${S}"}},
        {"environment": {"POSTGRES_PASSWORD": "p", "POSTGRES_USER": "${S}"}},
        {"environment": {"POSTGRES_PASSWORD": "p", "POSTGRES_DB": "${S}"}},
        {"environment": {"POSTGRES_PASSWORD": "p", "POSTGRES_INITDB_ARGS": "--pwfile=${S}"}},
        {"command": ["-c", "app.key=${S}"]},
        {"configs": [{"source": "init", "target": "/docker-entrypoint-initdb.d/init.sql"}]},
        {"secrets": [{"source": "init", "target": "/docker-entrypoint-initdb.d/init.sql"}]},
    ],
)
def test_no_secret_of_an_adopted_database_loses_its_mask(keys: Any, tmp_path: Path) -> None:
    adoption, _ = outcome(
        tmp_path,
        {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}, **keys}},
        values={"S": Sensitive("s3cr3t-Zq")},
        top={"configs": {"init": {"content": "x ${S}"}}, "secrets": {"init": {"content": "x ${S}"}}},
    )
    assert "s3cr3t-Zq" not in repr(adoption.postgres)


@pytest.mark.parametrize("target", ["/var/lib/postgresql/data", "/var/lib/postgresql", "/var/lib/postgresql/data/"])
def test_the_data_volume_keeps_its_name(target: str, tmp_path: Path) -> None:
    assert postgres(tmp_path, {"volumes": [f"pg:{target}"]}, top={"volumes": {"pg": None}}).volume == "pg"
    assert postgres(tmp_path).volume == "db-data"


@pytest.mark.parametrize("settings", [{"external": True}, {"external": True, "name": "old_pg"}, {"name": "old_pg"}])
def test_a_data_volume_that_has_a_place_of_its_own_keeps_it(settings: Any, tmp_path: Path) -> None:
    keys = {
        "image": "postgres:16",
        "environment": {"POSTGRES_PASSWORD": "p"},
        "volumes": ["pg:/var/lib/postgresql/data"],
    }
    adoption, found = outcome(tmp_path, {"db": keys}, top={"volumes": {"pg": settings}})
    # Either it is left alone, or its volume still says what it is really called.
    assert adoption.postgres is None or (found.volumes.get("pg") and found.volumes["pg"].fixed_name)


def test_first_start_files_are_carried_over(tmp_path: Path) -> None:
    found = postgres(
        tmp_path,
        {"volumes": ["./init:/docker-entrypoint-initdb.d:ro", "./extra.sql:/docker-entrypoint-initdb.d/99-extra.sql"]},
        files={"init/10-schema.sql": "a", "init/sub/x.sh": "b", "extra.sql": "c"},
    )
    assert found.init_files == {"10-schema.sql": b"a", "sub/x.sh": b"b", "99-extra.sql": b"c"}


def test_what_else_is_in_the_environment_is_carried_over(tmp_path: Path) -> None:
    environment = {
        "POSTGRES_PASSWORD": "p",
        "TZ": "Europe/Vienna",
        "PGDATA": "/x",
        "POSTGRES_INITDB_ARGS": "--locale=C",
    }
    found = postgres(tmp_path, {"environment": environment})
    assert (found.environment, found.init_arguments) == ({"TZ": "Europe/Vienna"}, "--locale=C")


@pytest.mark.parametrize(
    "keys",
    [{"entrypoint": ["/custom.sh"]}, {"network_mode": "none"}, {"user": "1000"}, {"read_only": True, "shm_size": "4g"}],
)
def test_a_database_that_is_started_in_its_own_way_is_left_alone(keys: Any, tmp_path: Path) -> None:
    adoption, found = outcome(
        tmp_path, {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}, **keys}}
    )
    assert adoption.postgres is None or any(next(iter(keys)) in notice.text for notice in found.notices)


def test_its_published_port_is_closed_and_that_is_told(tmp_path: Path) -> None:
    _, found = outcome(
        tmp_path, {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}, "ports": ["5432:5432"]}}
    )
    assert any("port is closed" in notice.text for notice in found.notices)


# Redis.


@pytest.mark.parametrize(
    ("keys", "password", "policy", "memory"),
    [
        ({}, None, "", 0),
        ({"command": "redis-server"}, None, "", 0),
        ({"command": "redis-server --requirepass geheim"}, "geheim", "", 0),
        ({"command": ["redis-server", "--requirepass", "geheim", "--appendonly", "yes"]}, "geheim", "", 0),
        ({"command": "--requirepass 'two words'"}, "two words", "", 0),
        (
            {"command": "redis-server --maxmemory 100mb --maxmemory-policy allkeys-lru"},
            None,
            "allkeys-lru",
            100 * MEBIBYTE,
        ),
        ({"command": "redis-server --save 60 1 --loglevel warning --MAXMEMORY 64M"}, None, "", 64 * MEBIBYTE),
        ({"command": ["redis-server", "--save", "", "--appendonly", "no"]}, None, "", 0),
        ({"image": "valkey/valkey:8", "command": "valkey-server --requirepass x"}, "x", "", 0),
    ],
)
def test_a_redis_is_adopted_with_what_its_command_says(
    keys: Any, password: str | None, policy: str, memory: int, tmp_path: Path
) -> None:
    found = redis(tmp_path, keys)
    assert found.password == (None if password is None else Sensitive(password))
    assert (found.policy, found.data_memory) == (policy, memory)


@pytest.mark.parametrize("text", ["redis-server --requirepass ${P}", ["redis-server", "--requirepass", "${P}"]])
def test_a_secret_in_a_redis_command_is_its_password_and_stays_secret(text: Any, tmp_path: Path) -> None:
    found = redis(tmp_path, {"command": text}, values={"P": Sensitive("s3cr3t-Zq")})
    assert found.password == Sensitive("s3cr3t-Zq")
    assert "s3cr3t-Zq" not in repr(found)


def test_a_secret_with_a_quote_in_a_redis_command_is_no_crash(tmp_path: Path) -> None:
    redis(tmp_path, {"command": "redis-server --requirepass ${P}"}, values={"P": Sensitive("it's")})


def test_a_secret_with_a_blank_in_a_redis_command_is_whole(tmp_path: Path) -> None:
    found = redis(tmp_path, {"command": "redis-server --requirepass '${P}'"}, values={"P": Sensitive("it's two")})
    assert found.password == Sensitive("it's two")


@pytest.mark.parametrize("image", ["redis:7", "postgres:16"])
def test_a_command_of_a_database_with_an_open_quote_is_a_problem_and_no_crash(image: str, tmp_path: Path) -> None:
    found = app(
        tmp_path, {"services": {"db": {"image": image, "command": "server --requirepass 'open"}}}, adoptable=BOTH
    )
    assert found.problems


@pytest.mark.parametrize(
    ("image", "used"),
    [
        ("redis", "redis:7"),
        ("redis:alpine", "redis:alpine"),
        (f"redis@{DIGEST}", f"redis@{DIGEST}"),
        ("registry.example.com/redis", "registry.example.com/redis:7"),
    ],
)
def test_a_redis_image_is_kept_and_gets_a_version_when_it_has_none(image: str, used: str, tmp_path: Path) -> None:
    assert redis(tmp_path, {"image": image}).image == used


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"command": "sh -c 'redis-server --requirepass $$PASSWORD'"}, "plain redis-server"),
        ({"command": "redis-server /usr/local/etc/redis/redis.conf"}, "plain redis-server"),
        ({"command": "redis-server --cluster-enabled yes"}, "--cluster-enabled"),
        ({"command": "redis-server --replicaof other 6379"}, "--replicaof"),
        ({"command": "redis-server --loadmodule /x.so"}, "--loadmodule"),
        ({"volumes": ["./redis.conf:/usr/local/etc/redis/redis.conf"]}, "/usr/local/etc/redis/redis.conf"),
    ],
)
def test_a_redis_that_is_set_up_in_its_own_way_is_left_alone(keys: Any, words: str, tmp_path: Path) -> None:
    assert words in reason(tmp_path, {"image": "redis:7", **keys}, files={"redis.conf": "x"})


@pytest.mark.parametrize("setting", ["--port 6380", "--databases 64", "--port 0"])
def test_settings_that_the_app_relies_on_are_carried_over_or_left_alone(setting: str, tmp_path: Path) -> None:
    adoption, _ = outcome(tmp_path, {"cache": {"image": "redis:7", "command": f"redis-server {setting}"}})
    assert adoption.redis is None


@pytest.mark.parametrize(
    "entrypoint", [["redis-server", "--requirepass", "geheim"], "sh -c 'redis-server --requirepass geheim'"]
)
def test_a_redis_with_an_entrypoint_is_left_alone(entrypoint: Any, tmp_path: Path) -> None:
    adoption, _ = outcome(tmp_path, {"cache": {"image": "redis:7", "entrypoint": entrypoint}})
    assert adoption.redis is None


def test_settings_in_valkeys_variable_are_carried_over_or_left_alone(tmp_path: Path) -> None:
    keys = {"image": "valkey/valkey:8", "environment": {"VALKEY_EXTRA_FLAGS": "--requirepass geheim"}}
    adoption, _ = outcome(tmp_path, {"cache": keys})
    assert adoption.redis is None or adoption.redis.password == Sensitive("geheim")


# Which service.


def test_of_two_databases_the_first_is_adopted_and_the_other_told(tmp_path: Path) -> None:
    keys = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}}
    adoption, found = outcome(tmp_path, {"first": keys, "second": keys, "cache": {"image": "redis:7"}})
    assert adoption.names == {"first": "postgres", "cache": "redis"}
    assert list(found.services) == ["second"]
    assert any("another postgres" in notice.text for notice in found.notices)


@pytest.mark.parametrize(
    "keys", [{"profiles": ["test"]}, {"x-moorage": {"targets": ["minikube"]}}, {"deploy": {"replicas": 0}}]
)
def test_a_database_that_does_not_run_here_is_not_adopted(keys: Any, tmp_path: Path) -> None:
    usual = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}}
    adoption, _ = outcome(tmp_path, {"testdb": {**usual, **keys}, "db": usual})
    assert "testdb" not in adoption.names


@pytest.mark.parametrize(
    "keys",
    [
        {"image": "bitnami/postgresql:16", "environment": {"POSTGRESQL_PASSWORD": "p"}},
        {"image": "timescale/timescaledb:latest-pg16", "environment": {"POSTGRES_PASSWORD": "p"}},
        {"image": "mysql:8"},
        {"image": "postgres:16", "build": ".", "environment": {"POSTGRES_PASSWORD": "p"}},
    ],
)
def test_what_is_not_the_official_image_is_an_ordinary_service(keys: Any, tmp_path: Path) -> None:
    adoption, found = outcome(tmp_path, {"db": keys})
    assert adoption.names == {}
    assert list(found.services) == ["db"]


def test_nothing_is_adopted_that_may_not_be(tmp_path: Path) -> None:
    adoption, found = outcome(
        tmp_path, {"db": {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "p"}}}, adoptable=frozenset()
    )
    assert adoption == Adoption()
    assert list(found.services) == ["db"]
    assert not any("adopt" in notice.text for notice in found.notices)


# What stays an ordinary service keeps all that its file says.


def test_a_database_that_is_left_alone_keeps_its_command_and_its_health_check(tmp_path: Path) -> None:
    keys = {
        "image": "redis:7",
        "command": ["redis-server", "/etc/redis.conf"],
        "healthcheck": {"test": ["CMD", "redis-cli", "ping"]},
    }
    _, found = outcome(tmp_path, {"db": keys})
    assert found.services["db"].command == ("redis-server", "/etc/redis.conf")
    check = found.services["db"].health_check
    assert check is not None
    assert check.test == ("CMD", "redis-cli", "ping")


@pytest.mark.parametrize(
    "keys",
    [
        {"command": "redis-server /etc/redis.conf --requirepass ${S}"},
        {"user": "1000", "healthcheck": {"test": ["CMD", "redis-cli", "-a", "${S}", "ping"]}},
    ],
)
def test_a_secret_in_the_command_of_a_database_that_is_left_alone_is_a_problem_with_its_reason(
    keys: Any, tmp_path: Path
) -> None:
    found = app(
        tmp_path,
        {"services": {"db": {"image": "redis:7", **keys}}},
        {"S": Sensitive("s3cr3t-Zq")},
        adoptable=BOTH,
    )
    assert found.problems == []
    adopt(found, "17", "7")
    (problem,) = found.problems
    assert "uses a secret" in problem.rule
    assert "doesn't run this database in its own way, because it" in problem.hint
    assert "s3cr3t" not in str(problem) + repr(found.notices)


@pytest.mark.parametrize("command", ["redis-server --requirepass=${S}", "redis-server ${S}", "redis-server --x${S} y"])
def test_no_secret_of_a_command_stands_in_a_notice(command: str, tmp_path: Path) -> None:
    found = app(
        tmp_path,
        {"services": {"db": {"image": "redis:7", "command": command}}},
        {"S": Sensitive("s3cr3t-Zq")},
        adoptable=BOTH,
    )
    adopt(found, "17", "7")
    assert "s3cr3t" not in repr(found.notices) + str(found.problems)


PASSWORD = {"POSTGRES_PASSWORD": "p"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"user": "1000:1000"}, "`user`"),
        ({"working_dir": "/x"}, "`working_dir`"),
        ({"cap_add": ["SYS_NICE"]}, "SYS_NICE"),
        ({"security_opt": ["seccomp=unconfined"]}, "seccomp"),
        ({"deploy": {"replicas": 2}}, "replicas"),
        ({"x-moorage": {"security": {"read_only": True}}}, "`security`"),
        ({"x-moorage": {"fixed_name": True}}, "`fixed_name`"),
        ({"build": "."}, "built"),
        ({"depends_on": {"prepare": {"condition": "service_completed_successfully"}}}, "waits until prepare"),
        ({"environment": {**PASSWORD, "PGPORT": "5433"}}, "PGPORT"),
        ({"environment": {**PASSWORD, "POSTGRES_INITDB_WALDIR": "/wal"}}, "WALDIR"),
        ({"environment": {**PASSWORD, "POSTGRES_INITDB_ARGS": "--auth-host=trust"}}, "--auth-host"),
        ({"environment": {**PASSWORD, "POSTGRES_INITDB_ARGS": "-X /wal"}}, "-X"),
        ({"environment": {**PASSWORD, "POSTGRES_USER": "o'neil"}}, "POSTGRES_USER"),
        ({"environment": {**PASSWORD, "POSTGRES_DB": 'a"b'}}, "POSTGRES_DB"),
        ({"environment": {**PASSWORD, "POSTGRES_USER_FILE": "/run/secrets/unknown"}}, "POSTGRES_USER_FILE"),
        ({"command": "-c password_encryption=md5"}, "password_encryption"),
        ({"command": ["-c", "log_line_prefix=a\\b"]}, "log_line_prefix"),
        ({"image": "postgres:bookworm"}, "no major version"),
        ({"image": "postgis/postgis:latest"}, "no major version"),
        ({"volumes": ["pg:/var/lib/postgresql/data:ro"]}, "cannot write"),
    ],
)
def test_a_setting_that_would_lose_its_meaning_leaves_the_database_alone(keys: Any, words: str, tmp_path: Path) -> None:
    others = {"prepare": {"image": "busybox"}}
    adoption, found = outcome(
        tmp_path,
        {"db": {"image": "postgres:16", "environment": PASSWORD, **keys}, **others},
        top={"volumes": {"pg": None}},
    )
    assert adoption.names == {}
    assert any(words in notice.text for notice in found.notices if "stays an ordinary service" in notice.text)


@pytest.mark.parametrize(
    "keys",
    [
        {"command": "postgres -c listen_addresses='*' -c port=5432"},
        {"environment": {**PASSWORD, "POSTGRES_HOST_AUTH_METHOD": "scram-sha-256"}},
        {"environment": {**PASSWORD, "POSTGRES_INITDB_ARGS": "--auth-host=scram-sha-256"}},
        {"read_only": True, "tmpfs": ["/tmp", "/var/run/postgresql"]},
        {"security_opt": ["no-new-privileges:true"], "cap_drop": ["ALL"]},
        {"init": True, "tty": True},
    ],
)
def test_what_means_the_same_in_our_container_is_no_hindrance(keys: Any, tmp_path: Path) -> None:
    assert "port" not in postgres(tmp_path, {"environment": PASSWORD, **keys}).parameters


def test_what_is_replaced_is_told(tmp_path: Path) -> None:
    keys = {
        "image": "postgres:16",
        "environment": PASSWORD,
        "mem_limit": "2g",
        "labels": {"a": "b"},
        "depends_on": ["x"],
    }
    _, found = outcome(tmp_path, {"db": keys, "x": {"image": "busybox"}})
    (text,) = [notice.text for notice in found.notices if "take the place" in notice.text]
    assert "limits, labels, depends_on" in text
    assert "`postgres.memory`" in text


def test_a_user_and_a_database_may_be_named_in_files(tmp_path: Path) -> None:
    environment = {**PASSWORD, "POSTGRES_DB_FILE": "/run/secrets/name"}
    keys = {"environment": environment, "configs": [{"source": "name", "target": "/run/secrets/name"}]}
    found = postgres(tmp_path, keys, top={"configs": {"name": {"content": "shop\n"}}})
    assert (found.database, found.environment) == ("shop", {})


# Data that is there already.


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"volumes": ["pg:/var/lib/postgresql"]}, "keeps data at /var/lib/postgresql/data"),
        ({"image": "postgres:18", "volumes": ["pg:/var/lib/postgresql/data"]}, "keeps data at /var/lib/postgresql"),
        ({"environment": {**PASSWORD, "PGDATA": "/elsewhere"}}, "PGDATA /elsewhere"),
        ({"image": "postgres"}, "no major version"),
    ],
)
def test_data_that_would_not_be_found_again_leaves_the_database_alone(keys: Any, words: str, tmp_path: Path) -> None:
    usual = {"image": "postgres:16", "environment": PASSWORD, "volumes": ["pg:/var/lib/postgresql/data"]}
    assert words in reason(tmp_path, {**usual, **keys}, top={"volumes": {"pg": {"external": True}}})


def test_a_folder_on_the_volume_stays_the_folder_of_the_data(tmp_path: Path) -> None:
    environment = {**PASSWORD, "PGDATA": "/var/lib/postgresql/data/pgdata"}
    keys = {"environment": environment, "volumes": ["pg:/var/lib/postgresql/data"]}
    found = postgres(tmp_path, keys, top={"volumes": {"pg": {"name": "old_pg"}}})
    assert found.environment == {"PGDATA": "/var/lib/postgresql/data/pgdata"}


def test_a_folder_off_the_volume_is_told(tmp_path: Path) -> None:
    keys = {"image": "postgres:16", "environment": {**PASSWORD, "PGDATA": "/x"}}
    _, found = outcome(tmp_path, {"db": keys})
    assert any("PGDATA is left out" in notice.text for notice in found.notices)


@pytest.mark.parametrize(
    ("command", "adopted"),
    [("redis-server --appendonly yes", True), ("redis-server", False), ("redis-server --appendonly no", False)],
)
def test_a_snapshot_that_our_redis_would_not_read_leaves_it_alone(command: str, adopted: bool, tmp_path: Path) -> None:
    keys = {"image": "redis:7", "command": command, "volumes": ["cache:/data"]}
    adoption, _ = outcome(tmp_path, {"cache": keys}, top={"volumes": {"cache": {"external": True}}})
    assert (adoption.redis is not None) == adopted


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"external": True, "name": "old_pg"}, "old_pg"), ({"name": "old_pg"}, "old_pg"), (None, "acme_pg")],
)
def test_the_volume_is_mounted_under_its_real_name(settings: Any, name: str, tmp_path: Path) -> None:
    database = {"image": "postgres:16", "environment": PASSWORD, "volumes": ["pg:/var/lib/postgresql/data"]}
    web = {"image": "nginx", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}
    found = deployment(tmp_path, {"services": {"web": web, "db": database}, "volumes": {"pg": settings}})
    content = compose_of(flow.render(found.stack))
    is_external = bool(settings and settings.get("external"))
    assert content["services"]["db"]["volumes"][0]["source"] == "pg"
    assert content["volumes"]["pg"].get("name", "acme_pg") == name
    assert content["volumes"]["pg"].get("external", False) == is_external
    facts = flow.facts_of_stack(found.stack)
    assert (name in facts.volumes) == (not is_external)
    assert (name in facts.external_volumes) == is_external
    assert facts.postgres_volume == name
    readme = flow.render(found.stack).public.files["README.md"].content.decode()
    assert f"`{name}`" in readme
    assert ("`acme_pg`" in readme) == (settings is None)


def test_no_other_service_gets_into_the_volume_that_is_made_for_a_database(tmp_path: Path) -> None:
    services = {
        "db": {"image": "postgres:16", "environment": PASSWORD},
        "web": {"image": "nginx", "volumes": ["db-data:/srv"]},
    }
    found = app(tmp_path, {"services": services, "volumes": {"db-data": None}}, adoptable=BOTH)
    adopt(found, "17", "7")
    (problem,) = found.problems
    assert problem.key == "volumes.db-data"


# What is carried into our container.


def rendered_database(folder: Path, keys: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Any]:
    web = {"image": "nginx", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}
    database = {"image": "postgres:16", "environment": PASSWORD, **keys}
    found = rendering(folder, {"services": {"web": web, "db": database}}, **more)
    return compose_of(found)["services"]["db"], found


def test_settings_of_the_container_are_carried_over(tmp_path: Path) -> None:
    keys = {
        "ulimits": {"nofile": 65536},
        "extra_hosts": ["old:10.0.0.5"],
        "platform": "linux/amd64",
        "volumes": ["/etc/localtime:/etc/localtime:ro"],
        "shm_size": "4g",
    }
    found, rendered = rendered_database(tmp_path, keys)
    assert (found["ulimits"], found["platform"]) == ({"nofile": 65536}, "linux/amd64")
    assert found["extra_hosts"] == ["old:10.0.0.5"]
    assert "/etc/localtime" in [mount["source"] for mount in found["volumes"]]
    assert 'MOORAGE_POSTGRES_SHARED_MEMORY="4096m"' in rendered.public.files["compose/.env"].content.decode()


@pytest.mark.parametrize(
    ("volume", "target"),
    [
        ("./first.sql:/docker-entrypoint-initdb.d/first.sql:ro", ["/docker-entrypoint-initdb.d/first.sql"]),
        ("./init:/docker-entrypoint-initdb.d:ro", ["/docker-entrypoint-initdb.d"]),
        ("./init:/docker-entrypoint-initdb.d/more:ro", ["/docker-entrypoint-initdb.d/more"]),
        ("/etc/localtime:/etc/localtime:ro", []),
    ],
)
def test_what_the_image_does_at_the_first_start_is_hidden_only_where_the_file_says_so(
    volume: str, target: list[str], tmp_path: Path
) -> None:
    files = {"first.sql": "a", "init/second.sql": "b"}
    found, _ = rendered_database(tmp_path, {"volumes": [volume], "image": "postgis/postgis:16-3.4"}, files=files)
    assert [item["target"] for item in found["volumes"] if "initdb.d" in item["target"]] == target


@pytest.mark.parametrize(("mode", "expected"), [(0o755, 0o755), (0o644, 0o644)])
def test_a_first_start_script_is_run_or_sourced_as_before(mode: int, expected: int, tmp_path: Path) -> None:
    folder_with(tmp_path, {"first.sh": "x"})
    (tmp_path / "first.sh").chmod(mode)
    _, rendered = rendered_database(tmp_path, {"volumes": ["./first.sh:/docker-entrypoint-initdb.d/first.sh:ro"]})
    assert rendered.public.files["compose/postgres/init/first.sh"].mode == expected


def test_an_adopted_redis_keeps_the_names_that_links_give_it(tmp_path: Path) -> None:
    adoption, _ = outcome(
        tmp_path, {"web": {"image": "nginx", "links": ["cache:queue"]}, "cache": {"image": "redis:7"}}
    )
    assert adoption.redis is not None
    assert adoption.redis.aliases == ("queue",)


@pytest.mark.parametrize(
    ("options", "adopted"),
    [
        ("--databases 16 --port 6379 --bind 0.0.0.0 --dir /data", True),
        ("--appendfsync everysec --protected-mode no --save 60 1 300 10", True),
        ("--appendfsync always", False),
        ("--bind 127.0.0.1", False),
        ("--protected-mode yes", False),
        ("--dir /elsewhere", False),
        ("--maxmemory 50%", False),
        ("--maxmemory-policy unheard-of", False),
        ("--requirepass a b", False),
    ],
)
def test_options_of_redis_are_understood_or_left_alone(options: str, adopted: bool, tmp_path: Path) -> None:
    adoption, _ = outcome(tmp_path, {"cache": {"image": "redis:7", "command": f"redis-server {options}"}})
    assert (adoption.redis is not None) == adopted


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"image": "postgres:16", "environment": PASSWORD, "user": "998"}, "/var/lib/postgresql/data"),
        ({"image": "postgres:18", "environment": PASSWORD, "user": "998"}, "/var/lib/postgresql"),
        ({"image": "redis:7", "command": "redis-server --port 6380"}, "/data"),
    ],
)
def test_a_database_that_is_no_longer_adopted_finds_its_data(keys: Any, place: str, tmp_path: Path) -> None:
    usual = {key: value for key, value in keys.items() if key in ("image", "environment")}
    adoption, _ = outcome(tmp_path, {"db": usual})
    adopted = adoption.postgres or adoption.redis
    assert adopted is not None
    _, found = outcome(tmp_path, {"db": keys})
    assert found.services["db"].mounts == (VolumeMount(adopted.volume, place),)
    assert adopted.volume in found.volumes
    _, forbidden = outcome(tmp_path, {"db": usual}, adoptable=frozenset())
    assert forbidden.services["db"].mounts == (VolumeMount(adopted.volume, place),)


def test_secrets_of_a_database_for_its_first_start_are_carried_out_of_sight(tmp_path: Path) -> None:
    environment = {**PASSWORD, "APP_ROLE": "app", "APP_ROLE_PASSWORD": "s3cr3t-Zq"}
    content = {"services": {"db": {"image": "postgres:16", "environment": environment}, "web": {"image": "x"}}}
    rendered = rendering(tmp_path, content, "routes: {web: {port: 80}}\n")
    service = compose_of(rendered)["services"]["db"]
    assert service["environment"] == {"APP_ROLE": "app", "PGDATA": "/var/lib/postgresql/data"}
    assert service["env_file"] == ["../../../secrets/compose/compose/env/db.env"]
    assert rendered.private.files["env/db.env"].content.endswith(b'APP_ROLE_PASSWORD="s3cr3t-Zq"\n')
    assert not any(b"s3cr3t-Zq" in file.content for file in rendered.public.files.values())


def test_a_second_database_may_have_the_name_of_the_first_ones_kind(tmp_path: Path) -> None:
    services = {
        "web": {"image": "x"},
        "cache": {"image": "redis:7", "command": "redis-server --requirepass s3cr3t-one"},
        "redis": {"image": "redis:7", "environment": {"SOME_PASSWORD": "s3cr3t-two"}},
        "pg": {"image": "postgres:16", "environment": {**PASSWORD, "SOME_PASSWORD": "s3cr3t-three"}},
        "postgres": {"image": "postgres:16", "environment": PASSWORD},
    }
    private = rendering(tmp_path, {"services": services}, "routes: {web: {port: 80}}\n").private.files
    assert b"s3cr3t-one" in private["platform/redis.env"].content
    assert b"s3cr3t-two" in private["env/redis.env"].content
    assert b"s3cr3t-three" in private["env/pg.env"].content


def test_another_secret_of_a_database_gives_it_another_revision(tmp_path: Path) -> None:
    def revision(name: str, password: str) -> str:
        environment = {**PASSWORD, "APP_PASSWORD": password}
        content = {"services": {"db": {"image": "postgres:16", "environment": environment}, "web": {"image": "x"}}}
        opened = deployment(tmp_path / name, content, "routes: {web: {port: 80}}\n")
        return flow.facts_of_stack(opened.stack).service("db").revision

    assert revision("a", "one") == revision("b", "one") != revision("c", "two")


@pytest.mark.parametrize(
    ("image", "user", "adopted"),
    [
        ("postgres:16", "postgres", True),
        ("postgres:16-alpine", "70:70", True),
        ("redis:7", "999:1000", True),
        ("valkey/valkey:8", "valkey", True),
        ("postgres:16", "1000", False),
        ("redis:7", "postgres", False),
    ],
)
def test_a_database_may_run_as_the_user_of_its_image(image: str, user: str, adopted: bool, tmp_path: Path) -> None:
    adoption, _ = outcome(tmp_path, {"db": {"image": image, "user": user, "environment": PASSWORD}})
    assert bool(adoption.names) is adopted


@pytest.mark.parametrize(
    "keys",
    [
        {"tmpfs": "/var/lib/postgresql/data"},
        {"volumes": ["data:/var/lib/postgresql"]},
        {"volumes": ["data:/x"], "environment": {**PASSWORD, "PGDATA": "/x"}},
        {"profiles": ["test"]},
        {"build": "."},
        {"image": "postgres:bookworm"},
    ],
)
def test_a_database_that_says_where_its_data_lies_is_believed(keys: Any, tmp_path: Path) -> None:
    usual = {"image": "postgres:16", "environment": PASSWORD, "user": "998"}
    _, found = outcome(tmp_path, {"db": {**usual, **keys}}, top={"volumes": {"data": None}})
    assert "db-data" not in found.volumes
