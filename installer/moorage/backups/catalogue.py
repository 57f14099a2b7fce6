"""What a store says of its backups: the marker, and for each backup a record, a verdict, at the end a tombstone."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moorage.backups.failures import Damaged, ForeignStore, NoSuchBackup, Tampered, WrongKey
from moorage.backups.records import SCHEMA, Record, StoredBackup, Verdict, is_id, read_record, read_verdict
from moorage.backups.signing import signed, verified
from moorage.backups.stores.base import MARKER_KEY, RESTIC_FOLDER, Store
from moorage.sensitive import Sensitive

_FOLDER = "backups/"
_RECORD, _EXPIRED = "record.json", "expired.json"
# A drill may be repeated, and what was written stays: verdicts are numbered, clocks have no say in which one counts.
_VERDICT = re.compile(r"verdict-(\d{4})\.json")


@dataclass(frozen=True)
class Marker:
    """Whose store it is. Anybody can read it, also who does not have the key yet; only `claim` proves it."""

    project: str
    deployment_id: str


def read_marker(store: Store) -> Marker | None:
    """The marker of a store, unproven, None where there is none. Raises Tampered when it is cut."""
    content = store.get(MARKER_KEY)
    if content is None:
        return None
    try:
        known = json.loads(content)
        return Marker(str(known["project"]), str(known["deployment_id"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Tampered(f"store `{store.plan.name}`: its marker {MARKER_KEY} is cut or no marker") from None


class Catalogue:
    """The backups of one deployment in one store. Only files that are signed with `key` count."""

    def __init__(self, store: Store, key: Sensitive, project: str, deployment_id: str) -> None:
        self._store = store
        self._key = key
        self._marker = Marker(project, deployment_id)

    def claim(self, *, create: bool) -> None:
        """Make sure that the store is this deployment's; with `create` an empty store becomes it.

        Raises ForeignStore when it is another's, or missing its marker, and WrongKey when another key marked it.
        """
        found = read_marker(self._store)
        if found is None:
            if not create:
                raise self._unmarked("is not marked as a store of moorage: it is empty, or another one than until now")
            if self._store.keys(_FOLDER) or self._store.keys(f"{RESTIC_FOLDER}/config"):
                raise self._unmarked(f"holds backups, but its marker {MARKER_KEY} is gone")
            self._store.put(MARKER_KEY, signed(self._marker_data(), self._key))
            found = read_marker(self._store)
        self._must_be_ours(found)

    def _must_be_ours(self, found: Marker | None) -> None:
        if found != self._marker:
            raise ForeignStore(
                f"store `{self._store.plan.name}` belongs to {_named(found)}, this is {_named(self._marker)}",
                "give this deployment a folder or a prefix of its own, or restore that deployment's recovery key and id",
            )
        try:
            verified(self._store.get(MARKER_KEY) or b"", self._key, MARKER_KEY)
        except Tampered:
            raise WrongKey(
                f"store `{self._store.plan.name}` was made with another recovery key",
                "put the key that was shown when it was made into secrets/recovery.key",
            ) from None

    def _unmarked(self, what: str) -> ForeignStore:
        plan = self._store.plan
        if plan.kind == "directory":
            return ForeignStore(f"store `{plan.name}` {what}", f"is the disk of {plan.directory} mounted?")
        return ForeignStore(f"store `{plan.name}` {what}", f"look at bucket {plan.bucket} and prefix `{plan.prefix}`")

    def backups(self) -> tuple[StoredBackup, ...]:
        """Every backup, the newest first; then those whose record can't be read, which have a `problem`."""
        kinds: defaultdict[str, set[str]] = defaultdict(set)
        for key in self._store.keys(_FOLDER):
            backup_id, _, rest = key.removeprefix(_FOLDER).partition(".")
            kinds[backup_id].add(rest)
        found = [self._stored(backup_id, rests) for backup_id, rests in kinds.items()]
        return tuple(sorted(found, key=_newest_last, reverse=True))

    def next_sequence(self) -> int:
        """One more than the highest of the records that can be read: clocks have no say in it."""
        return 1 + max((item.record.sequence for item in self.backups() if item.record), default=0)

    def add_record(self, record: Record) -> None:
        """Write down a backup whose snapshot is in the store."""
        self._add(record.id, _RECORD, record.as_data())

    def add_verdict(self, verdict: Verdict) -> None:
        """Write down how a drill of a backup ended; of several the last one counts."""
        there = [_VERDICT.search(key) for key in self._store.keys(f"{_key(verdict.id, 'verdict-')}")]
        number = 1 + max((int(found[1]) for found in there if found), default=0)
        self._add(verdict.id, f"verdict-{number:04}.json", verdict.as_data())

    def give_up(self, backup_id: str) -> None:
        """Say that a backup is no longer one; do this before its snapshot is removed."""
        self._add(backup_id, _EXPIRED, self._tombstone(backup_id))

    def forget(self, backup_id: str) -> None:
        """Remove the small files of a backup that was given up, once its snapshot is gone; the tombstone goes last."""
        if self._store.get(_key(backup_id, _EXPIRED)) is None:
            # A killed run may have removed it all already.
            if self._store.keys(f"{_FOLDER}{backup_id}."):
                raise NoSuchBackup(f"backup {backup_id} was not given up, so it is not removed")
            return
        keys = self._store.keys(f"{_FOLDER}{backup_id}.")
        for key in sorted(keys, key=lambda key: key == _key(backup_id, _EXPIRED)):
            self._store.delete(key)

    def _add(self, backup_id: str, kind: str, data: dict[str, Any]) -> None:
        self._store.put(_key(backup_id, kind), signed(data, self._key))

    def _marker_data(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "project": self._marker.project, "deployment_id": self._marker.deployment_id}

    def _tombstone(self, backup_id: str) -> dict[str, Any]:
        return {"id": backup_id, **self._marker_data()}

    def _is_given_up(self, backup_id: str, problems: list[str]) -> bool:
        """Whether there is a tombstone; any other signed file under its name gives nothing up."""
        data = self._read(backup_id, _EXPIRED, dict, problems)
        if data is None or data == self._tombstone(backup_id):
            return data is not None
        problems.append(f"{backup_id}.expired.json is no tombstone of this deployment")
        return False

    def _stored(self, backup_id: str, rests: set[str]) -> StoredBackup:
        """One entry, whatever lies there; what can't be read becomes its `problem`."""
        verdicts = sorted(rest for rest in rests if _VERDICT.fullmatch(rest))
        if not is_id(backup_id) or rests - {_RECORD, _EXPIRED, *verdicts}:
            return StoredBackup(
                backup_id, None, problem=f"{_FOLDER}{backup_id}.{sorted(rests)[-1]} is no file of moorage"
            )
        problems: list[str] = []
        is_expired = self._is_given_up(backup_id, problems)
        # Each is read, so that one that was changed is noticed; the last one counts.
        read = [self._read(backup_id, name, read_verdict, problems) for name in verdicts]
        verdict = read[-1] if read else None
        record = self._read(backup_id, _RECORD, read_record, problems)
        if record is not None and Marker(record.project, record.deployment_id) != self._marker:
            problems.append(
                f"the record of {backup_id} is that of {_named(Marker(record.project, record.deployment_id))}"
            )
            record = None
        status = Tampered.exit_status if problems else 0
        if record is None and not is_expired and not problems:
            problems.append(f"the record of {backup_id} is missing")
            status = Damaged.exit_status
        return StoredBackup(backup_id, record, verdict, is_expired, "; ".join(problems), status)

    def _read(self, backup_id: str, kind: str, shape: Callable[[dict[str, Any]], Any], problems: list[str]) -> Any:
        """A signed file of a backup, None where there is none or it can't be trusted, which is noted in `problems`."""
        try:
            content = self._store.get(_key(backup_id, kind))
            if content is None:
                return None
            data = verified(content, self._key, f"{backup_id}.{kind}")
            if data.get("id") != backup_id:
                raise Tampered(f"{backup_id}.{kind} is that of {data.get('id')!r}")
            return shape(data)
        except Tampered as error:
            problems.append(error.message)
            return None


def _key(backup_id: str, kind: str) -> str:
    if not is_id(backup_id):
        raise NoSuchBackup(f"`{backup_id}` is no id of a backup", "`moorage backup list` shows them")
    return f"{_FOLDER}{backup_id}.{kind}"


def _newest_last(item: StoredBackup) -> tuple[int, str]:
    return (item.record.sequence if item.record else 0, item.id)


def _named(marker: Marker | None) -> str:
    return f"deployment {marker.deployment_id} of project {marker.project}" if marker else "nobody"
