"""When something runs, told the same way for systemd's calendars and for cron: as the numbers that both mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CALENDAR = re.compile(
    r"(?:(?P<weekday>[A-Za-z,.]+) )?\*-(?P<month>[\d,*/.]+)-(?P<day>[\d,*/.]+) (?P<hour>[\d,*/.]+):(?P<minute>[\d,*/.]+):00"
)


def of_systemd(lines: Sequence[str]) -> str:
    """The moments of all `OnCalendar=` lines together; a line of another form stands as it is."""
    return " or ".join(sorted(_of_line(line) for line in lines))


def of_cron(expression: str) -> str:
    """The moments of a cron expression: with day of month and weekday both restricted, either is enough."""
    try:
        return _of_cron(expression.split())
    except ValueError:
        return expression


def _of_cron(fields: list[str]) -> str:
    minute, hour, day, month, weekday = fields
    times = (_numbers(minute, 0, 59), _numbers(hour, 0, 23))
    months = _numbers(_named(month, _MONTHS, 1), 1, 12)
    days, week = _numbers(day, 1, 31), _week(weekday)
    if days != "*" and week != "*":
        return " or ".join(sorted((_told(*times, days, months, "*"), _told(*times, "*", months, week))))
    return _told(*times, days, months, week)


def _of_line(line: str) -> str:
    found = _CALENDAR.fullmatch(line.strip())
    if found is None:
        return line
    return _told(
        _numbers(found["minute"], 0, 59),
        _numbers(found["hour"], 0, 23),
        _numbers(found["day"], 1, 31),
        _numbers(found["month"], 1, 12),
        _week(found["weekday"] or "*"),
    )


def _told(minute: str, hour: str, day: str, month: str, weekday: str) -> str:
    rest = [f"{name} {text}" for name, text in (("day", day), ("month", month), ("weekday", weekday)) if text != "*"]
    return ", ".join((f"hour {hour} minute {minute}", *rest))


def _week(field: str) -> str:
    found = _numbers(_named(field.lower(), _DAYS, 0), 0, 7)
    if found == "*":
        return found
    # Sunday is 0 and 7.
    numbers = sorted({int(number) % 7 for number in found.split(",")})
    return "*" if len(numbers) == 7 else ",".join(str(number) for number in numbers)


def _named(field: str, names: tuple[str, ...], first: int) -> str:
    for index, name in enumerate(names):
        field = re.sub(name, str(index + first), field, flags=re.IGNORECASE)
    return field


def _numbers(field: str, low: int, high: int) -> str:
    """All numbers that a field means, or `*` for every one."""
    found: set[int] = set()
    for part in field.replace("..", "-").split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        start = low if span == "*" else int(first)
        end = int(last) if dash else high if span == "*" or step else start
        found.update(range(start, end + 1, int(step or 1)))
    return "*" if found >= set(range(low, high + 1)) else ",".join(str(item) for item in sorted(found))
