"""What a cluster that does not run says of itself, by `pg_controldata`."""

from __future__ import annotations

from pathlib import Path

from moorage import process
from moorage.backups.physical.commands import as_owner

_SETTINGS = {
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}


def settings_of_the_log(data: Path) -> dict[str, str]:
    """The server parameters that recovery refuses to have smaller than when the log was written."""
    known = _facts(data)
    return {parameter: known[name] for parameter, name in _SETTINGS.items() if name in known}


def segment_bytes(data: Path) -> int:
    """The size of a segment of its log, chosen by `initdb --wal-segsize`."""
    return int(_facts(data)["Bytes per WAL segment"])


def _facts(data: Path) -> dict[str, str]:
    text = process.run(as_owner(["pg_controldata", str(data)]), environment={"LC_ALL": "C"}).output
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
