"""The physical path over two containers, by the contract of `backups.physical.settings`: the server's and the job's."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.backups.physical.settings import CONFIGURATION, configuration, postgres_parameters
from moorage.backups.plan import StorePlan
from moorage.sensitive import Sensitive
from moorage.targets.pgbackrest import pgbackrest_configuration

ROOT = Path(__file__).parents[2]
IMAGE = "moorage-test/job:postgres-17"
POSTGRES = 999
PASSPHRASE = "a-passphrase-that-is-looked-for"
pytestmark = pytest.mark.docker


def _run(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Containers:
    """A server that runs as in `compose/postgres.yaml`, and jobs beside it."""

    def __init__(self, folder: Path) -> None:
        self.name = f"moorage-physical-{os.getpid()}"
        self.file = folder / "pgbackrest.conf"
        self.store = folder / "store"
        self.repository = self.store / "demo" / "pgbackrest"
        self.repository.mkdir(parents=True)
        os.chown(self.repository, POSTGRES, POSTGRES)
        self._configure()
        for volume in ("data", "socket"):
            _run("docker", "volume", "create", f"{self.name}-{volume}")
        _run(
            "docker", "build", "--quiet", "--tag", IMAGE, "--build-arg", "BASE=postgres:17", str(ROOT / "tests" / "job")
        )

    def _configure(self) -> None:
        content = configuration(
            stanza="demo",
            stores=(StorePlan("local", directory="/stores/local"),),
            project="demo",
            passphrase=Sensitive(PASSPHRASE),
            bucket_keys={},
            cluster_folder="/var/lib/postgresql/data",
            socket_folder="/var/run/postgresql",
            port=5432,
            user="app",
            queue_bytes=2**30,
            parallel=2,
        )
        self.file.write_text(pgbackrest_configuration(content).reveal())
        os.chown(self.file, 0, POSTGRES)
        self.file.chmod(0o640)

    def _common(self, *, is_server: bool) -> list[str]:
        mode = "" if is_server else ":ro"
        volumes = {
            f"{self.name}-data": f"/var/lib/postgresql/data{mode}",
            f"{self.name}-socket": f"/var/run/postgresql{mode}",
            str(self.file): f"{CONFIGURATION}:ro",
            str(self.store): "/stores/local",
        }
        mounts = [word for source, target in volumes.items() for word in ("--volume", f"{source}:{target}")]
        return [
            "--network",
            "none",
            "--read-only",
            "--tmpfs",
            "/tmp",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
            *mounts,
        ]

    def start_server(self) -> None:
        """Postgres is process 1, as in every container of its image."""
        rights = [
            word for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID") for word in ("--cap-add", name)
        ]
        environment = [
            "-e",
            "POSTGRES_USER=app",
            "-e",
            "POSTGRES_PASSWORD=x",
            "-e",
            "POSTGRES_INITDB_ARGS=--data-checksums",
        ]
        settings = [word for name, value in postgres_parameters("demo").items() for word in ("-c", f"{name}={value}")]
        command = ["--entrypoint", "docker-entrypoint.sh", IMAGE, "postgres", *settings]
        _run(
            "docker",
            "run",
            "--detach",
            "--name",
            self.name,
            *self._common(is_server=True),
            *rights,
            *environment,
            *command,
        )
        deadline = time.monotonic() + 60
        while "ready for start up" not in self.log() or self.ask("select 1", check=False).strip() != "1":
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def ask(self, query: str, *, check: bool = True) -> str:
        """One answer of the server."""
        return _run("docker", "exec", self.name, "psql", "-U", "app", "-qAtc", query, check=check)

    def log(self) -> str:
        """What the server said."""
        return _run("docker", "logs", self.name)

    def job(self, *words: str) -> str:
        """pgBackRest beside the server, as `postgres` and without any right."""
        program = ["pgbackrest", "--stanza=demo", *words]
        return _run("docker", "run", "--rm", *self._common(is_server=False), "--user", str(POSTGRES), IMAGE, *program)

    def remove(self) -> None:
        """Everything that was made."""
        _run("docker", "rm", "--force", self.name, check=False)
        for volume in ("data", "socket"):
            _run("docker", "volume", "rm", f"{self.name}-{volume}", check=False)


@pytest.fixture
def containers(engine: None, tmp_path: Path) -> Iterator[Containers]:
    made = Containers(tmp_path)
    yield made
    made.remove()


def test_a_job_that_may_only_read_backs_the_server_up(containers: Containers) -> None:
    containers.start_server()
    # The store has nothing yet: archiving fails, again and again, and nobody is thrown out for it.
    time.sleep(5)
    assert "archive command failed" in containers.log()
    assert "terminating any other active server processes" not in containers.log()
    containers.job("stanza-create")
    containers.job("check")
    containers.job("backup", "--type=full")
    (stanza,) = json.loads(containers.job("info", "--output=json"))
    (backup,) = stanza["backup"]
    assert (stanza["status"]["code"], backup["type"], backup["error"]) == (0, "full", False)
    assert "status: ok" in containers.job("verify", "--output=text", "--verbose")
    # A store that goes away is told in the server's log, and the server goes on.
    since = containers.ask("select pg_postmaster_start_time(), pg_conf_load_time()")
    containers.repository.rename(containers.repository.with_name("hidden"))
    containers.ask("create table t (i int)")
    containers.ask("select pg_switch_wal()")
    time.sleep(5)
    assert containers.ask("select failed_count > 0 from pg_stat_archiver").strip() == "t"
    assert containers.ask("select pg_postmaster_start_time(), pg_conf_load_time()") == since
    assert "automatic recovery in progress" not in containers.log()
    assert PASSPHRASE not in containers.log()
    assert PASSPHRASE not in _run("docker", "inspect", containers.name)
