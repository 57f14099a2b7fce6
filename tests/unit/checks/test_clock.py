"""The clock: kept right, not kept, unknown, or wrong."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest

from moorage.checks import clock
from moorage.checks.asking import Answer
from tests.unit.checks.samples import lines

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=timezone.utc)
MISSING = Answer(error="the program is not installed", status=-1)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (clock.ClockFacts(NOW, True, "timedatectl"), ("ok", "2026-11-22 01:30 UTC, synchronised (timedatectl)", "")),
        (
            clock.ClockFacts(NOW, False, "chrony"),
            (
                "warning",
                "2026-11-22 01:30 UTC, not synchronised: it will drift (chrony)",
                "`timedatectl set-ntp true`, or `apt-get install chrony`",
            ),
        ),
        (
            clock.ClockFacts(NOW, None, ""),
            ("ok", "2026-11-22 01:30 UTC (nobody says whether it is synchronised)", ""),
        ),
        (
            clock.ClockFacts(NOW.replace(year=2019), True, "timedatectl"),
            (
                "failure",
                "2019-11-22 01:30 UTC is in the past: every certificate looks as if it were not valid yet",
                "`timedatectl set-ntp true`, or `date -s '2026-01-31 12:00'` with the right time",
            ),
        ),
    ],
)
def test_judge(facts: clock.ClockFacts, expected: tuple[str, str, str]) -> None:
    assert lines(clock.judge(facts)) == [expected]


@pytest.mark.parametrize(
    ("answers", "marked", "expected"),
    [
        ({"timedatectl": Answer("NTPSynchronized=yes\n")}, False, (True, "timedatectl")),
        ({"timedatectl": Answer("NTPSynchronized=no\n")}, True, (False, "timedatectl")),
        ({"chronyc": Answer("Stratum : 3\nLeap status     : Normal\n")}, False, (True, "chrony")),
        ({"chronyc": Answer("Leap status     : Not synchronised\n")}, False, (False, "chrony")),
        ({"timedatectl": Answer("NTPSynchronized=yes\n", "failed", 1)}, False, (None, "")),
        ({"timedatectl": Answer("NTPSynchronized=maybe\n")}, False, (None, "")),
        ({"chronyc": Answer("Leap status     : Normal\n", "failed", 1)}, False, (None, "")),
        ({"chronyc": Answer("506 Cannot talk to daemon\n")}, False, (None, "")),
        ({}, True, (True, "systemd-timesyncd")),
        ({}, False, (None, "")),
    ],
)
def test_gather_asks_one_after_the_other(
    answers: Mapping[str, Answer], marked: bool, expected: tuple[bool | None, str], tmp_path: Path
) -> None:
    if marked:
        (tmp_path / "systemd/timesync").mkdir(parents=True)
        (tmp_path / "systemd/timesync/synchronized").touch()
    found = clock.gather(NOW, lambda command: answers.get(command[0], MISSING), tmp_path)
    assert (found.is_synchronised, found.source) == expected


def test_gather_on_this_machine() -> None:
    assert clock.gather(NOW).now == NOW
