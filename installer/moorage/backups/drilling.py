"""The drill: restore what a store gave back into a throw-away server, and compare it with what was there.

It runs without a network and without a secret, in a folder that only it writes to. Nothing here can reach production.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from moorage.backups import physical_night
from moorage.backups.failures import (
    AssertionFailed,
    BackupError,
    Corrupt,
    Damaged,
    RestoreFailed,
    RowsDiffer,
    Unfinished,
)
from moorage.backups.files import compare_files
from moorage.backups.manifest import MANIFEST_FILE, DatabaseFacts, Manifest, read_manifest
from moorage.backups.plan import BackupPlan, DatabasePlan
from moorage.backups.postgres.amcheck import amcheck
from moorage.backups.postgres.assertions import ask
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.restore import restore
from moorage.backups.postgres.roles import recreate_roles
from moorage.backups.postgres.scratch import making_room_for, scratch_server
from moorage.backups.records import CheckResult, Record, read_record
from moorage.backups.report import Report
from moorage.backups.volumes import listed_samples, sha256_of
from moorage.backups.workplace import Failure, Workplace, failure_of
from moorage.durable import replace_file, sync_folder
from moorage.words import abridged

RESULT_FILE = "result.json"


@dataclass(frozen=True)
class DrillResult:
    """How a drill ended. `seconds` is the time that the restore took, without fetching.

    `physical_failure` is that of point-in-time recovery: a dump that was restored and compared is good all the same.
    """

    id: str
    checks: tuple[CheckResult, ...]
    seconds: float
    failure: Failure | None = None
    physical_failure: Failure | None = None

    @property
    def passed(self) -> bool:
        """Whether everything was asked and every answer was right."""
        return self.failure is None and bool(self.checks) and all(check.passed for check in self.checks)


class _Checks:
    """What was asked so far; the first wrong answer ends the drill with its own reason."""

    def __init__(self, report: Report) -> None:
        self.found: list[CheckResult] = []
        self._report = report

    def add(self, results: Iterable[CheckResult], reason: Callable[[str], BackupError]) -> None:
        new = list(results)
        self.found += new
        for check in new:
            if check.passed:
                self._report.done(f"{check.name}: {check.detail}" if check.detail else check.name)
        wrong = [check for check in new if not check.passed]
        if wrong:
            raise reason("; ".join(f"{check.name}: {check.detail}" for check in wrong))


def drill(plan: BackupPlan, report: Report) -> DrillResult:
    """Prove the backup that lies in the drill's folder, and write down how it ended.

    Raises the first failure's BackupError after `result.json` is on the disk; Unfinished when nothing lies there.
    """
    workplace = Workplace(Path(plan.work))
    folder = _folder(workplace)
    checks, started = _Checks(report), time.monotonic()
    failure: BaseException | None = None
    try:
        _prove(plan, folder, checks, report)
    except (BackupError, OSError) as error:
        failure = error
    seconds = round(time.monotonic() - started, 3)
    result = DrillResult(folder.name, tuple(checks.found), seconds, failure_of(failure) if failure else None)
    if failure is not None:
        _write(folder, result)
        raise failure
    # Should recovering the cluster take all the memory, the dump is proven all the same.
    _write(folder, replace(result, physical_failure=_cut_off() if _has_cluster(folder) else None))
    later = _physical_failure(plan, folder, checks, report)
    result = replace(result, checks=tuple(checks.found), physical_failure=later)
    _write(folder, result)
    return result


def read_result(folder: Path) -> DrillResult:
    """What the drill wrote. Raises Unfinished when it did not come to its end."""
    try:
        data: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text(encoding="utf-8"))
        failure, later = (
            None if data[key] is None else Failure(**data[key]) for key in ("failure", "physical_failure")
        )
        checks = tuple(CheckResult(**item) for item in data["checks"])
        return DrillResult(data["id"], checks, float(data["seconds"]), failure, later)
    except FileNotFoundError:
        raise Unfinished(
            "the drill ended before it could say how: killed, out of memory, or the server restarted",
            "`journalctl` and `docker events` tell; the backup is kept, unproven: `moorage backup drill` proves it",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise Unfinished("the drill's result can't be read", "`moorage backup drill` proves the backup again") from None


def _folder(workplace: Workplace) -> Path:
    folders = sorted(workplace.drills.iterdir()) if workplace.drills.is_dir() else []
    if not folders:
        raise Unfinished("nothing was fetched to prove", "`moorage backup drill` fetches and proves a backup")
    return folders[-1]


def _prove(plan: BackupPlan, folder: Path, checks: _Checks, report: Report) -> None:
    fetched = folder / "input"
    manifest, record = _told(fetched)
    checks.add(
        [compare_files(fetched / "dump", manifest.files, parallel=plan.parallel)],
        lambda text: Damaged(f"files differ from the manifest: {text}"),
    )
    if record.samples:
        checks.add([_samples(fetched, record)], RowsDiffer)
    if manifest.server is None:
        return
    identifier = manifest.server.system_identifier
    with scratch_server(folder / "scratch", forbidden_identifier=identifier, like=manifest.server) as scratch:
        names = [item.name for item in manifest.databases]
        server = making_room_for(scratch, names)
        recreate_roles(server, fetched / "dump")
        for database in manifest.databases:
            _prove_database(plan, server, database, fetched / "dump", checks, report)
        checks.add([amcheck(server, names)], Corrupt)
        if plan.assertions:
            checks.add(ask(server, plan.assertions), AssertionFailed)


def _has_cluster(folder: Path) -> bool:
    return (folder / physical_night.LABEL_FILE).is_file()


def _cut_off() -> Failure:
    text = "point-in-time recovery: the drill ended before it could say how: killed, out of memory, or the server restarted"
    return failure_of(Unfinished(text, "the next night tries again; the dump is good"))


def _physical_failure(plan: BackupPlan, folder: Path, checks: _Checks, report: Report) -> Failure | None:
    """Prove the physical backup, if one was fetched; why it can't be is told and given back, not raised."""
    if plan.database is None or not _has_cluster(folder):
        return None
    own = _Checks(report)
    try:
        _prove_physical(plan.database, folder, own, report)
    except Exception as error:  # whatever it is, the dump is proven
        found = failure_of(error)
        report.warning(f"point-in-time recovery: {found.reason}")
        return found
    checks.found += own.found
    return None


