"""One phase of a backup job: the plan, its keys, its work folder, and the stores that it names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from moorage.backups.catalogue import Catalogue
from moorage.backups.failures import BackupError, WrongKey
from moorage.backups.keys import derived_key
from moorage.backups.plan import BackupPlan, StorePlan
from moorage.backups.report import Report
from moorage.backups.restic import Restic
from moorage.backups.stores.base import Store
from moorage.backups.stores.opening import open_store
from moorage.backups.workplace import Workplace
from moorage.backups.writer import claim_writing
from moorage.errors import MoorageError
from moorage.recovery_key import parse_recovery_key
from moorage.sensitive import Sensitive

# A tmpfs of the container: passwords lie there for the programs that want them as files.
RUNTIME = Path("/run/moorage")


def now_utc() -> datetime:
    """The clock."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class OpenStore:
    """A store with its catalogue and its restic repository."""

    plan: StorePlan
    store: Store
    catalogue: Catalogue
    restic: Restic


@dataclass
class Job:
    """What a phase works with. Raises BackupError where a file that the plan names can't be read.

    One that `takes_over` goes on with stores and a log that another server has written until now.
    """

    plan: BackupPlan
    report: Report
    now: Callable[[], datetime] = now_utc
    runtime: Path = RUNTIME
    takes_over: bool = False
    workplace: Workplace = field(init=False)

    def __post_init__(self) -> None:
        self.workplace = Workplace(Path(self.plan.work))

    def key(self) -> bytes:
        """The recovery key. Raises WrongKey when its file holds none."""
        try:
            text = Path(self.plan.recovery_key_file).read_text(encoding="utf-8")
            return parse_recovery_key(text)
        except (OSError, UnicodeDecodeError):
            raise WrongKey("the file of the recovery key can't be read", "is secrets/recovery.key there?") from None
        except MoorageError as error:
            raise WrongKey(error.message, error.hint) from None

    def signature_key(self) -> Sensitive:
        """What manifests, records and verdicts are signed with."""
        return derived_key(self.key(), "signature")

    def open(self, plan: StorePlan) -> OpenStore:
        """A store of the plan, not yet asked anything."""
        store = open_store(plan, self.plan.project)
        catalogue = Catalogue(store, self.signature_key(), self.plan.project, self.plan.deployment_id)
        restic = Restic(store, derived_key(self.key(), "restic"), self.runtime, self.workplace.cache / plan.name)
        return OpenStore(plan, store, catalogue, restic)

    def claimed(self, plan: StorePlan) -> OpenStore:
        """A store for writing: ours, or made ours when this host never used it. Raises ForeignStore."""
        opened = self.open(plan)
        known = plan.name in self.workplace.known_stores().names
        opened.catalogue.claim(create=not known)
        host = self.workplace.host_id()
        claim_writing(opened.store, self.signature_key(), host, self.now(), take_over=self.takes_over)
        self.workplace.remember_store(plan.name)
        return opened

    def prepare_runtime(self) -> None:
        """The folder for password files: ours alone."""
        os.umask(0o077)
        # restic gathers packs before it sends them, and /tmp is small.
        temporary = self.workplace.folder / "tmp"
        temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["TMPDIR"] = str(temporary)
        self.runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.runtime.stat()
        if found.st_uid == os.getuid() and not any(self.runtime.iterdir()):
            # In a cluster it comes open to all and empty.
            self.runtime.chmod(0o700)
        if self.runtime.stat().st_mode & 0o077:
            raise BackupError(f"{self.runtime} is open to others", "it must be a tmpfs of mode 0700")
