"""The pages for people: plain forms, no JavaScript."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from notes import about, actions, form_token, pages
from notes.draft import DraftError, read_draft
from notes.forms import Form, received_form
from notes.parts import Parts, parts_of
from notes.requests import read_before
from notes.vault import unseal

SESSION_COOKIE = "notes_session"


async def show_notes(request: Request) -> Response:
    """GET /: the list of notes and the form to add one."""
    parts = parts_of(request)
    session = read_session(request) or form_token.new_session()
    notes, attachments, next_before = await actions.list_notes(parts, read_before(request))
    cards = [pages.Card(note, attachments[note.id], unseal(parts.vault, note.private_encrypted)) for note in notes]
    token = form_token.make_token(parts.settings.secret_key, session, parts.now_seconds())
    response = page(pages.notes_page(parts.settings, cards, token, next_before, parts.hostname))
    remember_session(request, response, session)
    return response


async def add_note(request: Request) -> Response:
    """POST /notes: store what the form holds and go back to the list."""
    parts = parts_of(request)
    async with received_form(request, parts.settings.uploads_directory) as form:
        check_token(request, parts, form)
        try:
            draft = read_draft(form.fields)
        except DraftError as error:
            raise HTTPException(400, str(error)) from None
        await actions.add_note(parts, draft, form)
    # 303 makes the browser GET the list, so that reloading it doesn't post the note again.
    return RedirectResponse("/", status_code=303)


async def show_about(request: Request) -> Response:
    """GET /about: the facts about this installation."""
    parts = parts_of(request)
    return page(pages.about_page(parts.settings, await about.gather(parts)))


def check_token(request: Request, parts: Parts, form: Form) -> None:
    """Take the token out of the form, or raise 403."""
    token = form.fields.pop("token", "")
    session = read_session(request)
    genuine = session is not None and form_token.token_is_valid(
        parts.settings.secret_key, session, token, parts.now_seconds()
    )
    if not genuine:
        raise HTTPException(403, "this form has expired; go back, reload the page and send it again")


def read_session(request: Request) -> str | None:
    """Return the session that a browser brings along, or None."""
    session = request.cookies.get(SESSION_COOKIE, "")
    return session if form_token.session_is_plausible(session) else None


def remember_session(request: Request, response: Response, session: str) -> None:
    """Hand out the session; over TLS only, when this request came over TLS."""
    secure = request.url.scheme == "https"
    response.set_cookie(SESSION_COOKIE, session, httponly=True, samesite="lax", secure=secure)


def page(content: str, status: int = 200) -> HTMLResponse:
    """Return a page with what keeps a browser from running anything that a note may hold."""
    body = content.encode("utf-8", errors="replace")
    return HTMLResponse(body, status_code=status, headers=pages.security_headers())
