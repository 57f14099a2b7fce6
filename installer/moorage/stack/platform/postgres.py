"""Postgres: the secrets it needs, the variables it gives to the app, the container it becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from moorage.app.adoption import AdoptedPostgres
from moorage.app.extension import AppExtension, PostgresNeed
from moorage.app.images import image_kind, postgres_data_folder, postgres_major, postgres_pgdata
from moorage.config.loading import LoadedConfig
from moorage.config.secrets import SecretNeed
from moorage.errors import Problem
from moorage.quantities import GIBIBYTE, MEBIBYTE, human_size
from moorage.sensitive import Sensitive, Text
from moorage.stack.model import BundledPostgres, ExternalPostgres, Host, Image, Limits, LogLimits
from moorage.stack.platform import parameters
from moorage.stack.tuning import SHARED_MEMORY, TuningBasis, tune

SERVICE = "postgres"
VOLUME = "postgres-data"
SOCKET_VOLUME = "postgres-socket"
PASSWORD = "POSTGRES_PASSWORD"  # noqa: S105 - the name of a secret, not a secret
SMALLEST_LIMIT = 128 * MEBIBYTE
SMALLEST_MEMORY = 256 * MEBIBYTE


def needs(extension: AppExtension) -> list[SecretNeed]:
    """The password, hexadecimal: a `%` or `/` in a database URL breaks some apps."""
    if extension.requires.postgres is None:
        return []
    return [SecretNeed(PASSWORD, "password of the app's database role", "hex32")]


def external_needs(extension: AppExtension) -> list[SecretNeed]:
    """The password of somebody else's server, which only the operator knows."""
    if extension.requires.postgres is None:
        return []
    return [SecretNeed(PASSWORD, "password of the role on your own Postgres server")]


def values(extension: AppExtension, loaded: LoadedConfig, secrets: Mapping[str, Sensitive]) -> dict[str, Text]:
    """What the app may interpolate to reach its database."""
    need = extension.requires.postgres
    if need is None:
        return {}
    config = loaded.config.postgres
    external = config.mode == "external"
    return {
        "POSTGRES_HOST": (config.host or "unset") if external else SERVICE,
        "POSTGRES_PORT": str(config.port) if external else "5432",
        "POSTGRES_USER": (config.user or need.user) if external else need.user,
        "POSTGRES_DB": (config.database or need.database) if external else need.database,
        "POSTGRES_TLS": "true" if external and config.tls != "disable" else "false",
        "POSTGRES_PASSWORD": secrets.get(PASSWORD, Sensitive("unset")),
    }


def problems(extension: AppExtension, adopted: AdoptedPostgres | None, loaded: LoadedConfig) -> Iterator[Problem]:
    """What is wrong with the `postgres` block as a whole."""
    config = loaded.config.postgres
    if config.mode == "external":
        if not config.host:
            yield loaded.problem(("postgres", "host"), "is required when postgres.mode is external")
    elif config.host:
        yield loaded.problem(
            ("postgres", "host"), "has no effect while postgres.mode is bundled", hint="set `mode: external`"
        )
    known = extension.requires.postgres.version if extension.requires.postgres else None
    if known and config.mode == "bundled" and int(config.version) < int(known):
        yield loaded.problem(
            ("postgres", "version"), f"must be at least {known}, the version the app was made for", value=config.version
        )
    yield from _image_problems(adopted, loaded)
    if config.memory is not None and config.memory < SMALLEST_LIMIT:
        yield loaded.problem(
            ("postgres", "memory"),
            f"must be at least {SMALLEST_LIMIT // MEBIBYTE}Mi: a server in less is ended by the kernel",
            value=human_size(config.memory),
        )
    for name, rule in parameters.problems(config.parameters):
        yield loaded.problem(("postgres", "parameters", name), rule, of_key=True)


def _image_problems(adopted: AdoptedPostgres | None, loaded: LoadedConfig) -> Iterator[Problem]:
    """Another image whose major is not that of the data: it would not find them, or begin anew beside them."""
    config = loaded.config.postgres
    major = postgres_major(config.image) if config.image and image_kind(config.image) == "postgres" else None
    expected = adopted.version if adopted else int(config.version)
    if config.mode == "bundled" and major is not None and major != expected:
        hint = f"an image of version {expected}" + ("" if adopted else f", or `version: {major}` for new data")
        yield loaded.problem(
            ("postgres", "image"), f"is Postgres {major}, but the data are of version {expected}", hint=hint
        )


def memory_limit(loaded: LoadedConfig, host: Host) -> int:
    """The container's limit: as configured, else a quarter of the host, 512 MiB to 32 GiB."""
    if loaded.config.postgres.memory:
        return loaded.config.postgres.memory
    quarter = host.memory // 4 // MEBIBYTE * MEBIBYTE
    return max(512 * MEBIBYTE, min(quarter, 32 * GIBIBYTE))


