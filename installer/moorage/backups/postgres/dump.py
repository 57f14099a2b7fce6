"""Databases as dumps: each in one snapshot, in which the same rows are counted that are dumped.

`pg_dump` says that it succeeded; what it wrote is held against what was counted before anybody believes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.backups.failures import BackupError, Busy, Corrupt, DumpFailed
from moorage.backups.manifest import DatabaseFacts
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.archive import GLOBALS_FILE, folder_name, refuse_partial
from moorage.backups.postgres.connections import connect, conninfo, program_environment, reason_of
from moorage.backups.postgres.contents import sequences
from moorage.backups.postgres.counting import database_facts, sequence_facts
from moorage.backups.postgres.plain_roles import plain_role
from moorage.backups.postgres.programs import Program, started
from moorage.backups.postgres.server import client_version
from moorage.backups.postgres.snapshot import Snapshot, hint_of, holders, same_moment, snapshot
from moorage.backups.progress import Progress
from moorage.durable import files_below

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

# What a dump takes of the size on disk, for the progress bar only.
_COMPRESSION = 4
_LOCK_WORDS = ("could not obtain lock", "lock timeout")
_DAMAGE_WORDS = ("invalid page", "could not read block", "missing chunk", "page verification failed")
_AFTER_MIGRATION = "let the migration finish, then run the same command again"
_AFTER_DAMAGE = "keep the data folder as it is, and restore the last good backup"
_HINTS = (
    ("row-level security", "rows are hidden from the backup's role: give it BYPASSRLS, or make it the tables' owner"),
    ("permission denied", "the backup's role must read everything: GRANT pg_read_all_data, or make it the owner"),
    ("No space left", "free some room in the work volume, then run the same command again"),
)


def dump(
    database: DatabasePlan, folder: Path, *, parallel: int, lock_wait_seconds: int, progress: Progress | None = None
) -> tuple[DatabaseFacts, ...]:
    """Dump every database of the plan into a folder of its own below `folder`, and the roles into `globals.sql`.

    Nothing is flushed to the disk yet (`files.seal_files` does). Raises BackupError; nothing of a failed dump stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / GLOBALS_FILE, *(folder / folder_name(name) for name in database.names)]
    try:
        _dump_globals(database, folder / GLOBALS_FILE)
        return tuple(
            _dumped(database, name, folder / folder_name(name), parallel, lock_wait_seconds, progress)
            for name in database.names
        )
    except BaseException:
        for path in made:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def _dump_globals(database: DatabasePlan, path: Path) -> None:
    """Roles, memberships and their settings; no passwords, and no table spaces, which are paths of one host."""
    name = database.names[0] if database.names else database.maintenance
    # What is wrong with the connection is told better by ours than by the program's.
    connect(database, name).close()
    options = ["--globals-only", "--no-tablespaces", "--no-role-passwords", "--no-sync"]
    command = ["pg_dumpall", *options, f"--database={conninfo(name)}", f"--file={path}"]
    with started(command, program_environment(database, name)) as program:
        status = program.wait(lambda: None)
        if status != 0:
            raise _failed(database, name, "pg_dumpall", status, program.said())
    if not path.is_file() or b"dump complete" not in path.read_bytes()[-200:]:
        raise DumpFailed("pg_dumpall ended well, but its file is not whole", "is the disk full?")


def _dumped(
    database: DatabasePlan, name: str, target: Path, parallel: int, lock_wait_seconds: int, progress: Progress | None
) -> DatabaseFacts:
    import psycopg

    command = _command(target, parallel, lock_wait_seconds)
    try:
        with (
            connect(database, name) as connection,
            plain_role(database, name) as reader,
            connect(reader, name) as counter,
            snapshot(connection, lock_wait_seconds) as moment,
            same_moment(counter, moment, lock_wait_seconds),
        ):
            used = sequences(connection)
            with started([*command, f"--snapshot={moment.name}"], program_environment(database, name)) as program:
                counting = partial(database_facts, connection, counter, name, moment.name, moment.tables)
                tick = _tick(target, name, moment, progress)
                facts = _counted_meanwhile(counting, (connection, counter), program, tick)
                if facts is None:
                    raise _failed(database, name, "pg_dump", program.status, program.said())
            refuse_partial(target, name, moment.tables, len(used))
            return replace(facts, sequences=sequence_facts(used, sequences(connection)))
    except psycopg.errors.DataCorrupted as error:
        raise Corrupt(f"the database `{name}` has damaged pages: {reason_of(error)}", _AFTER_DAMAGE) from None
    except psycopg.Error as error:
        raise DumpFailed(f"the database `{name}` can't be counted: {reason_of(error)}", hint_of(error)) from None


def _command(target: Path, parallel: int, lock_wait_seconds: int) -> list[str]:
    # zstd takes a third of gzip's time for less size, but only pg_dump 16 and newer have it.
    compression = "zstd:3" if client_version()[0] >= 16 else "1"
    return [
        "pg_dump",
        "--format=directory",
        f"--jobs={parallel}",
        f"--compress={compression}",
        f"--lock-wait-timeout={max(1, lock_wait_seconds * 1000)}",
        "--no-sync",
        f"--file={target}",
    ]


def _counted_meanwhile(
    count: Callable[[], DatabaseFacts], connections: Sequence[Connection], program: Program, tick: Callable[[], None]
) -> DatabaseFacts | None:
    """Count while the program dumps; as soon as one of the two fails the other is ended. None when the program failed."""
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(count)
        try:
            status = program.wait(lambda: _refuse_failed(counting, tick))
            return counting.result() if status == 0 else None
        finally:
            _end_counting(counting, connections)


def _refuse_failed(counting: Future[DatabaseFacts], tick: Callable[[], None]) -> None:
    if counting.done():
        counting.result()
    tick()


def _end_counting(counting: Future[DatabaseFacts], connections: Sequence[Connection]) -> None:
    """Cancel its statements until it gives up: a cancel that falls between two of them is lost."""
    while not counting.done():
        for connection in connections:
            connection.cancel()
        wait([counting], timeout=0.2)


def _tick(target: Path, name: str, moment: Snapshot, progress: Progress | None) -> Callable[[], None]:
    """Tell how far the dump is: its bytes on the disk against what its tables will probably take."""
    estimate = max(1, sum(table.bytes for table in moment.tables) // _COMPRESSION)

    def tick() -> None:
        if progress is not None:
            done = sum(path.stat().st_size for _, path in files_below(target))
            progress(min(done, estimate), estimate, f"dumping {name}")

    return tick


def _failed(database: DatabasePlan, name: str, program: str, status: int | None, said: str) -> BackupError:
    what = f"{program} of `{name}` ended with status {status}: {said}"
    if any(word in said for word in _LOCK_WORDS):
        with connect(database, name) as connection:
            who = holders(connection) or "a migration or another session wanted a table for itself"
        return Busy(f"{who}; {what}", _AFTER_MIGRATION)
    if any(word in said for word in _DAMAGE_WORDS):
        return Corrupt(what, _AFTER_DAMAGE)
    return DumpFailed(what, next((hint for word, hint in _HINTS if word in said), "the server's log says more"))
