"""Bring restored files to a moment in time: a server that nobody reaches replays the log and is promoted."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from moorage.backups.failures import DatabaseUnreachable, RestoreFailed, WalGap, WrongVersion
from moorage.backups.physical.commands import as_owner, give_to_owner
from moorage.backups.physical.control import settings_of_the_log
from moorage.backups.physical.folders import make_owned
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.quiet import quiet_settings

PORT = 5432
_POLL_SECONDS = 0.2
_STOP_SECONDS = 120.0
_LAST_COMMIT = re.compile(r"last completed transaction was at log time (.+)")
_STOPPED = re.compile(r"recovery stopping (.+)")
_SETTINGS_OF_RECOVERY = (
    "archive_mode", "restore_command", "recovery_target", "recovery_target_time", "recovery_target_action",
    "recovery_target_timeline",
)  # fmt: skip


class ClusterFiles(Protocol):
    """Restored files in a new folder, and the log when it was fetched beside them (else it is asked of the store)."""

    @property
    def data(self) -> Path:
        """The cluster."""
        ...

    @property
    def wal(self) -> Path | None:
        """The log."""
        ...


@dataclass(frozen=True)
class Recovered:
    """A promoted server: how to reach it, where recovery stopped in its own words, its newest transaction, seconds."""

    server: DatabasePlan
    stopped: str
    last_transaction: str
    seconds: float


@contextmanager
def recovered_server(
    restored: ClusterFiles,
    database: DatabasePlan,
    *,
    is_drill: bool,
    parameters: Mapping[str, str] | None = None,
    limit_seconds: float = 6 * 3600,
) -> Iterator[Recovered]:
    """Start a server on restored files, socket only, wait until it is promoted, and stop it cleanly at the end.

    `database` says who the superuser is and the major version; `parameters` are what the cluster can't be read without
    (shared_preload_libraries). A drill does without fsync, and its files are for nobody's use afterwards. Raises
    RestoreFailed with the last moment that can be reached, WalGap when log is missing, WrongVersion.
    """
    _refuse_other_files(restored.data, database)
    runtime = restored.data.parent / "runtime"
    make_owned(runtime)
    started = time.monotonic()
    with (runtime / "server.log").open("wb") as log:
        server = _start(
            restored, runtime, major=database.major, is_drill=is_drill, parameters=parameters or {}, log=log
        )
        try:
            plan = replace(database, host=str(runtime), port=PORT, password_file="", tls="", cluster_folder="")
            _wait(server, plan, runtime / "server.log", started + limit_seconds)
            said = (runtime / "server.log").read_text(encoding="utf-8", errors="replace")
            if not is_drill:
                _forget_recovery(plan)
            yield Recovered(plan, _found(_STOPPED, said), _found(_LAST_COMMIT, said), time.monotonic() - started)
        finally:
            _stop(server)


def _refuse_other_files(data: Path, database: DatabasePlan) -> None:
    """Only files that were restored and never started: everything else may be somebody's running cluster."""
    if not (data / "recovery.signal").is_file() or not (data / "backup_label").is_file():
        raise RestoreFailed(f"{data} was not just restored", "restore into a new folder")
    if (data / "postmaster.pid").exists():
        raise RestoreFailed(f"a server runs on {data}, or did", "restore into a new folder")
    version = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    if int(version.partition(".")[0]) != database.major:
        raise WrongVersion(f"the backup is of Postgres {version}, this image has {database.major}")


def _start(
    restored: ClusterFiles,
    runtime: Path,
    *,
    major: int,
    is_drill: bool,
    parameters: Mapping[str, str],
    log: IO[bytes],
) -> subprocess.Popen[bytes]:
    for name, text in (("hba.conf", "local all all trust\n"), ("postgresql.conf", "")):
        (runtime / name).write_text(text, encoding="utf-8")
        # Root may have written it for itself alone.
        give_to_owner(runtime / name)
    settings = {
        **settings_of_the_log(restored.data),
        "data_directory": str(restored.data),
        "config_file": str(runtime / "postgresql.conf"),
        "hba_file": str(runtime / "hba.conf"),
        "external_pid_file": "",
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(runtime),
        "ssl": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
        "archive_mode": "off",
        # It answers as soon as it is promoted, not before.
        "hot_standby": "off",
        "shared_preload_libraries": "",
        **({"fsync": "off", "full_page_writes": "off"} if is_drill else {}),
        **({"restore_command": f'cp "{restored.wal}/%f" "%p"'} if restored.wal else {}),
        **parameters,
        **quiet_settings(major),
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = as_owner(["postgres", "-D", str(restored.data), *options])
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def _wait(server: subprocess.Popen[bytes], plan: DatabasePlan, log: Path, deadline: float) -> None:
    while not _is_promoted(plan):
        if server.poll() is not None:
            raise _reason(log.read_text(encoding="utf-8", errors="replace"))
        if time.monotonic() > deadline:
            raise RestoreFailed("recovery did not come to an end in time", f"{log} says how far it is")
        time.sleep(_POLL_SECONDS)


def _is_promoted(plan: DatabasePlan) -> bool:
    import psycopg

    try:
        with connect(plan, "template1", wait_seconds=0) as connection:
            row = connection.execute("select not pg_is_in_recovery()").fetchone()
            return bool(row and row[0])
    except (DatabaseUnreachable, psycopg.OperationalError):
        return False


def _reason(said: str) -> RestoreFailed | WalGap:
    last = _found(_LAST_COMMIT, said)
    if "recovery ended before configured recovery target was reached" in said:
        message = f"the log ends before that moment; the last transaction in it is of {last or 'before the backup'}"
        return RestoreFailed(message, "restore the newest state (without a time) to get that transaction too")
    if "WAL ends before end of online backup" in said or "could not locate required checkpoint record" in said:
        return WalGap("the log that the backup itself needs is missing: it can't be restored", "take an older backup")
    fatal = [line for line in said.splitlines() if re.search(r" (?:FATAL|PANIC):", line)]
    return RestoreFailed(f"recovery failed: {fatal[0].partition(':  ')[2] if fatal else said[-300:].strip()}")


def _found(pattern: re.Pattern[str], said: str) -> str:
    found = pattern.findall(said)
    return found[-1].strip() if found else ""


def _forget_recovery(plan: DatabasePlan) -> None:
    """Take what recovery needed out of postgresql.auto.conf: a cluster that goes into use must archive again."""
    with connect(plan, "template1") as connection:
        for name in _SETTINGS_OF_RECOVERY:
            connection.execute(f"alter system reset {name}".encode())


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Fast shutdown, with a checkpoint; what does not end is killed: the files are nobody's yet."""
    server.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        server.wait(_STOP_SECONDS)
        return
    server.kill()
    server.wait()
