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
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b?)\s*$", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(value: object) -> int:
    """Bytes of `512Mi`, `512m`, `2g`, `1.5 GiB` or a plain number. Raises ValueError naming the form."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("must be a size such as 512Mi or 2Gi")
    match = _SIZE.match(str(value))
    if match is None:
        raise ValueError("must be a size such as 512Mi or 2Gi")
    return int(float(match[1]) * _UNITS[match[2].lower()])


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
    match = re.match(r"^(\d+(?:\.\d+)?)(m?)$", str(value).strip())
    if match is None:
        raise ValueError("must be a number of CPUs such as 0.5 or 500m")
    thousandths = float(match[1]) * (1 if match[2] else 1000)
    if thousandths < 1:
        raise ValueError("must be at least 1m, a thousandth of a CPU")
    return round(thousandths)


def format_cpu(thousandths: int) -> str:
    """CPUs as a decimal number: 500 → `0.5`."""
    return f"{thousandths / 1000:.3f}".rstrip("0").rstrip(".")


def parse_duration(value: object) -> float:
    """Seconds of `30s`, `1m30s`, `500ms` or a plain number. Raises ValueError naming the form."""
    try:
        seconds = _seconds(value)
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds < math.inf:
        raise ValueError("must be a duration such as 30s or 1m30s")
    return seconds


def _seconds(value: object) -> float:
    """The same, or not a number where the form is wrong."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = str(value).replace(" ", "")
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return math.nan
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def format_duration(seconds: float) -> str:
    """A duration as Compose reads it: 90 → `90s`, 0.5 → `500ms`."""
    return f"{int(seconds)}s" if float(seconds).is_integer() else f"{round(seconds * 1000)}ms"
