"""A foreign Postgres service: what it says about itself, and whether all of it can be carried over."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from moorage.app import adoption_rules as adoptable
from moorage.app.adoption_rules import Unadoptable, public
from moorage.app.images import pinned_postgres, postgres_data_folder, postgres_major
from moorage.app.model import App, AppService, Carried, FileMount, Notice, VolumeMount
from moorage.quantities import parse_size
from moorage.sensitive import Text, reveal

INIT_FOLDER = "/docker-entrypoint-initdb.d"
_DATA_PLACES = ("/var/lib/postgresql/data", "/var/lib/postgresql")
_MEMORY_PLACES = ("/tmp", "/run", "/var/run", "/run/postgresql", "/var/run/postgresql")  # noqa: S108 - in the container
_READ = (
    "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "POSTGRES_INITDB_ARGS", "POSTGRES_HOST_AUTH_METHOD", "PGDATA",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}")
# What our container relies on; a value that means the same as ours is left out.
_OURS = {
    "listen_addresses": ("*", "0.0.0.0", "0.0.0.0,::"),  # noqa: S104 - only the app's networks reach it
    "port": ("5432",),
    "password_encryption": ("scram-sha-256",),
}
_OUR_FILES = ("config_file", "data_directory", "hba_file", "ident_file", "external_pid_file")
_INITDB_REFUSED = ("-D", "-U", "-X", "-A", "-W", "--pgdata", "--username", "--waldir", "--pwfile", "--pwprompt")


@dataclass(frozen=True)
class AdoptedPostgres:
    """What a foreign Postgres service says about itself."""

    service: AppService
    image: str
    version: int
    user: str
    password: Text
    database: str
    init_arguments: str
    parameters: Mapping[str, str]
    environment: Mapping[str, Text]
    volume: str
    init_files: Mapping[str, bytes]
    init_executable: frozenset[str]
    init_covers_image: bool
    shared_memory: int
    aliases: tuple[str, ...]
    carried: Carried


def read_postgres(app: App, service: AppService, default_version: str) -> AdoptedPostgres:
    """The service as the platform's Postgres. Raises Unadoptable."""
    carried = adoptable.carried(service)
    mount = adoptable.data_mount(service, _DATA_PLACES, (INIT_FOLDER, adoptable.SECRETS_FOLDER), _MEMORY_PLACES)
    old_data = adoptable.has_own_name(app, mount)
    image, version = _image(service, default_version, old_data=old_data)
    folder = _data_folder(service, mount if old_data else None, version)
    user = _name(service, "POSTGRES_USER") or "postgres"
    database = _name(service, "POSTGRES_DB") or user
    files = _init_mounts(service)
    found = AdoptedPostgres(
        service=service,
        image=image,
        version=version,
        user=user,
        password=_password(service),
        database=database,
        init_arguments=_init_arguments(service),
        parameters=dict(_parameters(service)),
        environment={**_environment(service), **({"PGDATA": folder} if folder else {})},
        volume=adoptable.volume_name(app, service, mount),
        init_files=_init_files(files),
        init_executable=frozenset(_below(each, name) for each in files for name in each.executable),
        init_covers_image=any(each.target == INIT_FOLDER for each in files),
        shared_memory=parse_size(service.other.get("shm_size", 0)),
        aliases=adoptable.aliases(app, service),
        carried=carried,
    )
    if image != service.image:
        _notice(app, service, f"names no version of Postgres; `{image}` is used, so that it can't change by itself")
    if reveal(service.environment.get("PGDATA", "")) and not folder:
        _notice(
            app, service, f"its PGDATA is left out: the data lies at {postgres_data_folder(version)}, on its volume"
        )
    return found


def _image(service: AppService, default_version: str, *, old_data: bool) -> tuple[str, int]:
    """The very image that was written, or the same one at the version that is ours when it floats."""
    image, version = service.image, postgres_major(service.image)
    if version is None:
        image, version = pinned_postgres(image, default_version), int(default_version)
        if not image or old_data:
            raise Unadoptable("its image names no major version of Postgres")
    if not 12 <= version <= 18:
        raise Unadoptable(f"version {version} is not supported")
    return image, version


def _data_folder(service: AppService, old: VolumeMount | None, version: int) -> str:
    """PGDATA, where it lies on the volume. Data that is there already, on `old`, must be found again."""
    written = public(service.environment.get("PGDATA"), "PGDATA")
    place = postgres_data_folder(version)
    is_inside = f"{written}/".startswith(f"{place}/")
    if old is not None and old.target != place:
        raise Unadoptable(f"its volume `{old.volume}` is at {old.target}, but Postgres {version} keeps data at {place}")
    if old is not None and written and not is_inside:
        raise Unadoptable(f"its PGDATA {written} is not on its volume `{old.volume}`")
    return written if is_inside else ""


