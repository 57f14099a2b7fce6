"""Where a bare machine gets its backups from, and the folder of the deployment out of it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moorage import __version__
from moorage.backups.plan import BackupPlan, StorePlan
from moorage.console import Console
from moorage.errors import InputError
from moorage.recovery_key import fingerprint
from moorage.sensitive import Sensitive
from moorage.targets.compose import bare_runs

_MARKER = "store.json"


@dataclass(frozen=True)
class Source:
    """Where the backups are: a folder, or a bucket with its credentials file."""

    folder: Path | None = None
    bucket: str = ""
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    credentials: Path | None = None

    def store_plan(self, name: str) -> StorePlan:
        """As a store that is only read; its folder is where `bare_runs` mounts it."""
        if self.folder is not None:
            return StorePlan(name, directory=bare_runs.STORE_FOLDER, may_delete=False)
        return StorePlan(
            name,
            bucket=self.bucket,
            prefix=self.prefix,
            endpoint=self.endpoint,
            region=self.region,
            credentials_file=bare_runs.CREDENTIALS_FILE,
            may_delete=False,
        )

    def only_project(self) -> str:
        """The one deployment that a folder has. Raises InputError for several, for none, and for a bucket."""
        if self.folder is None:
            raise InputError("which deployment is meant?", "`--project NAME`: the folder's name in the bucket")
        found = sorted(path.parent.name for path in self.folder.glob(f"*/{_MARKER}"))
        if len(found) != 1:
            known = ", ".join(found) or "none"
            raise InputError(f"which deployment is meant? In {self.folder}: {known}", "`--project NAME`")
        return found[0]


def read_source(text: str, endpoint: str, region: str, credentials: Path | None) -> Source:
    """`/mnt/backups` or `s3://bucket/prefix`. Raises InputError for anything else."""
    if text.startswith("s3://"):
        parts = urlsplit(text)
        if not parts.netloc:
            raise InputError(f"{text} names no bucket", "`--from s3://BUCKET/PREFIX`")
        if credentials is None or not credentials.is_file():
            raise InputError(
                "a bucket needs its keys", "`--credentials FILE`, an AWS credentials file with a [default] part"
            )
        return Source(None, parts.netloc, parts.path.strip("/"), endpoint, region, credentials.resolve())
    folder = Path(text).resolve()
    if not folder.is_dir():
        raise InputError(f"{text} is no folder", "is its disk mounted?")
    return Source(folder)


def fetch_folder(
    scratch: Path, console: Console, source: Source, project: str, key: Sensitive, backup: str, base: str
) -> dict[str, Any]:
    """The deployment's folder of a backup as `scratch/deployment`; gives the backup's record. Raises MoorageError."""
    shutil.rmtree(scratch / "deployment", ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="moorage-bare-", dir=scratch) as temporary:
        place = Path(temporary)
        (place / "work").mkdir()
        write_private(place / "key", f"{key.reveal()}\n")
        plan = BackupPlan(
            project=project,
            deployment_id=fingerprint(key),
            environment="",
            target="compose",
            moorage=__version__,
            work="/work",
            recovery_key_file=bare_runs.KEY_FILE,
            stores=(source.store_plan("source"),),
            folder="/deployment",
        )
        write_private(place / "plan.json", plan.as_json())
        files = bare_runs.BareFiles(
            place / "plan.json", place / "key", place / "work", scratch, source.folder, source.credentials
        )
        arguments = ["fetch-folder", *([backup] if backup else []), "--into", "/restore"]
        result = bare_runs.run(console, base, files, arguments)
        result.raise_for_status()
    record: dict[str, Any] = result.data
    return record


def write_private(place: Path, text: str) -> None:
    """A file for its owner alone."""
    place.touch(mode=0o600)
    place.write_text(text, encoding="utf-8")
