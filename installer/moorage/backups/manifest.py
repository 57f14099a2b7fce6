"""The manifest: what is in one backup, down to rows and bytes, so that a restore can be compared with it.

It lies in the backup beside the files it tells of, signed. Everything is counted in the very snapshot that was dumped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from moorage.backups.failures import Tampered

SCHEMA = 1
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class TableFacts:
    """A table, partitions each by their own: its rows, and a check over its content ("" where none was taken)."""

    name: str
    rows: int
    check: str = ""


@dataclass(frozen=True)
class SequenceFacts:
    """A sequence and the last value that it gave out, before and after the dump; None when it was never used.

    Sequences know no snapshots: what the dump holds lies between the two.
    """

    name: str
    last_value: int | None
    value_after: int | None = None


@dataclass(frozen=True)
class DatabaseProperties:
    """What CREATE and ALTER DATABASE say of it, which a dump that is restored under another name does not carry.

    `provider` is libc's `c`, ICU's `i` or the builtin `b`, with its `locale`. A setting is a role ("" for all) and
    `name=value`; a privilege is a role ("" for everybody), its word, and whether it may be passed on.
    """

    ctype: str = ""
    provider: str = "c"
    locale: str = ""
    icu_rules: str = ""
    connection_limit: int = -1
    comment: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    privileges: tuple[tuple[str, str, bool], ...] = ()


@dataclass(frozen=True)
class DatabaseFacts:
    """One database as it was in the dump's snapshot; `bytes` is its size on disk, `folder` where its dump lies.

    `objects` counts what is no table: valid indexes, constraints, triggers, views, functions, policies.
    """

    name: str
    folder: str
    owner: str
    encoding: str
    collation: str
    bytes: int
    snapshot: str
    tables: tuple[TableFacts, ...]
    sequences: tuple[SequenceFacts, ...] = ()
    extensions: tuple[tuple[str, str], ...] = ()
    invalid_indexes: tuple[str, ...] = ()
    large_objects: int = 0
    large_objects_check: str = ""
    objects: tuple[tuple[str, int], ...] = ()
    properties: DatabaseProperties = field(default_factory=DatabaseProperties)

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True)
class ServerFacts:
    """The server that was dumped; `system_identifier` tells clusters apart.

    `superuser` is its first role, which grants name; `settings` are those without which extensions can't be restored.
    """

    version: str
    version_number: int
    system_identifier: str
    data_checksums: bool
    lsn: str
    superuser: str = "postgres"
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class FileFacts:
    """A file of the dump, relative to the backup's folder."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """One backup. Times are UTC, ISO 8601 with `Z`; `tool` names programs and their versions."""

    id: str
    project: str
    deployment_id: str
    environment: str
    target: str
    moorage: str
    started: str
    finished: str
    databases: tuple[DatabaseFacts, ...] = ()
    server: ServerFacts | None = None
    files: tuple[FileFacts, ...] = ()
    volumes: tuple[str, ...] = ()
    tool: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For signing and writing."""
        return {"schema": SCHEMA, **asdict(self)}


def read_manifest(data: dict[str, Any]) -> Manifest:
    """A verified document as a manifest. Raises Tampered when it is of another schema or shape."""
    known: dict[str, Any] = dict(data)
    if known.pop("schema", None) != SCHEMA:
        raise Tampered(
            f"the manifest has schema {data.get('schema')!r}, this moorage reads {SCHEMA}",
            "use the moorage version that wrote it, or a newer one",
        )
    try:
        databases = tuple(_database(item) for item in known.pop("databases"))
        server = known.pop("server")
        files = tuple(FileFacts(**item) for item in known.pop("files"))
        volumes, warnings = tuple(known.pop("volumes")), tuple(known.pop("warnings"))
        return Manifest(
            **known,
            databases=databases,
            server=None if server is None else _server(server),
            files=files,
            volumes=volumes,
            warnings=warnings,
        )
    except (TypeError, KeyError, ValueError) as error:
        raise Tampered(f"the manifest has another shape than schema {SCHEMA}: {type(error).__name__}") from None


def _server(item: dict[str, Any]) -> ServerFacts:
    return ServerFacts(**{**item, "settings": _pairs(item["settings"])})


def _database(item: dict[str, Any]) -> DatabaseFacts:
    known = dict(item)
    tables = tuple(TableFacts(**table) for table in known.pop("tables"))
    sequences = tuple(SequenceFacts(**sequence) for sequence in known.pop("sequences"))
    known.update(
        tables=tables,
        sequences=sequences,
        extensions=_pairs(known["extensions"]),
        invalid_indexes=tuple(known["invalid_indexes"]),
        objects=_pairs(known["objects"]),
        properties=_properties(known["properties"]),
    )
    return DatabaseFacts(**known)


def _properties(item: dict[str, Any]) -> DatabaseProperties:
    privileges = tuple((role, word, grantable) for role, word, grantable in item["privileges"])
    return DatabaseProperties(**{**item, "settings": _pairs(item["settings"]), "privileges": privileges})


def _pairs(items: Iterable[tuple[Any, Any]]) -> tuple[tuple[Any, Any], ...]:
    return tuple((first, second) for first, second in items)
