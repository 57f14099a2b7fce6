"""Talk to stderr, data to stdout: the only module that prints."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from moorage.quantities import human_size
from moorage.words import printable

_COLOURS = {"green": "32", "red": "31", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}


_BAR = 24


class Console:
    """One voice of the program; six verbs for people on stderr, `data` and `table` for readers on stdout."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, as_json: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.as_json = as_json
        self._started: list[float] = []

    def action(self, text: str) -> None:
        """Something begins."""
        self._talk("►", "blue", text)

    def success(self, text: str) -> None:
        """Something is done."""
        self._talk("✓", "green", text)

    def warning(self, text: str) -> None:
        """Something that a person should know, but that stops nothing."""
        self._talk("!", "yellow", text, always=True)

    def failure(self, text: str) -> None:
        """Something failed."""
        self._talk("✗", "red", text, always=True)

    def detail(self, text: str) -> None:
        """A line below the one before; shown unless quiet."""
        for line in text.splitlines():
            self._talk(" ", "dim", f"  {line}")

    def command(self, text: str) -> None:
        """The external command as it can be typed by hand; shown when verbose."""
        if self.verbose:
            self._talk("$", "dim", text)

    @contextmanager
    def waiting(self, text: str, limit_seconds: float | None = None) -> Iterator[None]:
        """Say what is waited for and how long at most; on a terminal the seconds run."""
        limit = f" (at most {limit_seconds:.0f} s)" if limit_seconds else ""
        if self.quiet:
            yield
            return
        if not sys.stderr.isatty() or self.verbose:
            self._talk("◎", "blue", text + limit)
            yield
            return
        stop = threading.Event()
        worker = threading.Thread(target=self._tick, args=(text + limit, stop), daemon=True)
        worker.start()
        try:
            yield
        finally:
            stop.set()
            worker.join()

    def _tick(self, text: str, stop: threading.Event) -> None:
        started = time.monotonic()
        while not stop.wait(0.2):
            sys.stderr.write(f"\r{self._paint('◎', 'blue', sys.stderr)} {text} … {time.monotonic() - started:.0f} s ")
            sys.stderr.flush()
        sys.stderr.write("\r\033[K")
        sys.stderr.flush()

    def progress(self, what: str, done: int, total: int, seconds_left: float | None) -> None:
        """A bar with bytes and the time left on a terminal, in place; nothing elsewhere."""
        if self.quiet or self.as_json or not sys.stderr.isatty() or total <= 0:
            return
        filled = min(_BAR, _BAR * done // total)
        left = "" if seconds_left is None else f", {_span(seconds_left)} left"
        bar = "█" * filled + "·" * (_BAR - filled)
        text = f"{printable(what)} {bar} {human_size(done)} of {human_size(total)}{left}"
        sys.stderr.write(f"\r\033[K{self._paint('◎', 'blue', sys.stderr)} {text}")
        if done >= total:
            sys.stderr.write("\r\033[K")
        sys.stderr.flush()

    def data(self, value: object) -> None:
        """One JSON document on stdout."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def line(self, text: str = "") -> None:
        """One line of result on stdout."""
        sys.stdout.write(printable(text) + "\n")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A plain aligned table on stdout."""
        shown = [[printable(cell) for cell in row] for row in (heads, *rows)]
        widths = [max(len(row[index]) for row in shown) for index in range(len(heads))]
        for number, row in enumerate(shown):
            text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            sys.stdout.write((self._paint(text, "bold", sys.stdout) if number == 0 else text) + "\n")

    def ask(self, question: str, default: str = "") -> str:
        """Ask one question on the terminal; an empty answer takes the default."""
        shown = f" [{default}]" if default else ""
        sys.stderr.write(f"{self._paint('?', 'blue', sys.stderr)} {question}{shown} ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if not answer:
            raise EOFError
        return answer.strip() or default

    @staticmethod
    def is_interactive() -> bool:
        """Whether a person can answer."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def _talk(self, glyph: str, colour: str, text: str, *, always: bool = False) -> None:
        if self.quiet and not always:
            return
        shown = printable(text)
        painted = self._paint(shown, colour, sys.stderr) if colour == "dim" else shown
        sys.stderr.write(f"{self._paint(glyph, colour, sys.stderr)} {painted}\n")
        sys.stderr.flush()

    @staticmethod
    def _paint(text: str, colour: str, stream: TextIO) -> str:
        if not stream.isatty() or os.environ.get("NO_COLOR"):
            return text
        return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def _span(seconds: float) -> str:
    """A time for people: `40 s`, `3 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
