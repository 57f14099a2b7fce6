"""Cron expressions as systemd calendar expressions."""

from __future__ import annotations

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def calendars(cron: str) -> tuple[str, ...]:
    """The OnCalendar lines that mean the same as a cron expression of five valid fields.

    Cron runs when the day of the month *or* the day of the week fits, if both are restricted; systemd
    needs both to fit, so that case becomes two lines.
    """
    minute, hour, day, month, weekday = cron.split()
    time = f"{_field(hour, 0, 23)}:{_field(minute, 0, 59)}:00"
    months = _field(_numbers(month, _MONTHS, 1), 1, 12)
    days = _field(day, 1, 31)
    if _is_open(weekday):
        return (f"*-{months}-{days} {time}",)
    names = _weekdays(weekday)
    if _is_open(day):
        return (f"{names} *-{months}-* {time}",)
    return f"*-{months}-{days} {time}", f"{names} *-{months}-* {time}"


def _is_open(field: str) -> bool:
    """Whether a field restricts nothing: every step of one is every number."""
    return any(part in ("*", "*/1") for part in field.split(","))


def _numbers(field: str, names: tuple[str, ...], first: int) -> str:
    for index, name in enumerate(names):
        field = field.replace(name, str(index + first))
    return field


def _field(field: str, low: int, high: int) -> str:
    """A list of numbers, or `*`; ranges and steps are written out, both programs mean the same then."""
    if _is_open(field):
        return "*"
    return ",".join(str(number) for number in _expand(field, low, high))


def _expand(field: str, low: int, high: int) -> list[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            start, stop = low, high
        elif dash:
            start, stop = int(first), int(last)
        else:
            start, stop = int(first), max(high, int(first)) if step else int(first)
        found.update(range(start, stop + 1, int(step or 1)))
    return sorted(found)


def _weekdays(field: str) -> str:
    # Sunday is 0 and may be written as 7, but a week without a written end ends with Saturday.
    numbers = _expand(_numbers(field, tuple(name.lower() for name in _DAYS), 0), 0, 6)
    return ",".join(_DAYS[number] for number in sorted({number % 7 for number in numbers}))
