"""The first and last thing of every process: signals, logging, errors as one line and a status."""

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from notes.settings import SettingsError

EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2


class StartError(Exception):
    """The process can't do its work for a reason that is worth one plain line."""


def run(main: Callable[[], int]) -> NoReturn:
    """Run `main` and leave with its exit status; an expected error is one line, no traceback."""
    # The first thing of all: the first process of a container is deaf to signals without a handler.
    # It is also what uvicorn meets when it has shut down in good order and raises SIGTERM again.
    signal.signal(signal.SIGTERM, leave)
    try:
        status = main()
    except SettingsError as error:
        status = complain(error, EXIT_BAD_SETTINGS)
    except StartError as error:
        status = complain(error, EXIT_FAILED)
    raise SystemExit(status)


def leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End the process with success: it was asked to go, and nothing is lost."""
    raise SystemExit(0)


def complain(error: Exception, status: int) -> int:
    """Print the error as one line and return the exit status."""
    print(f"notes: {error}", file=sys.stderr, flush=True)
    return status


def set_up_logging() -> None:
    """Send log records to standard output as plain lines; the container engine collects them."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; the drivers' hints fill a log for nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
