"""Throw-away containers to ask things of, and two words for what must be so."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rig import RigError, run

PATIENCE_SECONDS = 40
RUN_LIMIT_SECONDS = 180


class Container:
    """A container that is asked things; made by `started`, which also removes it."""

    def __init__(self, name: str) -> None:
        """Name a container that exists."""
        self.name = name

    def run(self, *arguments: str) -> str:
        """Run a program in it and return stdout."""
        return run(["docker", "exec", self.name, *arguments], timeout_seconds=120).strip()

    def logs(self) -> str:
        """Return all that it said."""
        command = ["docker", "logs", self.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def address(self) -> str:
        """Return its address on the default network."""
        return self._inspect("{{.NetworkSettings.IPAddress}}")

    def exit_status(self) -> int:
        """Return the status it ended with."""
        return int(self._inspect("{{.State.ExitCode}}"))

    def stop(self) -> None:
        """Ask it to end, as an operator would."""
        run(["docker", "stop", "--time", "30", self.name], timeout_seconds=60)

    def start(self) -> None:
        """Start it again."""
        run(["docker", "start", self.name], timeout_seconds=60)

    def _inspect(self, template: str) -> str:
        return run(["docker", "inspect", "-f", template, self.name], timeout_seconds=30).strip()


@contextmanager
def started(image: str, *options: str, command: Sequence[str] = ()) -> Iterator[Container]:
    """Start a container in the background and remove it with its volumes at the end."""
    name = f"moorage-try-{secrets.token_hex(4)}"
    words = ["docker", "run", "--detach", "--pull", "never", "--name", name]
    remove = ["docker", "rm", "--force", "--volumes", name]
    try:
        run([*words, *options, image, *command], timeout_seconds=60)
        yield Container(name)
    finally:
        subprocess.run(remove, capture_output=True, check=False)


def once(image: str, *options: str, command: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run a container to its end."""
    return subprocess.run(
        ["docker", "run", "--rm", "--pull", "never", *options, image, *command],
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_SECONDS,
        check=False,
    )


def expect(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds; a program that fails meanwhile does not count."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            if holds():
                return
        except RigError:
            pass
        if time.monotonic() > deadline:
            raise RigError(f"not so after {PATIENCE_SECONDS} s: {what}")
        time.sleep(0.3)


def require(what: str, value: bool) -> None:
    """Raise unless something holds now."""
    if not value:
        raise RigError(f"not so: {what}")
