"""Which port of a foreign Compose file is the site: told by the names of services, by their images, and by who publishes it."""

from __future__ import annotations

import ipaddress
import re

from moorage.app.images import NOT_HTTP, image_kind, repository
from moorage.app.model import App, AppService, PublishedPort
from moorage.app.ports import is_https

Candidate = tuple[str, int]

_FRONT = frozenset({"web", "www", "frontend", "nginx", "caddy", "proxy", "ui", "webserver", "gateway", "site"})
_MIDDLE = frozenset({"app", "server", "webapp", "main", "core"})
_BACK = frozenset(
    {
        "worker", "queue", "cron", "scheduler", "migrate", "migrations", "init", "db", "database", "cache", "search", "storage",
        "metrics", "exporter", "agent", "runner", "broker", "mail", "smtp", "events", "learning", "backup",
    }
)  # fmt: skip
# Programs behind a site, by the last part of their image's name. Some have pages of their own, for administrators.
_BEHIND = frozenset(
    {
        "minio", "clickhouse-server", "clickhouse", "mysql", "mysql-server", "mariadb", "mongo", "mongodb", "elasticsearch", "opensearch",
        "meilisearch", "typesense", "rabbitmq", "kafka", "zookeeper", "nats", "memcached", "qdrant", "weaviate", "chroma", "neo4j",
        "influxdb", "couchdb", "cassandra", "seaweedfs", "garage", "etcd", "consul", "prometheus", "loki", "mailpit", "mailhog",
        "phpmyadmin", "adminer", "pgadmin4", "postgresql", "timescaledb", "ollama", "tika", "gotenberg", "opentelemetry-collector",
    }
)  # fmt: skip
_USUAL_PORTS = (80, 8080)
# So far ahead of the next, a candidate needs no question.
_CLEAR = 2


def candidates(app: App) -> list[Candidate]:
    """Published ports that may speak HTTP, the likeliest first; exposed ones when none is published."""
    services = _own_services(app)
    found = [(service.name, port) for service in services for port in _published(service)]
    if not found:
        found = [
            (service.name, port)
            for service in services
            for port in dict.fromkeys(service.exposed)
            if port not in NOT_HTTP
        ]
    plain = [item for item in found if not _is_encrypted_twin(item, found)]
    return sorted(plain, key=lambda item: -_likelihood(app, item, plain))


def is_clear(app: App, found: list[Candidate]) -> bool:
    """Whether the first candidate is the site beyond reasonable doubt."""
    ranks = [_likelihood(app, item, found) for item in found]
    return len(found) == 1 or (len(found) > 1 and ranks[0] - ranks[1] >= _CLEAR)


def likely_services(app: App) -> list[str]:
    """The services that may have the site although no port says so, the likeliest first."""
    names = [service.name for service in _own_services(app)]
    return sorted(names, key=lambda name: -_likelihood(app, (name, 0), []))


def is_like_a_proxy(app: App, route: Candidate) -> bool:
    """Whether the site's service published 443 beside 80, as those do that send every HTTP request to HTTPS."""
    service = app.services.get(route[0])
    return route[1] == 80 and service is not None and any(port.container_port == 443 for port in service.ports)


def _own_services(app: App) -> list[AppService]:
    """What runs and is no database."""
    return [service for service in app.services.values() if not image_kind(service.image) and not service.profiles]


def _published(service: AppService) -> list[int]:
    ports = (port for port in service.ports if port.protocol == "tcp")
    return list(dict.fromkeys(port.container_port for port in ports if port.container_port not in NOT_HTTP))


def _is_encrypted_twin(item: Candidate, found: list[Candidate]) -> bool:
    """A port for HTTPS beside one for HTTP is the same site: TLS is done by Traefik in front of it."""
    return is_https(item[1]) and any(name == item[0] and not is_https(port) for name, port in found)


def _likelihood(app: App, item: Candidate, others: list[Candidate]) -> int:
    name, port = item
    service = app.services[name]
    words = set(re.split(r"[-_]", name.lower()))
    image = repository(service.image).rpartition("/")[2]
    points = 3 if words & _FRONT else 2 if words & _MIDDLE else 0
    points += 2 if name in (image, app.folder.resolve().name) else 0
    points += 2 if port in _USUAL_PORTS else 0
    points -= 3 if words & _BACK else 0
    points -= 6 if image in _BEHIND else 0
    return points - (
        2 if _is_inside_only(app, item) and not all(_is_inside_only(app, other) for other in others) else 0
    )


def _is_inside_only(app: App, item: Candidate) -> bool:
    """Whether a port is published for this server only."""
    ports = [port for port in app.services[item[0]].ports if port.container_port == item[1]]
    return bool(ports) and all(_is_loopback(port) for port in ports)


def _is_loopback(port: PublishedPort) -> bool:
    return bool(port.address) and ipaddress.ip_address(port.address).is_loopback
