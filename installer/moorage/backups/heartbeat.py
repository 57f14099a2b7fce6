"""The dead man's switch: an address that is called after a good backup, and only then."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path

_SECONDS = 20


def call(url_file: Path) -> str:
    """Call the address that stands in the file. Gives why it was not taken, or an empty text; never the address."""
    try:
        url = url_file.read_text(encoding="utf-8").strip()
        request = urllib.request.Request(url, headers={"User-Agent": "moorage"})  # noqa: S310 - checked by the schema
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            answer.read(1024)
    except urllib.error.HTTPError as error:
        return f"it answers with status {error.code}"
    except urllib.error.URLError as error:
        return f"it can't be reached: {type(error.reason).__name__}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return type(error).__name__
    return ""
