"""What a store says of its backups: a record for each, later a verdict, at the end a tombstone. Each written once.

Nothing is ever changed in place, so a key that may put but not delete is enough for a night, and whoever reads while
another writes sees the state before or after, never between. Where a store can delete, pruning does, last of all.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from moorage.backups.failures import Tampered

SCHEMA = 1
State = Literal["good", "bad", "unproven", "expired"]
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class Sample:
    """A file of a volume that a drill compares; size in bytes, the hash was taken from the original."""

    volume: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class VolumeFacts:
    """One volume in a backup: how many files and bytes."""

    name: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Record:
    """A backup in one store. `sequence` grows by one per backup of the store and orders them when clocks don't.

    `bytes` is the size of everything in it, `added_bytes` what the store grew by; `snapshot` is restic's id;
    `manifest_sha256` ties the manifest inside of it to this record; `physical` is pgBackRest's label or "". `samples` are the
    numbers of those files in the snapshot's own list that a drill compares: whoever reads the store learns no file's name.
    """

    id: str
    sequence: int
    store: str
    project: str
    deployment_id: str
    environment: str
    moorage: str
    taken: str
    snapshot: str
    manifest_sha256: str
    bytes: int
    added_bytes: int
    databases: tuple[tuple[str, int, int], ...] = ()
    volumes: tuple[VolumeFacts, ...] = ()
    samples: tuple[int, ...] = ()
    physical: str = ""
    warnings: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For signing and writing."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class CheckResult:
    """One question of a drill, how it ended, and the answer in words."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True)
class Verdict:
    """How the drill of a backup ended. `exit_status` is that of the failure, 0 when it is good; seconds are measured.

    `drilled_store` is the store that it was restored from: the same bytes lie in the others.
    """

    id: str
    good: bool
    exit_status: int
    reason: str
    at: str
    drilled_store: str
    restore_seconds: float
    checks: tuple[CheckResult, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """For signing and writing."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class StoredBackup:
    """One backup of a store as a whole. `problem` says why an entry can't be read; such a one is kept and reported.

    `problem_status` is the exit status of that: of a record that was changed, or of one that is missing.
    """

    id: str
    record: Record | None
    verdict: Verdict | None = None
    is_expired: bool = False
    problem: str = ""
    problem_status: int = 0

    @property
    def state(self) -> State:
        """Good only after its drill."""
        if self.is_expired:
            return "expired"
        if self.record is None or self.verdict is None:
            return "unproven"
        return "good" if self.verdict.good else "bad"


def new_id(now: datetime, random_hex: str = "") -> str:
    """`20261122T033000Z-7f3a91`: sorts by time, unique without asking anybody."""
    return f"{now.astimezone(timezone.utc):%Y%m%dT%H%M%SZ}-{random_hex or secrets.token_hex(3)}"


def is_id(text: str) -> bool:
    """Whether a text is the name of a backup; nothing else becomes part of a path."""
    return _ID.fullmatch(text) is not None


def timestamp(now: datetime) -> str:
    """UTC, to the second, as in `2026-11-22T03:30:00Z`."""
    return f"{now.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def parse_timestamp(text: str) -> datetime:
    """The moment of a timestamp. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def read_record(data: dict[str, Any]) -> Record:
    """A verified document as a record. Raises Tampered for another schema or shape."""
    known = _of_schema(data, "record")
    try:
        databases = tuple((name, tables, rows) for name, tables, rows in known.pop("databases"))
        volumes = tuple(VolumeFacts(**item) for item in known.pop("volumes"))
        samples = tuple(int(number) for number in known.pop("samples"))
        warnings = tuple(known.pop("warnings"))
        record = Record(**known, databases=databases, volumes=volumes, samples=samples, warnings=warnings)
        parse_timestamp(record.taken)
    except (TypeError, KeyError, ValueError) as error:
        raise Tampered(f"a record has another shape than schema {SCHEMA}: {type(error).__name__}") from None
    return record


def read_verdict(data: dict[str, Any]) -> Verdict:
    """A verified document as a verdict. Raises Tampered for another schema or shape."""
    known = _of_schema(data, "verdict")
    try:
        checks = tuple(CheckResult(**item) for item in known.pop("checks"))
        verdict = Verdict(**known, checks=checks)
        parse_timestamp(verdict.at)
    except (TypeError, KeyError, ValueError) as error:
        raise Tampered(f"a verdict has another shape than schema {SCHEMA}: {type(error).__name__}") from None
    return verdict


def _of_schema(data: dict[str, Any], what: str) -> dict[str, Any]:
    known = dict(data)
    if known.pop("schema", None) != SCHEMA:
        raise Tampered(
            f"a {what} has schema {data.get('schema')!r}, this moorage reads {SCHEMA}",
            "use the moorage version that wrote it, or a newer one",
        )
    return known
