"""Platform services: static fragments, and the small seam of values that they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app.adopted_postgres import INIT_FOLDER
from moorage.app.model import Carried
from moorage.assets import asset
from moorage.formats import dump_env, dump_yaml
from moorage.quantities import MEBIBYTE, format_cpu
from moorage.sensitive import Sensitive
from moorage.stack.model import (
    BACKUP_NETWORK,
    DATA_NETWORK,
    EDGE_NETWORK,
    BundledPostgres,
    BundledRedis,
    Limits,
    Stack,
)
from moorage.targets import database_settings
from moorage.targets.compose import archiving, edge
from moorage.targets.compose.names import EDGE_ROUTES, SOCKET_PROXY, TRAEFIK, from_compose_folder, private_folder
from moorage.templating import render_template
from moorage.tree import Tree

_GENERATED = "Rendered by moorage; changes here are lost. Settings: moorage.yaml. Own changes: overrides/compose.yaml."


def services(stack: Stack) -> dict[str, Any]:
    """The platform services as Compose data: each extends its static fragment and adds names and places."""
    result: dict[str, Any] = {TRAEFIK: _traefik(stack), EDGE_ROUTES: _extends("traefik.yaml", EDGE_ROUTES)}
    if stack.edge.socket_proxy_image:
        result[SOCKET_PROXY] = {**_extends("socket-proxy.yaml", SOCKET_PROXY), "networks": [SOCKET_PROXY]}
    if isinstance(stack.postgres, BundledPostgres):
        result[stack.postgres.service] = _postgres(stack, stack.postgres)
    if isinstance(stack.redis, BundledRedis):
        result[stack.redis.service] = _redis(stack.redis)
    return result


def _extends(file: str, service: str) -> dict[str, Any]:
    return {"extends": {"file": f"platform/{file}", "service": service}}


def _traefik(stack: Stack) -> dict[str, Any]:
    settings = stack.edge
    data = _extends("traefik.yaml", TRAEFIK)
    if settings.container_name:
        data["container_name"] = settings.container_name
    ports = [(settings.http_port, edge.container_port_of_http(settings))]
    if settings.terminates_tls:
        ports.append((settings.https_port, 443))
    data["ports"] = [
        {"target": inside, "published": str(outside), "host_ip": settings.address, "protocol": "tcp", "mode": "host"}
        for outside, inside in ports
    ]
    networks: dict[str, Any] = {EDGE_NETWORK: {"aliases": ["traefik"]} if settings.socket_proxy_image else {}}
    if settings.socket_proxy_image:
        # The app attaches its own containers' networks to this one container by name.
        networks[SOCKET_PROXY] = {}
        data["depends_on"] = {SOCKET_PROXY: {"condition": "service_healthy"}}
    data["networks"] = networks
    volumes = []
    if settings.tls_mode in ("files", "internal-ca"):
        for source, target in ((settings.certificate_file, "/tls/tls.crt"), (settings.key_file, "/tls/tls.key")):
            volumes.append(_bind(source, target))
    if settings.acme and settings.acme.ca_file:
        volumes.append(_bind(settings.acme.ca_file, "/etc/traefik/acme-ca.pem"))
        data["environment"] = {"LEGO_CA_CERTIFICATES": "/etc/traefik/acme-ca.pem"}
    if volumes:
        data["volumes"] = volumes
    return data


def _bind(source: str, target: str) -> dict[str, Any]:
    place = source if source.startswith("/") else from_compose_folder(source.removeprefix("./"))
    return _mounted(place, target)


def _mounted(source: str, target: str) -> dict[str, Any]:
    """A file or folder seen from the compose folder, read-only."""
    return {"type": "bind", "source": source, "target": target, "read_only": True, "bind": {"create_host_path": False}}


def _postgres(stack: Stack, settings: BundledPostgres) -> dict[str, Any]:
    data = _extends("postgres.yaml", "postgres")
    data["networks"] = {DATA_NETWORK: {"aliases": list(settings.aliases)} if settings.aliases else {}}
    if archiving.needs_network(stack):
        data["networks"][BACKUP_NETWORK] = {}
    if stack.backups is not None and stack.backups.archive is not None:
        data["pull_policy"] = "never"
        if not stack.backups.base_image:
            # A ready-made image of the job begins with the job's program.
            data["entrypoint"] = ["docker-entrypoint.sh"]
    data["volumes"] = [
        {"type": "volume", "source": settings.volume, "target": settings.data_path},
        *archiving.mounts(stack),
        *_first_start(settings),
        *_host_files(settings.carried),
    ]
    # Said to the image: one with another place in mind would keep the data in a nameless volume, gone with the container.
    data["environment"] = dict(sorted({**settings.environment, "PGDATA": settings.cluster_path}.items()))
    if settings.secret_environment:
        place = f"{private_folder(stack.environment)}/{environment_file(settings.service)}"
        data["env_file"] = [from_compose_folder(place)]
    return {**data, **settings.carried.settings}


def environment_file(service: str) -> str:
    """Where the secret variables of a service lie among the private files."""
    return f"env/{service}.env"


def add_secret_environment(private: Tree, service: str, values: Mapping[str, Sensitive]) -> None:
    """The secret variables of a service, where its `env_file` looks for them; no file for none."""
    if values:
        private.add(environment_file(service), _env(values), 0o600)


def _first_start(settings: BundledPostgres) -> list[dict[str, Any]]:
    """The files of the first start: as a folder of our own, or one by one beside those that the image brings."""
    if settings.init_covers_image:
        return [_mounted("./postgres/init", INIT_FOLDER)]
    names = sorted({path.partition("/")[0] for path in settings.init_files})
    return [_mounted(f"./postgres/init/{name}", f"{INIT_FOLDER}/{name}") for name in names]


def _host_files(carried: Carried) -> list[dict[str, Any]]:
    return [_bind(mount.source, mount.target) for mount in carried.host_files]


def _redis(settings: BundledRedis) -> dict[str, Any]:
    data = _extends("redis.yaml", "redis")
    data["networks"] = {DATA_NETWORK: {"aliases": list(settings.aliases)} if settings.aliases else {}}
    data["volumes"] = [
        {"type": "volume", "source": settings.volume, "target": "/data"},
        *_host_files(settings.carried),
    ]
    return {**data, **settings.carried.settings}


def parameters(stack: Stack) -> dict[str, str]:
    """The values of `.env` that the fragments interpolate; revisions are added when all else is known."""
    logs = stack.edge.logs
    values = {
        "MOORAGE_PRIVATE": from_compose_folder(private_folder(stack.environment)),
        "MOORAGE_LOG_MAX_SIZE": f"{logs.max_size // 1024}k",
        "MOORAGE_LOG_MAX_FILES": str(logs.max_files),
        "MOORAGE_TRAEFIK_IMAGE": stack.edge.image.reference,
        **_sizes("TRAEFIK", stack.edge.limits),
    }
    if stack.edge.socket_proxy_image:
        values["MOORAGE_SOCKET_PROXY_IMAGE"] = stack.edge.socket_proxy_image.reference
    if isinstance(stack.postgres, BundledPostgres):
        values |= {
            "MOORAGE_POSTGRES_IMAGE": stack.postgres.image.reference,
            "MOORAGE_POSTGRES_SUPERUSER": stack.postgres.superuser,
            "MOORAGE_POSTGRES_DATABASE": database_settings.first_database(stack.postgres),
            "MOORAGE_POSTGRES_INIT_ARGUMENTS": stack.postgres.init_arguments,
            "MOORAGE_POSTGRES_SHARED_MEMORY": f"{stack.postgres.shared_memory // MEBIBYTE}m",
            **_sizes("POSTGRES", stack.postgres.limits),
        }
    if isinstance(stack.redis, BundledRedis):
        values |= {"MOORAGE_REDIS_IMAGE": stack.redis.image.reference, **_sizes("REDIS", stack.redis.limits)}
    return values


def _sizes(prefix: str, limits: Limits) -> dict[str, str]:
    return {
        f"MOORAGE_{prefix}_CPUS": format_cpu(limits.cpu),
        f"MOORAGE_{prefix}_MEMORY": str(limits.memory),
        f"MOORAGE_{prefix}_MEMORY_REQUEST": str(limits.memory_request),
    }


def add_files(stack: Stack, public: Tree, private: Tree) -> None:
    """The platform's files, public and private."""
    _add_fragment(public, "traefik.yaml", "publish-routes.sh")
    public.add("compose/traefik/traefik.yaml", render_template("traefik/traefik.yaml.j2", edge.static_view(stack)))
    public.add("compose/traefik/dynamic/routes.yaml", dump_yaml(edge.routes(stack), _GENERATED))
    private.add("env/traefik.env", _env(stack.edge.secret_environment), 0o600)
    if stack.edge.socket_proxy_image:
        _add_fragment(public, "socket-proxy.yaml", "socket-proxy.cfg")
    if isinstance(stack.postgres, BundledPostgres):
        _add_postgres(stack.postgres, public, private)
    if isinstance(stack.redis, BundledRedis):
        _add_redis(stack.redis, public, private)


