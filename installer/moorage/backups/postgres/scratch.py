"""A Postgres server to throw away, for drills: reached by a socket in its own folder only, gone when it is left.

It can't be mistaken for another: the folder is one that was made here, with a marker in it, and the system identifier is
held against production's before anybody hears of the server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from moorage.backups.failures import BackupError, RestoreFailed
from moorage.backups.manifest import ServerFacts
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.quiet import quiet_settings
from moorage.backups.postgres.restore import drop_database
from moorage.backups.postgres.server import client_version, system_identifier
from moorage.quantities import MEBIBYTE

MARKER = "moorage-scratch-server"
_DATA, _SOCKETS, _LOG, _SOCKETS_ELSEWHERE = "data", "sockets", "server.log", "sockets-elsewhere"
_PORT = 5432
_START_SECONDS = 120
# What the kernel takes as the path of a socket.
_PATH_BYTES = 107
_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_UNKNOWN_MEMORY = 2048 * MEBIBYTE
# Nothing here outlives its folder, so nothing needs to be safe from a power cut, and nothing may reach out or wake up.
_SETTINGS = {
    "archive_mode": "off",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "dynamic_shared_memory_type": "mmap",  # /dev/shm of a container has 64 MiB
    "fsync": "off",
    "full_page_writes": "off",
    "jit": "off",
    "listen_addresses": "",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",  # statements may show rows
    "logging_collector": "off",
    "max_connections": "40",
    "max_locks_per_transaction": "256",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "restart_after_crash": "off",
    "synchronous_commit": "off",
    "unix_socket_permissions": "0700",
    "wal_level": "minimal",
}


@contextmanager
def scratch_server(
    folder: Path, *, forbidden_identifier: str, like: ServerFacts | None = None
) -> Iterator[DatabasePlan]:
    """An empty server in `folder`, which must not exist or be left over from a run that was killed.

    `like` gives it the same first role and loads the same libraries. Raises BackupError when the folder is none of ours,
    or when the server is the one with `forbidden_identifier`; RestoreFailed when it does not start.
    """
    _refuse_root()
    remove_scratch_server(folder)
    superuser = like.superuser if like else "postgres"
    try:
        plan = _started(folder, superuser, dict(like.settings) if like else {})
        _refuse_forbidden(plan, forbidden_identifier)
        _hurry(plan)
        yield plan
    finally:
        remove_scratch_server(folder)


def making_room_for(server: DatabasePlan, names: Collection[str]) -> DatabasePlan:
    """The scratch server without the empty database that every server begins with, where a dump has one of that name."""
    if server.maintenance not in names:
        return server
    found = replace(server, maintenance="template1")
    with closing(connect(found, found.maintenance)) as connection:
        drop_database(connection, server.maintenance)
    return found


def remove_scratch_server(folder: Path) -> None:
    """Stop what runs in a folder that `scratch_server` made, and remove it. Raises BackupError when it made none."""
    if not folder.exists():
        return
    if folder.is_symlink() or (any(folder.iterdir()) and not (folder / MARKER).is_file()):
        raise BackupError(
            f"{folder} was not made by a drill, so nothing there is touched", "move it away, or look what it is"
        )
    _stop(folder / _DATA)
    elsewhere = folder / _SOCKETS_ELSEWHERE
    if elsewhere.is_file():
        shutil.rmtree(elsewhere.read_text(encoding="utf-8"), ignore_errors=True)
    # The marker goes last: half a folder without it would be nobody's for ever.
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MARKER):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def _started(folder: Path, superuser: str, taken_over: Mapping[str, str]) -> DatabasePlan:
    folder.mkdir(mode=0o700, parents=True)
    (folder / MARKER).write_text("made by moorage for a drill; may be removed when no drill runs\n", encoding="utf-8")
    data, sockets = folder / _DATA, _sockets(folder)
    options = ["--no-sync", "--no-instructions", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    _run(folder, ["initdb", *options, f"--username={superuser}", f"--pgdata={data}"])
    _configure(data, {**_SETTINGS, **_memory_settings(), **taken_over, "unix_socket_directories": str(sockets)})
    log = f"--log={folder / _LOG}"
    _run(folder, ["pg_ctl", "start", "--wait", f"--timeout={_START_SECONDS}", "--silent", f"--pgdata={data}", log])
    return DatabasePlan(host=str(sockets), port=_PORT, user=superuser, names=(), major=client_version("initdb")[0])


def _sockets(folder: Path) -> Path:
    """The folder of the socket: in its own folder, or in a short one where that path would be too long."""
    own = folder / _SOCKETS
    if len(os.fsencode(own / f".s.PGSQL.{_PORT}")) <= _PATH_BYTES and "," not in str(own):
        own.mkdir(mode=0o700)
        return own
    short = Path(tempfile.mkdtemp(prefix="moorage-"))
    (folder / _SOCKETS_ELSEWHERE).write_text(str(short), encoding="utf-8")
    return short


def _configure(data: Path, settings: Mapping[str, str]) -> None:
    known = {**settings, **quiet_settings(client_version("initdb")[0])}
    lines = [f"{name} = '{_escaped(value)}'\n" for name, value in sorted(known.items())]
    (data / "postgresql.conf").write_text("".join(lines), encoding="utf-8")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _memory_settings() -> dict[str, str]:
    """Shares of the container's own limit; two index builds may run at a time."""
    mebibytes = memory_limit() // MEBIBYTE
    return {
        "shared_buffers": f"{min(1024, max(64, mebibytes // 8))}MB",
        "maintenance_work_mem": f"{min(1024, max(32, mebibytes // 8))}MB",
        "work_mem": f"{min(64, max(4, mebibytes // 64))}MB",
    }


