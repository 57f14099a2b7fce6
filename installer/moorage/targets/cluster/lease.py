"""Two deployers of one deployment on two machines: a Lease in the namespace says who changes it, the other one waits.

Whoever holds it renews it. One that was killed no longer does: after a minute without a renewal the next one takes it over.
That minute is measured by the clock of whoever waits: no two machines agree about the time.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from moorage.console import Console
from moorage.errors import DeployError, MoorageError
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.failures import ApiError
from moorage.targets.cluster.objects import Object, at
from moorage.targets.k8s.facts import ClusterFacts
from moorage.targets.k8s.names import FIELD_MANAGER, LABEL_INSTANCE, LABEL_MANAGED

NAME = "moorage"
_VERSION = "coordination.k8s.io/v1"
# Which lock of which machine the holder had: who has that lock now knows that the holder is dead.
_LOCK = "moorage/lock"
_SECONDS = 60.0
_RENEW_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 180.0
_END_SECONDS = 5.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lease:
    """Held while a `with` block changes a deployment; `lock` is the descriptor of its lock on this machine."""

    def __init__(
        self,
        cluster: Cluster,
        facts: ClusterFacts,
        console: Console,
        lock: int,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._facts = facts
        self._console = console
        self._holder = f"{_user()}@{socket.gethostname()}/{secrets.token_hex(4)}"
        self._lock = _named(lock)
        self._clock = clock
        self._pause = pause
        self._held: Object | None = None
        self._is_over = threading.Event()
        self._renewal = threading.Thread(target=self._renew, daemon=True, name="lease")

    def __enter__(self) -> Lease:
        """Wait until nobody else changes the deployment. Raises MoorageError naming who does."""
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the next one in."""
        self._is_over.set()
        if self._renewal.is_alive():
            self._renewal.join(_END_SECONDS)
        self._give_back()

    def take(self) -> None:
        """Hold it, if it is not held yet; where there is no namespace nothing can be held. Raises MoorageError."""
        if self._held is not None:
            return
        found = self._read()
        if found is not None and self._is_free(found):
            self._held = self._replaced(found)
        elif found is None:
            self._held = self._made()
            if self._held is None and self._read() is None:
                return
        if self._held is None:
            self._held = self._waited()
        self._renewal.start()

    def _waited(self) -> Object:
        """The Lease, when whoever has it gives it back or is not heard of any more."""
        begin = seen_at = self._clock()
        seen: tuple[Any, ...] = ()
        with self._console.waiting("somebody else changes this deployment", _PATIENCE_SECONDS):
            while True:
                found = self._read()
                if found is None:
                    taken = self._made()
                elif self._is_free(found):
                    taken = self._replaced(found)
                else:
                    now = (_holder_of(found), at(found, "spec", "renewTime"))
                    seen, seen_at = (seen, seen_at) if now == seen else (now, self._clock())
                    is_silent = self._clock() - seen_at >= float(at(found, "spec", "leaseDurationSeconds") or _SECONDS)
                    taken = self._replaced(found) if is_silent else None
                    if taken is not None:
                        self._console.warning(f"{_shown(found)} was not heard of any more; its place is taken")
                    elif self._clock() - begin >= _PATIENCE_SECONDS:
                        raise self._occupied(found)
                if taken is not None:
                    return taken
                self._pause(_LOOK_SECONDS)

    def _occupied(self, found: Object) -> MoorageError:
        since = at(found, "spec", "acquireTime") or "an unknown time"
        return MoorageError(
            f"{_shown(found)} changes {self._facts.project} in this cluster since {since}; nothing was changed",
            f"wait for its end. If it is gone, its hold ends {_SECONDS:.0f} seconds after its last sign of life: "
            f"`kubectl -n {self._facts.namespace} get lease {NAME}`",
        )

    def _is_free(self, found: Object) -> bool:
        """Nobody's, or that of a run on this very machine, which can't live: we have its lock."""
        return not _holder_of(found) or at(found, "metadata", "annotations", _LOCK) == self._lock

    def _renew(self) -> None:
        last = self._clock()
        while not self._is_over.wait(_RENEW_SECONDS):
            try:
                found = self._read()
                if self._is_over.is_set():
                    return None
                if found is None:
                    # Somebody deleted it, or the namespace goes.
                    self._held = self._made() or self._held
                elif _holder_of(found) != self._holder:
                    return self._lose(f"{_shown(found)} has taken over")
                else:
                    self._held = self._replaced(found, is_renewal=True) or self._held
                last = self._clock()
            except MoorageError:
                if self._clock() - last >= _SECONDS:
                    return self._lose("the cluster was away for so long that somebody else may be at work")
        return None

    def _lose(self, why: str) -> None:
        """From now on this run changes nothing any more."""
        hint = f"`moorage status -e {self._facts.environment}`; then `moorage up` again if it is still needed"
        self._cluster.refusal = DeployError(f"{why}; this run stops", hint)

    def _give_back(self) -> None:
        if self._held is None or self._cluster.refusal is not None:
            return
        condition = {"preconditions": {"resourceVersion": self._held["metadata"]["resourceVersion"]}}
        try:
            self._cluster.request("DELETE", self._path(NAME), body=condition, attempts=2, verb="give back", what=NAME)
        except MoorageError:
            # It ends by itself.
            return

    def _made(self) -> Object | None:
        """A new one; None where another one was quicker, or where there is no namespace."""
        try:
            body = {"apiVersion": _VERSION, "kind": "Lease", **self._content(None)}
            made: Object = self._cluster.request("POST", self._path(), body=body, attempts=1, verb="hold", what=NAME)
        except ApiError as error:
            if error.status in (404, 409):
                return None
            raise
        return made

    def _replaced(self, found: Object, *, is_renewal: bool = False) -> Object | None:
        """The same one as ours; None where somebody changed it meanwhile."""
        try:
            body = {**found, **self._content(found, is_renewal=is_renewal)}
            made: Object = self._cluster.request("PUT", self._path(NAME), body=body, attempts=1, verb="hold", what=NAME)
        except ApiError as error:
            if error.status in (404, 409):
                return None
            raise
        return made

    def _content(self, found: Object | None, *, is_renewal: bool = False) -> dict[str, Any]:
        now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}"
        metadata = dict(found["metadata"]) if found else {"name": NAME, "namespace": self._facts.namespace}
        metadata["labels"] = {LABEL_INSTANCE: self._facts.project, LABEL_MANAGED: FIELD_MANAGER}
        metadata["annotations"] = {_LOCK: self._lock}
        begun = at(found or {}, "spec", "acquireTime") if is_renewal else now
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": int(_SECONDS), "acquireTime": begun}
        return {"metadata": metadata, "spec": {**spec, "renewTime": now}}

    def _read(self) -> Object | None:
        try:
            found: Object = self._cluster.request("GET", self._path(NAME), verb="read", what=f"Lease {NAME}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def _path(self, name: str = "") -> str:
        return self._cluster.kind(_VERSION, "Lease").address(self._facts.namespace, name)


def _holder_of(found: Object) -> str:
    return str(at(found, "spec", "holderIdentity") or "")


def _shown(found: Object) -> str:
    """Whose machine it is, for people."""
    return _holder_of(found).rpartition("/")[0] or _holder_of(found)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that nobody gave a name.
        return str(os.getuid())


def _named(lock: int) -> str:
    """One lock of all machines: this start of this machine, and the file."""
    status = os.fstat(lock)
    boot = _BOOT.read_text(encoding="ascii").strip() if _BOOT.is_file() else socket.gethostname()
    return f"{boot}:{status.st_dev}:{status.st_ino}"
