"""Which server writes to a store. Two that believe they are the deployment would count and prune each other's nights.

A store keeps a list, signed like everything else, to which whoever takes over adds itself; the last one counts. Reading
and restoring is anybody's who has the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from moorage.backups.failures import ForeignStore, Tampered
from moorage.backups.records import timestamp
from moorage.backups.signing import signed, verified
from moorage.backups.stores.base import Store
from moorage.sensitive import Sensitive

_FOLDER = "writers/"
_KEY = re.compile(rf"{_FOLDER}(\d{{4}})\.json")


@dataclass(frozen=True)
class Writer:
    """A server by its own random id, and since when it writes."""

    host: str
    since: str


def claim_writing(store: Store, key: Sensitive, host: str, now: datetime, *, take_over: bool) -> None:
    """Make sure that this server is the one that writes; the first one is, and one that takes over.

    Raises ForeignStore when another one took over since, Tampered when the list was changed.
    """
    number, last = _last(store, key)
    if last is not None and last.host == host:
        return
    if last is not None and not take_over:
        raise ForeignStore(
            f"store `{store.plan.name}` is written by another server since {last.since}",
            "is that one gone, and this one to go on? `moorage backup run --take-over`; else give this one a store of its own",
        )
    data = {"host": host, "since": timestamp(now)}
    store.put(f"{_FOLDER}{number + 1:04}.json", signed(data, key))


def _last(store: Store, key: Sensitive) -> tuple[int, Writer | None]:
    numbers = sorted(int(found[1]) for name in store.keys(_FOLDER) if (found := _KEY.fullmatch(name)))
    if not numbers:
        return 0, None
    name = f"{_FOLDER}{numbers[-1]:04}.json"
    data = verified(store.get(name) or b"", key, name)
    try:
        return numbers[-1], Writer(str(data["host"]), str(data["since"]))
    except KeyError:
        raise Tampered(f"store `{store.plan.name}`: {name} names no server") from None
