"""Docker itself: does the engine answer, is it new enough, are its plugins there."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from moorage.checks.asking import Engine, EngineView, ask
from moorage.checks.base import Finding, Needs, failure, ok, warning

NAME = "engine"

# 25 reads `start_interval` of health checks, without which a rollout waits for every slow first probe;
# 26 mounts a folder inside a volume, which apps with a folder per project need.
_ENGINE = (25, 0)
_ENGINE_CREATING = (26, 0)
_COMPOSE = (2, 24)
_INSTALL = "https://docs.docker.com/engine/install/"
_COMPOSE_PACKAGES = "docker-compose-plugin` (Debian: docker-compose, Ubuntu: docker-compose-v2)"
_GOOD_STORAGE = ("overlay2", "overlayfs", "btrfs", "zfs", "fuse-overlayfs", "stargz")


@dataclass(frozen=True)
class EngineFacts:
    """What is known of Docker; versions are as the programs say them, empty without the program, None when unknown."""

    is_installed: bool
    error: str
    version: str
    compose_version: str | None
    buildx_version: str | None
    storage_driver: str
    is_rootless: bool
    forwards: bool
    is_desktop: bool
    is_podman: bool
    endpoint: str
    docker_host: str
    user: str


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Look at Docker and judge."""
    return judge(gather(engine), needs)


def gather(engine: Engine) -> EngineFacts:
    """Ask Docker for everything at once; changes nothing."""
    view = engine.view()
    info = view.info
    system = str(info.get("OperatingSystem") or "")
    return EngineFacts(
        is_installed="is not installed" not in view.error,
        error=view.error,
        version=view.version,
        compose_version=_plugin_version(view, "compose", "version", "--short"),
        buildx_version=_plugin_version(view, "buildx", "version"),
        storage_driver=str(info.get("Driver") or ""),
        is_rootless=view.is_rootless,
        forwards=info.get("IPv4Forwarding") is not False,
        is_desktop=system == "Docker Desktop",
        is_podman="store" in info and "host" in info,
        endpoint=_endpoint() if view.answers else "",
        docker_host=os.environ.get("DOCKER_HOST", ""),
        user=_user(),
    )


def judge(facts: EngineFacts, needs: Needs) -> tuple[Finding, ...]:
    """The lines about the engine, then about its plugins."""
    if not facts.is_installed:
        return (failure(NAME, "Docker is not installed", f"install Docker Engine 25 or newer: {_INSTALL}"),)
    return (*_engine(facts, needs), *_plugins(facts, needs))


