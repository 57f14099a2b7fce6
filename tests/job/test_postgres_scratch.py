"""The scratch server: alone, in its own folder only, gone afterwards, never in a folder of somebody else."""

# docker run: --network none --user postgres

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moorage.backups.failures import BackupError, RestoreFailed
from moorage.backups.manifest import ServerFacts
from moorage.backups.postgres import scratch
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.scratch import MARKER, memory_limit, remove_scratch_server, scratch_server
from moorage.backups.postgres.server import system_identifier
from tests.job.live_server import value


def servers() -> list[str]:
    """The data folders of the servers that run in this container."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"/postgres") or words[0] == b"postgres":
            found.append(words[words.index(b"-D") + 1].decode())
    return found


def test_it_is_reached_by_its_socket_only_and_gone_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "drill"
    with scratch_server(folder, forbidden_identifier="1") as server:
        assert server.host.startswith(str(folder))
        for name, expected in (
            ("listen_addresses", ""), ("fsync", "off"), ("wal_level", "minimal"), ("archive_mode", "off"),
            ("autovacuum", "off"), ("max_wal_senders", "0"),
        ):  # fmt: skip
            assert value(server, "postgres", f"SHOW {name}") == expected
        assert folder.stat().st_mode & 0o077 == 0
        assert servers() == [str(folder / "data")]
    assert not folder.exists()
    assert servers() == []


def test_an_error_inside_ends_it_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch_server(tmp_path / "drill", forbidden_identifier="1"):
        raise ZeroDivisionError
    assert not (tmp_path / "drill").exists()
    assert servers() == []


def test_a_run_that_was_killed_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "drill"
    script = f"""
import sys, time
from pathlib import Path
from moorage.backups.postgres.scratch import scratch_server
with scratch_server(Path({str(folder)!r}), forbidden_identifier="1") as server:
    print(server.host, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        os.kill(killed.pid, signal.SIGKILL)
    assert servers() == [str(folder / "data")], "its server is left over"
    with scratch_server(folder, forbidden_identifier="1") as server:
        assert value(server, "postgres", "SELECT 1") == 1
        assert servers() == [str(folder / "data")]
    assert servers() == []


def test_a_process_number_of_another_container_ends_nobody_here(tmp_path: Path) -> None:
    folder = tmp_path / "drill"
    (folder / "data").mkdir(parents=True)
    (folder / MARKER).touch()
    with subprocess.Popen(["sleep", "600"]) as innocent:
        (folder / "data" / "postmaster.pid").write_text(f"{innocent.pid}\n{folder / 'data'}\n0\n5432\n\n\n\nready\n")
        (folder / "data" / "PG_VERSION").write_text("17\n")
        remove_scratch_server(folder)
        assert innocent.poll() is None
        innocent.kill()
    assert not folder.exists()


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.8, 1.2])
def test_a_run_that_was_killed_while_it_began_is_cleaned_up(tmp_path: Path, seconds: float) -> None:
    folder = tmp_path / "drill"
    script = f"""
from pathlib import Path
from moorage.backups.postgres.scratch import scratch_server
print(flush=True)
with scratch_server(Path({str(folder)!r}), forbidden_identifier="1") as server:
    pass
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        time.sleep(seconds)
        os.killpg(killed.pid, signal.SIGKILL)
    with scratch_server(folder, forbidden_identifier="1") as server:
        assert value(server, "postgres", "SELECT 1") == 1
    assert not folder.exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")
    with (
        pytest.raises(BackupError, match="was not made by a drill"),
        scratch_server(tmp_path, forbidden_identifier="1"),
    ):
        pytest.fail("took it")
    assert (tmp_path / "data" / "PG_VERSION").read_text() == "17\n"
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "data")
    with pytest.raises(BackupError, match="was not made by a drill"):
        remove_scratch_server(link)


def test_production_is_never_taken_for_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "system_identifier", lambda connection: "7448")
    with (
        pytest.raises(BackupError, match="7448, which is production's"),
        scratch_server(tmp_path / "drill", forbidden_identifier="7448"),
    ):
        pytest.fail("used it")
    assert servers() == []


def test_two_servers_have_two_identifiers(tmp_path: Path) -> None:
    seen = set()
    for number in range(2):
        with (
            scratch_server(tmp_path / str(number), forbidden_identifier="1") as server,
            connect(server, "postgres") as connection,
        ):
            seen.add(system_identifier(connection))
    assert len(seen) == 2


def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / "it's"
    folder.parent.mkdir()
    with scratch_server(folder, forbidden_identifier="1") as server:
        assert value(server, "postgres", "SELECT 1") == 1
        elsewhere = Path(server.host)
        assert elsewhere.stat().st_mode & 0o077 == 0
    assert not elsewhere.exists()
    assert not folder.exists()


def test_the_first_role_and_the_libraries_are_those_of_the_source(tmp_path: Path) -> None:
    like = ServerFacts("17", 170012, "1", True, "0/1", "Boss Ä", (("shared_preload_libraries", "pg_stat_statements"),))
    with scratch_server(tmp_path / "drill", forbidden_identifier="1", like=like) as server:
        assert value(server, "postgres", "SELECT rolname FROM pg_roles WHERE oid = 10") == "Boss Ä"
        assert value(server, "postgres", "SHOW shared_preload_libraries") == "pg_stat_statements"


def test_a_server_that_does_not_start_tells_why(tmp_path: Path) -> None:
    like = ServerFacts("17", 170012, "1", True, "0/1", settings=(("shared_preload_libraries", "no_such_library"),))
    with (
        pytest.raises(RestoreFailed, match="no_such_library"),
        scratch_server(tmp_path / "drill", forbidden_identifier="1", like=like),
    ):
        pytest.fail("started")
    assert not (tmp_path / "drill").exists()


def test_the_limit_of_the_container_counts(tmp_path: Path) -> None:
    machine = memory_limit(())
    limit = tmp_path / "memory.max"
    limit.write_text("268435456\n")
    assert memory_limit((limit,)) == 268435456
    limit.write_text("max\n")
    assert memory_limit((limit,)) == machine
    limit.write_text(f"{1 << 62}\n")
    assert memory_limit((tmp_path / "none", limit)) == machine
