"""A machine that has nothing but a store and the recovery key, and one that has more than somebody thinks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from moorage.recovery_key import make_recovery_key
from tests.docker.site import Site, docker, new_site, titles

pytestmark = pytest.mark.docker


@dataclass
class Lost:
    """A site that is gone, what was in it, and what is left: the store and the key."""

    site: Site
    store: Path
    key: Path
    titles: set[str] = field(default_factory=set)
    backup: str = ""

    def restore(self, *words: str) -> list[str]:
        """The command line."""
        given = ["--from", str(self.store), "--recovery-key-file", str(self.key), "--yes"]
        return ["restore", "--bare", *given, *words]

    def wipe(self) -> None:
        """The machine as it was before anything was installed."""
        self.site.remove()


def sql(site: Site, statement: str) -> str:
    return docker(
        "exec", site.container("postgres"), "psql", "-qtA", "-U", "postgres", "-d", "notes", "-c", statement
    ).strip()


def in_web(site: Site, script: str) -> str:
    return docker("exec", site.container("web"), "sh", "-c", script).strip()


def hand_over_log(site: Site) -> None:
    """Wait until all that was written is in the store."""
    last = sql(site, "SELECT pg_walfile_name(pg_switch_wal())")
    deadline = time.monotonic() + 120
    while sql(site, f"SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver") != "t":
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.fixture(scope="module")
def lost(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lost]:
    """A site with a secret note, a file in a folder of a mode of its own, a role that somebody made; its log is in the store."""
    folder = tmp_path_factory.mktemp("bare")
    store = folder / "store"
    store.mkdir(mode=0o700)
    site = new_site(folder, backups={"stores": [{"name": "disk", "directory": str(store)}]})
    found = Lost(site, store, folder / "recovery.key")
    try:
        outcome = site.up()
        assert outcome.status == 0, outcome.text
        body = {"title": "survives the machine", "body": "b", "private": "only with the key"}
        assert site.request("POST", "/api/notes", body).status == 201
        in_web(site, "echo kept >/srv/uploads/file; chmod 2751 /srv/uploads")
        sql(site, "CREATE ROLE readers; CREATE ROLE reporting LOGIN BYPASSRLS; GRANT readers TO reporting")
        sql(site, "ALTER ROLE reporting SET work_mem TO '9MB'; GRANT SELECT ON notes TO readers")
        site.must("backup", "run")
        # By the log only.
        assert site.request("POST", "/api/notes", {"title": "after the night", "body": "b"}).status == 201
        hand_over_log(site)
        found.backup = json.loads(site.must("--json", "backup", "list").output)[0]["id"]
        found.key.write_text((site.folder / "secrets" / "recovery.key").read_text())
        yield found
    finally:
        site.remove()


def test_what_is_on_the_machine_already_is_never_replaced(lost: Lost, tmp_path: Path) -> None:
    """The folder was lost, the data were not: the very data that a restore would throw away."""
    other = Site(tmp_path / "other", lost.site.name, 0, 0)
    refused = other.moorage(*lost.restore())
    assert refused.status != 0
    assert f"{lost.site.name} is on this machine already" in refused.text
    assert not (tmp_path / "other").exists()
    assert titles(lost.site) == {"survives the machine", "after the night"}


def test_another_recovery_key_is_named_as_the_reason(lost: Lost, tmp_path: Path) -> None:
    lost.wipe()
    wrong = tmp_path / "wrong.key"
    wrong.write_text(make_recovery_key(bytes(32)))
    words = [str(wrong) if word == str(lost.key) else word for word in lost.restore()]
    refused = lost.site.moorage(*words)
    assert refused.status == 30, refused.text
    assert "this recovery key is" in refused.text


def test_a_rehearsal_leaves_the_stores_to_the_server_that_writes_to_them(lost: Lost) -> None:
    lost.wipe()
    before = sorted(path.name for path in (lost.store / lost.site.name / "writers").iterdir())
    outcome = lost.site.moorage(*lost.restore("--rehearsal"))
    assert outcome.status == 0, outcome.text
    assert titles(lost.site) == {"survives the machine"}
    refused = lost.site.moorage("backup", "run")
    assert refused.status == 29, refused.text
    assert "written by another server" in refused.text
    assert sorted(path.name for path in (lost.store / lost.site.name / "writers").iterdir()) == before
    # A log that is refused stops no database.
    assert lost.site.request("POST", "/api/notes", {"title": "of the rehearsal", "body": "b"}).status == 201


def test_everything_comes_back_also_when_it_was_cut_off_on_the_way(lost: Lost) -> None:
    lost.wipe()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = subprocess.Popen(lost.site.command(*lost.restore()), start_new_session=True, **quiet)
    attempt = lost.site.folder / ".moorage-restoring" / "attempt.json"
    while not (attempt.exists() and json.loads(attempt.read_text())["phase"] == "filling"):
        assert program.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    outcome = lost.site.moorage(*lost.restore())
    assert outcome.status == 0, outcome.text
    assert "which was cut off" in outcome.text
    assert titles(lost.site) == {"survives the machine"}
    found = next(item for item in lost.site.request("GET", "/api/notes").json()["notes"])
    assert lost.site.request("GET", f"/api/notes/{found['id']}").json()["private"] == "only with the key"
    assert in_web(lost.site, "cat /srv/uploads/file; stat -c '%a %u' /srv/uploads") == "kept\n2751 10001"
    roles = "SELECT rolcanlogin, rolbypassrls, rolconfig, pg_has_role('reporting', 'readers', 'member') FROM pg_roles WHERE rolname = 'reporting'"
    assert sql(lost.site, roles) == "t|t|{work_mem=9MB}|t"
    assert not (lost.site.folder / ".moorage-restoring").exists()
    assert lost.site.moorage("plan").status == 0
    # This server has taken the stores and their log over.
    after = lost.site.moorage("backup", "run")
    assert after.status == 0, after.text
    newest = json.loads(lost.site.must("--json", "backup", "list").output)[0]
    assert newest["state"] == "good"
    assert newest["id"] > lost.backup
    assert json.loads(lost.site.must("--json", "status").output)["backups"]["good"]


def test_the_log_brings_back_what_no_night_has_seen(lost: Lost) -> None:
    assert lost.site.request("POST", "/api/notes", {"title": "minutes before the fire", "body": "b"}).status == 201
    hand_over_log(lost.site)
    lost.wipe()
    assert not lost.site.folder.exists()
    outcome = lost.site.moorage(*lost.restore("--at", "newest"))
    assert outcome.status == 0, outcome.text
    assert titles(lost.site) == {"survives the machine", "minutes before the fire"}
    after = lost.site.moorage("backup", "run")
    assert after.status == 0, after.text