def _prove_physical(database: DatabasePlan, folder: Path, checks: _Checks, report: Report) -> None:
    """The cluster itself, recovered to the moment that tonight marked."""
    server = _told(folder / "input")[0].server
    parameters = dict(server.settings) if server else {}
    report.step("recovering the cluster to a moment after the backup")
    with physical_night.recovered(folder, database, parameters) as recovered:
        detail = f"recovered in {recovered.seconds:.1f} s: {recovered.stopped or 'to its end'}"
        checks.add([CheckResult("point in time", passed=True, detail=detail)], RestoreFailed)
        checks.add([amcheck(recovered.server, database.names)], Corrupt)


def _prove_database(
    plan: BackupPlan, server: DatabasePlan, facts: DatabaseFacts, dump: Path, checks: _Checks, report: Report
) -> None:
    report.step(f"restoring {facts.name}")
    restore(server, facts, dump, facts.name, parallel=plan.parallel, progress=report.progress)
    checks.add(compare(server, facts.name, facts), lambda text: RowsDiffer(f"database {facts.name}: {text}"))


def _told(fetched: Path) -> tuple[Manifest, Record]:
    """Manifest and record as they were fetched; their signatures were checked by the phase that has the key."""
    documents = []
    for path in (fetched / "dump" / MANIFEST_FILE, fetched / "record.json"):
        data = json.loads(path.read_text(encoding="utf-8"))
        data.pop("signature", None)
        documents.append(data)
    return read_manifest(documents[0]), read_record(documents[1])


def _samples(fetched: Path, record: Record) -> CheckResult:
    wrong = []
    for sample in listed_samples(fetched / "dump", record):
        place = fetched / "samples" / sample.volume / sample.path
        if not place.is_file():
            wrong.append(f"{sample.volume}/{sample.path} is missing")
        elif sha256_of(place) != sample.sha256:
            wrong.append(f"{sample.volume}/{sample.path} was changed")
    return CheckResult("volume files", not wrong, abridged(wrong, 3) if wrong else f"{len(record.samples)} compared")


def _write(folder: Path, result: DrillResult) -> None:
    replace_file(folder / RESULT_FILE, (json.dumps(asdict(result), sort_keys=True, indent=1) + "\n").encode(), 0o600)
    sync_folder(folder)
