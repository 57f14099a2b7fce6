"""Run an external program from an argument list; secrets never stand in the list."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from moorage.errors import CommandFailed, MoorageError

_CLEAR_LINE = b"\033[2K"
# What a program gets to end by itself when its input is closed.
_END_SECONDS = 10
_INSTALL_HINTS = {
    "docker": "install Docker Engine 25 or newer with the Compose plugin: https://docs.docker.com/engine/install/",
}


@dataclass(frozen=True)
class Result:
    """What a finished program gave back."""

    status: int
    output: str
    errors: str


def printable(command: Sequence[str]) -> str:
    """The command as it can be typed by hand."""
    return shlex.join(command)


def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    timeout_seconds: float | None = None,
    check: bool = True,
    keep_open: Sequence[int] = (),
) -> Result:
    """Run to the end and capture both streams.

    Raises CommandFailed for a non-zero status (unless `check` is false) and MoorageError when the
    program is missing or the time is over. What goes to `stdin` is never shown. The program inherits the
    file descriptors in `keep_open`.
    """
    try:
        finished = subprocess.run(
            list(command),
            cwd=folder,
            env=_environment(environment),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            pass_fds=tuple(keep_open),
        )
    except FileNotFoundError:
        raise _missing(command[0], folder) from None
    except subprocess.TimeoutExpired:
        raise MoorageError(f"`{printable(command)}` did not finish within {timeout_seconds:g} seconds") from None
    output = finished.stdout.decode(errors="replace")
    errors = finished.stderr.decode(errors="replace")
    if check and finished.returncode != 0:
        # Some programs tell the reason on one stream and the summary on the other, `docker compose build` for instance.
        said = [text.strip() for text in (output, errors) if text.strip()]
        raise CommandFailed(command, finished.returncode, "\n".join(said))
    return Result(finished.returncode, output, errors)


def attach(command: Sequence[str], *, folder: Path | None = None, environment: Mapping[str, str] | None = None) -> int:
    """Run with the terminal's own streams, for logs and shells; gives the exit status."""
    try:
        return subprocess.run(list(command), cwd=folder, env=_environment(environment), check=False).returncode
    except FileNotFoundError:
        raise _missing(command[0], folder) from None
    except KeyboardInterrupt:
        return 130


def follow(
    command: Sequence[str],
    on_line: Callable[[str], None],
    *,
    folder: Path | None = None,
    on_error: Callable[[str], None],
) -> int:
    """Run to the end and hand over every line as it comes, of standard output and of standard error; gives the status.

    Interrupted by the user, the program gets its time to end in order: the terminal has told it as well.
    """
    try:
        program = subprocess.Popen(
            list(command),
            cwd=folder,
            env=_environment(None),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise _missing(command[0], folder) from None
    with program:
        assert program.stdout is not None
        assert program.stderr is not None
        errors = threading.Thread(target=_each_line, args=(program.stderr, on_error), daemon=True)
        errors.start()
        try:
            _each_line(program.stdout, on_line)
        except BaseException:
            program.terminate()
            raise
        finally:
            program.wait()
            errors.join()
        return program.returncode


@contextmanager
def interactive(
    command: Sequence[str], *, folder: Path | None = None, keep_open: Sequence[int] = ()
) -> Iterator[subprocess.Popen[str]]:
    """A program that is talked to by its standard streams; it ends when its input is closed, or is ended."""
    try:
        program = subprocess.Popen(
            list(command),
            cwd=folder,
            env=_environment(None),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            pass_fds=tuple(keep_open),
        )
    except FileNotFoundError:
        raise _missing(command[0], folder) from None
    try:
        yield program
    finally:
        try:
            program.communicate(timeout=_END_SECONDS)
        except (subprocess.TimeoutExpired, BrokenPipeError, ValueError):
            program.kill()
            program.wait()


def _each_line(stream: IO[str], receive: Callable[[str], None]) -> None:
    for line in stream:
        receive(line.rstrip("\n").removeprefix(_CLEAR_LINE.decode()))


def attach_plain(command: Sequence[str], *, folder: Path | None = None) -> int:
    """Like `attach`, but for streams that are no terminals: what clears a terminal's line is taken off each line.

    Compose writes it in front of every line of a log, and no option of its stops that.
    """
    try:
        with subprocess.Popen(
            list(command),
            cwd=folder,
            env=_environment(None),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if _is_one_stream() else subprocess.PIPE,
        ) as program:
            return _pumped(program)
    except FileNotFoundError:
        raise _missing(command[0], folder) from None


def _pumped(program: subprocess.Popen[bytes]) -> int:
    pumps = []
    try:
        if program.stderr is not None:
            pumps.append(threading.Thread(target=_pump_errors, args=(program, program.stderr), daemon=True))
            pumps[0].start()
        assert program.stdout is not None
        _pump(program.stdout, sys.stdout.buffer)
        return program.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        # Whoever read along may have gone (`| head`), and nobody would end the program then.
        program.terminate()
        for pump in pumps:
            pump.join()


def _pump_errors(program: subprocess.Popen[bytes], source: IO[bytes]) -> None:
    try:
        _pump(source, sys.stderr.buffer)
    except OSError:
        program.terminate()


def _pump(source: IO[bytes], sink: IO[bytes]) -> None:
    for line in source:
        sink.write(line.removeprefix(_CLEAR_LINE))
        sink.flush()


def _is_one_stream() -> bool:
    """Whether both streams end in the same file, where the order of their lines says something."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return False


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    # The operator's shell must not change what a rendered folder means: Compose lets shell variables
    # win over its .env file, COMPOSE_* would choose other files and MOORAGE_* other sizes.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "MOORAGE_"))}
    return {**kept, **(extra or {})}


def _missing(program: str, folder: Path | None) -> MoorageError:
    if folder is not None and not folder.is_dir():
        return MoorageError(f"the folder {folder} does not exist")
    return MoorageError(f"the program `{program}` is not installed", _INSTALL_HINTS.get(program, ""))


def installed(program: str) -> bool:
    """Whether the program is on the PATH."""
    return shutil.which(program) is not None
