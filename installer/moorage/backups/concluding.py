"""The last phase of a night: the verdict into the stores, what may go, who is told. It runs whatever happened before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moorage.backups import heartbeat, metrics, physical_night, pruning
from moorage.backups.drilling import DrillResult, read_result
from moorage.backups.failures import ABOUT_ONE_COPY, BackupError, RowsDiffer, Unfinished
from moorage.backups.job_context import Job
from moorage.backups.records import Verdict, timestamp
from moorage.backups.workplace import Failure, Night, failure_of
from moorage.errors import MoorageError

# Reasons that say nothing about the backup itself: it stays unproven, and another drill may prove it.
_ABOUT_THE_DRILL = (Unfinished.exit_status,)
_ABOUT_THE_COPY = tuple(reason.exit_status for reason in ABOUT_ONE_COPY)


def conclude(job: Job) -> int:
    """Write the verdict, prune when tonight's is good, write metrics, call the heartbeat. Gives the night's exit status."""
    job.prepare_runtime()
    with job.workplace.only_one():
        night = job.workplace.night()
        if night is None or night.phase == "done":
            raise Unfinished("no night was begun", "`moorage backup run` begins one")
        night = job.workplace.write(_concluded(job, night))
        is_good = night.failure is None and bool(night.published)
        unexplained: dict[str, tuple[str, ...]] = {}
        if is_good and not night.is_repeat:
            night, unexplained = _prune(job, night)
            night = _expire(job, night)
        job.workplace.clean()
        night = job.workplace.write(replace(night, phase="done"))
        failure = night.first_failure
        _tell(job, night, failure, unexplained)
        return failure.exit_status if failure else 0


def _concluded(job: Job, night: Night) -> Night:
    """The night with its verdict in every store that has the backup; a failure of the drill becomes the night's."""
    if night.failure is not None:
        return _fetched_in_vain(job, night, night.failure)
    if night.phase == "take":
        error = Unfinished(
            "the backup was cut off while it was made: killed, out of memory, or the server restarted",
            "older backups are untouched; `moorage backup run` makes one now",
        )
        return replace(night, failure=failure_of(error))
    try:
        result = read_result(job.workplace.drill_folder(night.id))
    except BackupError as error:
        return replace(night, failure=failure_of(error))
    failure = result.failure or (None if result.passed else failure_of(RowsDiffer("the drill asked nothing")))
    night = replace(night, failure=failure, physical_failure=night.physical_failure or result.physical_failure)
    if failure is None or failure.exit_status not in _ABOUT_THE_DRILL:
        night = _spread(job, night, _verdict(job, night, result, failure))
    return night


def _fetched_in_vain(job: Job, night: Night, failure: Failure) -> Night:
    """What came back damaged is bad, also when an earlier drill had called it good; any other reason says nothing of it."""
    if not night.drill_store or failure.exit_status not in _ABOUT_THE_COPY:
        return night
    return _spread(job, night, _verdict(job, night, DrillResult(night.id, (), 0.0), failure))


def _verdict(job: Job, night: Night, result: DrillResult, failure: Failure | None) -> Verdict:
    return Verdict(
        id=night.id,
        good=failure is None,
        exit_status=failure.exit_status if failure else 0,
        reason=failure.reason if failure else "",
        at=timestamp(job.now()),
        drilled_store=night.drill_store,
        restore_seconds=result.seconds,
        checks=result.checks,
    )


def _spread(job: Job, night: Night, verdict: Verdict) -> Night:
    """Into every store that has the backup; of a damaged copy only into its own."""
    is_of_copy = verdict.exit_status in _ABOUT_THE_COPY
    outcomes = []
    for outcome in night.stores:
        if outcome.snapshot and (outcome.name == verdict.drilled_store or not is_of_copy):
            try:
                job.open(job.plan.store(outcome.name)).catalogue.add_verdict(verdict)
            except (MoorageError, OSError) as error:
                outcome = replace(outcome, failure=outcome.failure or failure_of(error))
                job.report.warning(f"store {outcome.name} did not take the verdict")
        outcomes.append(outcome)
    return replace(night, stores=tuple(outcomes))


def _prune(job: Job, night: Night) -> tuple[Night, dict[str, tuple[str, ...]]]:
    """Pruning that fails is told, and takes nothing from tonight's backup. Gives what no record tells of, by store."""
    outcomes = []
    unexplained = {}
    for outcome in night.stores:
        if outcome.snapshot and outcome.failure is None:
            try:
                unexplained[outcome.name] = pruning.prune(job, job.open(job.plan.store(outcome.name))).unexplained
            except (MoorageError, OSError) as error:
                outcome = replace(outcome, failure=failure_of(error))
                job.report.warning(f"store {outcome.name} could not be pruned")
        outcomes.append(outcome)
    return replace(night, stores=tuple(outcomes)), unexplained


def _expire(job: Job, night: Night) -> Night:
    """The physical path lets nothing go while it is not well itself."""
    if night.physical_failure is not None or not night.physical:
        return night
    try:
        physical_night.expire(job)
    except Exception as error:  # whatever it is, the night goes on to its end
        job.report.warning("the physical backups could not be pruned")
        return replace(night, physical_failure=failure_of(error))
    return night


def _tell(job: Job, night: Night, failure: Failure | None, unexplained: dict[str, tuple[str, ...]]) -> None:
    try:
        metrics.write(job, night, unexplained)
    except (MoorageError, OSError) as error:
        job.report.warning(f"the metrics could not be written: {failure_of(error).reason}")
    if failure is not None:
        job.report.failure(failure.reason, failure.hint, failure.exit_status)
        return
    job.report.done(f"{night.id} is good: it was restored from store {night.drill_store} and compared")
    if job.plan.heartbeat_url_file:
        problem = heartbeat.call(Path(job.plan.heartbeat_url_file))
        if problem:
            job.report.warning(f"the heartbeat was not taken: {problem}")
