"""The web application: which address leads where, and what lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Route

from notes import api, browser, failures, probes
from notes.database import make_pool
from notes.job_queue import connect_web
from notes.parts import make_parts
from notes.settings import WebSettings

ROUTES = (
    Route("/", browser.show_notes),
    Route("/notes", browser.add_note, methods=["POST"]),
    Route("/about", browser.show_about),
    Route("/api/notes", api.list_notes, methods=["GET"]),
    Route("/api/notes", api.add_note, methods=["POST"]),
    Route("/api/notes/{id}", api.show_note),
    Route("/api/notes/{id}/attachments", api.add_attachment, methods=["POST"]),
    Route("/api/attachments/{id}", api.download),
    Route("/api/about", api.show_about),
    Route("/health", probes.health),
    Route("/live", probes.live),
)


def make_site(settings: WebSettings) -> Starlette:
    """Return the application; its connections are made when the server starts it."""

    @asynccontextmanager
    async def life(site: Starlette) -> AsyncIterator[None]:
        async with (
            make_pool(settings.database_url) as database,
            connect_web(settings.redis_url) as queue,
        ):
            site.state.parts = make_parts(settings, database, queue)
            yield

    return Starlette(routes=ROUTES, exception_handlers=failures.handlers(), lifespan=life)
