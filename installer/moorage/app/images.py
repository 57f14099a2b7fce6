"""Well-known images: which ones are databases that moorage can run, which ports are not HTTP."""

from __future__ import annotations

import re

# Images that keep the contract of the official ones (variables, data folder, entry point).
_POSTGRES = ("postgres", "library/postgres", "pgvector/pgvector", "postgis/postgis")
_REDIS = ("redis", "library/redis", "valkey/valkey")

# Container ports that do not speak HTTP; the value is what they speak.
NOT_HTTP = {
    21: "FTP", 22: "SSH", 25: "SMTP", 53: "DNS", 110: "POP3", 143: "IMAP", 389: "LDAP", 465: "SMTP", 587: "SMTP",
    636: "LDAP", 993: "IMAP", 995: "POP3", 1433: "SQL Server", 1521: "Oracle", 1883: "MQTT", 2222: "SSH",
    3306: "MySQL", 5432: "Postgres", 5672: "AMQP", 6379: "Redis", 8883: "MQTT", 9042: "Cassandra", 11211: "Memcached",
    27017: "MongoDB", 50051: "gRPC",
}  # fmt: skip
DATABASE_PORTS = frozenset({1433, 1521, 3306, 5432, 6379, 9042, 11211, 27017})


# Databases that moorage does not run itself: their files, copied while the server writes them, may be no database.
_DATABASES = {
    "postgres": "Postgres", "postgresql": "Postgres", "pgvector": "Postgres", "postgis": "Postgres",
    "timescaledb": "Postgres", "timescaledb-ha": "Postgres", "mysql": "MySQL", "mysql-server": "MySQL",
    "mariadb": "MariaDB", "percona": "MySQL", "percona-server": "MySQL", "mongo": "MongoDB", "mongodb": "MongoDB",
    "couchdb": "CouchDB", "cassandra": "Cassandra", "clickhouse": "ClickHouse", "clickhouse-server": "ClickHouse",
    "elasticsearch": "Elasticsearch", "opensearch": "OpenSearch", "influxdb": "InfluxDB", "neo4j": "Neo4j",
    "cockroach": "CockroachDB", "rethinkdb": "RethinkDB",
}  # fmt: skip


def database_kind(image: str) -> str:
    """What a well-known database calls itself, `MySQL` for instance; empty for Redis, which is safe to copy, and all else."""
    return _DATABASES.get(repository(image).rpartition("/")[2], "")


def repository(image: str) -> str:
    """The name without registry host, tag and digest: `docker.io/library/postgres:15` → `library/postgres`."""
    name = image.partition("@")[0]
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        name = rest
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def tag(image: str) -> str:
    """The tag, or an empty text."""
    last = image.partition("@")[0].rpartition("/")[2]
    return last.partition(":")[2]


def image_kind(image: str) -> str:
    """`postgres`, `redis` or an empty text."""
    name = repository(image)
    if name in _POSTGRES:
        return "postgres"
    return "redis" if name in _REDIS else ""


def postgres_major(image: str) -> int | None:
    """The server's major version by the tag: `15-alpine` → 15, `0.8.0-pg16` → 16."""
    text = tag(image)
    match = re.search(r"pg(\d+)", text) if repository(image) == "pgvector/pgvector" else re.match(r"(\d+)", text)
    return int(match[1]) if match else None


def pinned_postgres(image: str, version: str) -> str:
    """The same image at a major version, where it floats and such a tag is known to exist; else an empty text."""
    name, text = repository(image), tag(image)
    base = image.removesuffix(f":{text}") if text else image
    if "@" in image:
        return ""
    if name == "pgvector/pgvector":
        return f"{base}:pg{version}" if text in ("", "latest") else ""
    if name == "postgis/postgis" or text not in ("", "latest", "alpine"):
        return ""
    return f"{base}:{version}-alpine" if text == "alpine" else f"{base}:{version}"


def postgres_data_folder(version: int) -> str:
    """Where the official image has its volume; it moved with version 18."""
    return "/var/lib/postgresql" if version >= 18 else "/var/lib/postgresql/data"


def postgres_pgdata(version: int) -> str:
    """Where the official image keeps the cluster: the volume itself, since version 18 a folder of its major in it."""
    place = postgres_data_folder(version)
    return f"{place}/{version}/docker" if version >= 18 else place
