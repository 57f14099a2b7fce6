"""A Docker daemon started by hand, for a machine on which no systemd runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from rig import RigError, cache_folder, last_lines, run, say

START_LIMIT_SECONDS = 60
# A daemon that stops gives every container its own time to stop first.
STOP_LIMIT_SECONDS = 90
CONTAINERD_PID_FILE = Path("/var/run/docker/containerd/containerd.pid")


def pid_file() -> Path:
    """Return where the daemon that we started keeps its process number."""
    return cache_folder() / "dockerd.pid"


def log_file() -> Path:
    """Return where the daemon that we started writes its log."""
    return cache_folder() / "dockerd.log"


def server_version() -> str | None:
    """Return the version of the engine that answers plain `docker`, or None."""
    try:
        answer = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout_seconds=20)
    except RigError:
        return None
    return answer.strip() or None


def running_pid() -> int | None:
    """Return the process number of our own daemon, or None when it does not run.

    A number alone proves nothing after a crash: the command line must name our pid file.
    """
    try:
        pid = int(pid_file().read_text())
    except (FileNotFoundError, ValueError):
        return None
    words = _command_line(pid)
    return pid if words and "dockerd" in words[0] and str(pid_file()) in words else None


def has_program(name: str) -> bool:
    """Tell whether dockerd would find a program on this machine."""
    return shutil.which(name, path=_search_path()) is not None


def start(programs: list[Path]) -> None:
    """Start dockerd in a process group of its own and wait until it answers.

    `programs` are folders searched before the PATH, for an engine that is only unpacked.
    """
    _forget_dead_processes()
    _keep_previous_log()
    path = os.pathsep.join([*map(str, programs), _search_path()])
    with log_file().open("w") as log:
        process = subprocess.Popen(
            ["dockerd", "--pidfile", str(pid_file()), "--data-root", "/var/lib/docker"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, "PATH": path},
            start_new_session=True,
        )
    say(f"dockerd started by hand as process {process.pid}, log in {log_file()}")
    _wait_until_answers(process)


def stop() -> bool:
    """Stop the daemon that we started and wait for its end; False when there is none."""
    pid = running_pid()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_SECONDS
    while running_pid() is not None:
        if time.monotonic() > deadline:
            raise RigError(f"dockerd ({pid}) is still stopping, see {log_file()}")
        time.sleep(0.1)
    return True


def _search_path() -> str:
    # The folders for administration are not on everybody's PATH.
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _wait_until_answers(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RigError(f"dockerd ended with status {process.returncode}:\n{_log_end()}")
        if server_version() is not None:
            return
        time.sleep(0.2)
    raise RigError(f"dockerd gave no answer within {START_LIMIT_SECONDS} s:\n{_log_end()}")


def _log_end() -> str:
    return last_lines(log_file().read_text(errors="replace"), 30)


def _keep_previous_log() -> None:
    if log_file().exists():
        log_file().replace(log_file().with_suffix(".previous.log"))


def _forget_dead_processes() -> None:
    """Remove pid files that a killed daemon or a rebooted machine left behind.

    dockerd believes a pid file whose number is alive, whoever has that number now.
    """
    if running_pid() is None:
        pid_file().unlink(missing_ok=True)
    try:
        words = _command_line(int(CONTAINERD_PID_FILE.read_text()))
    except (FileNotFoundError, ValueError):
        return
    if not words or "containerd" not in words[0]:
        CONTAINERD_PID_FILE.unlink(missing_ok=True)


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
