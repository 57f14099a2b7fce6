"""The rows of notes and attachments: every SQL statement of the web process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from psycopg.rows import class_row

from notes.database import Connection
from notes.uploads import KeptFile

PAGE_SIZE = 100
Row = TypeVar("Row")


@dataclass(frozen=True)
class Note:
    """A row of the table notes."""

    id: int
    title: str
    body: str
    private_encrypted: bytes | None
    word_count: int | None
    created_at: datetime


@dataclass(frozen=True)
class Attachment:
    """A row of the table attachments."""

    id: int
    note_id: int
    file_name: str
    stored_name: str
    size_bytes: int
    sha256: str
    created_at: datetime


@dataclass(frozen=True)
class Counts:
    """How much there is, and the version of the schema that it is in."""

    schema_version: int
    notes: int
    attachments: int


async def list_notes(connection: Connection, before: int | None) -> list[Note]:
    """Return the newest PAGE_SIZE notes, or those older than the note `before`."""
    async with connection.cursor(row_factory=class_row(Note)) as cursor:
        await cursor.execute(
            "SELECT id, title, body, private_encrypted, word_count, created_at FROM notes"
            " WHERE %(before)s::bigint IS NULL OR id < %(before)s ORDER BY id DESC LIMIT %(limit)s",
            {"before": before, "limit": PAGE_SIZE},
        )
        return await cursor.fetchall()


async def find_note(connection: Connection, note_id: int) -> Note | None:
    """Return one note, or None."""
    async with connection.cursor(row_factory=class_row(Note)) as cursor:
        await cursor.execute(
            "SELECT id, title, body, private_encrypted, word_count, created_at FROM notes WHERE id = %s",
            (note_id,),
        )
        return await cursor.fetchone()


async def add_note(connection: Connection, title: str, body: str, private_encrypted: bytes | None) -> Note:
    """Store a note and return it."""
    async with connection.cursor(row_factory=class_row(Note)) as cursor:
        await cursor.execute(
            "INSERT INTO notes (title, body, private_encrypted) VALUES (%s, %s, %s)"
            " RETURNING id, title, body, private_encrypted, word_count, created_at",
            (title, body, private_encrypted),
        )
        return one(await cursor.fetchone())


async def attachments_of(connection: Connection, note_ids: Sequence[int]) -> dict[int, list[Attachment]]:
    """Return the attachments of the given notes, by note."""
    found: dict[int, list[Attachment]] = {note_id: [] for note_id in note_ids}
    async with connection.cursor(row_factory=class_row(Attachment)) as cursor:
        await cursor.execute(
            "SELECT id, note_id, file_name, stored_name, size_bytes, sha256, created_at"
            " FROM attachments WHERE note_id = ANY(%s) ORDER BY id",
            (list(note_ids),),
        )
        async for attachment in cursor:
            found[attachment.note_id].append(attachment)
    return found


async def find_attachment(connection: Connection, attachment_id: int) -> Attachment | None:
    """Return one attachment, or None."""
    async with connection.cursor(row_factory=class_row(Attachment)) as cursor:
        await cursor.execute(
            "SELECT id, note_id, file_name, stored_name, size_bytes, sha256, created_at FROM attachments WHERE id = %s",
            (attachment_id,),
        )
        return await cursor.fetchone()


async def add_attachment(connection: Connection, note_id: int, kept: KeptFile) -> Attachment:
    """Record a file that lies in the uploads directory and return its row."""
    async with connection.cursor(row_factory=class_row(Attachment)) as cursor:
        await cursor.execute(
            "INSERT INTO attachments (note_id, file_name, stored_name, size_bytes, sha256)"
            " VALUES (%s, %s, %s, %s, %s)"
            " RETURNING id, note_id, file_name, stored_name, size_bytes, sha256, created_at",
            (note_id, kept.file_name, kept.stored_name, kept.size_bytes, kept.sha256),
        )
        return one(await cursor.fetchone())


async def count_everything(connection: Connection) -> Counts:
    """Return the counts that /about shows."""
    async with connection.cursor(row_factory=class_row(Counts)) as cursor:
        await cursor.execute(
            "SELECT (SELECT coalesce(max(version), 0) FROM schema_migrations) AS schema_version,"
            " (SELECT count(*) FROM notes) AS notes,"
            " (SELECT count(*) FROM attachments) AS attachments"
        )
        return one(await cursor.fetchone())


def one(row: Row | None) -> Row:
    """Return the row of a statement that always returns one."""
    assert row is not None
    return row
