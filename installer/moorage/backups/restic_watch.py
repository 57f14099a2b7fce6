"""Follows what restic says while it works: how far it is, whether it still moves, how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from moorage.backups.progress import Progress
from moorage.backups.restic_process import Patience


class Watch:
    """Reads JSON lines, tells `progress`, keeps the summary.

    `patience` gives `move_seconds` from each movement (None: without end) and `linger_seconds` from the summary on.
    """

    def __init__(
        self, progress: Progress | None = None, move_seconds: float | None = None, linger_seconds: float | None = None
    ) -> None:
        self._progress = progress
        self._move_seconds = move_seconds
        self._linger_seconds = linger_seconds
        self.begin()

    def begin(self) -> None:
        """Forget what an earlier run said."""
        self.patience = Patience()
        self.summary: dict[str, Any] | None = None
        self._moved: object = None
        self._note_movement(())

    def saw(self, line: str) -> None:
        """Take note of a line on stdout; what is no JSON says nothing."""
        if not line.startswith("{"):
            return
        with suppress(ValueError):
            self._take(json.loads(line))

    def _take(self, data: Mapping[str, Any]) -> None:
        if data.get("message_type") == "summary":
            self.summary = dict(data)
            self._tell_end(int(data.get("total_bytes_processed") or 0))
            if self._linger_seconds is not None:
                self.patience.give(self._linger_seconds)
        elif data.get("message_type") == "status" and self.summary is None:
            done, total = (
                int(data.get("bytes_done") or data.get("bytes_restored") or 0),
                int(data.get("total_bytes") or 0),
            )
            self._note_movement((done, total, data.get("files_done"), data.get("files_restored")))
            if self._progress is not None:
                self._progress(done, total, str((data.get("current_files") or [""])[0]))

    def _tell_end(self, total: int) -> None:
        """What takes less than a moment has no other line that tells of it."""
        if self._progress is not None and total:
            self._progress(total, total, "")

    def _note_movement(self, position: object) -> None:
        if self._move_seconds is not None and position != self._moved:
            self._moved = position
            self.patience.give(self._move_seconds)
