"""How backups are, from what the last night wrote down: for `status` and `check`, without asking any store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from moorage.backups.health import Health, HealthFinding, LogHealth, StoreHealth, judge, none_yet, read_health
from moorage.backups.plan import PLAN_FILE, read_plan
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.compose import exchange_mark
from moorage.targets.compose.names import metrics_folder
from moorage.targets.compose.place import Place
from moorage.targets.releases import Releases
from moorage.words import abridged, listed, plural

STATUS_FILE = "status.json"


@dataclass(frozen=True)
class BackupHealth:
    """The numbers of the last night (None before the first one ended) and what is wrong with them."""

    health: Health | None
    findings: tuple[HealthFinding, ...]

    def as_data(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "good": self.good,
            "last": None if self.health is None else asdict(self.health),
            "findings": [asdict(finding) for finding in self.findings],
        }

    @property
    def good(self) -> bool:
        """Whether nothing of it is a failure."""
        return not any(finding.is_failure for finding in self.findings)


def show(found: BackupHealth | None, console: Console) -> None:
    """One line per store, and what is wrong."""
    if found is None:
        return
    for store in found.health.stores if found.health else ():
        if store.last_good and not any(item.store == store.name and item.is_failure for item in found.findings):
            console.success(
                f"backup of {store.last_good} in store {store.name}, {_proven(store)} ({plural(store.good, 'good one')})"
            )
    for log in found.health.logs if found.health else ():
        if log.spans and not any(item.store == log.store and item.is_failure for item in found.findings):
            console.success(f"any moment {_moments(log)} can be restored, by the log in store {log.store}")
        if log.healed_gaps:
            console.detail(
                f"store {log.store} misses {abridged(log.healed_gaps, 3)} of the log; a later backup healed that"
            )
    for finding in found.findings:
        (console.failure if finding.is_failure else console.warning)(finding.text)
        console.detail(f"→ {finding.fix}")


def _proven(store: StoreHealth) -> str:
    done = f"restored and compared in {store.restore_seconds:.0f} s"
    if store.proven_in == store.name:
        return done
    own = f"last read back itself {store.last_read_back}" if store.last_read_back else "not yet read back itself"
    return f"{done} from store {store.proven_in}; {own}"


def _moments(log: LogHealth) -> str:
    """The newest span goes on while nights go well."""
    return listed([*(f"from {first} to {last}" for first, last in log.spans[:-1]), f"since {log.spans[-1][0]}"])


def look(place: Place, now: datetime | None = None, log: Sequence[HealthFinding] = ()) -> BackupHealth | None:
    """How the backups of a rendered deployment are; None when it has none. `log` is what is wrong with it right now."""
    try:
        plan = read_plan((place.rendered / PLAN_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, MoorageError):
        return None
    now = now or datetime.now(timezone.utc)
    text = _text(place.folder / metrics_folder(place.environment) / STATUS_FILE)
    installed = when_installed(place.folder, place.environment, now)
    return judged(text, plan.age_limit_hours, installed, now, (*_half_way(place), *log))


def judged(
    text: str, age_limit_hours: int, installed: datetime, now: datetime, more: Sequence[HealthFinding] = ()
) -> BackupHealth:
    """What the last night wrote down (nothing readable before the first one ended), with what is wrong."""
    health = _read(text)
    if health is None:
        return BackupHealth(None, (*more, none_yet(age_limit_hours, installed, now)))
    return BackupHealth(health, (*more, *judge(health, age_limit_hours, installed, now)))


def _half_way(place: Place) -> Iterator[HealthFinding]:
    try:
        exchange_mark.refuse(place)
    except MoorageError as error:
        yield HealthFinding(
            "", f"{error.message}; the app stays down, and no backup is made", error.hint, is_failure=True
        )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, PermissionError, ValueError):
        return ""


def _read(text: str) -> Health | None:
    try:
        return read_health(json.loads(text))
    except (ValueError, KeyError, TypeError, AssertionError):
        return None


def when_installed(folder: Path, environment: str, now: datetime) -> datetime:
    """When the deployment was made, as far as that is known: releases are tidied away, the recovery key stays."""
    releases = Releases(folder, environment).all()
    times = [datetime.fromisoformat(item.time.replace("Z", "+00:00")) for item in releases]
    key = folder / "secrets" / "recovery.key"
    if key.is_file():
        times.append(datetime.fromtimestamp(key.stat().st_mtime, timezone.utc))
    return min(times, default=now)
