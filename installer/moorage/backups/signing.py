"""Signed JSON: small files in a store whose every byte was written by a holder of the recovery key."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from moorage.backups.failures import Tampered
from moorage.sensitive import Sensitive

_FIELD = "signature"
_PREFIX = "hmac-sha256:"


def signed(data: Mapping[str, Any], key: Sensitive) -> bytes:
    """The document as stable JSON with a `signature` field: HMAC-SHA256 of the canonical form without it."""
    content = {**data, _FIELD: _signature(data, key)}
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def verified(content: bytes, key: Sensitive, name: str) -> dict[str, Any]:
    """The document without its signature. Raises Tampered naming it when it is cut, edited or another key's."""
    # Anybody may have written it: what is no text, or is nested deeper than can be read, is nothing of ours either.
    try:
        data = json.loads(content)
        given = data.pop(_FIELD).encode()
        wanted = _signature(data, key).encode()
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise Tampered(f"{name} is cut or no signed document") from None
    if not hmac.compare_digest(given, wanted):
        raise Tampered(
            f"{name} was changed after it was written, or was signed with another recovery key",
            "is secrets/recovery.key that of this deployment?",
        )
    result: dict[str, Any] = data
    return result


def _signature(data: Mapping[str, Any], key: Sensitive) -> str:
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    return _PREFIX + hmac.new(key.reveal().encode(), canonical, hashlib.sha256).hexdigest()
