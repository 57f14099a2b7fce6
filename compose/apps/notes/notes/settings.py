"""What the environment tells us, checked before anything starts; imports nothing external."""

import base64
import binascii
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DATABASE_SCHEMES = ("postgresql", "postgres")
REDIS_SCHEMES = ("redis", "rediss")
SMALLEST_SECRET_BYTES = 16
FERNET_KEY_BYTES = 32


class SettingsError(Exception):
    """A variable is missing or unusable; the message names it and never shows its value."""


@dataclass(frozen=True)
class WorkerSettings:
    """What the worker needs; secrets stay out of `repr`, and so out of logs and tracebacks."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)


@dataclass(frozen=True)
class WebSettings:
    """What the web process needs; secrets stay out of `repr`, and so out of logs and tracebacks."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    secret_key: bytes = field(repr=False)
    encryption_key: str = field(repr=False)
    uploads_directory: Path
    site_name: str
    greeting: str
    smtp_host: str
    app_version: str
    port: int


def read_web_settings(environment: Mapping[str, str]) -> WebSettings:
    """Return the settings of the web process, or raise SettingsError."""
    require(environment, "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "NOTES_ENCRYPTION_KEY")
    return WebSettings(
        database_url=read_url(environment, "DATABASE_URL", DATABASE_SCHEMES),
        redis_url=read_url(environment, "REDIS_URL", REDIS_SCHEMES),
        secret_key=read_secret_key(environment["SECRET_KEY"]),
        encryption_key=read_encryption_key(environment["NOTES_ENCRYPTION_KEY"]),
        uploads_directory=Path(environment.get("UPLOADS_DIRECTORY") or "/srv/uploads"),
        site_name=environment.get("SITE_NAME") or "Notes",
        greeting=environment.get("GREETING", ""),
        smtp_host=environment.get("SMTP_HOST", ""),
        app_version=environment.get("APP_VERSION", ""),
        port=read_port(environment),
    )


def read_worker_settings(environment: Mapping[str, str]) -> WorkerSettings:
    """Return the settings of the worker, or raise SettingsError."""
    require(environment, "DATABASE_URL", "REDIS_URL")
    return WorkerSettings(
        database_url=read_url(environment, "DATABASE_URL", DATABASE_SCHEMES),
        redis_url=read_url(environment, "REDIS_URL", REDIS_SCHEMES),
    )


def read_database_url(environment: Mapping[str, str]) -> str:
    """Return the database URL, which is all that the migrations need, or raise SettingsError."""
    require(environment, "DATABASE_URL")
    return read_url(environment, "DATABASE_URL", DATABASE_SCHEMES)


def read_port(environment: Mapping[str, str]) -> int:
    """Return the TCP port of the web process, 8000 when PORT is not set."""
    text = environment.get("PORT") or "8000"
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise SettingsError("PORT is not a number from 1 to 65535")
    return int(text)


def require(environment: Mapping[str, str], *names: str) -> None:
    """Raise SettingsError naming every variable that is not set; an empty one counts as not set."""
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise SettingsError(f"required but not set: {', '.join(missing)}")


def read_url(environment: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    """Return the URL in the variable `name`, or raise SettingsError."""
    url = environment[name]
    problem = url_problem(url, schemes)
    if problem:
        raise SettingsError(f"{name} {problem}")
    return url


def url_problem(url: str, schemes: tuple[str, ...]) -> str | None:
    """Return what is wrong with a connection URL, without quoting any of it, or None.

    The drivers would also complain, but they quote the piece that they stumbled on, and with a
    password that is not percent-encoded this piece is half the password.
    """
    if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        return f"does not start with {schemes[0]}://"
    split = urllib.parse.urlsplit(url)
    if split.netloc.count("@") > 1 or "@" in split.path + split.query + split.fragment:
        return "holds a user name or password that is not percent-encoded"
    if not has_valid_port(split):
        return "has no valid port, or holds a password that is not percent-encoded"
    return None


def has_valid_port(split: urllib.parse.SplitResult) -> bool:
    """Return whether the URL has a usable port or none at all."""
    try:
        return split.port is None or split.port > 0
    except ValueError:
        return False


def read_secret_key(text: str) -> bytes:
    """Return the bytes of SECRET_KEY, or raise SettingsError."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise SettingsError("SECRET_KEY is not hexadecimal") from None
    if len(key) < SMALLEST_SECRET_BYTES:
        raise SettingsError(f"SECRET_KEY is shorter than {2 * SMALLEST_SECRET_BYTES} hexadecimal digits")
    return key


def read_encryption_key(text: str) -> str:
    """Return NOTES_ENCRYPTION_KEY when it is a Fernet key, or raise SettingsError."""
    try:
        key = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != FERNET_KEY_BYTES:
        raise SettingsError("NOTES_ENCRYPTION_KEY is not a Fernet key (32 bytes in URL-safe base64)")
    return text