def memory_request(limit: int) -> int:
    """What is always there for it: its shared buffers, a quarter, and 64 MiB for its processes."""
    return min(limit, limit // 4 + 64 * MEBIBYTE)


def usable_memory(limit: int, host: Host, others: int) -> int:
    """What the server may really use: min(cgroup limit, host memory − the others), in bytes.

    Below the limit it comes in quarters of it, so that one more small service does not restart the database.
    """
    room = host.memory - others
    if room < limit:
        quarter = max(1, limit // 4)
        room = room // quarter * quarter
    return min(limit, max(SMALLEST_MEMORY, room))


def bundled(
    need: PostgresNeed | None,
    adopted: AdoptedPostgres | None,
    loaded: LoadedConfig,
    host: Host,
    password: Sensitive | None,
    others: int,
    logs: LogLimits,
) -> BundledPostgres | None:
    """The database container for what the app requires or brings; `others` is the memory of everything else."""
    if need is None and adopted is None:
        return None
    config = loaded.config.postgres
    limit = memory_limit(loaded, host)
    usable = usable_memory(limit, host, others)
    cpus = max(1, (config.cpu or host.cpus * 1000) // 1000)
    version = adopted.version if adopted else int(config.version)
    # What the app's processes may open together, and ten for people and jobs.
    connections = max(config.max_connections, (need.connections or 0) + 10 if need else 0)
    basis = TuningBasis(usable, min(cpus, host.cpus), host.disk, host.disk_size, connections, version)
    overrides = parameters.normal(adopted.parameters if adopted else {}) | parameters.normal(config.parameters)
    cpu = min(config.cpu or host.cpus * 1000, host.cpus * 1000)
    limits = Limits(limit, memory_request(limit), cpu, min(cpu, 250))
    shared = max(SHARED_MEMORY, usable // 8 // MEBIBYTE * MEBIBYTE)
    tuned = tune(basis, overrides)
    if adopted is not None:
        secret = adopted.password if isinstance(adopted.password, Sensitive) else Sensitive(adopted.password)
        return BundledPostgres(
            service=adopted.service.name,
            image=Image(config.image or adopted.image),
            version=version,
            user=adopted.user,
            user_is_superuser=True,
            password=secret,
            databases=(adopted.database,),
            parameters=tuned,
            basis=_basis(usable, limit, host),
            limits=limits,
            logs=logs,
            shared_memory=max(shared, adopted.shared_memory),
            aliases=adopted.aliases,
            adopted_from=adopted.service.name,
            init_arguments=adopted.init_arguments or "--data-checksums",
            init_files=adopted.init_files,
            init_executable=adopted.init_executable,
            init_covers_image=adopted.init_covers_image,
            environment={
                **_place_on_disk(loaded, version),
                **{name: value for name, value in adopted.environment.items() if isinstance(value, str)},
            },
            secret_environment={
                name: value for name, value in adopted.environment.items() if isinstance(value, Sensitive)
            },
            volume=adopted.volume,
            carried=adopted.carried,
        )
    assert need is not None
    assert password is not None
    return BundledPostgres(
        service=SERVICE,
        image=Image(config.image or f"postgres:{config.version}"),
        version=version,
        user=need.user,
        user_is_superuser=need.superuser,
        password=password,
        databases=(need.database, *need.databases),
        parameters=tuned,
        basis=_basis(usable, limit, host),
        limits=limits,
        logs=logs,
        shared_memory=shared,
        environment=_place_on_disk(loaded, version),
    )


def _place_on_disk(loaded: LoadedConfig, version: int) -> dict[str, str]:
    """In a cluster the data have a folder of their own on their disk, whose root belongs to root and has `lost+found`."""
    folder = postgres_data_folder(version)
    is_root = postgres_pgdata(version) == folder
    return {"PGDATA": f"{folder}/pgdata"} if is_root and loaded.config.target != "compose" else {}


def external(need: PostgresNeed | None, loaded: LoadedConfig, password: Sensitive | None) -> ExternalPostgres | None:
    """The server that somebody else runs."""
    config = loaded.config.postgres
    if need is None or not config.host:
        return None
    return ExternalPostgres(
        host=config.host,
        port=config.port,
        user=config.user or need.user,
        password=password or Sensitive(""),
        databases=(config.database or need.database, *need.databases),
        tls=config.tls,
    )


def _basis(usable: int, limit: int, host: Host) -> str:
    """What the tuning starts from; it names no other service, because the text stands in the server's own file."""
    if usable == limit:
        return f"{human_size(usable)}, the container's limit"
    return (
        f"{human_size(usable)} of the container's limit ({human_size(limit)}): the others leave no more of the "
        f"host's {human_size(host.memory)}"
    )
