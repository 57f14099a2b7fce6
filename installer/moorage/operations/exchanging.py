"""Old and new change places: the app is stopped, the job exchanges, the app starts; a mark of the host says so meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.compose import created, exchange_mark
from moorage.targets.compose.deploy import Deployer, UpOptions
from moorage.targets.compose.exchange_mark import Exchange, Verb
from moorage.targets.compose.job_runs import JobRunner
from moorage.targets.compose.place import Place
from moorage.targets.job_voice import RESTORE, JobResult
from moorage.targets.lock import deployment_lock
from moorage.words import plural

_STOP_SECONDS = 300


class _Runs(Protocol):
    def run(self, kind: int, arguments: Sequence[str], options: Sequence[str] = ()) -> JobResult: ...


def restores_of(runner: _Runs) -> list[dict[str, Any]]:
    """What the job's journal says, the oldest first."""
    result = runner.run(RESTORE, ["restored"])
    result.raise_for_status()
    found: list[dict[str, Any]] = result.data
    return found


def exchange(place: Place, runner: JobRunner, console: Console, verb: Verb, identifier: str) -> None:
    """Stop the app, let the job exchange old and new, start the app; migrations of the release run again.

    From the first rename to the last a file of the host says so, and nothing else starts the app. Raises MoorageError.
    """
    with deployment_lock(place.folder, place.environment, console) as descriptor:
        deployer = Deployer(place, console, descriptor)
        _warn_of_created(deployer, console)
        volumes: list[str] = next((item["volumes"] for item in restores_of(runner) if item["id"] == identifier), [])
        exchange_mark.begin(place, Exchange(verb, identifier))
        try:
            _take_app_away(deployer, volumes, console)
            _have_database(deployer)
        except MoorageError:
            _start_again(deployer, console)
            raise
        exchanged = runner.run(RESTORE, [verb, identifier])
        if exchanged.status:
            _not_exchanged(runner, deployer, console, identifier)
            exchanged.hint = exchanged.hint or f"`moorage backup restore --undo {identifier}` puts back what was there"
            exchanged.raise_for_status()
        try:
            _start_with_it(deployer, verb, identifier)
        except MoorageError:
            exchange_mark.end(place)
            raise
        # Not before: killed while the app starts, the same command goes on and starts it.
        exchange_mark.end(place)


def _take_app_away(deployer: Deployer, volumes: Sequence[str], console: Console) -> None:
    """Stop and remove the app's containers, and those that use one of the volumes.

    Removed, because the engine starts a stopped one again when it is itself started anew.
    """
    facts, docker = deployer.facts, deployer.docker
    data = {f"{facts.project}_{name}" for name in volumes}
    names = [
        item.name
        for item in facts.services
        if not item.one_shot and (item.kind == "app" or (item.kind == "redis" and data & set(item.volumes)))
    ]
    job = facts.backups.services if facts.backups else ()
    with console.waiting("the app stops", _STOP_SECONDS):
        docker.compose("rm", "--stop", "--force", *names, timeout_seconds=_STOP_SECONDS)
        runs = [item for item in docker.containers() if item.is_one_off and item.is_running and item.service not in job]
        if runs:
            docker.docker("stop", *(item.id for item in runs), timeout_seconds=_STOP_SECONDS)


def _have_database(deployer: Deployer) -> None:
    """After a restart of the host it may not run."""
    if deployer.facts.postgres_service:
        deployer.docker.compose(
            "up", "--detach", "--no-deps", "--no-recreate", "--wait", deployer.facts.postgres_service
        )


def _not_exchanged(runner: JobRunner, deployer: Deployer, console: Console, identifier: str) -> None:
    """Nothing changed places: the app may run again. Otherwise it stays away until somebody decides."""
    phases = {item["id"]: item["phase"] for item in restores_of(runner)}
    if phases.get(identifier) == "prepared":
        _start_again(deployer, console)
    else:
        console.warning("the exchange was not finished; the app stays down, so that nothing is written in between")


def _start_again(deployer: Deployer, console: Console) -> None:
    """What ran before, with the data that it had."""
    exchange_mark.end(deployer.place)
    try:
        deployer.up(UpOptions())
    except MoorageError as error:
        console.warning(f"the app could not be started again: {error.message}")
        console.detail("→ `moorage up`")


def _start_with_it(deployer: Deployer, verb: Verb, identifier: str) -> None:
    try:
        deployer.up(UpOptions())
    except MoorageError as error:
        done = "is undone" if verb == "undo" else "is in place"
        error.message = f"the restore {identifier} {done}, but the app does not come up with it: {error.message}"
        back = "" if verb == "undo" else f"`moorage backup restore --undo {identifier}` takes it back"
        error.hint = "; ".join(text for text in (error.hint, back) if text)
        raise


def _warn_of_created(deployer: Deployer, console: Console) -> None:
    running = created.find(deployer.docker, deployer.facts).running
    if running:
        console.warning(
            f"{plural(len(running), 'container')} that the app created go on with what they have; restart them afterwards"
        )
