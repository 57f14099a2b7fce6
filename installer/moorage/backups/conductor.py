"""A night in a cluster: `python3 -m moorage.backups.conductor night --templates FOLDER`, in the job's image.

What `night.sh` is on a server: phases one after the other, each in a container of its own and confined in its own way,
`conclude` always. Each phase is a Job made from a template; the Jobs belong to the conductor's pod and go with it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from moorage.backups.cluster_interface import ClusterInterface, ClusterRefused
from moorage.backups.failures import BackupError, Busy
from moorage.backups.plan import EXCHANGE_MAP
from moorage.backups.report import Report
from moorage.backups.restore_journal import half_way_words
from moorage.errors import MoorageError

_LOOK_SECONDS = 2.0
_PLAN = "/plan/plan.json"
_STATUS_MAP = "backup-status"
_LABEL = "app.kubernetes.io/component=backup"
_STOPPED = 143
_LOG_LINES = 200
# Longer than a pod of a phase is given to end.
_END_SECONDS = 90.0
_DRILL = "-drill"


class Conductor:
    """Starts phases and waits for their ends."""

    def __init__(self, cluster: ClusterInterface, templates: Path, owner: dict[str, Any], own_job: str) -> None:
        self.cluster = cluster
        self.templates = templates
        self.owner = owner
        self.own_job = own_job
        self.report = Report()
        self.status = 0
        self.is_stopped = False

    def night(self) -> int:
        """Take, drill, conclude; gives the exit status of the first phase that failed."""
        if self._is_in_the_way():
            return Busy.exit_status
        service = self._service()
        if self._phase("take", service):
            self._phase("drill", f"{service}{_DRILL}")
        # What was stopped is written down as well.
        self.is_stopped = False
        self._phase("conclude", service)
        return self.status

    def _is_in_the_way(self) -> bool:
        """Another night, or a restore that was cut off: of what is half exchanged no backup is made."""
        begun = self.cluster.config_map(EXCHANGE_MAP)
        if begun is not None:
            self.report.failure(*half_way_words(begun.get("id", "?"), is_undo=begun.get("verb") == "undo"))
            return True
        active = self.cluster.active_jobs(_LABEL)
        # Of two that begin in the same moment the first one goes on; what a night starts is younger than itself.
        others = active[: active.index(self.own_job)] if self.own_job in active else active
        if others:
            self.report.failure("another backup job is running", f"wait for {', '.join(others)}")
        return bool(others)

    def publish(self, status: Path) -> None:
        """What the night wrote down, for `moorage status`, which sees no disk of the cluster."""
        if status.is_file():
            self.cluster.put_config_map(_STATUS_MAP, {status.name: status.read_text(encoding="utf-8")})

    def _service(self) -> str:
        names = sorted((path.stem for path in self.templates.glob("*.json")), key=len)
        if not names:
            raise BackupError(f"{self.templates} holds no template", "`moorage up` renders them again")
        return names[0]

    def _phase(self, verb: str, template: str) -> bool:
        try:
            answer = self._run(verb, template)
        except ClusterRefused as error:
            self.report.failure(f"{verb}: {error.message}", error.hint)
            answer = BackupError.exit_status
        if answer == 0 and self.is_stopped:
            answer = _STOPPED
        if answer and not self.status:
            self.status = answer
        return answer == 0

    def _run(self, verb: str, template: str) -> int:
        job = json.loads((self.templates / f"{template}.json").read_text(encoding="utf-8"))
        name = f"{template}-{verb}-{self.owner['uid'].partition('-')[0]}"
        job["metadata"] |= {"name": name, "ownerReferences": [self.owner]}
        container = job["spec"]["template"]["spec"]["containers"][0]
        container["args"] = [verb, "--plan", _PLAN]
        self.cluster.create_job(job)
        self.report.step(f"{verb} runs as {name}")
        while not self.is_stopped:
            end = self.cluster.job_end(name)
            if end is not None:
                break
            time.sleep(_LOOK_SECONDS)
        else:
            self.cluster.delete_job(name, _END_SECONDS)
            return _STOPPED
        status = self.cluster.exit_status(name)
        sys.stderr.write(self.cluster.log(name, _LOG_LINES))
        if status is None or end.is_from_outside or (status == 0 and not end.is_good):
            # No room, no image, no disk; or it was evicted, deleted, too late.
            self.report.failure(
                f"{verb} did not come to its own end: {end.reason}", f"`kubectl describe job {name}` says why"
            )
            return status or BackupError.exit_status
        return status

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Let the phase that is under way be the last."""
        self.is_stopped = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a night; gives its exit status."""
    parser = argparse.ArgumentParser(prog="moorage.backups.conductor")
    parser.add_argument("verb", choices=["night"])
    parser.add_argument("--templates", type=Path, required=True)
    parser.add_argument("--status", type=Path)
    options = parser.parse_args(arguments)
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": os.environ["POD_NAME"],
        "uid": os.environ["POD_UID"],
    }
    conductor = Conductor(
        ClusterInterface.from_pod(os.environ["NAMESPACE"]), options.templates, owner, os.environ["JOB_NAME"]
    )
    signal.signal(signal.SIGTERM, conductor.stop)
    signal.signal(signal.SIGINT, conductor.stop)
    try:
        status = conductor.night()
        if options.status is not None:
            conductor.publish(options.status)
    except MoorageError as error:
        conductor.report.failure(error.message, error.hint)
        return conductor.status or BackupError.exit_status
    return status


if __name__ == "__main__":
    sys.exit(main())
