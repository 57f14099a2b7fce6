"""Reading what a request asks for; a refusal is an HTTPException with a message for the sender."""

import json

from starlette.exceptions import HTTPException
from starlette.requests import Request

LARGEST_JSON_BYTES = 1024 * 1024
LONGEST_IDENTIFIER = 18  # digits; every number that long fits into a bigint


def path_identifier(request: Request, kind: str) -> int:
    """Return the number in the path, or raise 404: what is no number names nothing."""
    text = request.path_params["id"]
    if not is_identifier(text):
        raise HTTPException(404, f"there is no {kind} {text[:40]}")
    return int(text)


def read_before(request: Request) -> int | None:
    """Return the note before which a page of the list begins, None for the newest page."""
    text = request.query_params.get("before")
    if text is None:
        return None
    if not is_identifier(text):
        raise HTTPException(400, "before is not the number of a note")
    return int(text)


def is_identifier(text: str) -> bool:
    """Return whether the text can be the number of a row."""
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_IDENTIFIER


async def read_json(request: Request) -> object:
    """Return the decoded JSON body, or raise 400 or 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_JSON_BYTES:
            raise HTTPException(413, f"the body is larger than {LARGEST_JSON_BYTES} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
