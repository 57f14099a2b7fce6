"""The clock: certificates, tokens and backups go wrong when it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from moorage.checks.asking import Answer, Engine, ask
from moorage.checks.base import Finding, Needs, failure, ok, warning

NAME = "clock"
_EARLIEST_YEAR = 2026


@dataclass(frozen=True)
class ClockFacts:
    """The time, whether something keeps it right (None: nobody tells), and who said so."""

    now: datetime
    is_synchronised: bool | None
    source: str


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:  # noqa: ARG001 - the same for all checks
    """Look at the clock and judge."""
    return judge(gather(datetime.now(timezone.utc)))


def gather(now: datetime, question: Callable[[list[str]], Answer] = ask, run_folder: Path = Path("/run")) -> ClockFacts:
    """Ask systemd, then chrony, then look for the mark of systemd-timesyncd."""
    answer = question(["timedatectl", "show", "-p", "NTPSynchronized"])
    word = answer.output.strip().partition("=")[2]
    if answer.is_good and word in ("yes", "no"):
        return ClockFacts(now, word == "yes", "timedatectl")
    answer = question(["chronyc", "-n", "tracking"])
    if answer.is_good and "Leap status" in answer.output:
        return ClockFacts(now, "Not synchronised" not in answer.output, "chrony")
    if (run_folder / "systemd" / "timesync" / "synchronized").exists():
        return ClockFacts(now, True, "systemd-timesyncd")
    return ClockFacts(now, None, "")


def judge(facts: ClockFacts) -> tuple[Finding, ...]:
    """The one line about the clock."""
    shown = f"{facts.now:%Y-%m-%d %H:%M} UTC"
    if facts.now.year < _EARLIEST_YEAR:
        text = f"{shown} is in the past: every certificate looks as if it were not valid yet"
        return (failure(NAME, text, "`timedatectl set-ntp true`, or `date -s '2026-01-31 12:00'` with the right time"),)
    if facts.is_synchronised is None:
        return (ok(NAME, f"{shown} (nobody says whether it is synchronised)"),)
    if facts.is_synchronised:
        return (ok(NAME, f"{shown}, synchronised ({facts.source})"),)
    fix = "`timedatectl set-ntp true`, or `apt-get install chrony`"
    return (warning(NAME, f"{shown}, not synchronised: it will drift ({facts.source})", fix),)
