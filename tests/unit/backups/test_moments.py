"""Moments as people write them: the zone is never guessed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from moorage.backups.moments import exact, parse_moment, shown
from moorage.errors import InputError

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=timezone.utc)
WANTED = datetime(2026, 11, 22, 13, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T14:05:00+01:00",
        "2026-11-22 14:05:00 +01:00",
        "2026-11-22T13:05Z",
        " 2026-11-22T13:05:00.000Z",
        "2026-11-22T07:35:00-05:30",
    ],
)
def test_all_of_these_are_the_same_moment(text: str) -> None:
    assert parse_moment(text, NOW) == WANTED


def test_what_is_handed_on_is_the_very_same_moment() -> None:
    moment = WANTED + timedelta(microseconds=123456)
    assert parse_moment(exact(moment), NOW) == moment
    assert shown(moment) == "2026-11-22 13:05:00 UTC"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-22T14:05:00", "no moment with a zone"),
        ("2026-11-22", "no moment with a zone"),
        ("14:05Z", "no moment with a zone"),
        ("yesterday", "no moment with a zone"),
        ("1763813100", "no moment with a zone"),
        ("2026-11-22T14:05:00 CET", "no moment with a zone"),
        ("2026-02-30T14:05:00Z", "no moment of any calendar"),
        ("2026-02-03T25:05:00Z", "no moment of any calendar"),
        ("0001-01-01T00:00:00+23:00", "no moment of any calendar"),
        ("2026-11-22T14:00:01Z", "2026-11-22 14:00:01 UTC is yet to come; it is 2026-11-22 14:00:00 UTC"),
    ],
)
def test_anything_else_is_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_moment(text, NOW)
