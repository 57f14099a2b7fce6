"""Redis: the secrets it needs, the variables it gives to the app, the container it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from moorage.app.adoption import AdoptedRedis
from moorage.app.extension import AppExtension
from moorage.config.loading import LoadedConfig
from moorage.config.secrets import SecretNeed
from moorage.errors import Problem
from moorage.quantities import MEBIBYTE, human_size
from moorage.sensitive import Sensitive, Text
from moorage.stack.model import BundledRedis, ExternalRedis, Host, Image, Limits, LogLimits

SERVICE = "redis"
VOLUME = "redis-data"
PASSWORD = "REDIS_PASSWORD"  # noqa: S105 - the name of a secret, not a secret


def needs(extension: AppExtension) -> list[SecretNeed]:
    """The password, hexadecimal: some clients do not decode it from a URL."""
    return [SecretNeed(PASSWORD, "password of Redis", "hex32")] if extension.requires.redis else []


def external_needs(extension: AppExtension) -> list[SecretNeed]:
    """The password of somebody else's server."""
    return [SecretNeed(PASSWORD, "password of your own Redis server")] if extension.requires.redis else []


def values(extension: AppExtension, loaded: LoadedConfig, secrets: Mapping[str, Sensitive]) -> dict[str, Text]:
    """What the app may interpolate to reach Redis."""
    if extension.requires.redis is None:
        return {}
    config = loaded.config.redis
    host = (config.host or "unset") if config.mode == "external" else SERVICE
    port = str(config.port) if config.mode == "external" else "6379"
    password = secrets.get(PASSWORD, Sensitive("unset"))
    in_url = f"[{host}]" if ":" in host else host
    return {
        "REDIS_HOST": host,
        "REDIS_PORT": port,
        "REDIS_PASSWORD": password,
        "REDIS_URL": Sensitive(f"redis://:{quote(password.reveal(), safe='')}@{in_url}:{port}/0"),
    }


def problems(loaded: LoadedConfig) -> Iterator[Problem]:
    """What is wrong with the `redis` block as a whole."""
    config = loaded.config.redis
    if config.mode == "external" and not config.host:
        yield loaded.problem(("redis", "host"), "is required when redis.mode is external")
    if config.mode == "bundled" and config.host:
        yield loaded.problem(
            ("redis", "host"), "has no effect while redis.mode is bundled", hint="set `mode: external`"
        )
    if config.memory < 64 * MEBIBYTE:
        yield loaded.problem(("redis", "memory"), "must be at least 64Mi", value=human_size(config.memory))


def memory_limit(loaded: LoadedConfig, adopted: AdoptedRedis | None) -> int:
    """The container's limit in bytes: as configured, or more where an adopted server was given more."""
    wanted = (adopted.service.sizes.memory or 0, -(-adopted.data_memory * 4 // 3)) if adopted else ()
    return max(loaded.config.redis.memory, *(-(-size // MEBIBYTE) * MEBIBYTE for size in wanted), 0)


def memory_request(limit: int) -> int:
    """What is always there for it: an eighth, enough for an idle one."""
    return limit // 8


def bundled(
    extension: AppExtension,
    adopted: AdoptedRedis | None,
    loaded: LoadedConfig,
    host: Host,
    password: Sensitive | None,
    logs: LogLimits,
) -> BundledRedis | None:
    """The container for what the app requires or brings."""
    if extension.requires.redis is None and adopted is None:
        return None
    config = loaded.config.redis
    cpu = min(1000, host.cpus * 1000)
    memory = memory_limit(loaded, adopted)
    # A quarter stays free for the copy that Redis makes while it rewrites its log.
    data = memory * 3 // 4
    if adopted is not None:
        data = adopted.data_memory or data
        return BundledRedis(
            service=adopted.service.name,
            image=Image(config.image or adopted.image),
            password=adopted.password,
            data_memory=data,
            policy=adopted.policy or config.policy,
            limits=Limits(memory, memory_request(memory), cpu, min(cpu, 100)),
            logs=logs,
            aliases=adopted.aliases,
            adopted_from=adopted.service.name,
            volume=adopted.volume,
            carried=adopted.carried,
        )
    return BundledRedis(
        service=SERVICE,
        image=Image(config.image or f"redis:{config.version}"),
        password=password,
        data_memory=data,
        policy=config.policy,
        limits=Limits(memory, memory_request(memory), cpu, min(cpu, 100)),
        logs=logs,
    )


def external(extension: AppExtension, loaded: LoadedConfig, password: Sensitive | None) -> ExternalRedis | None:
    """The server that somebody else runs."""
    config = loaded.config.redis
    if extension.requires.redis is None or not config.host:
        return None
    return ExternalRedis(config.host, config.port, password)
