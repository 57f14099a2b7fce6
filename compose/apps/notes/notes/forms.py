"""A form with at most one file, received completely and within limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from notes.file_names import safe_file_name
from notes.multipart import FormError, PartBegin, read_parts
from notes.uploads import LARGEST_FILE_BYTES, FileTooLarge, IncomingFile

LARGEST_FIELDS_BYTES = 1024 * 1024
MOST_PARTS = 20
FILE_FIELD = "file"


@dataclass
class Form:
    """What was sent; the file is still a temporary one."""

    fields: dict[str, str] = field(default_factory=dict)
    file: IncomingFile | None = None


@asynccontextmanager
async def received_form(request: Request, uploads_directory: Path) -> AsyncIterator[Form]:
    """Yield a form, or raise FormError or FileTooLarge; remove a file that isn't kept."""
    refuse_too_large(request)
    form = Form()
    try:
        await receive(request, form, uploads_directory)
        yield form
    finally:
        if form.file is not None:
            form.file.discard()


def refuse_too_large(request: Request) -> None:
    """Raise FileTooLarge before the first byte, when the sender says how much is coming."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > LARGEST_FILE_BYTES + LARGEST_FIELDS_BYTES:
        raise FileTooLarge


async def receive(request: Request, form: Form, uploads_directory: Path) -> None:
    """Fill the form from the request's body."""
    collected: dict[str, bytearray] = {}
    budget = Budget()
    part = PartBegin("", None)
    async for event in read_parts(request.headers.get("content-type", ""), request.stream()):
        if isinstance(event, PartBegin):
            part = event
            budget.take_part()
            begin(part, form, collected, uploads_directory)
        elif part.file_name is None:
            budget.take_bytes(len(event))
            collected[part.name] += event
        elif part.file_name and form.file is not None:
            await form.file.write(event)
    # Without a file, a browser sends an empty one and other programs an empty text.
    if not collected.get(FILE_FIELD, b"?"):
        del collected[FILE_FIELD]
    form.fields = {name: decode_field(name, value) for name, value in collected.items()}


def begin(part: PartBegin, form: Form, collected: dict[str, bytearray], uploads_directory: Path) -> None:
    """Make room for a part's data; a file field without a file has an empty name and no data."""
    if part.file_name is None:
        if part.name in collected:
            raise FormError(f"the field {part.name} is there twice")
        collected[part.name] = bytearray()
    elif part.file_name:
        if form.file is not None:
            raise FormError("only one file at a time")
        form.file = IncomingFile(uploads_directory, safe_file_name(part.file_name))


def decode_field(name: str, value: bytearray) -> str:
    """Return a field's text with the line ends that every system but a browser's form uses."""
    try:
        return value.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise FormError(f"the field {name} is not UTF-8") from None


@dataclass
class Budget:
    """How much of a form that is not a file may still come."""

    parts: int = MOST_PARTS
    bytes_left: int = LARGEST_FIELDS_BYTES

    def take_part(self) -> None:
        """Account for one more part, or raise FormError."""
        self.parts -= 1
        if self.parts < 0:
            raise FormError("the form has too many parts")

    def take_bytes(self, size: int) -> None:
        """Account for more bytes of a field, or raise FormError."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise FormError("the form's fields are too long")
