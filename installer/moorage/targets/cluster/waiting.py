"""Wait until workloads are ready, and say why when one is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Object
from moorage.targets.cluster.pods import PodTrouble, last_lines, name_of, namespace_of
from moorage.targets.cluster.workloads import (
    Scene,
    in_the_way,
    is_done,
    newest_pods,
    ready,
    refused_pod,
    scene,
    wanted,
)
from moorage.targets.k8s.facts import ClusterFacts, WorkloadFacts

_LOOK_SECONDS = 1.0
# A node may have to pull the image first, or to be started itself.
_ROOM_SECONDS = 300
# What may pass, a registry that stumbles or a Secret that comes a moment later, gets so long.
_PATIENCE_SECONDS = 20.0
# What goes on for longer is told while the waiting goes on.
_WORD_SECONDS = 10.0


class Patience:
    """Tells trouble that lasts from trouble that passes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()

    def is_over(self, trouble: PodTrouble) -> bool:
        """Whether it will not get better by itself; remembers when it was seen first."""
        # What the cluster says of it is worded anew at each attempt.
        since = self._seen.setdefault((f"{trouble.pod}/{trouble.container}", trouble.text[:40]), self._clock())
        return trouble.is_final or (trouble.may_pass and self._clock() - since > _PATIENCE_SECONDS)

    def is_worth_a_word(self, trouble: PodTrouble) -> bool:
        """Whether it lasts and nobody was told yet; true once."""
        key = (f"{trouble.pod}/{trouble.container}", trouble.text[:40])
        lasts = self._clock() - self._seen.get(key, self._clock()) > _WORD_SECONDS
        if not lasts or key in self._told:
            return False
        self._told.add(key)
        return True


class Waiting:
    """Waits in one namespace; `clock` and `pause` are time's."""

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
        self._patience = Patience(clock)

    def until_ready(
        self, workloads: Sequence[WorkloadFacts], on_look: Callable[[Scene], None] = lambda _: None
    ) -> None:
        """Wait for all of them, which get ready at the same time; `on_look` sees every look while it lasts.

        Raises DeployError for the first that will not.
        """
        started = self._clock()
        left = list(workloads)
        now = scene(self._cluster, self._facts)
        while left:
            item = left[0]
            with self._console.waiting(f"{item.name} gets ready", self._limit(now, item)):
                while not self._is_done(now, item):
                    on_look(now)
                    for each in left:
                        self._raise_if_broken(now, each)
                        if self._clock() - started > self._limit(now, each):
                            raise self._late(now, each)
                    self._pause(_LOOK_SECONDS)
                    now = scene(self._cluster, self._facts)
            found = now.find(item.kind, item.name)
            if found is not None and wanted(found):
                self._console.success(f"{item.name} is ready ({ready(found)}/{wanted(found)})")
            left = left[1:]

    def ill(self, workloads: Sequence[WorkloadFacts]) -> list[str]:
        """What is wrong with workloads that are to stay as they are; one look."""
        now = scene(self._cluster, self._facts)
        texts = []
        for item in workloads:
            found = now.find(item.kind, item.name)
            if found is None:
                texts.append(f"{item.name} is not there")
            elif not is_done(found):
                why = next((trouble.text for trouble in in_the_way(now, found)), "")
                texts.append(
                    f"{item.name} has {ready(found)} of {wanted(found)} pods ready" + (f": {why}" if why else "")
                )
        return texts

    @staticmethod
    def _is_done(now: Scene, item: WorkloadFacts) -> bool:
        found = now.find(item.kind, item.name)
        return found is not None and is_done(found)

    def _limit(self, now: Scene, item: WorkloadFacts) -> float:
        """Pods of a rollout start one after the other."""
        found = now.find(item.kind, item.name)
        return item.startup_seconds * max(1, wanted(found) if found else 1) + _ROOM_SECONDS

    def _raise_if_broken(self, now: Scene, item: WorkloadFacts) -> None:
        found = now.find(item.kind, item.name)
        if found is None or is_done(found):
            return
        for trouble in (*in_the_way(now, found), *self._refusals(now, found)):
            if self._patience.is_over(trouble):
                raise self._failure(now, found, trouble, "")
            if self._patience.is_worth_a_word(trouble):
                self._console.detail(f"{item.name} waits: {trouble.text}")

    def _refusals(self, now: Scene, item: Object) -> list[PodTrouble]:
        """StatefulSets and DaemonSets tell of pods that can't be made by events only."""
        if item["kind"] == "Deployment" or newest_pods(now, item):
            return []
        said = warnings(self._cluster, namespace_of(item), item["kind"], name_of(item), "FailedCreate")
        return [refused_pod(said[-1])] if said else []

    def _late(self, now: Scene, item: WorkloadFacts) -> DeployError:
        what = f"was not ready within {self._limit(now, item):.0f} seconds"
        found = now.find(item.kind, item.name)
        if found is None:
            return DeployError(f"{item.name} {what}: it is not there", "was it deleted by hand meanwhile?")
        trouble = next(in_the_way(now, found), None)
        if trouble is None:
            pods = newest_pods(now, found)
            said = [text for pod in pods for text in warnings(self._cluster, namespace_of(pod), "Pod", name_of(pod))]
            trouble = PodTrouble(
                name_of(pods[0]) if pods else "", "", said[-1] if said else "its checks do not answer well"
            )
        return self._failure(now, found, trouble, what)

    def _failure(self, now: Scene, item: Object, trouble: PodTrouble, what: str) -> DeployError:
        text = f"{name_of(item)} {what + ': ' if what else ''}{trouble.text}".replace("\n", " ")
        self._console.failure(text)
        pod = next((each for each in now.pods if name_of(each) == trouble.pod), None)
        lines = last_lines(self._cluster, pod, trouble.container) if pod is not None else ""
        if lines:
            self._console.detail(f"the last lines of {trouble.pod}:")
            self._console.detail(lines)
        return DeployError(
            text, trouble.hint or ("its last lines are above" if lines else f"`moorage logs {name_of(item)}`")
        )


def warnings(cluster: Cluster, namespace: str, kind: str, name: str, reason: str = "") -> list[str]:
    """What the cluster complained about an object, the newest last."""
    fields = f"involvedObject.kind={kind},involvedObject.name={name},type=Warning"
    found = cluster.list("v1", "Event", namespace, fields=fields + (f",reason={reason}" if reason else ""))
    found.sort(key=lambda item: str(item.get("lastTimestamp") or item.get("eventTime") or ""))
    return [str(item.get("message", "")) for item in found]
