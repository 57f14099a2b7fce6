"""Stack → the files of one server: Compose, Traefik, Postgres, Redis, systemd. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from moorage import __version__
from moorage.formats import dump_env, dump_json, dump_yaml
from moorage.parity.rendered import PARITY_FILE
from moorage.quantities import format_cpu, human_size
from moorage.stack.model import (
    APP_NETWORK,
    BACKUP_NETWORK,
    DATA_NETWORK,
    EDGE_NETWORK,
    BundledPostgres,
    BundledRedis,
    Service,
    Stack,
)
from moorage.targets import backup_plan
from moorage.targets.base import Rendering
from moorage.targets.builds import ASSETS_VARIABLE, BUILD_FILE, build_file
from moorage.targets.compose import backups, host, platform, services
from moorage.targets.compose.fact_sheet import facts
from moorage.targets.compose.names import (
    COMPOSE_FILE,
    COMPOSE_FOLDER,
    EDGE_ROUTES,
    FACTS_FILE,
    LABEL_DEPLOYMENT,
    OVERRIDE_FILE,
    SOCKET_PROXY,
    SOCKET_VOLUME,
    TRAEFIK,
    WORK_VOLUME,
    from_compose_folder,
    private_folder,
)
from moorage.targets.compose_data import literal
from moorage.targets.parity_file import parity_file
from moorage.templating import render_template
from moorage.tree import MANIFEST, Tree

_HEADER = "Rendered by moorage; changes here are lost. Settings: moorage.yaml. Own changes: overrides/compose.yaml."


def render(stack: Stack) -> Rendering:
    """The rendered folder of a stack and, apart from it, the files with secrets. Same stack, same bytes."""
    public, private = Tree(), Tree()
    platform.add_files(stack, public, private)
    for service in stack.services:
        services.add_files(service, public, private)
        platform.add_secret_environment(private, service.name, service.secret_environment)
    backups.add_files(stack, public, private)
    host.add_files(stack, public)
    if stack.override is not None:
        private.add(OVERRIDE_FILE, stack.override_source.reveal(), 0o600)
    revisions = _revisions(stack, public, private)
    public.add(f"{COMPOSE_FOLDER}/{COMPOSE_FILE}", dump_yaml(literal(_compose_file(stack, revisions)), _HEADER))
    public.add(f"{COMPOSE_FOLDER}/.env", dump_env(_parameters(stack, revisions), _HEADER))
    builds = build_file(stack)
    if builds["services"]:
        public.add(f"{COMPOSE_FOLDER}/{BUILD_FILE}", dump_yaml(builds, _HEADER))
    public.add("README.md", render_template("rendered/README.md.j2", _readme_view(stack, bool(builds["services"]))))
    public.add(FACTS_FILE, dump_json(facts(stack, revisions, _networks(stack))))
    public.add(PARITY_FILE, parity_file(stack))
    for tree in (public, private):
        manifest = tree.manifest(moorage=__version__, environment=stack.environment, target=stack.target)
        tree.add(MANIFEST, manifest, 0o600 if tree is private else 0o644)
    return Rendering(public, private)


def _compose_file(stack: Stack, revisions: dict[str, str]) -> dict[str, Any]:
    content: dict[str, Any] = {"name": stack.project}
    content["services"] = platform.services(stack)
    for service in stack.services:
        content["services"][service.name] = services.app_service(stack, service, revisions[service.name])
    for job in stack.jobs:
        content["services"][job.name] = services.job_service(
            stack, job, stack.service(job.service), revisions[job.name]
        )
    content["services"] |= backups.services(stack)
    content["networks"] = _networks(stack)
    content["volumes"] = _volumes(stack)
    content["secrets"] = _secrets(stack)
    return {key: value for key, value in content.items() if value}


def _secrets(stack: Stack) -> dict[str, Any]:
    own = {}
    if isinstance(stack.postgres, BundledPostgres):
        place = from_compose_folder(f"{private_folder(stack.environment)}/files/postgres_password")
        own["postgres_password"] = {"file": place}
    return {**own, **backups.secrets(stack)}


def _networks(stack: Stack) -> dict[str, Any]:
    networks: dict[str, Any] = {EDGE_NETWORK: {}, APP_NETWORK: {}}
    if stack.postgres or stack.redis:
        # No way out: a database has no business on the internet.
        networks[DATA_NETWORK] = {"internal": True}
    if stack.edge.socket_proxy_image:
        networks[SOCKET_PROXY] = {"internal": True}
    if backup_plan.needs_network(stack):
        networks[BACKUP_NETWORK] = {}
    for name, internal in stack.networks.items():
        networks[name] = {"internal": True} if internal else {}
    used = {name for service in stack.services for name in service.networks}
    return {name: value for name, value in networks.items() if name != APP_NETWORK or name in used}


def _volumes(stack: Stack) -> dict[str, Any]:
    labels = {LABEL_DEPLOYMENT: stack.deployment_id}
    volumes: dict[str, Any] = {"edge-routes": {"labels": labels}, "edge-acme": {"labels": labels}}
    for item in (stack.postgres, stack.redis):
        if isinstance(item, (BundledPostgres, BundledRedis)):
            volumes[item.volume] = {"labels": labels}
    if isinstance(stack.postgres, BundledPostgres):
        volumes[SOCKET_VOLUME] = {"labels": labels}
    if stack.backups:
        volumes[WORK_VOLUME] = {"labels": labels}
    for volume in stack.volumes:
        data: dict[str, Any] = {"labels": {**dict(sorted(volume.labels.items())), **labels}}
        if volume.fixed_name:
            data["name"] = volume.fixed_name
        if volume.external:
            data = {"name": volume.fixed_name or volume.name, "external": True}
        volumes[volume.name] = data
    return volumes


def _parameters(stack: Stack, revisions: dict[str, str]) -> dict[str, str]:
    values = {**platform.parameters(stack), **backups.parameters(stack)}
    for variable, service in _platform_revisions(stack).items():
        values[variable] = revisions[service]
    files = [COMPOSE_FILE]
    if stack.override is not None:
        # A copy, so that a release that is gone back to runs with its own.
        files.append(from_compose_folder(f"{private_folder(stack.environment)}/{OVERRIDE_FILE}"))
    return {**values, "COMPOSE_FILE": ":".join(files), "COMPOSE_PATH_SEPARATOR": ":"}


def _platform_revisions(stack: Stack) -> dict[str, str]:
    names = {"MOORAGE_TRAEFIK_REVISION": TRAEFIK, "MOORAGE_ROUTES_REVISION": EDGE_ROUTES}
    if stack.edge.socket_proxy_image:
        names["MOORAGE_SOCKET_PROXY_REVISION"] = SOCKET_PROXY
    if isinstance(stack.postgres, BundledPostgres):
        names["MOORAGE_POSTGRES_REVISION"] = stack.postgres.service
    if isinstance(stack.redis, BundledRedis):
        names["MOORAGE_REDIS_REVISION"] = stack.redis.service
    return names


def _revisions(stack: Stack, public: Tree, private: Tree) -> dict[str, str]:
    """A fingerprint of everything that makes a container what it is; a changed one means a new container.

    Keyed by a secret of the deployment, so that nobody can guess a weak password from a committed folder.
    """
    values = platform.parameters(stack)
    seam = platform.services(stack)
    parts: dict[str, object] = {}
    for name, fragment, prefixes in _platform_parts(stack):
        files = {
            path: file.digest for path, file in public.files.items() if path.startswith(prefixes) or path == fragment
        }
        secrets = {path: file.digest for path, file in private.files.items() if path in _platform_secrets(stack, name)}
        parts[name] = [seam[_service_of(stack, name)], files, secrets, _own_parameters(name, values)]
    # Traefik reads certificate files at its start only.
    parts[TRAEFIK] = [parts[TRAEFIK], stack.edge.certificate_digest]
    parts[EDGE_ROUTES] = public.files["compose/traefik/dynamic/routes.yaml"].digest
    result = {_service_of(stack, name): _fingerprint(stack, name, part) for name, part in parts.items()}
    for service in stack.services:
        result[service.name] = _fingerprint(stack, service.name, _service_part(stack, service, public, private))
    for job in stack.jobs:
        service = stack.service(job.service)
        part = [_service_part(stack, service, public, private), list(job.command), job.run, str(job.limits)]
        result[job.name] = _fingerprint(stack, job.name, part)
    return result


def _platform_parts(stack: Stack) -> list[tuple[str, str, tuple[str, ...]]]:
    """Kind, fragment, and the files (or their folder) that it reads at every start."""
    parts: list[tuple[str, str, tuple[str, ...]]] = [
        (TRAEFIK, "compose/platform/traefik.yaml", ("compose/traefik/traefik.yaml",))
    ]
    if stack.edge.socket_proxy_image:
        parts.append((SOCKET_PROXY, "compose/platform/socket-proxy.yaml", ("compose/platform/socket-proxy.cfg",)))
    if isinstance(stack.postgres, BundledPostgres):
        # Who may connect is such a file, too; what is in init/ is read once only.
        read = ("compose/postgres/postgresql.conf", "compose/postgres/pg_hba.conf")
        parts.append(("postgres", "compose/platform/postgres.yaml", read))
    if isinstance(stack.redis, BundledRedis):
        parts.append(("redis", "compose/platform/redis.yaml", ("compose/redis/",)))
    return parts


def _platform_secrets(stack: Stack, kind: str) -> tuple[str, ...]:
    if kind == "postgres":
        # The database's own password file matters only when its data is created; a new one is set by SQL.
        return (platform.environment_file(_service_of(stack, kind)),)
    return {TRAEFIK: ("env/traefik.env",), "redis": ("platform/redis.env",)}.get(kind, ())


def _own_parameters(kind: str, values: dict[str, str]) -> dict[str, str]:
    prefixes = (f"MOORAGE_{kind.upper().replace('-', '_')}_", "MOORAGE_LOG_", "MOORAGE_PRIVATE")
    return {key: value for key, value in values.items() if key.startswith(prefixes)}


def _service_of(stack: Stack, kind: str) -> str:
    if kind == "postgres" and isinstance(stack.postgres, BundledPostgres):
        return stack.postgres.service
    if kind == "redis" and isinstance(stack.redis, BundledRedis):
        return stack.redis.service
    return kind


def _service_part(stack: Stack, service: Service, public: Tree, private: Tree) -> list[object]:
    prefixes = (f"compose/files/{service.name}/", f"files/{service.name}/")
    # A running container keeps the file that it was started with, its mode and owner included.
    files = {
        path: [file.digest, file.mode, file.owner]
        for tree in (public, private)
        for path, file in tree.files.items()
        if path.startswith(prefixes)
    }
    secret = private.files.get(platform.environment_file(service.name))
    data = services.app_service(stack, service, "")
    # The number of containers and what must be started first do not change a container.
    data.pop("depends_on", None)
    data["deploy"] = {key: value for key, value in data["deploy"].items() if key != "replicas"}
    return [literal(data), files, secret.digest if secret else ""]


def _fingerprint(stack: Stack, name: str, part: object) -> str:
    override = (stack.override or {}).get("services")
    own = override.get(name) if isinstance(override, dict) else None
    text = json.dumps([part, own], sort_keys=True, default=str)
    return hmac.new(stack.revision_key.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()[:16]


def _timer_words(stack: Stack) -> str:
    words = ", a timer for the night" if stack.backups else ""
    return words + (", a timer per scheduled job" if any(job.run == "schedule" for job in stack.jobs) else "")


def _readme_view(stack: Stack, builds: bool) -> dict[str, Any]:
    rows = [("traefik", stack.edge.image, stack.edge.limits, stack.edge.logs)]
    rows += [
        (item.service, item.image, item.limits, item.logs)
        for item in (stack.postgres, stack.redis)
        if isinstance(item, (BundledPostgres, BundledRedis))
    ]
    rows += [(service.name, service.image, service.limits, service.logs) for service in stack.services]
    volumes = [*stack.volume_names().values(), *(volume.fixed_name for volume in stack.volumes if volume.external)]
    return {
        "project": stack.project,
        "app_words": f" and the app `{stack.app}`",
        "private": f"secrets/{stack.environment}/",
        "builds": builds,
        "build_command": f"{ASSETS_VARIABLE}=FOLDER-OF-THE-SOURCES docker compose -f {BUILD_FILE} build",
        "volumes": ", ".join(f"`{name}`" for name in sorted(volumes)) or "none",
        "postgres": isinstance(stack.postgres, BundledPostgres),
        "redis": isinstance(stack.redis, BundledRedis),
        "backups": backups.readme_view(stack),
        "timer_words": _timer_words(stack),
        "services": [
            {
                "name": name,
                "image": f"`{image.reference}`",
                "memory": human_size(limits.memory),
                "cpus": format_cpu(limits.cpu),
                "log": human_size(logs.budget),
            }
            for name, image, limits, logs in rows
        ],
    }
