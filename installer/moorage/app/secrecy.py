"""What in somebody's plain file is probably a secret: told by its name, its form, or its randomness."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

_SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|TOKEN|APIKEY|API_KEY|ACCESS_KEY|PRIVATE_KEY|ENCRYPTION_KEY|SIGNING_KEY|MASTER_KEY"
    r"|CREDENTIAL|(?:^|_)PASS(?:$|_)|(?:^|_)PW(?:$|_)|_PWD(?:$|_)|_KEY(?:$|_)|^KEY$|_DSN$|(?:^|_)SALT$|_PEPPER$|(REDIS|REDISCLI|VALKEY|NEO4J|BASIC)_AUTH$)",
    re.IGNORECASE,
)
_NOT_SECRET_NAME = re.compile(
    r"(PUBLIC|PUBLISHABLE|_FILE$|_PATH$|_DIR$|_URL$|_NAME$|_ID$|_TTL|EXPIR|_LENGTH|_MINUTES|_SECONDS|_DAYS|_ENABLED|_HEADER)",
    re.IGNORECASE,
)
# Digits alone are a count or a time, unless the name ends as a password's does.
_PASSWORD_NAME = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|(?:^|_)PASS|(?:^|_)PW|_PWD|_PIN)$", re.IGNORECASE
)
_WORD = re.compile(r"^(|true|false|yes|no|on|off|none|null)$", re.IGNORECASE)
_KEY_FILE = re.compile(r"^(\.{0,2}/)[^\s:]*\.(key|pem|crt|cer|p12|pfx|jks|json)$", re.IGNORECASE)
# More digits than a count or a time has are a key.
_NUMBER = re.compile(r"^\d{1,15}(\.\d+)?$")
# postgres://user:password@host, also inside of a list or behind `jdbc:`; key=value strings of database drivers.
# The scheme has a bound: without one, a search in a long word tries every rest of it, which takes minutes for a file.
_CREDENTIALS = re.compile(
    r"[a-z][a-z0-9+.-]{0,30}://[^/\s:@]*:[^/\s@]+@|(?:^|[\s;&?])(?:password|passwd|pwd)\s*=\s*[^\s;&]|-----BEGIN [A-Z ]*PRIVATE KEY-----",
    re.IGNORECASE,
)
# Random keys: hexadecimal ones have up to 4 bits per character, base64 ones up to 6; paths and names stay below.
_HEXADECIMAL_KEY = re.compile(r"^[0-9a-f]{32,}$", re.IGNORECASE)
_BASE64_KEY = re.compile(r"^(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9+/_-]{24,}={0,2}$")


def looks_secret(name: str, value: str) -> bool:
    """Whether a value in a plain file is probably a secret, by its name or by what it looks like."""
    if _CREDENTIALS.search(value):
        return True
    if _WORD.match(value) or _KEY_FILE.match(value) or value.startswith("${"):
        return False
    if _NUMBER.match(value):
        return bool(_PASSWORD_NAME.search(name))
    if _looks_random(value):
        return True
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET_NAME.search(name)


def is_secret_argument(words: Sequence[str]) -> bool:
    """Whether a command line has a secret written out: `--requirepass …`, `--api-key=…`, an address with a password."""
    # Also what a shell is told to run.
    parts = [part.strip("\"'") for word in words for part in word.split()]
    for word, following in zip(parts, [*parts[1:], ""], strict=False):
        name, separator, value = word.partition("=")
        value = value if separator else following
        is_option = name.startswith("-") and not value.startswith(("-", "/", "$"))
        if is_option and _SECRET_OPTION.search(name) and value and not _WORD.match(value) and not _NUMBER.match(value):
            return True
        if _CREDENTIALS.search(word) and not _FILLED_IN.search(word):
            return True
    return False


def holds_secrets(content: bytes) -> bool:
    """Whether a configuration file probably has secrets written out, in any of the usual formats."""
    try:
        text = content[:_LOOKED_AT].decode()
    except UnicodeDecodeError:
        return False
    return any(_is_secret_line(line) for line in text.splitlines())


def _is_secret_line(line: str) -> bool:
    """Whether a line gives a secret; what a program fills in is none."""
    if _FILLED_IN.search(line):
        return False
    setting = _SETTING.match(line)
    if setting is None:
        return _CREDENTIALS.search(line) is not None
    return len(setting[2]) >= _SHORTEST and looks_secret(setting[1], setting[2])


def names_used_as_secrets(services: Any) -> frozenset[str]:
    """The variables that a file uses where secrets stand: under a name of that kind, or as the password of an address."""
    found: set[str] = set()
    for service in services.values() if isinstance(services, dict) else ():
        for name, text in written_environment(service).items():
            if looks_secret(name, "a value"):
                found.update(_VARIABLE.findall(text))
            found.update(_PASSWORD_OF_ADDRESS.findall(text))
    return frozenset(found)


# `name = value`, `"name": "value"`, `name: value`.
_SETTING = re.compile(r"""^\s*["']?([A-Za-z_][\w.-]*)["']?\s*[:=]\s*["']?([^\s"',;#]+)["']?,?\s*(?:#.*)?$""")
_SECRET_OPTION = re.compile(r"(requirepass|masterauth|password|passwd|secret|token|api-?key)$", re.IGNORECASE)
_FILLED_IN = re.compile(r"\$[{(A-Za-z_]|\{\{|<[A-Za-z_ -]+>")
_LOOKED_AT = 256 * 1024
_SHORTEST = 4
_VARIABLE = re.compile(r"(?<!\$)\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_PASSWORD_OF_ADDRESS = re.compile(r"://[^/\s@]*:\$\{?([A-Za-z_][A-Za-z0-9_]*)[^/\s@]*@")


def written_environment(service: Any) -> dict[str, str]:
    """The texts of a service's `environment` as they stand in the file, in either of its forms."""
    settings = service.get("environment") if isinstance(service, dict) else None
    if isinstance(settings, dict):
        return {name: text for name, text in settings.items() if isinstance(text, str)}
    if not isinstance(settings, list):
        return {}
    split = [str(item).partition("=") for item in settings]
    return {name: text for name, _, text in split}


def _looks_random(value: str) -> bool:
    return bool(
        (_HEXADECIMAL_KEY.match(value) and _entropy(value) > 3) or (_BASE64_KEY.match(value) and _entropy(value) > 4.2)
    )


def _entropy(text: str) -> float:
    """Bits per character."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
