"""systemd's calendars and cron tell the same moments in the same words."""

from __future__ import annotations

import pytest

from moorage.parity.calendars import of_cron, of_systemd
from moorage.targets.compose.schedule import calendars


@pytest.mark.parametrize(
    "cron",
    ["30 3 * * *", "*/15 * * * *", "0 0 1 1 *", "5 4 * * mon-fri", "5 4 * * 7", "0 12 1-7 * 1", "0 9-17/2 * jan,jul *", "0 0 31 * sun"],
)  # fmt: skip
def test_what_the_renderer_writes_means_the_expression(cron: str) -> None:
    assert of_systemd(calendars(cron)) == of_cron(cron)


def test_another_moment_is_told_otherwise() -> None:
    assert of_cron("30 3 * * *") == "hour 3 minute 30"
    assert of_systemd(["*-*-* 3:31:00"]) == "hour 3 minute 31"
    assert of_cron("0 12 1 * 1") == "hour 12 minute 0, day 1 or hour 12 minute 0, weekday 1"


def test_what_nobody_understands_stands_as_it_is() -> None:
    assert of_cron("@daily") == "@daily"
    assert of_cron("x * * * *") == "x * * * *"
    assert of_systemd(["hourly"]) == "hourly"
