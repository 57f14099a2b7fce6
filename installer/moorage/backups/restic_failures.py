"""What restic means: older ones end with status 1 for everything, so its words are read as well."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from moorage.backups.failures import (
    BackupError,
    Busy,
    Damaged,
    NoRoom,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    WrongKey,
)
from moorage.backups.restic_process import Outcome
from moorage.backups.stores.base import MARKER_KEY, Store

_NO_REPOSITORY, _LOCKED, _WRONG_PASSWORD = 10, 11, 12
_PACK = re.compile(r"(?:\bpack (?:file )?|<data/|\bPack ID does not match, want )([0-9a-f]{8,64})")
_FULL_ID = 64
_DAMAGE = (
    "ciphertext verification failed",
    "invalid data returned",
    "repository contains errors",
    "checksum mismatch",
    "hash does not match",
    "unexpected size",
    "not found in index",
    "not found in repository",
    "is damaged",
    "truncated",
)
# What restic looked for in the repository is not there, though the store answers.
_MISSING = re.compile(
    r"no matching id found|(?:<(?:data|index|snapshot)/[0-9a-f]+>|/restic/(?:data|index|snapshots)/[0-9a-f/]+)[^\n]*"
    r"(?:no such file or directory|does not exist|nosuchkey)"
)
_FULL = ("no space left on device", "disk quota exceeded", "quotaexceeded", "storagefull", "insufficientstorage")
_PANIC = ("panic:", "goroutine ", "fatal error:")
_REFUSED = (
    "access denied",
    "accessdenied",
    "access key id",
    "invalidaccesskeyid",
    "signaturedoesnotmatch",
    "request signature we calculated",
    "expiredtoken",
    "token has expired",
    "permission denied",
    "failed to refresh lock",
    "failed to refresh stale lock",
)


def failure_of(store: Store, action: str, outcome: Outcome) -> BackupError:
    """Why a run of restic ended as it did; `action` is what it was for, as in `save a backup`."""
    said = "\n".join(_words(outcome.errors))
    what, lower = f"store `{store.plan.name}`: restic could not {action}", said.lower()
    if is_locked(outcome):
        return _locked(store, said)
    if outcome.status == _WRONG_PASSWORD or "wrong password or no key found" in lower:
        return WrongKey(
            f"store `{store.plan.name}` was made with another recovery key",
            "put the key that was shown when it was made into secrets/recovery.key",
        )
    if any(word in lower for word in _FULL):
        return _full(store, what, said)
    # Our own client knows the reasons of a store better than restic's words do.
    reason = _asked(store)
    if reason is not None:
        return type(reason)(f"{what}: {reason.message}", reason.hint)
    return _by_words(store, what, said, outcome)


def _by_words(store: Store, what: str, said: str, outcome: Outcome) -> BackupError:
    lower = said.lower()
    if any(word in lower for word in _DAMAGE) or _MISSING.search(lower):
        return damaged(store, said)
    if any(word in lower for word in _REFUSED):
        locks = (
            "the key needs to put everywhere, and to delete below `restic/locks/` when a backup takes over 20 minutes"
        )
        return StoreRefused(
            f"{what}: {_last(said)}", locks if store.plan.kind == "s3" else "look at the folder's owner"
        )
    if any(line.startswith(_PANIC) for line in said.splitlines()):
        # It reads what was damaged and believes it.
        return damaged(store, "restic itself broke off while it read")
    if outcome.is_overdue:
        return StoreUnreachable(f"{what}: nothing moved any more, it was ended", "look at the network and the store")
    if outcome.status == _NO_REPOSITORY or "is there a repository at" in lower:
        return StoreUnreachable(
            f"{what}: its restic repository does not answer or is not there: {_last(said)}",
            "was it removed, or is another disk mounted?",
        )
    return BackupError(
        f"{what} (status {outcome.status}): {_last(said)}",
        "nothing of it counts as good; the next run tries again",
    )


def is_locked(outcome: Outcome) -> bool:
    """Whether another restic holds the repository, or one that was killed seems to."""
    said = "\n".join(outcome.errors)
    return outcome.status == _LOCKED or (outcome.status != 0 and "repository is already locked" in said)


def damaged(store: Store, said: str) -> Damaged:
    """Damage, with the packs that restic names."""
    found = set(_PACK.findall(said))
    # Of a changed pack, restic also tells what its name would be now; the full names are those in the store.
    packs = sorted(name for name in found if len(name) == _FULL_ID) or sorted(found)
    named = f"pack {', '.join(packs[:5])}" if packs else _last(said)
    error = Damaged(
        f"store `{store.plan.name}` gives back other bytes than were saved: {named}",
        "use another store for restores; look at the disk (`dmesg`, SMART); `backups/RESTORE.md` tells how to repair",
    )
    error.packs = tuple(packs)
    return error


def unreadable_files(errors: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Path and reason of each file that restic could not read while it saved."""
    found = []
    for line in errors:
        data = _parsed(line)
        if data.get("message_type") == "error" and data.get("during") != "scan":
            found.append((str(data.get("item", "")), _reason(data)))
    return tuple(found)


def _reason(data: dict[str, object]) -> str:
    error = data.get("error")
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"])
    return "can't be read"


def _locked(store: Store, said: str) -> Busy:
    held = next((line for line in said.splitlines() if "already locked" in line), "").partition("already locked ")[2]
    since = next((line for line in said.splitlines() if "lock was created at" in line), "")
    return Busy(
        f"store `{store.plan.name}` is locked {held or 'by another restic'}; {since or 'since when is not known'}",
        "run it again when that has ended; a lock whose owner was killed counts no more after 30 minutes"
        if store.plan.may_delete
        else "this key can't remove locks: run `restic unlock` with one that may delete",
    )


def _full(store: Store, what: str, said: str) -> BackupError:
    line = next(line for line in said.splitlines() if any(word in line.lower() for word in _FULL))
    is_elsewhere = store.plan.kind == "s3" and "no space left on device" in line.lower()
    kind: type[BackupError] = NoRoom if is_elsewhere else StoreFull
    return kind(f"{what}: {line}", "make room there; older backups were not touched")


def _asked(store: Store) -> BackupError | None:
    try:
        store.get(MARKER_KEY)
    except BackupError as error:
        return error
    return None


def _words(lines: Sequence[str]) -> list[str]:
    """The lines for people: what newer restics wrap into JSON, unwrapped."""
    found = []
    for line in lines:
        data = _parsed(line)
        if data.get("message_type") == "exit_error":
            found += str(data.get("message", "")).splitlines()
        elif data.get("message_type") == "error":
            found.append(f"{data.get('item', '')}: {_reason(data)}")
        else:
            found.append(line)
    return found


def _last(said: str) -> str:
    """The line that tells most: the last one that is no trace of Go's, no advice and no retry."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("\t", "github.com/"))]
    told = [line for line in lines if line.startswith("Fatal")] or [line for line in lines if "retrying" not in line]
    return (told or lines or ["it said nothing"])[-1]


def _parsed(line: str) -> dict[str, object]:
    if not line.startswith("{"):
        return {}
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
