"""The HTML of the pages; every foreign text goes through `escape`."""

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path

from notes.about import About
from notes.draft import LONGEST_BODY, LONGEST_PRIVATE, LONGEST_TITLE
from notes.settings import WebSettings
from notes.store import Attachment, Note
from notes.vault import PrivateText

STYLE_FILE = Path(__file__).parent / "look" / "page.css"


@dataclass(frozen=True)
class Card:
    """A note with everything that its card shows."""

    note: Note
    attachments: Sequence[Attachment]
    private: PrivateText


def escape(text: str) -> str:
    """Return text for HTML; a browser would turn a carriage return into a line feed."""
    return html.escape(text).replace("\r", "&#13;")


@cache
def style() -> str:
    """Return the style sheet."""
    return STYLE_FILE.read_text(encoding="utf-8")


@cache
def security_headers() -> dict[str, str]:
    """Return headers that allow our own style sheet, our own forms, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{digest}';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def notes_page(settings: WebSettings, cards: Sequence[Card], token: str, next_before: int | None, hostname: str) -> str:
    """Return the list of notes and the form to add one."""
    older = f'<p class="more"><a href="/?before={next_before}">Older notes</a></p>' if next_before else ""
    notes = "".join(map(card, cards)) or '<p class="empty">No notes yet. Write the first one.</p>'
    content = f"{greeting(settings.greeting)}{form(token)}<section>{notes}</section>{older}"
    return document(settings, content, hostname)


def greeting(text: str) -> str:
    """Return the greeting exactly as it was received, or nothing."""
    return f'<p class="greeting">{escape(text)}</p>' if text else ""


def form(token: str) -> str:
    """Return the form; the token comes first, the file last."""
    return f"""<form class="card" action="/notes" method="post" enctype="multipart/form-data">
<input type="hidden" name="token" value="{escape(token)}">
<h2>New note</h2>
<label>Title <input name="title" maxlength="{LONGEST_TITLE}" required></label>
<label>Text <textarea name="body" rows="4" maxlength="{LONGEST_BODY}"></textarea></label>
<label>Private text <small>optional, stored encrypted</small>
<textarea name="private" rows="2" maxlength="{LONGEST_PRIVATE}"></textarea></label>
<div class="row">
<label>File <small>optional, up to 25 MB</small> <input type="file" name="file"></label>
<button>Add note</button></div>
</form>"""


def card(shown: Card) -> str:
    """Return one note."""
    note = shown.note
    return f"""<article class="card" id="note-{note.id}">
<h2>{escape(note.title)}</h2>
<p class="facts">{moment(note.created_at)} · {words(note.word_count)}</p>
{paragraph(note.body)}{private(shown.private)}{files(shown.attachments)}</article>"""


def moment(when: datetime) -> str:
    """Return a point in time as people read it."""
    universal = when.astimezone(UTC)
    return f'<time datetime="{universal.isoformat()}">{universal:%d %b %Y, %H:%M} UTC</time>'


def words(count: int | None) -> str:
    """Return the word count, which comes a moment after the note."""
    if count is None:
        return '<span class="pending">words are being counted</span>'
    return "1 word" if count == 1 else f"{count} words"


def paragraph(text: str) -> str:
    """Return the body with its line breaks."""
    return f'<p class="text">{escape(text)}</p>' if text else ""


def private(opened: PrivateText) -> str:
    """Return the private text behind a click, or why it can't be read."""
    if opened.problem:
        return f'<p class="problem">The private text {escape(opened.problem)}.</p>'
    if opened.text is None:
        return ""
    return f"<details><summary>Private text</summary>{paragraph(opened.text)}</details>"


def files(attachments: Sequence[Attachment]) -> str:
    """Return the links to a note's files."""
    items = "".join(map(file_link, attachments))
    return f'<ul class="files">{items}</ul>' if items else ""


def file_link(attachment: Attachment) -> str:
    """Return the link to one file."""
    return (
        f'<li><a href="/api/attachments/{attachment.id}">{escape(attachment.file_name)}</a>'
        f" <small>{size(attachment.size_bytes)} · sha256 {attachment.sha256[:12]}…</small></li>"
    )


def size(size_bytes: int) -> str:
    """Return a size as people read it."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    if size_bytes < 1024**2:
        return f"{size_bytes / 1024:.1f} KB"
    return f"{size_bytes / 1024**2:.1f} MB"


def about_page(settings: WebSettings, about: About) -> str:
    """Return the facts about this installation."""
    facts = {
        "Site": about.site_name,
        "Greeting": about.greeting or "none",
        "Version": f"{about.version} {about.app_version}".strip(),
        "Served by": about.hostname,
        "Running since": about.started_at,
        "Schema version": str(about.schema_version),
        "Notes": str(about.notes),
        "Attachments": str(about.attachments),
        "Mail (SMTP)": "configured" if about.smtp_configured else "not configured",
    }
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return document(settings, f'<div class="card"><h2>About</h2><table>{rows}</table></div>', about.hostname)


def failure_page(settings: WebSettings, status: int, message: str) -> str:
    """Return a page that says what went wrong."""
    sentence = f"{message[:1].upper()}{message[1:]}."
    content = f"""<div class="card"><h2>{status} {HTTPStatus(status).phrase}</h2>
<p class="problem">{escape(sentence)}</p>
<p><a href="/">Back to the notes</a></p></div>"""
    return document(settings, content, "")


def document(settings: WebSettings, content: str, hostname: str) -> str:
    """Return a whole page."""
    name = escape(settings.site_name)
    served = f"<span>Served by {escape(hostname)}</span>" if hostname else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>{style()}</style>
</head>
<body>
<header><h1><a href="/">{name}</a></h1><nav><a href="/about">About</a> <a href="/api/notes">API</a>
<a href="/health">Health</a></nav></header>
<main>{content}</main>
<footer><span>Installed with moorage</span> {served}</footer>
</body>
</html>
"""
