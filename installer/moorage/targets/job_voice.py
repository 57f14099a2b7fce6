"""What the job of backups says while it works, wherever it runs: lines of JSON → the console and a result."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moorage.console import Console
from moorage.errors import MoorageError

# Which of the job's containers: their names differ where the app has one of that name.
BACKUP, DRILL, RESTORE = range(3)
NO_BACKUPS = ("this deployment has no backups: `backups.enabled` is false", "set it to true, `moorage up`")


@dataclass
class JobResult:
    """How a phase ended: its status, its last words, and the data that it gave."""

    status: int = 0
    failure: str = ""
    hint: str = ""
    data: Any = None
    lines: list[str] = field(default_factory=list)

    def raise_for_status(self) -> None:
        """Raise MoorageError with the job's own reason and exit status."""
        if self.status == 0:
            return
        text = self.failure or "\n".join(self.lines[-3:]) or f"the backup job ended with status {self.status}"
        error = MoorageError(text, self.hint)
        error.exit_status = self.status
        raise error


class Listener:
    """Lines of JSON → the console."""

    def __init__(self, console: Console, result: JobResult) -> None:
        self.console = console
        self.result = result
        self._task = ""
        self._began = 0.0

    def hear(self, line: str) -> None:
        """Take one line; what is none of the job's own is kept for a failure's sake."""
        try:
            event = json.loads(line)
            kind = event.pop("event")
        except (ValueError, KeyError, AttributeError):
            self.result.lines.append(line)
            return
        handler: Callable[[dict[str, Any]], None] | None = {
            "step": lambda item: self.console.action(item["text"]),
            "done": lambda item: self.console.success(item["text"]),
            "warning": lambda item: self.console.warning(item["text"]),
            "failure": self._failure,
            "progress": self._progress,
            "data": self._data,
        }.get(kind)
        if handler is not None:
            handler(event)

    def _failure(self, event: dict[str, Any]) -> None:
        self.result.failure, self.result.hint = event["text"], event["hint"]

    def _data(self, event: dict[str, Any]) -> None:
        self.result.data = event["content"]

    def _progress(self, event: dict[str, Any]) -> None:
        if event["what"] != self._task:
            self._task, self._began = event["what"], time.monotonic()
        done, total = event["done"], event["total"]
        passed = time.monotonic() - self._began
        left = passed / done * (total - done) if done and passed > 1 else None
        self.console.progress(self._task, done, total, left)