def version_of(text: str) -> tuple[int, ...]:
    """The numbers at the start of a version: `v2.26.1-4` → (2, 26, 1); empty when there are none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _engine(facts: EngineFacts, needs: Needs) -> Iterator[Finding]:
    if facts.is_podman:
        yield failure(NAME, "`docker` is Podman here, which lacks what the stack needs", f"install Docker: {_INSTALL}")
        return
    if facts.error:
        yield _silent(facts)
        return
    needed = _ENGINE_CREATING if needs.creates_containers else _ENGINE
    why = ", for folders inside volumes" if needs.creates_containers else ""
    found = version_of(facts.version)
    shown = ".".join(str(part) for part in found)
    if not found:
        text = f"the engine says the version {facts.version!r}, which says nothing"
        yield warning(NAME, text, f"`docker version`; it needs {needed[0]} or newer{why}")
    elif found < needed:
        text = f"docker {shown} is too old (needs {needed[0]}{why})"
        yield failure(NAME, text, f"install Docker Engine {needed[0]} or newer: {_INSTALL}")
    else:
        yield ok(NAME, f"docker {shown} (needs {needed[0]})")
    yield from _peculiarities(facts, needs)


def _silent(facts: EngineFacts) -> Finding:
    if "permission denied" in facts.error:
        fix = f"`sudo usermod -aG docker {facts.user}` and log in again, or run moorage as root"
        return failure(NAME, f"the user {facts.user} may not talk to the Docker engine", fix)
    text = f"the Docker engine does not answer: {facts.error}"
    if facts.docker_host:
        return failure(NAME, text, f"`unset DOCKER_HOST`, which is {facts.docker_host}, or start that engine")
    if "did not finish" in facts.error:
        return failure(NAME, text, "`journalctl -u docker -n 50` says why; then `systemctl restart docker`")
    return failure(NAME, text, "`systemctl start docker`")


def _peculiarities(facts: EngineFacts, needs: Needs) -> Iterator[Finding]:
    """What is allowed, but behaves otherwise than on the server that we have in mind."""
    if facts.endpoint and not facts.endpoint.startswith("unix://"):
        text = f"the engine is somewhere else ({facts.endpoint}): what is said here of memory, disk and ports is about this host"
        yield warning(NAME, text, "run moorage on that server, or `docker context use default`")
    elif facts.is_desktop:
        text = (
            "Docker Desktop runs containers in a machine of its own: memory, disk and ports are those of that machine"
        )
        yield warning(NAME, text, "fine for a try; for a server install Docker Engine")
    if facts.storage_driver and facts.storage_driver not in _GOOD_STORAGE:
        text = f"the storage driver is {facts.storage_driver}, which is slow and copies whole images"
        yield warning(NAME, text, 'set `"storage-driver": "overlay2"` in /etc/docker/daemon.json before the first `up`')
    if not facts.forwards:
        text = "the kernel does not forward IPv4, so nothing outside reaches a container"
        yield failure(NAME, text, "`sysctl -w net.ipv4.ip_forward=1`, and the same line in /etc/sysctl.d/")
    if facts.is_rootless:
        sockets = [service.name for service in needs.services if service.docker_access]
        if sockets:
            text = f"the engine is rootless: its socket is not where {', '.join(sockets)} mounts it from"
            yield warning(NAME, text, "use the system's engine for this app: `docker context use default`")
        else:
            yield ok(NAME, "the engine is rootless")


def _plugins(facts: EngineFacts, needs: Needs) -> Iterator[Finding]:
    if facts.is_podman:
        return
    yield _compose(facts.compose_version)
    builders = [service.name for service in needs.services if service.builds]
    if builders:
        yield _buildx(facts.buildx_version, builders[0])


def _compose(version: str | None) -> Finding:
    if version is None:
        return warning(
            NAME, "whether the Compose plugin is there is not known", "`docker compose version` must say 2.24"
        )
    found = version_of(version)
    shown = ".".join(str(part) for part in found)
    fix = f"`apt-get install {_COMPOSE_PACKAGES}; or {_INSTALL}"
    if not found:
        return failure(NAME, "the Compose plugin of Docker is missing (needs 2.24)", fix)
    if found < _COMPOSE:
        return failure(NAME, f"compose {shown} is too old (needs 2.24)", fix)
    return ok(NAME, f"compose {shown} (needs 2.24)")


def _buildx(version: str | None, builder: str) -> Finding:
    if version is None:
        return warning(NAME, "whether the buildx plugin is there is not known", "`docker buildx version` must answer")
    if not version:
        fix = f"`apt-get install docker-buildx-plugin` (Debian and Ubuntu: docker-buildx); or {_INSTALL}"
        return failure(NAME, f"the buildx plugin of Docker is missing, and {builder} is built here", fix)
    return ok(NAME, f"buildx {'.'.join(map(str, version_of(version)))}")


def _plugin_version(view: EngineView, name: str, *arguments: str) -> str | None:
    """From what was asked already; an engine that hangs keeps `docker info` from saying it, but not the plugin."""
    if "ClientInfo" in view.info:
        return view.plugins.get(name, "")
    answer = ask(["docker", name, *arguments])
    if answer.is_good:
        # buildx puts its address in front: `github.com/docker/buildx 0.13.1 …`
        return next((word for word in answer.output.split() if version_of(word)), "")
    return None if answer.status == -1 else ""


def _endpoint() -> str:
    return ask(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).output.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
