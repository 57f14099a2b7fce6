"""The private text of a note, encrypted at rest: a restore without the key visibly fails."""

from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken

UNREADABLE = "can't be decrypted: it was written with another NOTES_ENCRYPTION_KEY"


@dataclass(frozen=True)
class PrivateText:
    """The outcome of opening a private text: the text, or why there is none to show."""

    text: str | None = None
    problem: str | None = None


def seal(vault: Fernet, private: str) -> bytes | None:
    """Return the encrypted text, or None for an empty one."""
    return vault.encrypt(private.encode()) if private else None


def unseal(vault: Fernet, sealed: bytes | None) -> PrivateText:
    """Return the text of what was sealed; a wrong key is an outcome, not an exception."""
    if sealed is None:
        return PrivateText()
    try:
        return PrivateText(text=vault.decrypt(sealed).decode())
    except InvalidToken:
        return PrivateText(problem=UNREADABLE)
