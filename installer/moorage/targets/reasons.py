"""Why a step failed, in one line, whatever failed: a program, the disk, or a step of ours."""

from __future__ import annotations

import errno

from moorage.errors import CommandFailed, DeployError, MoorageError

StepError = (MoorageError, OSError)


def reason_of(error: MoorageError | OSError) -> DeployError:
    """The failure as a sentence and a next step."""
    if isinstance(error, CommandFailed):
        return DeployError(f"{error.message}: {_last_line(error.output)}", error.hint)
    if isinstance(error, MoorageError):
        return DeployError(error.message, error.hint)
    hint = "free some space, then `moorage up` again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    place = f": {error.filename}" if error.filename else ""
    return DeployError(f"{error.strerror or type(error).__name__}{place}", hint)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it gave no reason"
