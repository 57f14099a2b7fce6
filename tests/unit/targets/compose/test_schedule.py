"""Cron expressions and systemd's calendars mean the same, judged by two small evaluators of their own."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.config import rules
from moorage.targets.compose.schedule import calendars

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


# Cron, as crontab(5) and Kubernetes (robfig/cron) describe it.


def cron_numbers(field: str, low: int, high: int, names: list[str], first: int) -> set[int]:
    """All numbers that a field stands for."""

    def number(word: str) -> int:
        return names.index(word) + first if word in names else int(word)

    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        if span == "*":
            start, end = low, high
        elif "-" in span:
            start, end = (number(word) for word in span.split("-"))
        else:
            start = number(span)
            end = high if step else start
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def cron_rule(expression: str, *, like_kubernetes: bool) -> Callable[[datetime], bool]:
    minute, hour, day, month, weekday = expression.split()
    minutes, hours = cron_numbers(minute, 0, 59, [], 0), cron_numbers(hour, 0, 23, [], 0)
    days, months = cron_numbers(day, 1, 31, [], 0), cron_numbers(month, 1, 12, MONTHS, 1)
    weekdays = {number % 7 for number in cron_numbers(weekday, 0, 7, DAYS, 0)}

    def is_open(field: str) -> bool:
        # crontab(5): a field that starts with `*` does not restrict. Kubernetes: one with `*` or `*/1` among its parts.
        return bool({"*", "*/1"} & set(field.split(","))) if like_kubernetes else field.startswith("*")

    both = is_open(day) or is_open(weekday)

    def fits(moment: datetime) -> bool:
        if moment.minute not in minutes or moment.hour not in hours or moment.month not in months:
            return False
        day_fits, weekday_fits = moment.day in days, moment.isoweekday() % 7 in weekdays
        return (day_fits and weekday_fits) if both else (day_fits or weekday_fits)

    return fits


# Calendars, as systemd.time(7) describes them; only the forms without ranges and steps.


def calendar_rule(expression: str) -> Callable[[datetime], bool]:
    match = re.fullmatch(r"(?:([A-Z][A-Za-z,]*) )?\*-([\d,]+|\*)-([\d,]+|\*) ([\d,]+|\*):([\d,]+|\*):00", expression)
    assert match is not None, expression
    names, *fields = match.groups()
    order = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
    weekdays = None if names is None else {order.index(name) for name in names.split(",")}
    sets = [None if field == "*" else {int(item) for item in field.split(",")} for field in fields]

    def fits(moment: datetime) -> bool:
        numbers = (moment.month, moment.day, moment.hour, moment.minute)
        return (weekdays is None or moment.isoweekday() % 7 in weekdays) and all(
            allowed is None or number in allowed for allowed, number in zip(sets, numbers, strict=True)
        )

    return fits


def moments() -> list[datetime]:
    """Every minute of a day, and some minutes of every day of a leap year."""
    close = [datetime(2028, 2, 29, tzinfo=timezone.utc) + timedelta(minutes=count) for count in range(24 * 60)]
    far = [
        datetime(2028, 1, 1, hour, minute, tzinfo=timezone.utc) + timedelta(days=day)
        for day in range(366)
        for hour, minute in ((0, 0), (23, 59))
    ]
    return close + far


MOMENTS = moments()


def same_meaning(expression: str) -> None:
    lines = calendars(rules.cron(expression))
    assert len(lines) in (1, 2)
    ours = [calendar_rule(line) for line in lines]
    theirs = [cron_rule(expression, like_kubernetes=kind) for kind in (True, False)]
    for moment in MOMENTS:
        # Where crontab(5) and Kubernetes differ, either is right.
        assert any(rule(moment) for rule in ours) in {rule(moment) for rule in theirs}, (expression, lines, moment)


@pytest.mark.parametrize(
    ("expression", "lines"),
    [
        ("30 3 * * *", ("*-*-* 3:30:00",)),
        ("* * * * *", ("*-*-* *:*:00",)),
        ("0 0 1 1 *", ("*-1-1 0:0:00",)),
        ("0 4 * * 7", ("Sun *-*-* 4:0:00",)),
        ("0 4 1 * mon", ("*-*-1 4:0:00", "Mon *-*-* 4:0:00")),
    ],
)
def test_a_calendar_line_is_what_systemd_reads(expression: str, lines: tuple[str, ...]) -> None:
    assert calendars(expression) == lines


@pytest.mark.parametrize(
    "expression",
    ["*/15 * * * *", "0 */6 * * *", "5-10 0 * * *", "0-30/10,45 3,23 * * *", "0 0 1,15 * *", "0 0 */10 * *", "0 0 * jan,mar-may *", "0 0 * */3 *",
     "0 0 * * mon-fri", "0 0 * * 5-7", "0 0 * * sun", "0 0 * * 0,7", "0 0 13 * fri", "30 3 1-7 * 1", "0 0 29 2 *", "59 23 31 12 *",
     "0 0 31 * *", "7/20 * * * *", "0 0 * * */2", "0 0 */2 * 1", "0 0 1-31 * *"],
)  # fmt: skip
def test_a_schedule_means_the_same_to_both(expression: str) -> None:
    same_meaning(expression)


def field(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    words = [numbers.map(str)]
    if names:
        words.append(st.sampled_from(names))
    spans = st.tuples(numbers, numbers).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
    steps = st.tuples(st.one_of(st.just("*"), spans), st.integers(1, high)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    parts = st.lists(st.one_of(*words, spans, steps), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), parts)


@given(minute=field(0, 59), hour=field(0, 23), day=field(1, 31), month=field(1, 12, MONTHS), weekday=field(0, 7, DAYS))
def test_any_schedule_means_the_same_to_both(minute: str, hour: str, day: str, month: str, weekday: str) -> None:
    same_meaning(f"{minute} {hour} {day} {month} {weekday}")


@pytest.mark.parametrize("expression", ["0 0 13 * */1", "0 0 */1 * mon"])
def test_a_step_of_one_restricts_nothing(expression: str) -> None:
    same_meaning(expression)


@pytest.mark.parametrize(("field", "days"), [("6/1", "Sat"), ("7/1", "Sun"), ("5/2", "Fri"), ("*/6", "Sun,Sat")])
def test_a_step_without_an_end_ends_with_saturday(field: str, days: str) -> None:
    (line,) = calendars(f"0 0 * * {field}")
    assert line.startswith(f"{days} ")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_reads_every_line() -> None:
    expressions = [
        "30 3 * * *",
        "* * * * *",
        "*/7 */5 */3 */2 */2",
        "0 0 13 * fri",
        "0 0 29 2 *",
        "1-59/2 0-23 1-31 1-12 0-7",
    ]
    lines = [line for expression in expressions for line in calendars(expression)]
    finished = subprocess.run(["systemd-analyze", "calendar", *lines], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    # A line that never comes is a mistake too.
    assert finished.stdout.count("Next elapse:") == len(lines)
    assert "never" not in finished.stdout
