"""The lock of a night on the host: who comes second ends at once, or waits where there is patience."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from moorage.backups.failures import Busy
from moorage.console import Console
from moorage.errors import MoorageError
from moorage.targets.compose.job_runs import only_night


@pytest.fixture
def compose_folder(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "compose"


@contextmanager
def night(compose_folder: Path) -> Iterator[None]:
    """What the timer's script holds."""
    descriptor = os.open(compose_folder.parent / "backups", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def test_a_second_one_ends_at_once_with_a_status_of_its_own(compose_folder: Path) -> None:
    with night(compose_folder), pytest.raises(MoorageError) as failure, only_night(compose_folder):
        pass
    assert failure.value.exit_status == Busy.exit_status


def test_with_patience_the_end_of_the_night_is_waited_for(compose_folder: Path) -> None:
    ended = threading.Event()

    def run_a_night(begun: threading.Event, may_end: threading.Event) -> None:
        with night(compose_folder):
            begun.set()
            may_end.wait(60)
            ended.set()

    begun, may_end = threading.Event(), threading.Event()
    running = threading.Thread(target=run_a_night, args=(begun, may_end))
    running.start()
    begun.wait(60)
    threading.Timer(0.2, may_end.set).start()
    with only_night(compose_folder, Console(quiet=True), patience_seconds=60):
        assert ended.is_set()
    running.join()


def test_patience_ends(compose_folder: Path) -> None:
    with night(compose_folder), pytest.raises(MoorageError, match="is running already"):  # noqa: SIM117
        with only_night(compose_folder, Console(quiet=True), patience_seconds=0.1):
            pass
