"""The JSON endpoints."""

from dataclasses import asdict

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from notes import about, actions, store
from notes.draft import DraftError, read_draft
from notes.forms import received_form
from notes.parts import parts_of
from notes.requests import path_identifier, read_before, read_json
from notes.shapes import Json, attachment_shape, note_shape, open_note_shape
from notes.uploads import stored_path
from notes.vault import unseal


async def list_notes(request: Request) -> Response:
    """GET /api/notes: a page of notes, newest first."""
    notes, attachments, next_before = await actions.list_notes(parts_of(request), read_before(request))
    return Json(
        {
            "notes": [note_shape(note, attachments[note.id]) for note in notes],
            "next_before": next_before,
        }
    )


async def add_note(request: Request) -> Response:
    """POST /api/notes: store a note."""
    parts = parts_of(request)
    try:
        draft = read_draft(await read_json(request))
    except DraftError as error:
        raise HTTPException(400, str(error)) from None
    note, attachments = await actions.add_note(parts, draft)
    shape = open_note_shape(note, attachments, unseal(parts.vault, note.private_encrypted))
    return Json(shape, status_code=201, headers={"Location": f"/api/notes/{note.id}"})


async def show_note(request: Request) -> Response:
    """GET /api/notes/{id}: one note with its private text."""
    parts = parts_of(request)
    note, attachments = await actions.require_note(parts, path_identifier(request, "note"))
    return Json(open_note_shape(note, attachments, unseal(parts.vault, note.private_encrypted)))


async def add_attachment(request: Request) -> Response:
    """POST /api/notes/{id}/attachments: receive a file."""
    parts = parts_of(request)
    note, _ = await actions.require_note(parts, path_identifier(request, "note"))
    async with received_form(request, parts.settings.uploads_directory) as form:
        attachment = await actions.add_attachment(parts, note.id, form)
    return Json(
        attachment_shape(attachment),
        status_code=201,
        headers={"Location": f"/api/attachments/{attachment.id}"},
    )


async def download(request: Request) -> Response:
    """GET /api/attachments/{id}: send a file, always as a download: anyone may have sent it."""
    parts = parts_of(request)
    attachment_id = path_identifier(request, "attachment")
    async with parts.database.connection() as connection:
        attachment = await store.find_attachment(connection, attachment_id)
    if attachment is None:
        raise HTTPException(404, f"there is no attachment {attachment_id}")
    path = stored_path(parts.settings.uploads_directory, attachment.stored_name)
    if not path.is_file():
        raise HTTPException(500, f"attachment {attachment_id} is recorded, but its file is missing from the uploads")
    headers = {"ETag": f'"{attachment.sha256}"', "X-Content-Type-Options": "nosniff"}
    return FileResponse(path, headers=headers, media_type="application/octet-stream", filename=attachment.file_name)


async def show_about(request: Request) -> Response:
    """GET /api/about: the facts about this installation."""
    return Json(asdict(await about.gather(parts_of(request))))
