"""What a visitor sees when something goes wrong: JSON for programs, a small page for browsers."""

from collections.abc import Awaitable, Callable, Mapping

from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from notes import pages
from notes.browser import page
from notes.database import UNAVAILABLE
from notes.multipart import FormError
from notes.parts import parts_of
from notes.shapes import Json
from notes.uploads import LARGEST_FILE_BYTES, FileTooLarge

RETRY_AFTER_SECONDS = 3

Handler = Callable[[Request, Exception], Awaitable[Response]]


def handlers() -> dict[type[Exception], Handler]:
    """Return who answers for which exception."""
    away = dict.fromkeys((*UNAVAILABLE, RedisError), unavailable)
    return {
        **away,
        HTTPException: refused,
        FormError: bad_form,
        FileTooLarge: too_large,
        Exception: unexpected,
    }


async def unavailable(request: Request, error: Exception) -> Response:
    """Answer while Postgres or Redis is away; the reason is in the log and at /health."""
    away = "Redis" if isinstance(error, RedisError) else "Postgres"
    message = f"{away} is not available at the moment, please try again"
    return failure(request, 503, message, {"Retry-After": str(RETRY_AFTER_SECONDS)})


async def refused(request: Request, error: Exception) -> Response:
    """Answer a request that we refuse."""
    assert isinstance(error, HTTPException)
    return failure(request, error.status_code, error.detail, error.headers)


async def bad_form(request: Request, error: Exception) -> Response:
    """Answer a form that we don't understand."""
    return failure(request, 400, str(error))


async def too_large(request: Request, _error: Exception) -> Response:
    """Answer a file that is too large."""
    return failure(request, 413, f"the file is larger than {LARGEST_FILE_BYTES // 1024**2} MB")


async def unexpected(request: Request, _error: Exception) -> Response:
    """Answer for a defect of ours; the traceback is in the log and nowhere else."""
    return failure(request, 500, "something went wrong here; the log of the web process says what")


def failure(request: Request, status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a message in the language of whoever asks."""
    if "text/html" in request.headers.get("accept", ""):
        response: Response = page(pages.failure_page(parts_of(request).settings, status, message), status)
    else:
        response = Json({"error": message}, status_code=status)
    response.headers.update(headers or {})
    return response
