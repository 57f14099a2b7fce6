"""How the processes reach Redis; it may restart under them."""

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from notes.jobs import QUEUE, encode_job

CONNECT_TIMEOUT_SECONDS = 2
WEB_TIMEOUT_SECONDS = 2
# Longer than the worker's blocking command, or every idle turn would look like a failure.
WORKER_TIMEOUT_SECONDS = 10

Queue = redis.asyncio.Redis


def connect_web(redis_url: str) -> Queue:
    """Return the web process's client; it connects when it is first used.

    One repetition at once is what a restarted Redis needs; the default repeats for seconds, and a
    visitor would wait for a message that could come now.
    """
    return redis.asyncio.Redis.from_url(
        redis_url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=WEB_TIMEOUT_SECONDS,
        retry=AsyncRetry(NoBackoff(), 1),
    )


def connect_worker(redis_url: str) -> redis.Redis:
    """Return the worker's client; it never repeats a command, the worker's own loop does."""
    return redis.Redis.from_url(
        redis_url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=WORKER_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


async def push_job(queue: Queue, note_id: int) -> None:
    """Ask the worker to count the words of a note."""
    await queue.lpush(QUEUE, encode_job(note_id))
