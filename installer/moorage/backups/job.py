"""The program inside of the job image: `python3 -m moorage.backups.job VERB --plan /plan/plan.json`.

It never asks where it runs: a timer on a server and a CronJob on a cluster give it the same arguments.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from moorage.backups import (
    exporting,
    importing,
    listing,
    metrics,
    physical_night,
    preparing,
    pruning,
    putting_back,
    repeating,
    verifying,
)
from moorage.backups.concluding import conclude
from moorage.backups.drilling import drill
from moorage.backups.failures import BackupError, Unexpected
from moorage.backups.job_context import Job
from moorage.backups.moments import parse_moment
from moorage.backups.plan import BackupPlan, read_plan
from moorage.backups.report import Report
from moorage.backups.taking import take
from moorage.errors import MoorageError, places_of

# Switches on what only whoever looks for a mistake wants to see; values are left out all the same.
_DEBUG = "MOORAGE_JOB_DEBUG"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; gives the exit status: 0, or that of the failure (see `failures`)."""
    options = _parser().parse_args(arguments)
    report = Report(as_json=options.json)
    if options.verb in _PATIENT:
        # A night waits for the app where both want a processor; a restore is waited for.
        os.nice(_NICE)
    try:
        plan = read_plan(Path(options.plan).read_text(encoding="utf-8"))
        if options.project:
            plan = _of_another(plan, options.project, options.verb)
        job = Job(plan, report, takes_over=options.take_over)
        return _VERBS[options.verb](job, options)
    except MoorageError as error:
        report.failure(error.message, error.hint, error.exit_status)
        return error.exit_status
    except OSError as error:
        place = f"{error.filename}: " if isinstance(error.filename, str) else ""
        report.failure(f"{place}{error.strerror or type(error).__name__}", exit_status=BackupError.exit_status)
        return BackupError.exit_status
    except Exception as error:
        return _unexpected(error, report)


def _unexpected(error: Exception, report: Report) -> int:
    """The last resort. The text of such an error may hold rows of the app's or an address with its password: it stays out."""
    places = places_of(error)
    report.failure(
        f"the job made a mistake, or got an answer that it does not know ({places[-1]}); this is not your fault",
        f"please report it; with {_DEBUG}=1 in its environment the job says how it came there",
        Unexpected.exit_status,
    )
    if os.environ.get(_DEBUG):
        report.warning("\n".join(places))
    return Unexpected.exit_status


def _of_another(plan: BackupPlan, project: str, verb: str) -> BackupPlan:
    """The same stores, seen as another environment of the same deployment: only to read them."""
    if verb not in _ALSO_OF_OTHERS:
        raise BackupError(
            f"`{verb}` is for this deployment's own backups", f"with --project: {', '.join(_ALSO_OF_OTHERS)}"
        )
    return replace(plan, project=project, physical=None)


def _take(job: Job, _: argparse.Namespace) -> int:
    take(job)
    return 0


def _prepare_archive(job: Job, _: argparse.Namespace) -> int:
    with job.workplace.only_one():
        physical_night.prepare(job)
    return 0


def _take_over(job: Job, _: argparse.Namespace) -> int:
    """Every store at once: who would write to one of them meanwhile would be the wrong one."""
    job.prepare_runtime()
    with job.workplace.only_one():
        for store in job.plan.stores:
            job.claimed(store)
        physical_night.prepare(job)
    return 0


def _drill(job: Job, _: argparse.Namespace) -> int:
    drill(job.plan, job.report)
    return 0


def _conclude(job: Job, _: argparse.Namespace) -> int:
    return conclude(job)


def _fetch(job: Job, options: argparse.Namespace) -> int:
    repeating.fetch_again(job, options.id, options.store)
    return 0


def _list(job: Job, _: argparse.Namespace) -> int:
    job.prepare_runtime()
    job.report.data(listing.listed(job))
    return 0


def _show(job: Job, options: argparse.Namespace) -> int:
    job.prepare_runtime()
    job.report.data(listing.shown(job, options.id))
    return 0


def _verify(job: Job, options: argparse.Namespace) -> int:
    found = verifying.verify(job, options.id, options.store, read_percent=options.read_percent)
    job.report.data([asdict(store) for store in found])
    first = next((problem for store in found for problem in store.problems), None)
    if first is not None:
        job.report.failure(first.reason, first.hint, first.exit_status)
    return first.exit_status if first else 0


