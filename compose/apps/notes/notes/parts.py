"""What the web process works with, made once and handed to every request."""

import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from cryptography.fernet import Fernet
from starlette.requests import Request

from notes.database import Pool
from notes.job_queue import Queue
from notes.settings import WebSettings


@dataclass(frozen=True)
class Parts:
    """The settings, the connections, and who and since when we are."""

    settings: WebSettings
    database: Pool
    queue: Queue
    vault: Fernet
    hostname: str
    started_at: datetime

    def now_seconds(self) -> int:
        """Return the time as form tokens count it."""
        return int(time.time())


def make_parts(settings: WebSettings, database: Pool, queue: Queue) -> Parts:
    """Return the parts of this process."""
    vault = Fernet(settings.encryption_key)
    return Parts(settings, database, queue, vault, socket.gethostname(), datetime.now(UTC))


def parts_of(request: Request) -> Parts:
    """Return the parts that the site keeps for its requests."""
    return cast(Parts, request.app.state.parts)
