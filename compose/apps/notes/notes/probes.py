"""Whether we are alive, and whether what we need is there."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from notes.parts import Parts, parts_of
from notes.shapes import Json
from notes.startup import first_line

TIMEOUT_SECONDS = 2.0

log = logging.getLogger("notes.health")


async def live(_request: Request) -> Response:
    """GET /live: the process answers; asks nobody else."""
    return Json({"status": "alive"})


async def health(request: Request) -> Response:
    """GET /health: 200 only when Postgres and Redis both answer in time."""
    parts = parts_of(request)
    postgres, queue = await asyncio.gather(answer(ask_postgres, parts), answer(ask_redis, parts))
    healthy = postgres == queue == "ok"
    body = {"status": "ok" if healthy else "unavailable", "postgres": postgres, "redis": queue}
    return Json(body, status_code=200 if healthy else 503)


async def ask_postgres(parts: Parts) -> None:
    """Raise when Postgres doesn't answer; the pool tries a connection before it lends it."""
    async with parts.database.connection(timeout=TIMEOUT_SECONDS):
        pass


async def ask_redis(parts: Parts) -> None:
    """Raise when Redis doesn't answer."""
    await parts.queue.ping()


async def answer(ask: Callable[[Parts], Awaitable[None]], parts: Parts) -> str:
    """Return "ok" or what is wrong, at the latest after TIMEOUT_SECONDS.

    `asyncio.wait` and not `wait_for`: the latter waits for the cancelled question to end, and with
    a frozen server that may be never.
    """
    question = asyncio.ensure_future(ask(parts))
    await asyncio.wait({question}, timeout=TIMEOUT_SECONDS)
    if not question.done():
        question.cancel()
        return f"no answer within {TIMEOUT_SECONDS:g} s"
    error = question.exception()
    if error is not None:
        log.warning("%s: %s", ask.__name__, first_line(error))
        return "not reachable"
    return "ok"
