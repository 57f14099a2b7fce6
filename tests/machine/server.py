"""A fresh server in a container: systemd as process 1, ssh, and a Docker engine of its own.

with FreshServer("bookworm") as server:
    server.load_images(["busybox:stable"])
    server.copy_in(Path("compose.yaml"))
    server.run(["docker", "compose", "up", "--wait"], folder="/root")
    server.reboot()
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from rig import RigError, last_lines, run

BOOT_LIMIT_SECONDS = 90
STOP_LIMIT_SECONDS = 60
LOAD_LIMIT_SECONDS = 600
OWNER_LABEL = "moorage-test.owner"
CHECKOUT = Path(__file__).resolve().parents[2]

# What systemd and a nested engine need when --privileged is not to be had. ALL is what this
# machine's own engine can give.
RIGHTS = (
    *("--cap-add", "ALL"),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    *("--device-cgroup-rule", "a *:* rwm"),
    *("--cgroupns", "host"),
    *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--tmpfs", "/run:exec"),
    *("--tmpfs", "/run/lock"),
    *("--tmpfs", "/tmp:exec"),
)


class FreshServer:
    """A running server for the time of a `with` block; removed with its data at the end."""

    def __init__(self, suite: str = "bookworm", *, arguments: Sequence[str] = (), keep: bool = False) -> None:
        """Prepare a server of a Debian suite.

        `arguments` go to `docker run` (published ports, networks); `keep` leaves the server
        running at the end, for a look at what went wrong.
        """
        checkout = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:6]
        self.name = f"moorage-server-{checkout}-{secrets.token_hex(3)}"
        self._image = f"moorage-test/server:{suite}"
        self._arguments = tuple(arguments)
        self._keep = keep

    def __enter__(self) -> FreshServer:
        """Start the server and wait until systemd and the inner engine are up."""
        remove_abandoned()
        try:
            _docker(["run", "--detach", *self._options(), *self._arguments, self._image])
            self._wait_until_up()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the container and its volume, unless it is to be kept."""
        if not self._keep:
            self._remove()

    @property
    def address(self) -> str:
        """Return the address under which this machine reaches the server."""
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return _docker(["inspect", "--format", template, self.name]).split()[0]

    def run(
        self,
        arguments: Sequence[str],
        *,
        folder: str = "/root",
        check: bool = True,
        stdin: str = "",
        timeout_seconds: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the server as root; with `check`, raise when it fails."""
        done = subprocess.run(
            ["docker", "exec", "--interactive", "--workdir", folder, self.name, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if check and done.returncode != 0:
            output = last_lines(done.stdout + done.stderr)
            raise RigError(f"on {self.name}: `{' '.join(arguments)}` failed:\n{output}")
        return done

    def copy_in(self, path: Path, target: str = "/root") -> None:
        """Copy a file or a folder into a folder of the server, owned by root.

        `docker cp` does not reach /tmp and /run, which are mounts: hence an archive.
        """
        self.run(["mkdir", "-p", target])
        with tempfile.TemporaryFile() as archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                tar.add(path, arcname=path.name, filter=_owned_by_root)
            archive.seek(0)
            subprocess.run(
                ["docker", "exec", "--interactive", self.name, "tar", "-x", "-C", target],
                stdin=archive,
                check=True,
                timeout=LOAD_LIMIT_SECONDS,
            )

    def load_images(self, images: Sequence[str]) -> None:
        """Give images of this machine's engine to the server's engine."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as save:
            load = subprocess.run(
                ["docker", "exec", "--interactive", self.name, "docker", "load", "--quiet"],
                stdin=save.stdout,
                capture_output=True,
                text=True,
                timeout=LOAD_LIMIT_SECONDS,
                check=False,
            )
        if save.returncode or load.returncode:
            raise RigError(f"loading {', '.join(images)} failed:\n{last_lines(load.stderr)}")

    def reboot(self) -> None:
        """Shut down in order, start again, and wait until the server is up."""
        _docker(["restart", "--time", str(STOP_LIMIT_SECONDS), self.name])
        self._wait_until_up()

    def cut_power(self) -> None:
        """End every process at once, start again, and wait until the server is up."""
        _docker(["kill", self.name])
        _docker(["start", self.name])
        self._wait_until_up()

    def _options(self) -> list[str]:
        names = ["--name", self.name, "--hostname", "server"]
        owner = f"{OWNER_LABEL}={socket.gethostname()}:{os.getpid()}"
        data = f"{self.name}:/var/lib/docker"
        return ["--pull", "never", *names, "--label", owner, "--volume", data, *RIGHTS]

    def _wait_until_up(self) -> None:
        # "degraded" is up as well: a unit that can't work in a container is no matter of ours.
        def booted() -> bool:
            state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
            return state in ("running", "degraded")

        def engine_answers() -> bool:
            return self.run(["docker", "version"], check=False).returncode == 0

        self._wait_for("systemd", booted)
        self._wait_for("the inner engine", engine_answers)

    def _wait_for(self, what: str, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOOT_LIMIT_SECONDS
        while not is_there():
            if time.monotonic() > deadline:
                raise RigError(f"{what} is not up after {BOOT_LIMIT_SECONDS} s:\n{self._story()}")
            time.sleep(0.2)

    def _story(self) -> str:
        """Return what the server has to say about itself, as far as it still can."""
        failed = self.run(["systemctl", "--failed", "--no-legend"], check=False).stdout
        journal = self.run(["journalctl", "--no-pager", "--lines", "30"], check=False).stdout
        logs = subprocess.run(
            ["docker", "logs", "--tail", "20", self.name],
            capture_output=True,
            text=True,
            check=False,
        )
        return last_lines(failed + journal + logs.stdout + logs.stderr, 60)

    def _remove(self) -> None:
        _remove_server(self.name)


def remove_abandoned() -> None:
    """Remove servers whose test run was killed before it could do so."""
    columns = f'{{{{.Names}}}} {{{{.Label "{OWNER_LABEL}"}}}}'
    listing = _docker(["ps", "--all", "--filter", f"label={OWNER_LABEL}", "--format", columns])
    for line in listing.splitlines():
        name, _, owner = line.partition(" ")
        machine, _, pid = owner.partition(":")
        if machine == socket.gethostname() and not Path(f"/proc/{pid}").exists():
            _remove_server(name)


def _remove_server(name: str) -> None:
    inner = subprocess.run(
        ["docker", "exec", name, "docker", "ps", "--all", "--quiet", "--no-trunc"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    for command in (["rm", "--force", "--volumes", name], ["volume", "rm", "--force", name]):
        subprocess.run(["docker", *command], capture_output=True, check=False, timeout=120)
    for identity in inner.stdout.split():
        _remove_control_groups(identity)


def _remove_control_groups(container: str) -> None:
    """Remove what a nested container leaves in this machine's tree when its engine just ends."""
    for folder in Path("/sys/fs/cgroup").glob(f"*/docker/{container}"):
        try:
            folder.rmdir()
        except OSError:
            continue  # still in use, or not ours to remove


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _docker(arguments: Sequence[str]) -> str:
    return run(["docker", *arguments], timeout_seconds=STOP_LIMIT_SECONDS + 60)