def _add_fragment(public: Tree, *names: str) -> None:
    for name in names:
        public.add(f"compose/platform/{name}", asset("compose", name).read_bytes())


def _add_postgres(settings: BundledPostgres, public: Tree, private: Tree) -> None:
    _add_fragment(public, "postgres.yaml")
    for name, text in database_settings.postgres_files(settings).items():
        public.add(f"compose/postgres/{name}", text)
    if settings.user_is_superuser:
        public.add("compose/postgres/init/.keep", "")
    for path, content in database_settings.postgres_first_start(settings).items():
        mode = 0o755 if path in settings.init_executable else 0o644
        public.add(f"compose/postgres/init/{path}", content, mode)
    private.add("files/postgres_password", settings.password.reveal(), 0o600)
    add_secret_environment(private, settings.service, settings.secret_environment)


def _add_redis(settings: BundledRedis, public: Tree, private: Tree) -> None:
    _add_fragment(public, "redis.yaml", "redis-start.sh")
    public.add("compose/redis/redis.conf", database_settings.redis_settings(settings))
    private.add("platform/redis.env", _env(database_settings.redis_secrets(settings)), 0o600)


def _env(values: Mapping[str, Sensitive]) -> str:
    return dump_env({name: value.reveal() for name, value in values.items()}, "Written by moorage. Secret.")
