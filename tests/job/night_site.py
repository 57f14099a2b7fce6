"""A deployment as the job sees it: a live database, a volume, a store, a recovery key; nights run in this process."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from moorage.backups.concluding import conclude
from moorage.backups.drilling import drill
from moorage.backups.job_context import Job, OpenStore
from moorage.backups.plan import VOLUMES_FOLDER, BackupPlan, DatabasePlan, StorePlan, VolumePlan
from moorage.backups.records import StoredBackup
from moorage.backups.repeating import fetch_again
from moorage.backups.report import Report
from moorage.backups.taking import take
from moorage.errors import MoorageError
from moorage.recovery_key import make_recovery_key

START = datetime(2026, 11, 2, 3, 30, tzinfo=timezone.utc)


@dataclass
class NightSite:
    """`clock` is what the job takes for the time; a night moves it on by a day."""

    folder: Path
    plan: BackupPlan
    clock: datetime = START
    said: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    takes_over: bool = False

    def job(self) -> Job:
        out = io.StringIO()
        report = Report(as_json=True, out=out, errors=out)
        self.out = out
        return Job(self.plan, report, now=lambda: self.clock, runtime=self.folder / "run", takes_over=self.takes_over)

    def phase(self, run: Callable[[], object]) -> int:
        """The exit status of a phase, as its container would have it."""
        try:
            found = run()
        except MoorageError as error:
            self.said.append(error.message)
            self.hints.append(error.hint)
            return error.exit_status
        return found if isinstance(found, int) else 0

    def night(self, between: Callable[[], object] = lambda: None) -> int:
        """Take, drill, conclude as the script does; `between` runs after take. Gives the night's exit status."""
        self.said.clear()
        self.hints.clear()
        self.clock += timedelta(days=1)
        if self.phase(lambda: take(self.job())) == 0:
            between()
            self.phase(lambda: drill(self.plan, self.job().report))
        return self.phase(lambda: conclude(self.job()))

    def proven_again(self, identifier: str = "", store: str = "") -> int:
        """An older backup once more, as `moorage backup drill` does it."""
        self.said.clear()
        status = self.phase(lambda: fetch_again(self.job(), identifier, store))
        if status == 0:
            self.phase(lambda: drill(self.plan, self.job().report))
        ended = self.phase(lambda: conclude(self.job()))
        return status or ended

    def repository(self, store: str = "disk") -> Path:
        """Where restic's files are."""
        return Path(self.plan.store(store).directory) / self.plan.project / "restic"

    def fetched(self) -> Path:
        """What the drill will prove."""
        (place,) = (self.folder / "work" / "drill").iterdir()
        return place / "input"

    def backups(self, store: str = "disk") -> tuple[StoredBackup, ...]:
        return self.opened(store).catalogue.backups()

    def opened(self, store: str = "disk") -> OpenStore:
        return self.job().open(self.plan.store(store))

    def small_files(self, store: str = "disk") -> list[Path]:
        """Records, verdicts and tombstones."""
        return sorted((Path(self.plan.store(store).directory) / self.plan.project / "backups").iterdir())

    def states(self, store: str = "disk") -> list[str]:
        """The newest first."""
        return [backup.state for backup in self.backups(store)]

    def snapshots(self, store: str = "disk") -> int:
        """How many restic itself has."""
        repository = self.repository(store) / "snapshots"
        return len(list(repository.iterdir())) if repository.is_dir() else 0

    def program(self, verb: str, *words: str) -> subprocess.Popen[bytes]:
        """A verb as a process of its own, to be killed."""
        plan = self.folder / "plan.json"
        plan.write_text(self.plan.as_json(), encoding="utf-8")
        code = (
            "import sys; from pathlib import Path; import moorage.backups.job_context as c; "
            f"c.RUNTIME = Path({str(self.folder / 'run')!r}); c.Job.__init__.__defaults__ = "
            "tuple(c.RUNTIME if isinstance(d, Path) else d for d in c.Job.__init__.__defaults__); "
            "from moorage.backups.job import main; sys.exit(main())"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, verb, *words, "--plan", str(plan)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def killed(self, after_seconds: float, verb: str, *words: str) -> bool:
        """Start a verb and kill it with all its children; whether it was still at work."""
        program = self.program(verb, *words)
        try:
            program.wait(after_seconds)
            return False
        except subprocess.TimeoutExpired:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            time.sleep(0.2)
            return True


def new_site(folder: Path, database: DatabasePlan | None, *stores: StorePlan, **changes: object) -> NightSite:
    """A site with one directory store `disk` unless stores are given, and a volume with some files."""
    volume = Path(VOLUMES_FOLDER) / "uploads"
    shutil.rmtree(volume, ignore_errors=True)
    (volume / "deep").mkdir(parents=True)
    for number in range(30):
        (volume / "deep" / f"file {number}").write_bytes(bytes([number]) * (1000 + number))
    deployment = folder / "deployment"
    (deployment / "rendered").mkdir(parents=True)
    (deployment / "moorage.yaml").write_text("name: notes\n", encoding="utf-8")
    (deployment / "rendered" / "x").write_text("left out", encoding="utf-8")
    for name in ("store", "work"):
        (folder / name).mkdir()
    key = folder / "recovery.key"
    key.write_text(make_recovery_key(bytes(range(32))) + "\n", encoding="ascii")
    plan = BackupPlan(
        project="notes",
        deployment_id="0123456789ab",
        environment="compose",
        target="compose",
        moorage="0",
        work=str(folder / "work"),
        recovery_key_file=str(key),
        stores=stores or (StorePlan("disk", directory=str(folder / "store")),),
        database=database,
        volumes=(VolumePlan("uploads", str(volume)),),
        folder=str(deployment),
        folder_excludes=("rendered",),
        lock_wait_seconds=2,
    )
    return NightSite(folder, replace(plan, **changes))  # type: ignore[arg-type]


def result(site: NightSite) -> dict[str, object]:
    """What the last phase gave as data."""
    events = [json.loads(line) for line in site.out.getvalue().splitlines()]
    return next(event["content"] for event in events if event["event"] == "data")


def flip(place: Path) -> None:
    place.chmod(0o600)
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(bytes(content))


def biggest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def size(place: Path) -> int:
    return place.stat().st_size
