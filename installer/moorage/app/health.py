"""`healthcheck` of a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moorage.app import subset
from moorage.app.model import HealthCheck
from moorage.app.reader import Reader
from moorage.app.sizes import count
from moorage.formats import KeyPath
from moorage.quantities import parse_duration
from moorage.sensitive import Sensitive


def read_health_check(reader: Reader, value: Any, path: KeyPath) -> HealthCheck | None:
    """The check with its times in seconds; None where the file has none."""
    if value is None:
        return None
    kept = reader.keys(value, path, subset.HEALTHCHECK, f"service {path[1]}, healthcheck")
    words = _words(reader, kept.get("test"), (*path, "test"))
    disabled = reader.boolean(kept.get("disable"), (*path, "disable")) or words[:1] == ("NONE",)
    if not words and not disabled and set(kept) <= {"disable", "test"}:
        # `disable: false` alone: the check of the image, as without the block.
        return None
    if isinstance(value, dict) and kept.get("test") in (None, []) and not disabled:
        reader.report(path, "needs a `test`; it cannot change the timing of a check inside the image", of_key=True)
    return HealthCheck(
        test=words,
        interval_seconds=_seconds(reader, kept, path, "interval", 30),
        timeout_seconds=_seconds(reader, kept, path, "timeout", 30),
        retries=int(reader.parsed(kept.get("retries"), (*path, "retries"), count) or 3),
        start_period_seconds=_seconds(reader, kept, path, "start_period", 60),
        start_interval_seconds=_seconds(reader, kept, path, "start_interval", 1),
        disabled=disabled,
    )


def _words(reader: Reader, test: Any, path: KeyPath) -> tuple[str, ...]:
    if isinstance(test, (str, Sensitive)):
        return ("CMD-SHELL", reader.text(test, path))
    problems = len(reader.problems)
    words = reader.texts(test, path)
    if words and words[0] not in ("CMD", "CMD-SHELL", "NONE") and len(reader.problems) == problems:
        reader.report(path, "must start with CMD, CMD-SHELL or NONE", value=words[0])
    return words


def _seconds(reader: Reader, kept: Mapping[str, Any], path: KeyPath, key: str, default: float) -> float:
    value = reader.parsed(kept.get(key), (*path, key), parse_duration)
    return default if value is None else float(value)