def _value(service: AppService, name: str) -> Text:
    """A variable of the official image, which may also be given as a file."""
    path = service.environment.get(f"{name}_FILE")
    return service.environment.get(name) or (adoptable.file_content(service, reveal(path)) if path else "")


def _name(service: AppService, variable: str) -> str:
    text = public(_value(service, variable), variable)
    if not text and f"{variable}_FILE" in service.environment:
        raise Unadoptable(f"the file of its {variable}_FILE is not known")
    if text and not _NAME.fullmatch(text):
        raise Unadoptable(f"its {variable} has characters that only quotes allow")
    return text


def _password(service: AppService) -> Text:
    method = public(service.environment.get("POSTGRES_HOST_AUTH_METHOD"), "POSTGRES_HOST_AUTH_METHOD")
    if method not in ("", "scram-sha-256"):
        raise Unadoptable("POSTGRES_HOST_AUTH_METHOD changes who may connect")
    password = _value(service, "POSTGRES_PASSWORD")
    if not reveal(password):
        raise Unadoptable("it has no POSTGRES_PASSWORD")
    return password


def _init_arguments(service: AppService) -> str:
    text = public(_value(service, "POSTGRES_INITDB_ARGS"), "POSTGRES_INITDB_ARGS")
    try:
        words = shlex.split(text)
    except ValueError:
        raise Unadoptable("its POSTGRES_INITDB_ARGS has an open quote") from None
    for word in words:
        name, _, value = word.partition("=")
        if name in _INITDB_REFUSED or (name.startswith("--auth") and value != "scram-sha-256"):
            raise Unadoptable(f"its POSTGRES_INITDB_ARGS has {name}")
    return text


def _environment(service: AppService) -> dict[str, Text]:
    read = {*_READ, *(f"{name}_FILE" for name in _READ)}
    kept = {name: value for name, value in service.environment.items() if name not in read}
    for name in ("POSTGRES_INITDB_WALDIR", "POSTGRES_INITDB_XLOGDIR"):
        if name in kept:
            raise Unadoptable(f"its {name} puts a part of the data elsewhere")
    if reveal(kept.get("PGPORT", "5432")) != "5432":
        raise Unadoptable("its PGPORT is not 5432")
    return kept


def _parameters(service: AppService) -> Iterator[tuple[str, str]]:
    """Server parameters of the command, in the forms of the server itself."""
    words = [public(word, "command") for word in service.command_words]
    if words[:1] == ["postgres"]:
        words = words[1:]
    while words:
        name, value = _parameter(words)
        if name in _OUR_FILES or name.startswith("unix_socket_") or (name in _OURS and value not in _OURS[name]):
            raise Unadoptable(f"its command has `{name}`")
        if name not in _OURS:
            yield name, value


def _parameter(words: list[str]) -> tuple[str, str]:
    """Take the next parameter off the list."""
    word = words.pop(0)
    setting = word.removeprefix("-c") if word.startswith("-c") and word != "-c" else word.removeprefix("--")
    if word in ("-c", "-N") and words:
        setting = words.pop(0)
    name, separator, value = (f"max_connections={setting}" if word == "-N" else setting).partition("=")
    name = name.replace("-", "_").lower()
    # A backslash means something in postgresql.conf, and nothing on the command line.
    if not separator or not re.fullmatch(r"[a-z_][a-z0-9_.]*", name) or "\\" in value or not value.isprintable():
        raise Unadoptable(f"its command has `{name}`")
    return name, value


def _init_mounts(service: AppService) -> list[FileMount]:
    """What is mounted for the first start, the whole folder before single files in it."""
    found = [mount for mount in service.mounts if isinstance(mount, FileMount) and _is_below(mount.target, INIT_FOLDER)]
    return sorted(found, key=lambda mount: len(mount.target))


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder}/")


def _below(mount: FileMount, name: str) -> str:
    below = mount.target.removeprefix(INIT_FOLDER).strip("/")
    return "/".join(part for part in (below, name) if part)


def _init_files(mounts: list[FileMount]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for mount in mounts:
        for name, content in mount.files.items():
            path = _below(mount, name)
            files[path] = content if isinstance(content, bytes) else public(content, f"file {path}").encode()
    return files


def _notice(app: App, service: AppService, text: str) -> None:
    app.notices.append(Notice(f"service {service.name}", text))
