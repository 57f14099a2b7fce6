"""The worker's loop: take a job, count, commit, acknowledge; no job is lost when it dies."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import psycopg
import redis
from psycopg.rows import TupleRow

from notes import heartbeat
from notes.database import UNAVAILABLE, connect
from notes.job_queue import connect_worker
from notes.jobs import PROCESSING, QUEUE, decode_job
from notes.settings import WorkerSettings
from notes.startup import first_line
from notes.words import count_words

PAUSE_SECONDS = 1
TAKE_TIMEOUT_SECONDS = 2
# How often, in idle turns of the loop, to look for notes whose job never arrived.
IDLE_TURNS_BETWEEN_SWEEPS = 15
SWEEP_SIZE = 1000

log = logging.getLogger("notes.worker")


class StopSignal:
    """Whether we were asked to leave; a flag, for an Event may deadlock in a signal handler."""

    def __init__(self) -> None:
        self.requested = False

    @classmethod
    def listen(cls) -> "StopSignal":
        """Return a flag that SIGTERM and SIGINT raise."""
        stop = cls()
        signal.signal(signal.SIGTERM, stop.request)
        signal.signal(signal.SIGINT, stop.request)
        return stop

    def request(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Ask the loop to leave after its current job."""
        self.requested = True


@dataclass(frozen=True)
class Connections:
    """What a worker talks to while both are there."""

    database: psycopg.Connection[TupleRow]
    queue: redis.Redis


def count_until_stopped(settings: WorkerSettings, stop: StopSignal) -> None:
    """Work until stopped; while Postgres or Redis is away, wait for it instead of leaving."""
    last_problem = ""
    while not stop.requested:
        heartbeat.beat()
        try:
            with connections(settings) as connected:
                catch_up(connected)
                log.info("ready for work")
                last_problem = ""
                count_while_connected(connected, stop)
        except (*UNAVAILABLE, redis.RedisError) as error:
            problem = first_line(error)
            if problem != last_problem:
                log.warning("waiting: %s", problem)
            last_problem = problem
            time.sleep(PAUSE_SECONDS)
    log.info("stopped")


@contextmanager
def connections(settings: WorkerSettings) -> Iterator[Connections]:
    """Yield working connections to Postgres and Redis, closed afterwards."""
    with (
        connect(settings.database_url, "notes-worker") as database,
        connect_worker(settings.redis_url) as queue,
    ):
        queue.ping()
        yield Connections(database, queue)


def catch_up(connected: Connections) -> None:
    """Take care of the jobs that were left undone or got lost before we came."""
    requeue_leftovers(connected.queue)
    sweep(connected.database)


def count_while_connected(connected: Connections, stop: StopSignal) -> None:
    """Take and do jobs until stopped or until a connection breaks."""
    idle_turns = 0
    while not stop.requested:
        heartbeat.beat()
        if take_and_do_job(connected):
            continue
        idle_turns += 1
        if idle_turns % IDLE_TURNS_BETWEEN_SWEEPS == 0:
            sweep(connected.database)


def requeue_leftovers(queue: redis.Redis) -> None:
    """Put back the jobs that a worker took and never acknowledged.

    With several workers this may repeat a job that another is doing right now, which does no harm:
    counting twice gives the same number.
    """
    count = 0
    while queue.lmove(PROCESSING, QUEUE, src="LEFT", dest="RIGHT") is not None:
        count += 1
    if count:
        log.info("re-queued %d unfinished jobs", count)


def take_and_do_job(connected: Connections) -> bool:
    """Do one job if there is one within TAKE_TIMEOUT_SECONDS, and return whether there was."""
    job = connected.queue.blmove(QUEUE, PROCESSING, TAKE_TIMEOUT_SECONDS, src="RIGHT", dest="LEFT")
    if job is None:
        return False
    do_job(connected.database, str(job))
    # Only now: the count is committed, so the job may be forgotten.
    connected.queue.lrem(PROCESSING, 1, str(job))
    return True


def do_job(database: psycopg.Connection[TupleRow], job: str) -> None:
    """Count the words of the job's note; a foreign job is dropped, or it would return for ever."""
    note_id = decode_job(job)
    if note_id is None:
        log.error("dropped a job that is not understood: %.80r", job)
        return
    count_note(database, note_id)


def sweep(database: psycopg.Connection[TupleRow]) -> None:
    """Count notes without a job: Redis was lost, restored, or away just after a note was stored."""
    rows = database.execute("SELECT id FROM notes WHERE word_count IS NULL ORDER BY id LIMIT %s", (SWEEP_SIZE,))
    for (note_id,) in rows.fetchall():
        count_note(database, note_id)


def count_note(database: psycopg.Connection[TupleRow], note_id: int) -> None:
    """Write the word count of one note; a note that is not there is none of our business."""
    row = database.execute("SELECT body FROM notes WHERE id = %s", (note_id,)).fetchone()
    if row is None:
        return
    words = count_words(row[0])
    database.execute("UPDATE notes SET word_count = %s WHERE id = %s", (words, note_id))
    log.info("note %d has %d words", note_id, words)
