"""What a phase says while it works: lines for people on stderr, or one JSON object per line on stdout."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

from moorage.words import printable

# Often enough for a bar that moves, seldom enough for a log.
_INTERVAL_SECONDS = 0.5
_LOG_INTERVAL_SECONDS = 15.0


class Report:
    """The voice of the job. `as_json`: events `step`, `done`, `warning`, `failure`, `progress`, `data`."""

    def __init__(self, *, as_json: bool = False, out: TextIO | None = None, errors: TextIO | None = None) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout
        self._errors = errors or sys.stderr
        self._last = 0.0

    def step(self, text: str) -> None:
        """Something begins."""
        self._say("step", "►", text)

    def done(self, text: str) -> None:
        """Something is done."""
        self._say("done", "✓", text)

    def warning(self, text: str) -> None:
        """Something that a person should know."""
        self._say("warning", "!", text)

    def failure(self, text: str, hint: str = "", exit_status: int = 1) -> None:
        """Something failed, and the next step."""
        if self.as_json:
            self._event("failure", text=text, hint=hint, exit_status=exit_status)
            return
        self._line(f"✗ {text}")
        if hint:
            self._line(f"    → {hint}")

    def data(self, content: Any) -> None:
        """A result, for readers."""
        if self.as_json:
            self._event("data", content=content)
            return
        self._out.write(printable(json.dumps(content, indent=2, ensure_ascii=False)) + "\n")
        self._out.flush()

    def progress(self, done: int, total: int, what: str) -> None:
        """Bytes of work; most calls are swallowed."""
        now = time.monotonic()
        interval = _INTERVAL_SECONDS if self.as_json else _LOG_INTERVAL_SECONDS
        if now - self._last < interval and done < total:
            return
        self._last = now
        if self.as_json:
            self._event("progress", what=what, done=done, total=total)
        elif total:
            self._line(f"  {what}: {100 * done // total} %")

    def _say(self, event: str, sign: str, text: str) -> None:
        if self.as_json:
            self._event(event, text=text)
        else:
            self._line(f"{sign} {text}")

    def _event(self, event: str, **content: Any) -> None:
        self._out.write(json.dumps({"event": event, **content}, ensure_ascii=False) + "\n")
        self._out.flush()

    def _line(self, text: str) -> None:
        self._errors.write(printable(text) + "\n")
        self._errors.flush()
