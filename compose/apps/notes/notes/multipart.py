"""A multipart form as a stream of events, so that a file never has to fit into memory or /tmp."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

if TYPE_CHECKING:  # the name exists for type checkers only
    from python_multipart.multipart import MultipartCallbacks

LONGEST_BOUNDARY = 70  # RFC 2046, section 5.1.1


class FormError(Exception):
    """The request is not a form that we understand; the message is for the sender."""


@dataclass(frozen=True)
class PartBegin:
    """A field or a file begins; its data follow as bytes until the next PartBegin."""

    name: str
    file_name: str | None


async def read_parts(content_type: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[PartBegin | bytes]:
    """Yield the parts of a form as they arrive, or raise FormError."""
    collector = PartCollector()
    parser = MultipartParser(read_boundary(content_type), collector.callbacks())
    async for chunk in chunks:
        feed(parser, chunk)
        for event in collector.take():
            yield event
    if not collector.complete:
        raise FormError("the form is cut off")


def feed(parser: MultipartParser, chunk: bytes) -> None:
    """Hand a chunk to the parser, or raise FormError."""
    try:
        parser.write(chunk)
    except FormParserError:
        raise FormError("the form is malformed") from None


def read_boundary(content_type: str) -> bytes:
    """Return what separates the parts, or raise FormError."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise FormError("expected a multipart/form-data body")
    return boundary


class PartCollector:
    """Turns the parser's callbacks into a list of events."""

    def __init__(self) -> None:
        self.events: list[PartBegin | bytes] = []
        self.complete = False
        self.header_name = b""
        self.header_value = b""
        self.disposition = b""

    def callbacks(self) -> "MultipartCallbacks":
        """Return what the parser shall call."""
        return {
            "on_part_begin": self.on_part_begin,
            "on_header_field": self.on_header_field,
            "on_header_value": self.on_header_value,
            "on_header_end": self.on_header_end,
            "on_headers_finished": self.on_headers_finished,
            "on_part_data": self.on_part_data,
            "on_end": self.on_end,
        }

    def take(self) -> list[PartBegin | bytes]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def on_part_begin(self) -> None:
        self.disposition = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.header_value += data[start:end]

    def on_header_end(self) -> None:
        if self.header_name.lower() == b"content-disposition":
            self.disposition = self.header_value
        self.header_name = self.header_value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        if b"name" not in options:
            raise FormError("a part of the form has no name")
        file_name = options.get(b"filename")
        self.events.append(PartBegin(decode(options[b"name"]), None if file_name is None else decode(file_name)))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.events.append(data[start:end])

    def on_end(self) -> None:
        self.complete = True


def decode(text: bytes) -> str:
    """Return a name in a header; a wrong character in it is no reason to refuse a file."""
    return text.decode("utf-8", errors="replace")
