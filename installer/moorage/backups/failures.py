"""Why a backup, a drill or a restore failed: one class per reason, each with an exit status of its own.

A night's exit status is that of its first failure, so that a script or a monitor can tell a full disk from a damaged
store without reading text. The numbers are part of the command contract; a new reason gets a new number.
"""

from __future__ import annotations

from moorage.errors import MoorageError


class BackupError(MoorageError):
    """A backup, drill or restore that did not end well; nothing of it counts as good."""

    exit_status = 20


class NoRoom(BackupError):
    """Too little space for a dump or for the drill; nothing was deleted to make some."""

    exit_status = 21


class WrongVersion(BackupError):
    """The client programs are older than the server, or older than a version with a known hole."""

    exit_status = 22


class Busy(BackupError):
    """Another job, a deployment or a migration holds the lock."""

    exit_status = 23


class DatabaseUnreachable(BackupError):
    """The database does not answer or does not let the job in."""

    exit_status = 24


class DumpFailed(BackupError):
    """`pg_dump` failed or gave less than the database holds."""

    exit_status = 25


class StoreUnreachable(BackupError):
    """A store does not answer: the network, the disk that is not mounted, the bucket that is not there."""

    exit_status = 26


class StoreRefused(BackupError):
    """A store does not let the job in: wrong, expired or too narrow credentials."""

    exit_status = 27


class StoreFull(BackupError):
    """A store has no room left."""

    exit_status = 28


class ForeignStore(BackupError):
    """The store holds another deployment's backups, or is not the one that was used until now."""

    exit_status = 29


class WrongKey(BackupError):
    """The recovery key is not the one that the store was made with."""

    exit_status = 30


class Tampered(BackupError):
    """A manifest, record or verdict is not what was signed."""

    exit_status = 31


class Damaged(BackupError):
    """Bytes came back from a store that are not those that went in. `packs` are restic's files with the damage, if known."""

    exit_status = 32
    packs: tuple[str, ...] = ()


class RestoreFailed(BackupError):
    """A restore ended with an error."""

    exit_status = 33


class RowsDiffer(BackupError):
    """What was restored is not what was there: tables, rows or files are missing, or too many."""

    exit_status = 34


class AssertionFailed(BackupError):
    """The operator's own question was not answered with true."""

    exit_status = 35


class Corrupt(BackupError):
    """The database's own check (`pg_amcheck`, page checksums) found damage."""

    exit_status = 36


class WalGap(BackupError):
    """Write-ahead log is missing between two backups: no point in time can be reached there."""

    exit_status = 37


class Unfinished(BackupError):
    """A phase was cut off (killed, out of memory, power) before it could say how it ended."""

    exit_status = 38


class NoSuchBackup(BackupError):
    """No store has a backup of that name, or none that is good."""

    exit_status = 39


class Unexpected(BackupError):
    """A mistake of moorage's own, or an answer that it does not know."""

    exit_status = 40


# Reasons that say something about one store's copy of a backup only: what lies in the others may be whole.
ABOUT_ONE_COPY = (Tampered, Damaged)
