"""How notes and attachments look in JSON."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse

from notes.store import Attachment, Note
from notes.vault import PrivateText


class Json(JSONResponse):
    """JSON in ASCII: so it carries even an environment value that is not valid UTF-8."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def note_shape(note: Note, attachments: Sequence[Attachment]) -> dict[str, object]:
    """Return a note without its private text."""
    return {
        "id": note.id,
        "title": note.title,
        "body": note.body,
        "has_private": note.private_encrypted is not None,
        "word_count": note.word_count,
        "created_at": moment(note.created_at),
        "attachments": [attachment_shape(attachment) for attachment in attachments],
    }


def open_note_shape(note: Note, attachments: Sequence[Attachment], private: PrivateText) -> dict[str, object]:
    """Return a note with its private text, or with the reason why that can't be read."""
    return note_shape(note, attachments) | {
        "private": private.text,
        "private_problem": private.problem,
    }


def attachment_shape(attachment: Attachment) -> dict[str, object]:
    """Return an attachment; `sha256` is what its download must have."""
    return {
        "id": attachment.id,
        "note_id": attachment.note_id,
        "file_name": attachment.file_name,
        "size_bytes": attachment.size_bytes,
        "sha256": attachment.sha256,
        "created_at": moment(attachment.created_at),
        "url": f"/api/attachments/{attachment.id}",
    }


def moment(when: datetime) -> str:
    """Return a point in time as UTC, the same whatever the time zone of the database server is."""
    return when.astimezone(UTC).isoformat()
