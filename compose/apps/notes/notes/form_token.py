"""The signed token of the page's form, so that no other site can post in a visitor's name."""

import hashlib
import hmac
import secrets

LIFETIME_SECONDS = 12 * 60 * 60
SESSION_BYTES = 16


def new_session() -> str:
    """Return a random session identifier for the cookie."""
    return secrets.token_hex(SESSION_BYTES)


def session_is_plausible(session: str) -> bool:
    """Return whether the text has the shape of a session that we hand out."""
    return len(session) == 2 * SESSION_BYTES and set(session) <= set("0123456789abcdef")


def make_token(secret: bytes, session: str, now_seconds: int) -> str:
    """Return a token that is good for this session from now until LIFETIME_SECONDS later."""
    return f"{now_seconds}.{signature(secret, session, now_seconds)}"


def token_is_valid(secret: bytes, session: str, token: str, now_seconds: int) -> bool:
    """Return whether we made the token for this session and it has not expired."""
    issued, _, signed = token.partition(".")
    if not (issued.isascii() and issued.isdigit() and len(issued) <= 12 and signed.isascii()):
        return False
    age_seconds = now_seconds - int(issued)
    # Compared first and always, so that the time taken tells nothing about a forged signature.
    genuine = hmac.compare_digest(signed, signature(secret, session, int(issued)))
    return genuine and 0 <= age_seconds <= LIFETIME_SECONDS


def signature(secret: bytes, session: str, issued_seconds: int) -> str:
    """Return the hexadecimal signature over a session and the time of issue."""
    message = f"notes form {session} {issued_seconds}".encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()
