"""The keys of backups: all follow from the recovery key, so that a bare machine needs nothing else."""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

from moorage.sensitive import Sensitive

Purpose = Literal["restic", "pgbackrest", "signature"]
_CONTEXT = b"moorage backups v1\0"


def derived_key(recovery_key: bytes, purpose: Purpose) -> Sensitive:
    """64 hexadecimal digits: HMAC-SHA256 of the purpose under the 32 bytes of the recovery key.

    `backups/RESTORE.md` tells how to make them without moorage; this must never change for stores that exist.
    """
    return Sensitive(hmac.new(recovery_key, _CONTEXT + purpose.encode(), hashlib.sha256).hexdigest())
