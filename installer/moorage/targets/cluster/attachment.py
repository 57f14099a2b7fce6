"""Our own standard streams and terminal, tied to those of a container that waits for them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Sequence
from typing import Any

from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.streams import open_stream

# Nobody hears what a container says before somebody is attached: so it waits for a first line. A shell reads no byte more.
_WAITING = ("/bin/sh", "-c", 'IFS= read -r _; exec "$@"', "sh")
_FIRST_LINE = b"\n"
_PART_BYTES = 65536
_RESIZE_CHANNEL = 4


def waiting(words: Sequence[str]) -> list[str]:
    """The command that begins when somebody is attached."""
    return [*_WAITING, *words]


def is_terminal() -> bool:
    """Whether a person is at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def attach(cluster: Cluster, namespace: str, pod: str, container: str, *, has_terminal: bool) -> None:
    """Pass everything on, as bytes, until the container's own streams end. Raises MoorageError."""
    connection = open_stream(cluster, namespace, pod, container, None, stdin=True, tty=has_terminal, binary=True)
    with _raw() if has_terminal else contextlib.nullcontext():
        try:
            if has_terminal:
                size = shutil.get_terminal_size()
                connection.write_channel(
                    _RESIZE_CHANNEL, json.dumps({"Width": size.columns, "Height": size.lines}).encode()
                )
            connection.write_stdin(_FIRST_LINE)
            threading.Thread(target=_feed, args=(connection,), daemon=True).start()
            while connection.is_open():
                connection.update(timeout=1)
                _copy(connection)
            _copy(connection)
        finally:
            connection.close()


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the container, Ctrl-C too; the terminal is as it was afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _copy(connection: Any) -> None:
    for peek, read, sink in (
        (connection.peek_stdout, connection.read_stdout, sys.stdout),
        (connection.peek_stderr, connection.read_stderr, sys.stderr),
    ):
        if peek():
            sink.flush()
            sink.buffer.write(read())
            sink.buffer.flush()


def _feed(connection: Any) -> None:
    """Our standard input to the command as it comes; its end is told as far as the protocol can."""
    try:
        while part := os.read(sys.stdin.fileno(), _PART_BYTES):
            connection.write_stdin(part)
        connection.close_channel(0)
    except (OSError, ValueError, AttributeError):
        return
    except Exception as error:
        # The container has ended meanwhile.
        if type(error).__module__.partition(".")[0] != "websocket":
            raise
