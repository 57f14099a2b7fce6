"""One change at a time per environment, even after a kill -9: with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.lock import deployment_lock

QUIET = Console(quiet=True)


def is_free(folder: Path, environment: str = "compose") -> bool:
    try:
        with deployment_lock(folder, environment, QUIET, limit_seconds=0):
            return True
    except MoorageError:
        return False


def holder(folder: Path, body: str) -> subprocess.Popen[str]:
    """A process that takes the lock, says so, and does something with it."""
    script = (
        "import os, subprocess, sys, time\n"
        "from pathlib import Path\n"
        "from moorage.console import Console\n"
        "from moorage.targets.lock import deployment_lock\n"
        "with deployment_lock(Path(sys.argv[1]), 'compose', Console(quiet=True), 30) as descriptor:\n"
        "    print(os.getpid(), flush=True)\n"
        f"    {body}\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_lock_is_free_again_afterwards_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), deployment_lock(tmp_path, "compose", QUIET):
        assert not is_free(tmp_path)
        raise RuntimeError
    assert is_free(tmp_path)


def test_environments_have_locks_of_their_own(tmp_path: Path) -> None:
    with deployment_lock(tmp_path, "compose", QUIET), deployment_lock(tmp_path, "staging", QUIET):
        assert not is_free(tmp_path, "compose")
        assert not is_free(tmp_path, "staging")


def test_who_comes_too_late_is_told_who_is_at_work(tmp_path: Path) -> None:
    process = holder(tmp_path, "sys.stdin.readline()")
    number = first_line(process)
    with pytest.raises(MoorageError, match=f"process {number}"), deployment_lock(tmp_path, "compose", QUIET, 0.1):
        pass
    process.communicate("\n", timeout=30)
    assert is_free(tmp_path)


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    first = holder(tmp_path, "sys.stdin.readline()")
    first_line(first)
    second = holder(tmp_path, "pass")
    time.sleep(0.3)
    assert second.poll() is None
    first.communicate("\n", timeout=30)
    assert first_line(second) == str(second.pid)
    assert second.wait(timeout=30) == 0


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    process = holder(tmp_path, "sys.stdin.readline()")
    first_line(process)
    process.kill()
    process.wait(timeout=30)
    assert is_free(tmp_path)


def test_the_lock_lives_on_in_a_program_that_the_killed_process_started(tmp_path: Path) -> None:
    # The program waits for its standard input to end, which is in this test's hands.
    body = "child = subprocess.Popen(['cat'], pass_fds=(descriptor,)); print('started', flush=True); child.wait()"
    process = holder(tmp_path, body)
    first_line(process)
    assert first_line(process) == "started"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert not is_free(tmp_path)
    assert process.stdin is not None
    process.stdin.close()
    end = time.monotonic() + 30
    while not is_free(tmp_path) and time.monotonic() < end:
        time.sleep(0.02)
    assert is_free(tmp_path)


def test_a_program_that_does_not_get_the_descriptor_does_not_hold_the_lock(tmp_path: Path) -> None:
    process = holder(tmp_path, "child = subprocess.Popen(['cat']); print('started', flush=True); child.wait()")
    first_line(process)
    assert first_line(process) == "started"
    process.kill()
    process.wait(timeout=30)
    assert is_free(tmp_path)
    assert process.stdin is not None
    process.stdin.close()


def test_the_file_of_the_lock_stays_so_that_no_third_process_locks_another(tmp_path: Path) -> None:
    with deployment_lock(tmp_path, "compose", QUIET):
        pass
    (file,) = (tmp_path / "releases/compose").iterdir()
    before = file.stat().st_ino
    with deployment_lock(tmp_path, "compose", QUIET):
        assert file.stat().st_ino == before
        assert file.read_text() == f"{os.getpid()}\n"


def test_who_waited_for_a_lock_that_was_deleted_locks_the_file_that_others_see(tmp_path: Path) -> None:
    first = holder(tmp_path, "sys.stdin.readline()")
    first_line(first)
    second = holder(tmp_path, "sys.stdin.readline()")
    time.sleep(0.3)
    (tmp_path / "releases/compose/.lock").unlink()
    first.communicate("\n", timeout=30)
    assert first_line(second) == str(second.pid)
    assert not is_free(tmp_path)
    second.communicate("\n", timeout=30)
    assert is_free(tmp_path)


def test_a_folder_of_another_user_is_an_error_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refused)
    with (
        pytest.raises(MoorageError, match="may not be written by this user"),
        deployment_lock(tmp_path, "compose", QUIET, limit_seconds=0),
    ):
        pass