def _prune(job: Job, options: argparse.Namespace) -> int:
    job.prepare_runtime()
    with job.workplace.only_one():
        plans = [job.plan.store(options.store)] if options.store else list(job.plan.stores)
        result = {}
        for plan in plans:
            found = (pruning.plan_of if options.dry_run else pruning.prune)(job, job.open(plan))
            decisions = [asdict(decision) for decision in found.all]
            result[plan.name] = {"may_delete": plan.may_delete, "decisions": decisions}
    job.report.data(result)
    return 0


def _status(job: Job, _: argparse.Namespace) -> int:
    job.prepare_runtime()
    job.report.data(asdict(metrics.measure(job, job.workplace.night())))
    return 0


def _prepare(job: Job, options: argparse.Namespace) -> int:
    moment = parse_moment(options.at, job.now()) if options.at else None
    if options.into:
        found = preparing.prepare_copy(job, options.id, options.store, moment, options.into)
    else:
        found = preparing.prepare(job, options.id, options.store, moment, on_new_machine=options.new_machine)
    job.report.data(asdict(found))
    return 0


def _swap(job: Job, options: argparse.Namespace) -> int:
    putting_back.swap(job, options.id)
    return 0


def _undo(job: Job, options: argparse.Namespace) -> int:
    putting_back.undo(job, options.id)
    return 0


def _discard(job: Job, options: argparse.Namespace) -> int:
    putting_back.discard(job, options.id)
    return 0


def _restored(job: Job, _: argparse.Namespace) -> int:
    job.report.data([asdict(item) for item in putting_back.restored(job)])
    return 0


def _export(job: Job, options: argparse.Namespace) -> int:
    job.report.data(exporting.export(job, options.id, options.store, Path(options.into)))
    return 0


def _fetch_folder(job: Job, options: argparse.Namespace) -> int:
    job.report.data(asdict(exporting.fetch_folder(job, options.id, Path(options.into))))
    return 0


def _import_begin(job: Job, options: argparse.Namespace) -> int:
    given = Path(options.into) if options.into else None
    job.report.data(importing.begin(job, options.database, given))
    return 0


def _import_digest(job: Job, options: argparse.Namespace) -> int:
    given = Path(options.into) if options.into else putting_back.folder_of(job, options.id) / importing.GIVEN
    importing.digest(job.plan, job.report, options.id, given, options.database)
    return 0


def _import_restore(job: Job, options: argparse.Namespace) -> int:
    found = importing.restore(job.plan, job.report, options.id, options.database)
    job.report.data([asdict(change) for change in found])
    return 0


def _import_finish(job: Job, options: argparse.Namespace) -> int:
    importing.finish(job, options.id)
    return 0


_VERBS: dict[str, Callable[[Job, argparse.Namespace], int]] = {
    "take": _take,
    "prepare-archive": _prepare_archive,
    "take-over": _take_over,
    "drill": _drill,
    "conclude": _conclude,
    "fetch": _fetch,
    "list": _list,
    "show": _show,
    "verify": _verify,
    "prune": _prune,
    "status": _status,
    "prepare": _prepare,
    "swap": _swap,
    "undo": _undo,
    "discard": _discard,
    "restored": _restored,
    "export": _export,
    "fetch-folder": _fetch_folder,
    "import-begin": _import_begin,
    "import-digest": _import_digest,
    "import-restore": _import_restore,
    "import-finish": _import_finish,
}


_ALSO_OF_OTHERS = ("list", "prepare", "show")
_PATIENT = ("take", "drill", "conclude", "fetch", "verify", "prune")
_NICE = 10


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="moorage-job", description="One phase of a backup.", allow_abbrev=False)
    parser.add_argument("verb", choices=sorted(_VERBS))
    parser.add_argument("id", nargs="?", default="", help="the name of a backup; default the newest")
    parser.add_argument("--plan", default="/plan/plan.json")
    parser.add_argument("--json", action="store_true", help="one JSON object per line on standard output")
    parser.add_argument("--store", default="")
    parser.add_argument("--project", default="", help="read the backups of another environment")
    parser.add_argument("--into", default="")
    parser.add_argument("--database", default="")
    parser.add_argument("--at", default="", help="a moment with its zone, to go back to by the log")
    parser.add_argument("--take-over", action="store_true")
    parser.add_argument("--new-machine", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--read-percent", type=float, default=100.0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
