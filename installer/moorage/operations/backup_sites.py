"""Where a deployment's backups are made: what every backup command needs of it, whichever target it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.operations.exchanging import exchange
from moorage.targets.compose import exchange_mark, units
from moorage.targets.compose.exchange_mark import Exchange, Verb
from moorage.targets.compose.job_runs import JobRunner, only_night
from moorage.targets.compose.place import Place, load_facts
from moorage.targets.job_voice import NO_BACKUPS, JobResult
from moorage.targets.k8s.names import FACTS_FILE


class BackupSite(Protocol):
    """One deployment's job: its phases, its lock, the exchange of old and new. All raise MoorageError."""

    console: Console

    def run(self, kind: int, arguments: Sequence[str], options: Sequence[str] = ()) -> JobResult:
        """One phase to its end; progress is shown, the result's failure is not raised."""
        ...

    def alone(self, patience_seconds: float = 0) -> AbstractContextManager[None]:
        """Keep a second night out; waits for one that is under way, as long as there is patience."""
        ...

    def half_exchanged(self) -> Exchange | None:
        """What was begun and not ended."""
        ...

    def refuse_half_exchanged(self) -> None:
        """Nothing else starts while old and new are a mixture."""
        ...

    def exchange(self, verb: Verb, identifier: str) -> None:
        """Stop the app, let old and new change places, start the app."""
        ...

    def show_schedule(self) -> int:
        """When nights run and who starts them; gives 1 when nobody does."""
        ...


def open_site(folder: Path, environment: str, console: Console) -> BackupSite:
    """The site of a rendered deployment. Raises MoorageError when nothing is rendered or backups are off."""
    if (folder / "rendered" / environment / FACTS_FILE).is_file():
        from moorage.operations.cluster.backups import ClusterSite

        return ClusterSite.open(folder, environment, console)
    return ServerSite(Place(folder, environment), console)


def server_runner(place: Place, console: Console) -> JobRunner:
    """The runner of a deployment on a server. Raises MoorageError when nothing is rendered or backups are off."""
    facts = load_facts(place.rendered)
    if facts.backups is None:
        raise MoorageError(*NO_BACKUPS)
    return JobRunner(place.compose, facts.backups.services, console)


class ServerSite:
    """A single server: containers of the rendered Compose file."""

    def __init__(self, place: Place, console: Console) -> None:
        self.place = place
        self.console = console
        self.runner = server_runner(place, console)

    def run(self, kind: int, arguments: Sequence[str], options: Sequence[str] = ()) -> JobResult:
        """See the port."""
        return self.runner.run(kind, arguments, options)

    def alone(self, patience_seconds: float = 0) -> AbstractContextManager[None]:
        """See the port."""
        if patience_seconds:
            return only_night(self.place.compose, self.console, patience_seconds)
        return only_night(self.place.compose)

    def half_exchanged(self) -> Exchange | None:
        """See the port."""
        return exchange_mark.read(self.place)

    def refuse_half_exchanged(self) -> None:
        """See the port."""
        exchange_mark.refuse(self.place)

    def exchange(self, verb: Verb, identifier: str) -> None:
        """See the port."""
        exchange(self.place, self.runner, self.console, verb, identifier)

    def show_schedule(self) -> int:
        """See the port."""
        job = load_facts(self.place.rendered).backups
        assert job is not None
        timer = f"{job.unit}.timer"
        line = f"{job.schedule}  /bin/sh {self.place.rendered.resolve() / 'backups' / 'night.sh'}"
        next_run = units.next_run(timer)
        if self.console.as_json:
            self.console.data({"schedule": job.schedule, "timer": timer, "next": next_run, "crontab": line})
        elif next_run:
            self.console.success(f"{timer} runs at {job.schedule}, next {next_run}")
        else:
            self.console.warning(f"no timer of systemd starts the nights ({job.schedule})")
            self.console.detail(
                "→ `moorage up` as root installs it; without systemd this line in root's crontab does the same:"
            )
            self.console.line(line)
        return 0 if next_run else 1
