"""The lists in Redis through which the worker gets its work; imports nothing external."""

QUEUE = "notes:jobs"
# A job stays here from the moment that a worker takes it until its result is committed.
PROCESSING = "notes:jobs:processing"
LONGEST_NOTE_ID = 18  # digits; every number that long fits into a bigint


def encode_job(note_id: int) -> str:
    """Return the job "count the words of this note" as it is written to Redis."""
    return f"count-words:{note_id}"


def decode_job(job: str) -> int | None:
    """Return the note of a job, or None when this is not one of our jobs."""
    kind, _, note_id = job.partition(":")
    is_number = note_id.isascii() and note_id.isdigit() and len(note_id) <= LONGEST_NOTE_ID
    return int(note_id) if kind == "count-words" and is_number else None
