"""The recovery key: 32 random bytes that a person can print, type and keep apart from the server."""

from __future__ import annotations

import base64
import hashlib

from moorage.errors import MoorageError
from moorage.sensitive import Sensitive


def make_recovery_key(raw: bytes) -> str:
    """32 random bytes as text to print: groups of four letters, the last group is a checksum."""
    body = base64.b32encode(raw).decode().rstrip("=")
    check = base64.b32encode(hashlib.sha256(raw).digest()).decode()[:4]
    text = body + check
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def parse_recovery_key(text: str) -> bytes:
    """The 32 bytes of a typed recovery key. Raises MoorageError when its checksum does not fit."""
    letters = "".join(text.split()).replace("-", "").upper().replace("0", "O").replace("1", "I").replace("8", "B")
    try:
        raw = base64.b32decode(letters[:52] + "====")
    except ValueError:
        raw = b""
    if (
        len(raw) != 32
        or len(letters) != 56
        or base64.b32encode(hashlib.sha256(raw).digest()).decode()[:4] != letters[52:]
    ):
        raise MoorageError(
            "this is not a recovery key", "a recovery key has 14 groups of four letters; look for a typing error"
        )
    return raw


def fingerprint(key: Sensitive) -> str:
    """Twelve digits that tell one deployment from another and say nothing of the key."""
    return hashlib.sha256(b"moorage deployment id\0" + parse_recovery_key(key.reveal())).hexdigest()[:12]
