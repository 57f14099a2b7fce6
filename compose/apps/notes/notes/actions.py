"""What visitors can do, the same for the page and for the API."""

import asyncio
import logging

from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from notes import store
from notes.draft import Draft
from notes.forms import Form
from notes.job_queue import push_job
from notes.parts import Parts
from notes.startup import first_line
from notes.store import Attachment, Note
from notes.uploads import KeptFile
from notes.vault import seal

log = logging.getLogger("notes.web")


async def add_note(parts: Parts, draft: Draft, form: Form | None = None) -> tuple[Note, list[Attachment]]:
    """Store a note, with the form's file if it has one, and have its words counted.

    Redis is asked first: when it is away nothing is stored, so that a visitor may try again without
    making the note twice.
    """
    await parts.queue.ping()
    sealed = await asyncio.to_thread(seal, parts.vault, draft.private)
    kept = await keep_file(form)
    async with parts.database.connection() as connection:
        note = await store.add_note(connection, draft.title, draft.body, sealed)
        attachments = [await store.add_attachment(connection, note.id, kept)] if kept else []
    await ask_for_word_count(parts, note.id)
    return note, attachments


async def add_attachment(parts: Parts, note_id: int, form: Form) -> Attachment:
    """Keep the form's file as an attachment of a note that exists, or raise 400."""
    kept = await keep_file(form)
    if kept is None:
        raise HTTPException(400, "the form has no file")
    async with parts.database.connection() as connection:
        return await store.add_attachment(connection, note_id, kept)


async def keep_file(form: Form | None) -> KeptFile | None:
    """Move the form's file to its place before its row is written.

    Should writing the row fail, a file remains that nobody knows. That wastes a little space; a row
    without its file would be a loss.
    """
    return await form.file.keep() if form and form.file else None


async def ask_for_word_count(parts: Parts, note_id: int) -> None:
    """Hand the note to the worker; if that fails, the worker finds it by itself within a minute."""
    try:
        await push_job(parts.queue, note_id)
    except RedisError as error:
        log.warning("note %d has to wait for its word count: %s", note_id, first_line(error))


async def require_note(parts: Parts, note_id: int) -> tuple[Note, list[Attachment]]:
    """Return a note and its attachments, or raise 404."""
    async with parts.database.connection() as connection:
        note = await store.find_note(connection, note_id)
        if note is None:
            raise HTTPException(404, f"there is no note {note_id}")
        return note, (await store.attachments_of(connection, [note_id]))[note_id]


async def list_notes(parts: Parts, before: int | None) -> tuple[list[Note], dict[int, list[Attachment]], int | None]:
    """Return a page of notes, their attachments, and where the next page begins."""
    async with parts.database.connection() as connection:
        notes = await store.list_notes(connection, before)
        attachments = await store.attachments_of(connection, [note.id for note in notes])
    return notes, attachments, notes[-1].id if len(notes) == store.PAGE_SIZE else None