def memory_limit(files: tuple[Path, ...] = _MEMORY_LIMITS) -> int:
    """The bytes that this container may use; of the machine where there is no limit."""
    machine = _UNKNOWN_MEMORY
    if "SC_PHYS_PAGES" in os.sysconf_names:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in files:
        if path.is_file() and (text := path.read_text(encoding="ascii").strip()).isdigit():
            return min(machine, int(text))
    return machine


def _stop(data: Path) -> None:
    """End the server of a folder, if one runs: nothing in it is of worth, so at once."""
    if _runs(data):
        command = ["pg_ctl", "stop", "--wait", "--mode=immediate", "--silent", f"--pgdata={data}"]
        subprocess.run(command, check=False, capture_output=True)


def _runs(data: Path) -> bool:
    """Whether the process that the folder names is its server: in another container the number is somebody else's."""
    try:
        number = int((data / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0])
        return os.fsencode(data) in Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False


def _run(folder: Path, command: list[str]) -> None:
    # A server that inherits a pipe would keep it open, and we would wait for its end.
    with (folder / "output.log").open("w+b") as output:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=_environment()
        )
    if done.returncode != 0:
        said = [
            path.read_text(errors="replace")[-600:] for path in (folder / "output.log", folder / _LOG) if path.is_file()
        ]
        text = " ".join("".join(said).split())
        raise RestoreFailed(f"{command[0]} of the scratch server ended with status {done.returncode}: {text}")


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def _hurry(plan: DatabasePlan) -> None:
    """Compress long values with LZ4, where the server was built with it: a third less time to load a table of texts."""
    with connect(plan, plan.maintenance) as connection:
        built_with = connection.execute(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        ).fetchone()
        if built_with and built_with[0]:
            connection.execute("ALTER SYSTEM SET default_toast_compression = 'lz4'")
            connection.execute("SELECT pg_reload_conf()")


def _refuse_root() -> None:
    if os.geteuid() == 0:
        raise BackupError("a Postgres server does not run as root", "run the drill as the user postgres")


def _refuse_forbidden(plan: DatabasePlan, forbidden_identifier: str) -> None:
    with connect(plan, plan.maintenance) as connection:
        found = system_identifier(connection)
    if not found or found == forbidden_identifier:
        raise BackupError(
            f"the scratch server has the system identifier {found or 'of nothing'}, which is production's",
            "nothing was restored; report this",
        )
