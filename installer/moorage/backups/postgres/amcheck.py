"""Postgres' own check of tables and indexes, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import conninfo, program_environment
from moorage.backups.postgres.programs import started
from moorage.backups.records import CheckResult
from moorage.words import plural

_NAME = "pg_amcheck"
_CHECKED = "pg_amcheck: checking "
_READ_WRITE = "-c default_transaction_read_only=off"
_SHOWN = 3


def amcheck(
    server: DatabasePlan, names: Sequence[str], *, heapallindexed: bool = False, parallel: int = 2
) -> CheckResult:
    """Run `pg_amcheck` on restored databases; it installs its extension there, so never run it on one in use.

    With `heapallindexed` every row is looked for in every index, which takes several times as long.
    """
    relations = 0
    for name in names:
        status, text = _checked(server, name, heapallindexed, parallel)
        lines = [line for line in text.splitlines() if line.strip()]
        relations += sum(line.startswith(_CHECKED) for line in lines)
        if status != 0:
            found = [line.strip() for line in lines if not line.startswith("pg_amcheck: ") or "error" in line]
            return CheckResult(_NAME, False, f"{name}: {'; '.join(found[:_SHOWN]) or f'status {status}'}")
    if names and not relations:
        return CheckResult(_NAME, False, "ended well, but looked at nothing")
    return CheckResult(_NAME, True, plural(relations, "table and index", "tables and indexes"))


def _checked(server: DatabasePlan, name: str, heapallindexed: bool, parallel: int) -> tuple[int, str]:
    command = ["pg_amcheck", "--install-missing", "--verbose", f"--jobs={parallel}"]
    command += ["--heapallindexed"] if heapallindexed else []
    environment = program_environment(server, name, _READ_WRITE)
    with started([*command, conninfo(name)], environment) as program:
        return program.wait(lambda: None), program.text()
