"""Restores of a running site on a bad day: cut off at any moment, with a queue, by an operator who tries again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docker.site import Site, docker, note, site_with_store, titles

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A notes site with one note, a file and a job in its queue, of which there is a good backup."""
    with site_with_store(tmp_path_factory.mktemp("restores")) as made:
        note(made, "in the backup")
        in_web(made, "echo backed up >/srv/uploads/file")
        redis(made, "SET", "state", "of the backup")
        made.must("backup", "run")
        yield made


def in_web(site: Site, script: str) -> str:
    return docker("exec", site.container("web"), "sh", "-c", script)


def redis(site: Site, *words: str) -> str:
    return docker("exec", site.container("redis"), "redis-cli", *words).strip()


def mark(site: Site) -> Path:
    return site.folder / "releases" / "compose" / "exchange"


def state_of(site: Site) -> str:
    """`backup` or `later`; database, files and queue must agree."""
    found = (
        "later" in titles(site),
        in_web(site, "cat /srv/uploads/file").strip() == "written later",
        redis(site, "GET", "state") == "of later",
    )
    assert len(set(found)) == 1, found
    return "later" if found[0] else "backup"


def write_later(site: Site) -> None:
    if "later" not in titles(site):
        note(site, "later")
    in_web(site, "echo written later >/srv/uploads/file")
    redis(site, "SET", "state", "of later")
    assert state_of(site) == "later"


def kill(program: subprocess.Popen[bytes], site: Site) -> None:
    """kill -9 of the command, all that it started, and of the container that it waits for."""
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    ours = f"label=com.docker.compose.project={site.name}"
    running = docker(
        "ps", "-q", "--filter", ours, "--filter", "label=com.docker.compose.service=backup-restore"
    ).split()
    if running:
        docker("kill", *running, check=False)


def cut_off(site: Site, until: Callable[[], bool], *words: str) -> bool:
    """Start a command and kill it as soon as `until` holds; whether it was still at work."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    program = subprocess.Popen(site.command(*words), start_new_session=True, **quiet)
    while program.poll() is None:
        if until():
            kill(program, site)
            return True
        time.sleep(0.02)
    return False


def test_files_database_and_queue_come_back_together_and_go_together(site: Site) -> None:
    write_later(site)
    in_web(site, "chmod 2750 /srv/uploads")
    outcome = site.moorage("backup", "restore", "--yes")
    assert outcome.status == 0, outcome.text
    assert state_of(site) == "backup"
    assert in_web(site, "stat -c %a /srv/uploads").strip() != "2750"
    undone = site.moorage("backup", "restore", "--undo", "--yes")
    assert undone.status == 0, undone.text
    assert state_of(site) == "later"
    assert in_web(site, "stat -c %a /srv/uploads").strip() == "2750"
    assert not mark(site).exists()
    site.must("backup", "restore", "--discard", "--yes")


def test_cut_off_while_old_and_new_change_places_nothing_else_starts_the_app(site: Site) -> None:
    write_later(site)
    assert cut_off(site, lambda: mark(site).exists(), "backup", "restore", "--yes")
    for words in (("up", "--skip-checks"), ("backup", "run"), ("run", "web", "true")):
        refused = site.moorage(*words)
        assert refused.status != 0, words
        assert "cut off while old and new changed places" in refused.text
    night = subprocess.run(
        ["sh", str(site.folder / "rendered/compose/backups/night.sh")], capture_output=True, text=True, check=False
    )
    assert (night.returncode, "cut off half way" in night.stderr) == (23, True)
    status = site.moorage("--json", "status")
    assert status.status == 1
    assert any("cut off" in item["text"] for item in json.loads(status.output)["backups"]["findings"])
    other = site.moorage("backup", "restore", "--at", "newest", "--yes")
    assert "goes on with it" in other.text
    assert other.status != 0
    finished = site.moorage("backup", "restore", "--yes")
    assert finished.status == 0, finished.text
    assert state_of(site) == "backup"
    assert site.moorage("plan").status == 0
    site.must("backup", "restore", "--undo", "--yes")
    assert state_of(site) == "later"
    site.must("backup", "restore", "--discard", "--yes")


def test_killed_at_random_moments_it_is_finished_or_undone(site: Site) -> None:
    """Either way all of it is one state, and an `up` in the end finds nothing to do."""
    rounds, chance, hits = int(os.environ.get("MOORAGE_KILLS") or "2"), random.Random(20261124), 0
    for number in range(rounds):
        write_later(site)
        end = time.monotonic() + chance.uniform(1.0, 12.0)
        hits += cut_off(site, lambda end=end: time.monotonic() > end, "backup", "restore", "--yes")  # type: ignore[misc]
        finished = site.moorage("backup", "restore", "--yes")
        assert finished.status == 0, (number, finished.text)
        assert state_of(site) == "backup", number
        end = time.monotonic() + chance.uniform(0.5, 8.0)
        hits += cut_off(site, lambda end=end: time.monotonic() > end, "backup", "restore", "--undo", "--yes")  # type: ignore[misc]
        known = json.loads(site.must("--json", "backup", "restores").output)
        if known[-1]["phase"] != "undone" or mark(site).exists():
            undone = site.moorage("backup", "restore", "--undo", known[-1]["id"], "--yes")
            assert undone.status == 0, (number, undone.text)
        assert state_of(site) == "later", number
        for item in json.loads(site.must("--json", "backup", "restores").output):
            site.must("backup", "restore", "--discard", item["id"], "--yes")
        assert site.up().status == 0
        assert site.moorage("plan").status == 0
    assert hits >= rounds // 2
