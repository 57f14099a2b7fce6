"""Why pgBackRest failed, from its exit status and its first words: the reason as a class of ours."""

from __future__ import annotations

import re

from moorage.backups.failures import (
    BackupError,
    Busy,
    Damaged,
    DatabaseUnreachable,
    ForeignStore,
    NoSuchBackup,
    RestoreFailed,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    Unfinished,
    WalGap,
    WrongKey,
)

_CHECKSUM, _CONFIGURATION, _FILE_INVALID, _FORMAT, _PROTOCOL, _PATH_NOT_EMPTY = 26, 27, 28, 29, 39, 40
_ARCHIVE_MISMATCH, _HOST_CONNECT, _LOCK, _BACKUP_MISMATCH, _FILE_MISSING = 44, 49, 50, 51, 55
_DATABASE_CONNECT, _DATABASE_QUERY, _DATABASE_MISMATCH, _STOPPED, _TERMINATED, _ARCHIVE_INVALID = 56, 57, 58, 62, 63, 68
_SET_INVALID, _ARCHIVE_TIMEOUT, _ARCHIVE_DISABLED, _CRYPTOGRAPHY, _SERVICE, _REPOSITORIES = 75, 82, 87, 95, 101, 103

_BY_STATUS: dict[int, tuple[type[BackupError], str, str]] = {
    _LOCK: (Busy, "another pgBackRest holds the lock of the stanza", "wait for the other job to end"),
    _STOPPED: (Busy, "pgBackRest was stopped by hand", "`pgbackrest start` in the job's container lets it run again"),
    _CHECKSUM: (Damaged, "a file in it has not the checksum that it was written with", ""),
    _PATH_NOT_EMPTY: (RestoreFailed, "the folder to restore into has files in it", "restore into a new folder"),
    _FILE_MISSING: (NoSuchBackup, "it has no backups of this cluster", "`moorage backup run` takes one"),
    _SET_INVALID: (NoSuchBackup, "it has no such backup", "`moorage backup list` shows which there are"),
    _DATABASE_CONNECT: (DatabaseUnreachable, "the database does not answer", "`moorage status` shows what runs"),
    _DATABASE_QUERY: (DatabaseUnreachable, "the database broke off", "`moorage logs` of the database says why"),
    _ARCHIVE_TIMEOUT: (
        WalGap,
        "the write-ahead log does not arrive in it",
        "the database's log says why `archive_command` fails",
    ),
    _ARCHIVE_INVALID: (WalGap, "the database archives with another command than pgBackRest", "`moorage up` sets it"),
    _ARCHIVE_DISABLED: (WalGap, "archiving is off in the database", "`moorage up` sets it, and restarts the database"),
    _TERMINATED: (Unfinished, "pgBackRest was told to end", "run it again"),
    _CRYPTOGRAPHY: (WrongKey, "it was made with another recovery key, or its first files are damaged", ""),
    _HOST_CONNECT: (StoreUnreachable, "it does not answer", ""),
    _SERVICE: (StoreUnreachable, "it can't be talked to", ""),
    _REPOSITORIES: (StoreUnreachable, "it can't be used", ""),
    **dict.fromkeys(
        (_ARCHIVE_MISMATCH, _BACKUP_MISMATCH, _DATABASE_MISMATCH, _FILE_INVALID),
        (ForeignStore, "it holds the backups of another cluster", ""),
    ),
}
# What stands in the words, whatever the status: the network, the disk, the key.
_BY_WORDS: tuple[tuple[str, type[BackupError], str, str], ...] = (
    (r"no database found|unable to find primary cluster", DatabaseUnreachable, "the database does not answer", "`moorage status` shows what runs"),
    (r"\[28\]|No space left", StoreFull, "it has no room left", "free some room there"),
    (r"\[30\]|Read-only file system", StoreRefused, "it is mounted read-only", "`dmesg` says why"),
    (r"\[13\]|Permission denied", StoreRefused, "its folder belongs to another user", "`moorage up` sets the owner"),
    (r"failed with 40[13]|AccessDenied|SignatureDoesNotMatch", StoreRefused, "it refused the credentials", "are the keys those of this bucket?"),
    (r"failed with 404|NoSuchBucket", StoreUnreachable, "the bucket is not there", ""),
    (r"unable to (?:get address|connect)|timeout connecting|failed with 5\d\d", StoreUnreachable, "it does not answer", ""),
    (r"certificate", StoreUnreachable, "its certificate can't be verified", "name the authority of a private server"),
    (r"unable to load info file.*(?:CryptoError|outside of section|FormatError)", WrongKey, "it was made with another recovery key", "is secrets/recovery.key that of this deployment?"),
)  # fmt: skip
_ERROR = re.compile(r"ERROR: \[(\d+)\]: (.*)", re.DOTALL)
_LONGEST = 240


def failure(status: int, said: str, doing: str, store: str) -> BackupError:
    """The error for a pgBackRest that ended with `status` and said this on its error stream.

    0 stands for what `info` says of a store that it can't read.
    """
    text = _error_text(said)
    for words, kind, reason, hint in _BY_WORDS:
        if re.search(words, text, re.DOTALL):
            return kind(_message(doing, store, reason, text), hint)
    kind, reason, hint = _BY_STATUS.get(
        status or _REPOSITORIES, (BackupError, f"pgBackRest ended with status {status}", "")
    )
    if status < 0:
        kind, reason = Unfinished, f"pgBackRest was ended by signal {-status}"
    return kind(_message(doing, store, reason, text), hint)


def _message(doing: str, store: str, reason: str, text: str) -> str:
    place = f" (store `{store}`)" if store else ""
    said = printable(text)
    return f"{doing}{place}: {reason}" + (f"; pgBackRest says: {said}" if said else "")


def _error_text(said: str) -> str:
    """From the first error on: warnings before it are about something else."""
    found = _ERROR.search(said)
    return found[2] if found else said


def printable(text: str) -> str:
    """The first line of what was said, short and without the bytes of a file that was read with a wrong key."""
    line = text.strip().split("\n", 1)[0]
    clean = "".join(sign for sign in line if sign.isprintable() and sign != "\ufffd")
    return clean if len(clean) <= _LONGEST else clean[:_LONGEST] + " …"
