"""Whether the database's log reaches its store right now, by the server's own word: for `status` and `check`.

Nights look into the store itself (`WalHealth`); between them this tells at once when a store is away. It is honest
because archiving is not asynchronous (see `backups.physical.settings`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from moorage.backups.health import HealthFinding
from moorage.quantities import human_size
from moorage.words import plural

QUERY = """
SELECT json_build_object(
    'is_failing', coalesce(last_failed_time > coalesce(last_archived_time, 'epoch'), false),
    'silent_seconds', extract(epoch FROM now() - coalesce(last_archived_time, stats_reset, now())),
    'waiting', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'),
    'bytes', (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())
) FROM pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'
"""


@dataclass(frozen=True)
class LogState:
    """`silent_seconds` is how long ago the store took the last piece, `waiting` how many pieces wait for it."""

    is_failing: bool
    silent_seconds: float
    waiting: int
    bytes: int


def client(superuser: str) -> list[str]:
    """What is to be run in the database's container."""
    options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
    return ["psql", *options, f"--username={superuser}", "--dbname=postgres", "--command", QUERY]


def read_log_state(answer: str) -> LogState | None:
    """What the server answered; None where it does not archive, or said something else."""
    try:
        return LogState(**json.loads(answer))
    except (ValueError, TypeError):
        return None


def judge_log(state: LogState | None, store: str) -> tuple[HealthFinding, ...]:
    """That the store does not take the log, if it is so."""
    if state is None or not state.is_failing:
        return ()
    text = (
        f"store {store} has not taken the write-ahead log for {state.silent_seconds / 60:.0f} minutes: "
        f"{plural(state.waiting, 'piece')} wait, {human_size(state.bytes)} on the database's disk"
    )
    fix = (
        "is the store there and has it room? `moorage logs` of the database has the reason. It serves on, and gives log "
        "up when too much waits; `moorage backup run` heals that. A disk that was mounted after the database had started "
        "is seen after `docker compose restart` of it"
    )
    return (HealthFinding(store, text, fix, is_failure=True),)
