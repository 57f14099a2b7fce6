"""Phases of the backup job as Jobs of the cluster, made from the templates that the nights are made from."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from moorage.backups.failures import Busy
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.failures import ApiError, Unreachable
from moorage.targets.cluster.objects import Identity, Object, at
from moorage.targets.cluster.pods import name_of, troubles
from moorage.targets.job_voice import JobResult, Listener
from moorage.targets.k8s.facts import ClusterBackupFacts, ClusterFacts
from moorage.targets.k8s.names import LABEL_COMPONENT, LABEL_INSTANCE

PLAN = "/plan/plan.json"
_COMPONENT = "backup"
_POD_OF = "batch.kubernetes.io/job-name"
_LOOK_SECONDS = 1.0
# A disk may have to be made, an image to be fetched.
_START_SECONDS = 600.0
_KEPT_SECONDS = 3600
_THERE_ALREADY = "AlreadyExists"


@dataclass(frozen=True)
class _End:
    """The exit status, and why somebody else than the program ended it."""

    status: int
    why: str = ""


class ClusterJobRunner:
    """Runs the job's phases in one deployment's namespace; `clock` and `pause` are time's."""

    def __init__(
        self,
        cluster: Cluster,
        facts: ClusterFacts,
        job: ClusterBackupFacts,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cluster = cluster
        self.facts = facts
        self.job = job
        self.console = console
        self._clock = clock
        self._pause = pause

    def run(self, kind: int, arguments: Sequence[str], options: Sequence[str] = ()) -> JobResult:
        """One Job to its end; progress is shown, the result's failure is not raised. Raises MoorageError."""
        if options:
            raise MoorageError("this command needs files of this machine, which a cluster does not see")
        item = self._made(self.job.services[kind], arguments)
        self.console.command(f"kubectl -n {self.facts.namespace} create job {name_of(item)} # {' '.join(arguments)}")
        self._create(item)
        result = JobResult()
        try:
            self._follow(item, result)
        finally:
            # Its pod goes with it, and nobody asks for its log again: the store has what it did.
            self.cluster.delete(self._identity(item))
        return result

    def _create(self, item: Object) -> None:
        try:
            self.cluster.create(item)
        except ApiError as error:
            # Nobody else has its name: an earlier try made it, and only the answer was lost.
            if error.reason != _THERE_ALREADY:
                raise

    @contextlib.contextmanager
    def alone(self, patience_seconds: float = 0) -> Iterator[None]:
        """Keep out of a night that is under way. The phases themselves hold a lock on their disk. Raises MoorageError."""
        end = self._clock() + patience_seconds
        waits = self.console.waiting("a backup is under way; its end is waited for", patience_seconds)
        with waits if patience_seconds and self._active() else contextlib.nullcontext():
            while self._active() and self._clock() < end:
                self._pause(_LOOK_SECONDS)
        active = self._active()
        if active:
            error = MoorageError(
                "a backup is running already",
                f"`kubectl -n {self.facts.namespace} get job {active[0]}`; wait for its end",
            )
            error.exit_status = Busy.exit_status
            raise error
        yield

    def _active(self) -> list[str]:
        labels = f"{LABEL_INSTANCE}={self.facts.project},{LABEL_COMPONENT}={_COMPONENT}"
        jobs = self.cluster.list("batch/v1", "Job", self.facts.namespace, labels)
        return [name_of(job) for job in jobs if at(job, "status", "active")]

    def _made(self, service: str, arguments: Sequence[str]) -> Object:
        wanted = Identity("", "ConfigMap", self.facts.namespace, self.job.templates)
        found = self.cluster.read(wanted, "v1")
        text = at(found or {}, "data", f"{service}.json")
        if not text:
            raise MoorageError("the cluster has no template of the backup job", "`moorage up` puts it there")
        item: Object = json.loads(text)
        item["metadata"]["name"] = f"{service}-{arguments[0]}-{secrets.token_hex(3)}"
        item["metadata"]["namespace"] = self.facts.namespace
        # Where this program is killed, nobody else takes it away.
        item["spec"]["ttlSecondsAfterFinished"] = _KEPT_SECONDS
        container = item["spec"]["template"]["spec"]["containers"][0]
        container["args"] = [*arguments, "--plan", PLAN, "--json"]
        return item

    def _follow(self, item: Object, result: JobResult) -> None:
        listener = Listener(self.console, result)
        pod = self._started(item, result)
        if pod is None:
            return
        seen = 0
        while True:
            seen = self._hear(pod, listener, seen)
            ended = self._ended(item)
            if ended is not None:
                # What was said between the last look and the end.
                self._hear(pod, listener, seen)
                result.status = ended.status
                if ended.why:
                    result.failure, result.hint = f"the backup job was ended from outside: {ended.why}", ""
                return
            self._pause(_LOOK_SECONDS)

    def _started(self, item: Object, result: JobResult) -> str | None:
        """The name of its pod once that runs or has run; None with a failure when nothing will come of it."""
        end = self._clock() + _START_SECONDS
        text = "its pod was not made"
        with self.console.waiting(f"{name_of(item)} starts", _START_SECONDS):
            while self._clock() < end:
                for pod in self._pods(item):
                    state = at(pod, "status", "phase")
                    if state in ("Running", "Succeeded", "Failed"):
                        return name_of(pod)
                    for trouble in troubles(pod):
                        text = trouble.text
                        if trouble.is_final:
                            end = 0
                vain = self._ended_in_vain(item)
                # One that was quick has been both begun and ended since the look at its pods.
                if vain is not None and not self._pods(item):
                    text, end = vain.why, 0
                self._pause(_LOOK_SECONDS)
        result.status, result.failure = 1, f"the backup job could not be started: {text}"
        result.hint = f"`moorage check -e {self.facts.environment}` tells what is missing"
        return None

    def _hear(self, pod: str, listener: Listener, seen: int) -> int:
        """Lines that were not heard yet, while they come; gives how many there were in all. One that breaks off is no end."""
        from urllib3.exceptions import HTTPError

        path = self.cluster.kind("v1", "Pod").address(self.facts.namespace, pod, "log")
        number = 0
        try:
            answer = self.cluster.raw("GET", path, query=[("follow", "true")], verb="read", what=f"the log of {pod}", seconds=None)  # fmt: skip
            for line in _lines(answer):
                number += 1
                if number > seen:
                    listener.hear(line)
        except (Unreachable, ApiError, HTTPError):
            # Whether it has ended is asked apart; the log of a pod that is gone is gone.
            pass
        return max(number, seen)

    def _ended(self, item: Object) -> _End | None:
        """How it ended; None while it runs. What ended it from outside stands in its pod, or in the Job itself."""
        pods = self._pods(item)
        for pod in pods:
            why = ": ".join(str(text) for text in (at(pod, "status", "reason"), at(pod, "status", "message")) if text)
            for status in at(pod, "status", "containerStatuses") or ():
                ended = at(status, "state", "terminated")
                if ended is not None:
                    return _End(int(ended["exitCode"]) or (1 if why else 0), why)
            if at(pod, "status", "phase") == "Failed":
                return _End(1, why or "the cluster gives no reason")
        return None if pods else self._ended_in_vain(item)

    def _ended_in_vain(self, item: Object) -> _End | None:
        """A Job that was deleted, or is given up: none of its pods comes any more."""
        job = self.cluster.read(self._identity(item), "batch/v1")
        if job is None:
            return _End(1, "somebody deleted its Job")
        for condition in at(job, "status", "conditions") or ():
            if condition["type"] == "Failed" and condition["status"] == "True":
                text = condition.get("message") or condition.get("reason") or "the cluster gives no reason"
                return _End(1, str(text))
        return None

    def _pods(self, item: Object) -> list[Object]:
        return self.cluster.list("v1", "Pod", self.facts.namespace, f"{_POD_OF}={name_of(item)}")

    def _identity(self, item: Object) -> Identity:
        return Identity("batch", "Job", self.facts.namespace, name_of(item))


def _lines(answer: Any) -> Iterator[str]:
    """Whole lines of an answer that comes bit by bit."""
    rest = b""
    for part in answer.stream(amt=65536, decode_content=True):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
