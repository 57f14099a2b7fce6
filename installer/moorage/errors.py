"""The exception tree: what failed, where, and what to do next.

MoorageError            exit status 1
├── InputError          exit status 2: problems of the operator's files or options, all of them at once
├── CommandFailed       an external program failed; carries its command, status and last lines
└── DeployError         a deployment step failed; says what still serves
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class MoorageError(Exception):
    """A failure that a person can act on; `hint` is the next step to take."""

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands in a file; line and column count from 1, 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong with the input: place, key, rule, value as written, and the way out."""

    place: Place
    key: str
    rule: str
    value: str = ""
    suggestion: str = ""
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.key}: {self.rule}" if self.key else f"{self.place}: {self.rule}"
        if self.value:
            text += f", got {self.value}"
        if self.suggestion:
            text += f"; did you mean {self.suggestion}?"
        if self.hint:
            text += f" → {self.hint}"
        return text

    def as_data(self) -> dict[str, object]:
        """The problem for `--json`."""
        return {
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "key": self.key,
            "rule": self.rule,
            "value": self.value,
            "suggestion": self.suggestion,
            "hint": self.hint,
        }


_LOOK_AGAIN = "look at that file or folder, then run the same command again"
_NEXT_STEPS = {
    errno.ENOSPC: "free some room (`df --human-readable`), then run the same command again",
    errno.EDQUOT: "free some room, then run the same command again",
    errno.EROFS: "the file system is mounted read-only: `dmesg` says why",
    errno.EIO: "the disk or its network has a fault: `dmesg` says which",
    errno.EMFILE: "raise `ulimit -n`, then run the same command again",
    errno.ENOMEM: "free some memory, then run the same command again",
    errno.EACCES: "run the command as the owner of the deployment folder, or with sudo",
    errno.EPERM: "run the command as the owner of the deployment folder, or with sudo",
}


def refused_by_the_system(error: OSError) -> MoorageError:
    """What the system refused that nobody expected it to: the file, the reason and a next step."""
    reason = error.strerror or type(error).__name__
    what = f"{error.filename}: " if isinstance(error.filename, (str, os.PathLike)) else ""
    return MoorageError(f"{what}{reason}", _NEXT_STEPS.get(error.errno or 0, _LOOK_AGAIN))


# More than the last twenty lines of an output are never shown.
_SHOWN_FRAMES = 12


def places_of(error: BaseException) -> list[str]:
    """The way to an error and the errors before it, as places in the code: no message, no source line, no value."""
    import traceback

    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = places_of(earlier) if earlier is not None else []
    frames = traceback.extract_tb(error.__traceback__, limit=-_SHOWN_FRAMES)
    lines += [f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames]
    where = f" at {_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return [*lines, f"{type(error).__name__}{where}"]


def _short(file: str) -> str:
    """The file's place inside the package, or its last two names."""
    _, found, inside = file.rpartition("/moorage/")
    return inside if found else "/".join(Path(file).parts[-2:])


class InputError(MoorageError):
    """The operator's input is wrong; nothing was written."""

    exit_status = 2

    def __init__(self, problems: Iterable[Problem] | str, hint: str = "") -> None:
        if isinstance(problems, str):
            self.problems: tuple[Problem, ...] = ()
            super().__init__(problems, hint)
            return
        self.problems = tuple(sorted(set(problems)))
        count = len(self.problems)
        super().__init__(f"{count} problem{'' if count == 1 else 's'} found, nothing was written", hint)


class CommandFailed(MoorageError):
    """An external program ended with an error; `command` is already redacted."""

    def __init__(self, command: Sequence[str], status: int, output: str, hint: str = "") -> None:
        self.command = tuple(command)
        self.status = status
        self.output = output
        super().__init__(f"`{command[0]}` ended with status {status}", hint)


class DeployError(MoorageError):
    """A step of a deployment failed; the message says what still serves."""
