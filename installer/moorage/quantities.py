"""Sizes, CPU shares and durations as people write them, and back."""

from __future__ import annotations

import math
import re

KIBIBYTE = 1024
MEBIBYTE = 1024**2
GIBIBYTE = 1024**3

# Compose writes 512m for 512 × 1024² bytes, Kubernetes writes 512Mi for the same and 512M for 512 × 1000².
# A person who writes 512M on a server means the first, so every unit here is binary, as in Docker.
_UNITS = {"": 1, "b": 1, "k": KIBIBYTE, "m": MEBIBYTE, "g": GIBIBYTE, "t": 1024 * GIBIBYTE}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?b?)\s*", re.IGNORECASE)
_CPU = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m?)")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|μs|ms|s|m|h|d|w)")
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
}  # fmt: skip
# What Docker can hold: bytes and nanoseconds are 63 bits there. No number that means something has more digits.
_MOST_BYTES = 2**63 - 1
_MOST_SECONDS = 2**63 / 1e9
_MOST_THOUSANDTHS = 10_000_000
_MOST_DIGITS = 40


def parse_size(value: object) -> int:
    """Bytes of `512Mi`, `512m`, `2g`, `1.5 GiB` or a plain number. Raises ValueError naming the form."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("must be a size such as 512Mi or 2Gi")
    match = _SIZE.fullmatch(str(value)) if len(str(value)) <= _MOST_DIGITS else None
    count = _times(match[1], _UNITS[match[2].lower()]) if match else _MOST_BYTES + 1
    if count > _MOST_BYTES:
        raise ValueError("must be a size such as 512Mi or 2Gi")
    return count


def _times(number: str, factor: int) -> int:
    """The whole part of a decimal number times a whole one, exact."""
    whole, _, digits = number.partition(".")
    scale: int = 10 ** len(digits)
    return int(whole + digits) * factor // scale


def format_size(count: int) -> str:
    """The shortest exact binary form: 536870912 → `512Mi`."""
    for unit, letter in ((GIBIBYTE, "Gi"), (MEBIBYTE, "Mi"), (KIBIBYTE, "Ki")):
        if count >= unit and count % unit == 0:
            return f"{count // unit}{letter}"
    return str(count)


def human_size(count: float) -> str:
    """A size for people, two digits are enough: 536870912 → `512 MiB`."""
    for unit, name in ((1024 * GIBIBYTE, "TiB"), (GIBIBYTE, "GiB"), (MEBIBYTE, "MiB"), (KIBIBYTE, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{int(count)} B"


def parse_cpu(value: object) -> int:
    """Thousandths of a CPU of `0.5`, `2` or `500m`. Raises ValueError naming the form."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("must be a number of CPUs such as 0.5 or 500m")
    text = str(value).strip()
    match = _CPU.fullmatch(text) if len(text) <= _MOST_DIGITS else None
    if match is None:
        raise ValueError("must be a number of CPUs such as 0.5 or 500m")
    thousandths = float(match[1]) * (1 if match[2] else 1000)
    if thousandths < 1:
        raise ValueError("must be at least 1m, a thousandth of a CPU")
    if thousandths > _MOST_THOUSANDTHS:
        raise ValueError(f"must be at most {_MOST_THOUSANDTHS // 1000} CPUs")
    return round(thousandths)


def format_cpu(thousandths: int) -> str:
    """CPUs as a decimal number: 500 → `0.5`."""
    return f"{thousandths / 1000:.3f}".rstrip("0").rstrip(".")


def cpu_quantity(thousandths: int) -> str:
    """CPUs as Kubernetes itself writes them: `500m`, `2`."""
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def parse_duration(value: object) -> float:
    """Seconds of `30s`, `1m30s`, `500ms` or a plain number. Raises ValueError naming the form."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) < _MOST_SECONDS else math.nan
    else:
        seconds = _duration_of_text(str(value).replace(" ", ""))
    if not 0 <= seconds < _MOST_SECONDS:
        raise ValueError("must be a duration such as 30s or 1m30s")
    return seconds


def _duration_of_text(text: str) -> float:
    """Seconds of a text without blanks; not a number when it is no duration."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return math.nan
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """A duration as Compose reads it, never shorter than a microsecond: 90 → `90s`, 0.5 → `500ms`, 0.00025 → `250us`."""
    if float(seconds).is_integer():
        return f"{int(seconds)}s"
    microseconds = max(1, round(seconds * 1e6))
    return f"{microseconds // 1000}ms" if microseconds % 1000 == 0 else f"{microseconds}us"
