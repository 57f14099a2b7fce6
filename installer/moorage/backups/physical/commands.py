"""Run pgBackRest for one stanza, as the user that owns the cluster. No secret stands in its arguments.

It is told by options only what is not secret; the passphrase and the keys of buckets stand in its configuration file
(0640, root and the group of `postgres`), which the server's container mounts too, because `archive_command` needs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from moorage import process
from moorage.backups.physical.complaints import failure
from moorage.backups.plan import PhysicalPlan

OWNER = "postgres"


def as_owner(command: Sequence[str]) -> list[str]:
    """The command such that `postgres` runs it, whoever calls; the image of every Postgres brings gosu."""
    return ["gosu", OWNER, *command] if os.geteuid() == 0 else list(command)


def give_to_owner(folder: Path) -> None:
    """Let `postgres` use a folder or a file that root has made."""
    if os.geteuid() == 0:
        import pwd

        known = pwd.getpwnam(OWNER)
        os.chown(folder, known.pw_uid, known.pw_gid)


class Program:
    """pgBackRest with its configuration, its stanza, and a folder for its locks.

    The locks lie in the work volume and not in /tmp, so that two containers of the job see each other's.
    """

    def __init__(self, plan: PhysicalPlan, lock_folder: Path) -> None:
        self._plan = plan
        self._lock_folder = lock_folder

    def run(self, command: str, *options: str, store: str = "", doing: str = "") -> str:
        """What it wrote to its output. Raises a BackupError by its status and words; what it warns of is not looked at."""
        arguments = self.arguments(command, *options, store=store)
        done = process.run(arguments, environment=self._environment(), check=False)
        if done.status != 0:
            raise failure(done.status, done.errors, doing or f"pgbackrest {command}", store)
        return done.output

    def arguments(self, command: str, *options: str, store: str = "") -> list[str]:
        """The argument list, for a store or for all of them."""
        repository = [f"--repo={self.repository(store)}"] if store else []
        general = [f"--config={self._plan.configuration}", f"--stanza={self._plan.stanza}", *repository]
        # Errors go to the other stream: what is read on this one is JSON.
        quiet = ["--log-level-console=off", "--log-level-stderr=warn", "--log-level-file=off"]
        return as_owner(["pgbackrest", *general, *quiet, command, *options])

    def status_of(self, command: str, *options: str, store: str = "") -> int:
        """Its exit status, for commands where not finding something is an answer."""
        arguments = self.arguments(command, *options, store=store)
        return process.run(arguments, environment=self._environment(), check=False).status

    def version(self) -> tuple[int, ...]:
        """As in (2, 55, 1)."""
        words = process.run(["pgbackrest", "version"]).output.split()
        return tuple(int(part) for part in words[-1].split(".") if part.isdigit())

    def repository(self, store: str) -> int:
        """The number of a store's repository in the configuration."""
        return self._plan.stores.index(store) + 1

    def _environment(self) -> dict[str, str]:
        self._lock_folder.mkdir(parents=True, exist_ok=True)
        give_to_owner(self._lock_folder)
        return {"PGBACKREST_LOCK_PATH": str(self._lock_folder), "TZ": "UTC"}
