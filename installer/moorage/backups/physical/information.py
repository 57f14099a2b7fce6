"""What pgBackRest says of a store: its `info` as JSON, its `verify` as text, its list of files. Read, never believed blindly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from moorage.backups.failures import BackupError, Damaged, StoreUnreachable
from moorage.backups.physical.engine import PhysicalBackup
from moorage.backups.physical.segments import SEGMENT_BYTES, Segment, parse_segment

_NO_STANZA = (1, 3)
_NO_BACKUP = 2
_STATUS = re.compile(r"^status: (\S+)", re.MULTILINE)
_COUNTS = re.compile(r"(missing|checksum invalid|size invalid|other): (\d+)")
_CHECKED = re.compile(r"checked: (\d+), total valid \w+: (\d+)")


@dataclass(frozen=True)
class Cluster:
    """A cluster that a store has known: its number there, its system identifier, its major version."""

    number: int
    system_identifier: str
    version: str

    @property
    def archive(self) -> str:
        """The folder of its log, `17-1`."""
        return f"{self.version}-{self.number}"


@dataclass(frozen=True)
class Information:
    """One store: the clusters, the last is the one of today; the backups, the newest first; a reason if it can't be read."""

    store: str
    clusters: tuple[Cluster, ...]
    backups: tuple[PhysicalBackup, ...]
    problem: str = ""

    @property
    def has_stanza(self) -> bool:
        """Whether anything was ever made there."""
        return bool(self.clusters)

    @property
    def of_today(self) -> tuple[PhysicalBackup, ...]:
        """The backups of today's cluster: the log goes on only since the first of these."""
        return tuple(backup for backup in self.backups if backup.archive == self.clusters[-1].archive)


@dataclass(frozen=True)
class ArchivedSegment:
    """A segment as it lies in a store: bytes there, and when it came."""

    segment: Segment
    bytes: int
    at: datetime


def read_information(text: str, store: str, repository: int) -> Information:
    """The answer of `info --output=json --repo=…`. Raises StoreUnreachable when it is none."""
    try:
        # A file that was read with a wrong key stands in the message with all its bytes.
        (stanza,) = json.loads(text, strict=False)
        status = next(item["status"] for item in stanza["repo"] if item["key"] == repository)
        clusters = tuple(_clusters(stanza["db"], repository))
        current = [item for item in stanza["backup"] if item["database"]["repo-key"] == repository]
        archives = {cluster.number: cluster.archive for cluster in clusters}
        found = [_backup(item, store, archives[item["database"]["id"]]) for item in current]
        backups = tuple(sorted(found, key=lambda item: item.label, reverse=True))
    except (ValueError, KeyError, TypeError, StopIteration):
        raise StoreUnreachable(f"pgBackRest's answer on store `{store}` can't be read") from None
    is_known = status["code"] in (0, _NO_BACKUP, *_NO_STANZA)
    return Information(store, clusters, backups, "" if is_known else str(status["message"]))


def _clusters(items: Sequence[dict[str, Any]], repository: int) -> Iterable[Cluster]:
    for item in sorted(items, key=lambda item: int(item["id"])):
        if item["repo-key"] == repository:
            yield Cluster(int(item["id"]), str(item["system-id"]), str(item["version"]))


def _backup(item: dict[str, Any], store: str, archive: str) -> PhysicalBackup:
    repository = item["info"]["repository"]
    return PhysicalBackup(
        label=item["label"],
        kind=item["type"],
        store=store,
        started=datetime.fromtimestamp(item["timestamp"]["start"], timezone.utc),
        finished=datetime.fromtimestamp(item["timestamp"]["stop"], timezone.utc),
        database_bytes=item["info"]["size"],
        added_bytes=repository["delta"] + repository.get("delta-map", 0),
        wal_start=item["archive"]["start"] or "",
        wal_stop=item["archive"]["stop"] or "",
        archive=archive,
        prior=item["prior"] or "",
        is_corrupt=bool(item["error"]),
    )


def corrupt_files(text: str) -> tuple[str, ...]:
    """The files with wrong page checksums, of `info --set=… --output=json`; none where this version doesn't say."""
    try:
        (stanza,) = json.loads(text)
        return tuple(str(name) for item in stanza["backup"] for name in item.get("error-list") or ())
    except (ValueError, KeyError, TypeError):
        return ()


def verify_problems(text: str) -> tuple[str, ...]:
    """What `verify --output=text --verbose` found: its exit status is 0 whatever it is. Raises Damaged when it says nothing."""
    status = _STATUS.search(text)
    if status is None:
        raise Damaged("pgBackRest's verify ended without a verdict")
    if status[1] == "ok":
        return ()
    lines = [line.strip() for line in text.splitlines() if line.startswith(" ")]
    return tuple(line for line in lines if _is_bad(line)) or ("status: " + status[1],)


def _is_bad(line: str) -> bool:
    """Whether a line counts something that is wrong: all are listed, with a count of 0 where nothing is."""
    if _COUNTS.search(line):
        return any(int(count) for _, count in _COUNTS.findall(line))
    checked = _CHECKED.search(line)
    return "status: invalid" in line or checked is None or checked[1] != checked[2]


# A segment that is just being written into a folder, or whose writing was cut off: nothing can be read from it.
_UNFINISHED = ".pgbackrest.tmp"


def read_archive(text: str, size: int = SEGMENT_BYTES) -> tuple[ArchivedSegment, ...]:
    """The segments in the answer of `repo-ls --recurse --output=json`, in order. Raises BackupError when it is none."""
    try:
        found = []
        for path, facts in json.loads(text).items():
            is_whole = facts["type"] == "file" and not path.endswith(_UNFINISHED)
            segment = parse_segment(path.rpartition("/")[2], size) if is_whole else None
            if segment is not None:
                found.append(
                    ArchivedSegment(segment, facts["size"], datetime.fromtimestamp(facts["time"], timezone.utc))
                )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BackupError("pgBackRest's list of the archive can't be read") from None
    return tuple(sorted(found, key=lambda item: item.segment))
