"""What in somebody's plain file is probably a secret: told by its name, its form, or its randomness."""

from __future__ import annotations

import math
import re
from collections import Counter

_SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|TOKEN|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|ENCRYPTION_KEY|SIGNING_KEY|MASTER_KEY"
    r"|CREDENTIAL|(?:^|_)PASS(?:$|_)|_PWD(?:$|_)|_KEY(?:$|_)|^KEY$|_DSN$|_SALT$|_PEPPER$)",
    re.IGNORECASE,
)
_NOT_SECRET_NAME = re.compile(
    r"(PUBLIC|PUBLISHABLE|_FILE$|_PATH$|_DIR$|_URL$|_NAME$|_ID$|_TTL|EXPIR|_LENGTH|_MINUTES|_SECONDS|_DAYS|_ENABLED|_HEADER)",
    re.IGNORECASE,
)
# Digits alone are a count or a time, unless the name ends as a password's does.
_PASSWORD_NAME = re.compile(r"(PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|(?:^|_)PASS|_PWD|_PIN)$", re.IGNORECASE)
_WORD = re.compile(r"^(|true|false|yes|no|on|off|none|null)$", re.IGNORECASE)
_NUMBER = re.compile(r"^\d+(\.\d+)?$")
# postgres://user:password@host, also inside of a list or behind `jdbc:`; key=value strings of database drivers.
_CREDENTIALS = re.compile(
    r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@|(?:^|[\s;&?])(?:password|passwd|pwd)\s*=\s*[^\s;&]|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    re.IGNORECASE,
)
# Random keys: hexadecimal ones have up to 4 bits per character, base64 ones up to 6; paths and names stay below.
_HEXADECIMAL_KEY = re.compile(r"^[0-9a-f]{32,}$", re.IGNORECASE)
_BASE64_KEY = re.compile(r"^(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9+/_-]{24,}={0,2}$")


def looks_secret(name: str, value: str) -> bool:
    """Whether a value in a plain file is probably a secret, by its name or by what it looks like."""
    if _CREDENTIALS.search(value):
        return True
    if _WORD.match(value) or value.startswith("${"):
        return False
    if _NUMBER.match(value):
        return bool(_PASSWORD_NAME.search(name))
    if _looks_random(value):
        return True
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET_NAME.search(name)


def _looks_random(value: str) -> bool:
    return bool(
        (_HEXADECIMAL_KEY.match(value) and _entropy(value) > 3) or (_BASE64_KEY.match(value) and _entropy(value) > 4.2)
    )


def _entropy(text: str) -> float:
    """Bits per character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
