"""Ask programs and Docker with a time limit: an answer, or the reason why there is none."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage.checks.base import Finding, warning
from moorage.errors import MoorageError
from moorage.process import run

TIME_LIMIT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """What a program said; `error` is empty when it ended well, else its last line or why it could not run."""

    output: str = ""
    error: str = ""
    status: int = 0

    @property
    def is_good(self) -> bool:
        """Whether the program ended with status 0."""
        return not self.error


def ask(command: Sequence[str], *, folder: Path | None = None, limit_seconds: float = TIME_LIMIT_SECONDS) -> Answer:
    """Run a program that changes nothing; never raises. A status of -1 means that it did not run to its end."""
    try:
        # The words of programs are read, so they must not depend on the operator's language.
        found = run(command, folder=folder, environment={"LC_ALL": "C"}, timeout_seconds=limit_seconds, check=False)
    except MoorageError as error:
        return Answer(error=error.message, status=-1)
    except OSError as error:
        return Answer(error=f"`{command[0]}` cannot be run: {error.strerror or error}", status=-1)
    if found.status == 0:
        return Answer(found.output)
    lines = (found.errors.strip() or found.output.strip()).splitlines()
    return Answer(found.output, lines[-1].strip() if lines else f"status {found.status}", found.status)


@dataclass(frozen=True)
class EngineView:
    """What `docker info` says; `error` is why the engine does not answer, the client's part is there all the same."""

    info: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def answers(self) -> bool:
        """Whether an engine is there and lets us in."""
        return not self.error

    @property
    def version(self) -> str:
        """The engine's version as it says it."""
        return str(self.info.get("ServerVersion") or "")

    @property
    def is_rootless(self) -> bool:
        """Whether the engine runs as an ordinary user."""
        return any("name=rootless" in str(option) for option in self.info.get("SecurityOptions") or ())

    @property
    def plugins(self) -> Mapping[str, str]:
        """Name → version of the client's plugins that work."""
        found = (self.info.get("ClientInfo") or {}).get("Plugins") or ()
        return {str(item["Name"]): str(item.get("Version") or "") for item in found if not item.get("Err")}


class Engine:
    """Docker, looked at once for all checks of a run; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._view: EngineView | None = None

    def view(self) -> EngineView:
        """What the engine says of itself; the first caller asks, the others wait for the same answer."""
        with self._lock:
            if self._view is None:
                self._view = _look()
            return self._view

    def ask(self, *arguments: str, limit_seconds: float = TIME_LIMIT_SECONDS) -> Answer:
        """Run `docker …`, or give at once the reason why the engine does not answer."""
        error = self.view().error
        if error:
            return Answer(error=error, status=-1)
        return ask(["docker", *arguments], limit_seconds=limit_seconds)


def _look() -> EngineView:
    answer = ask(["docker", "info", "--format", "{{json .}}"])
    try:
        info = json.loads(answer.output or "{}")
    except ValueError:
        info = {}
    info = info if isinstance(info, dict) else {}
    if answer.is_good and not info.get("ServerVersion"):
        # Old clients end with status 0 although nobody answered; Podman's stand-in has other words.
        reasons = info.get("ServerErrors") or ["it does not say its version"]
        return EngineView(info, str(reasons[-1]))
    return EngineView(info, answer.error)


def engine_silent(check: str) -> Finding:
    """The line of a check that can't look without the engine."""
    return warning(
        check,
        "not looked at, because the Docker engine does not answer",
        "mend what `engine` says above, then `moorage check` again",
    )
