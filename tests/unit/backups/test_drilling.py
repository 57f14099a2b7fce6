"""What a drill makes of a physical backup that can't be recovered: told, written down, and no stain on the dump."""

from __future__ import annotations

import io
from pathlib import Path

from moorage.backups import drilling
from moorage.backups.drilling import DrillResult, read_result
from moorage.backups.plan import BackupPlan, DatabasePlan
from moorage.backups.records import CheckResult
from moorage.backups.report import Report
from moorage.backups.workplace import Failure

PLAN = BackupPlan(
    project="acme",
    deployment_id="0",
    environment="compose",
    target="compose",
    moorage="0",
    work="/work",
    recovery_key_file="/key",
    stores=(),
    database=DatabasePlan("/socket", 5432, "postgres", ("notes",), 17),
)


def test_nothing_is_asked_where_nothing_was_fetched(tmp_path: Path) -> None:
    report = Report(out=io.StringIO(), errors=io.StringIO())
    assert drilling._physical_failure(PLAN, tmp_path, drilling._Checks(report), report) is None


def test_a_fetched_cluster_that_is_none_is_a_failure_of_its_own(tmp_path: Path) -> None:
    said = io.StringIO()
    report = Report(out=io.StringIO(), errors=said)
    checks = drilling._Checks(report)
    (tmp_path / "label").write_text("20261122-033000F\n")
    found = drilling._physical_failure(PLAN, tmp_path, checks, report)
    assert found is not None
    assert checks.found == []
    assert "point-in-time recovery" in said.getvalue()


def test_both_failures_survive_the_container(tmp_path: Path) -> None:
    result = DrillResult("x", (CheckResult("files", passed=True, detail=""),), 1.5, None, Failure(38, "a gap"))
    drilling._write(tmp_path, result)
    assert read_result(tmp_path) == result
    assert result.passed
