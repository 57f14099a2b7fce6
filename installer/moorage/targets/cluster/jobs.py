"""Jobs before a rollout: each runs to its end, once for all that it is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Object, at, identity
from moorage.targets.cluster.pods import PodTrouble, last_lines, name_of, troubles
from moorage.targets.cluster.waiting import Patience, warnings
from moorage.targets.cluster.workloads import refused_pod
from moorage.targets.k8s.facts import ClusterFacts, ClusterJobFacts

_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 60
_GOING_SECONDS = 120
_POD_OF = "batch.kubernetes.io/job-name"


class Jobs:
    """The jobs of one deployment; `clock` and `pause` are time's."""

    def __init__(
        self,
        cluster: Cluster,
        facts: ClusterFacts,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._facts = facts
        self._console = console
        self._clock = clock
        self._pause = pause

    def run(self, objects: Sequence[Object]) -> None:
        """Run those that have not ended well yet, in the order of the app's file. Raises DeployError."""
        known = {job.object_name: job for job in self._facts.jobs}
        order = list(known)
        for item in sorted(
            objects, key=lambda each: order.index(name_of(each)) if name_of(each) in known else len(order)
        ):
            self._run(item, known.get(name_of(item)))

    def _run(self, item: Object, job: ClusterJobFacts | None) -> None:
        name = job.name if job else name_of(item)
        found = self._cluster.read(identity(item), item["apiVersion"])
        if found is not None and _ended(found) == "Failed":
            self._console.action(f"{name}: failed the last time, runs again")
            self._remove(found)
            found = None
        if found is None or _ended(found) != "Complete":
            limit = (
                job.timeout_seconds if job else int(at(item, "spec", "activeDeadlineSeconds") or 900)
            ) + _GRACE_SECONDS
            self._cluster.apply(item)
            with self._console.waiting(f"{name} does its work", limit):
                self._until_end(item, name, limit)
            self._console.success(f"{name} is done")
        else:
            # Applied all the same, so that its labels are what is rendered.
            self._cluster.apply(item)

    def _until_end(self, item: Object, name: str, limit: float) -> None:
        end, patience = self._clock() + limit, Patience(self._clock)
        while True:
            found = self._cluster.read(identity(item), item["apiVersion"])
            if found is None:
                raise DeployError(f"{name} was deleted while it ran", "`moorage up` runs it again")
            ended = _ended(found)
            if ended == "Complete":
                return
            pods = self._pods(found)
            if ended == "Failed":
                raise self._failure(name, found, pods)
            for trouble in self._in_the_way(found, pods):
                if patience.is_over(trouble):
                    raise self._failed(name, pods, trouble)
            if self._clock() > end:
                raise self._failure(name, found, pods, f"did not end within {limit:.0f} seconds")
            self._pause(_LOOK_SECONDS)

    def _in_the_way(self, job: Object, pods: Sequence[Object]) -> list[PodTrouble]:
        """A command that fails is the job's own to repeat; what never started is not."""
        found = [item for pod in pods for item in troubles(pod) if item.may_pass]
        if not pods:
            said = warnings(self._cluster, self._facts.namespace, "Job", name_of(job), "FailedCreate")
            found += [refused_pod(said[-1])] if said else []
        return found

    def _pods(self, job: Object) -> list[Object]:
        return self._cluster.list("v1", "Pod", self._facts.namespace, f"{_POD_OF}={name_of(job)}")

    def _failure(self, name: str, job: Object, pods: Sequence[Object], what: str = "") -> DeployError:
        conditions = at(job, "status", "conditions") or []
        said = next((str(each.get("message", "")) for each in conditions if each["type"] == "Failed"), "")
        inner = next((item for pod in reversed(pods) for item in troubles(pod)), None)
        text = what or said or "failed"
        return self._failed(name, pods, inner or PodTrouble("", "", text), text if inner else "")

    def _failed(self, name: str, pods: Sequence[Object], trouble: PodTrouble, before: str = "") -> DeployError:
        text = f"the job {name} failed: {before + '; ' if before else ''}{trouble.text}"
        self._console.failure(text)
        newest = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))[-1:]
        lines = "".join(last_lines(self._cluster, pod, trouble.container) for pod in newest)
        if lines:
            self._console.detail(f"the last lines of {name_of(newest[0])}:")
            self._console.detail(lines)
        return DeployError(text, trouble.hint or ("its last lines are above" if lines else ""))

    def _remove(self, job: Object) -> None:
        """Away with it, pods included, such that another one can have its name."""
        name, end = identity(job), self._clock() + _GOING_SECONDS
        self._cluster.delete(name)
        while self._cluster.read(name, job["apiVersion"]) is not None:
            if self._clock() > end:
                raise DeployError(
                    f"{name} does not go", f"`kubectl -n {name.namespace} get job {name.name} -o yaml` says why"
                )
            self._pause(_LOOK_SECONDS)


def _ended(job: Object) -> str:
    """`Complete`, `Failed`, or empty while it runs."""
    conditions = at(job, "status", "conditions") or []
    return next(
        (each["type"] for each in conditions if each["type"] in ("Complete", "Failed") and each["status"] == "True"), ""
    )
