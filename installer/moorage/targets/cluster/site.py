"""The site as a visitor sees it: does it answer, and until when does its certificate hold."""

from __future__ import annotations

import http.client
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import urlsplit

_SECONDS = 10.0


@dataclass(frozen=True)
class Answer:
    """HTTP's status, 0 when nothing answered, and why."""

    status: int
    text: str = ""


def ask(base_url: str, path: str) -> Answer:
    """One GET by its public name. Whether its certificate is believed is asked apart."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    try:
        connection = http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS, context=context)
        try:
            connection.request("GET", path, headers={"User-Agent": "moorage"})
            return Answer(connection.getresponse().status)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error) or type(error).__name__)


def certificate_days(base_url: str, now: datetime) -> tuple[float | None, str]:
    """The days that a believed certificate still holds, or None and why there is none."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    try:
        with (
            socket.create_connection((host, parts.port or 443), timeout=_SECONDS) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            found = secured.getpeercert() or {}
    except (OSError, ValueError) as error:
        return None, str(error) or type(error).__name__
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), timezone.utc)
    return (end - now).total_seconds() / 86400, ""
