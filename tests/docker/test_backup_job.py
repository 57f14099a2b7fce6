"""The containers of a night on the real engine: what they reach, what they don't, and what they leave behind."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker.site import Site, docker, new_site

pytestmark = pytest.mark.docker

HEARTBEAT = "https://hc.example.com/token-4f9a"
# Asked inside of a container: its user, what it may write, what it sees.
LOOK = """
import json, os, pathlib
def may_write(place):
    try:
        probe = pathlib.Path(place, ".probe"); probe.write_text("x"); probe.unlink(); return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
places = ["/", "/work", "/deployment", "/volumes/uploads", "/stores/local", "/run/moorage", "/var/lib/postgresql/data"]
print(json.dumps({
    "user": [os.getuid(), os.getgid()], "capabilities": int(status["CapEff"].strip(), 16),
    "bounding": int(status["CapBnd"].strip(), 16), "privileges": status["NoNewPrivs"].strip(),
    "writes": [place for place in places if os.path.isdir(place) and may_write(place)],
    "secrets": sorted(os.listdir("/run/secrets")) if os.path.isdir("/run/secrets") else [],
    "sees": [place for place in places + ["/var/run/postgresql/.s.PGSQL.5432"] if os.path.exists(place)],
    "networks": sorted(os.listdir("/sys/class/net")), "environment": dict(os.environ),
    "plan": json.load(open("/plan/plan.json"))["project"],
}))
"""
CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID = (1 << bit for bit in (0, 1, 3, 4, 6, 7))


class Night:
    """A running site whose job can be asked."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.compose = site.folder / "rendered/compose/compose"

    def run(self, service: str, program: str, *words: str) -> str:
        done = self.try_to_run(service, program, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_to_run(self, service: str, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["docker", "compose", "run", "--rm", "--no-deps", "-T", "--entrypoint", program, service, *words]
        return subprocess.run(command, cwd=self.compose, capture_output=True, text=True, check=False)

    def look(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(service, "python3", "-c", LOOK))
        return found

    def secrets(self) -> list[str]:
        values = self.site.folder / "secrets/compose/values"
        recovery = (self.site.folder / "secrets/recovery.key").read_text().strip()
        return [recovery, HEARTBEAT, *(path.read_text().strip() for path in values.iterdir())]


@pytest.fixture(scope="module")
def night(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    site = new_site(tmp_path_factory.mktemp("nights"), backups={"heartbeat_url": HEARTBEAT})
    try:
        outcome = site.up()
        assert outcome.status == 0, outcome.text
        assert docker("images", "-q", f"moorage-job/{site.name}").split(), outcome.text
        yield Night(site)
    finally:
        site.remove()


def test_the_job_reads_everything_and_writes_to_stores_and_its_own_place_only(night: Night) -> None:
    found = night.look("backup")
    assert found["user"] == [0, 0]
    assert found["capabilities"] == found["bounding"] == CHOWN | DAC_OVERRIDE | FOWNER | SETGID | SETUID
    assert found["privileges"] == "1"
    assert found["writes"] == ["/work", "/stores/local", "/run/moorage"]
    assert found["secrets"] == ["heartbeat", "recovery_key"]
    assert "/var/run/postgresql/.s.PGSQL.5432" in found["sees"]
    assert found["plan"] == night.site.name


def test_the_drill_has_no_network_no_secret_and_nothing_of_the_app(night: Night) -> None:
    found = night.look("backup-drill")
    assert found["user"] == [999, 999]
    assert found["capabilities"] == found["bounding"] == 0
    assert found["networks"] == ["lo"]
    assert found["secrets"] == []
    assert set(found["sees"]) == {"/", "/work", "/var/lib/postgresql/data"}, "the last one is an empty tmpfs"
    assert found["writes"] == ["/var/lib/postgresql/data"]


def test_the_restore_may_write_what_the_night_reads(night: Night) -> None:
    found = night.look("backup-restore")
    assert found["capabilities"] == CHOWN | DAC_OVERRIDE | FOWNER | FSETID | SETGID | SETUID
    assert set(found["writes"]) == {"/volumes/uploads", "/work", "/run/moorage"}


def test_the_superuser_gets_in_by_the_socket_without_a_password(night: Night) -> None:
    question = "SELECT current_user, rolsuper, inet_server_addr() IS NULL FROM pg_roles WHERE rolname = current_user"
    answer = night.run("backup", "psql", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "notes", "-Atc", question)
    assert answer.strip() == "postgres|t|t"
    code = "import psycopg; print(psycopg.connect(host='/var/run/postgresql', user='postgres', dbname='notes').info.server_version)"
    assert int(night.run("backup", "python3", "-c", code)) >= 170000


def test_the_programs_are_those_of_the_server(night: Night) -> None:
    server = docker("exec", night.site.container("postgres"), "postgres", "--version").split()[2]
    assert night.run("backup", "pg_dump", "--version").split()[2] == server
    code = (
        "import boto3, psycopg, moorage.backups.plan as p; print(p.read_plan(open('/plan/plan.json').read()).project)"
    )
    assert night.run("backup", "python3", "-c", code).strip() == night.site.name
    for program in ("restic", "pgbackrest"):
        assert night.run("backup", program, "version")


def test_a_cluster_can_be_made_where_the_drill_runs(night: Night) -> None:
    script = "initdb -D /tmp/c --no-sync >/dev/null && pg_controldata /tmp/c | grep -c 'system identifier'"
    assert night.run("backup-drill", "sh", "-c", script).strip() == "1"


def test_no_secret_is_shown_by_the_engine_or_by_the_list_of_processes(night: Night) -> None:
    name = f"{night.site.name}-look"
    command = [
        "docker",
        "compose",
        "run",
        "--rm",
        "--no-deps",
        "-T",
        "--name",
        name,
        "--entrypoint",
        "sleep",
        "backup",
        "60",
    ]
    process = subprocess.Popen(command, cwd=night.compose, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while "true" not in docker("inspect", "-f", "{{.State.Running}}", name, check=False):
            time.sleep(0.1)
        shown = (
            docker("inspect", name)
            + subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
        )
        shown += docker("history", "--no-trunc", json.loads(docker("inspect", name))[0]["Image"])
    finally:
        docker("rm", "-f", name, check=False)
        process.communicate(timeout=60)
    found = [secret for secret in night.secrets() if secret in shown]
    assert not found
    environment = night.look("backup")["environment"]
    assert not [value for value in environment.values() if value in night.secrets()]


def test_a_night_leaves_no_container_and_no_nameless_volume(night: Night) -> None:
    def nameless() -> set[str]:
        return {name for name in docker("volume", "ls", "-q").split() if len(name) == 64}

    def containers() -> set[str]:
        return set(docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={night.site.name}").split())

    before = nameless(), containers()
    for service in ("backup", "backup-drill", "backup-restore"):
        image = json.loads(
            subprocess.run(
                ["docker", "compose", "--profile", "backup", "config", "--format", "json"],
                cwd=night.compose,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )["services"][service]
        assert image["pull_policy"] == "never"
        night.run(service, "true")
    assert containers() == before[1]
    assert not {name for name in nameless() - before[0] if _is_of(name, night.site.name)}


def _is_of(volume: str, project: str) -> bool:
    return project in docker("volume", "inspect", volume, check=False)


def test_a_stale_socket_keeps_no_server_from_starting(night: Night) -> None:
    """Killed, started again, and killed again and replaced: as a power cut and an update do it."""
    for replace in (False, False, True):
        server = night.site.container("postgres")
        docker("kill", "--signal", "KILL", server)
        while "false" not in docker("inspect", "-f", "{{.State.Running}}", server):
            time.sleep(0.1)
        left = night.run("backup", "ls", "-A", "/var/run/postgresql").split()
        assert left == [".s.PGSQL.5432", ".s.PGSQL.5432.lock"], "nothing stale to start over"
        if replace:
            docker("rm", server)
            night.site.must("up", "--skip-checks")
        else:
            docker("start", server)
        end = time.monotonic() + 60
        while time.monotonic() < end and _health(night.site.container("postgres")) != "healthy":
            time.sleep(0.2)
        assert _health(night.site.container("postgres")) == "healthy"
        night.run("backup", "psql", "-h", "/var/run/postgresql", "-U", "postgres", "-d", "notes", "-Atc", "SELECT 1")


def _health(container: str) -> str:
    return docker("inspect", "-f", "{{.State.Health.Status}}", container).strip()


def test_without_its_image_nothing_is_pulled_and_the_site_says_so(night: Night) -> None:
    (image,) = docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"moorage-job/{night.site.name}").split()
    docker("rmi", image)
    done = night.try_to_run("backup", "true")
    assert done.returncode != 0
    assert "o such image" in done.stderr
    assert "pull" not in done.stderr.lower()
    assert "no backups are made" in night.site.moorage("status").text
    assert f"image {image}" in night.site.moorage("plan").text
    night.site.must("up", "--skip-checks")
    night.run("backup", "true")


def test_a_store_that_is_not_mounted_is_an_error_and_no_new_folder(night: Night) -> None:
    folder = night.site.folder / "backups"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    moved = folder.rename(folder.with_name("moved"))
    try:
        done = night.try_to_run("backup", "true")
        assert done.returncode != 0
        assert "does not exist" in done.stderr
        assert not folder.exists()
    finally:
        moved.rename(folder)


def test_a_second_up_has_nothing_to_do(night: Night) -> None:
    assert "nothing to do" in night.site.must("up", "--skip-checks").text
    assert night.site.moorage("plan").status == 0


def test_purge_takes_the_work_and_leaves_the_backups(engine: None, tmp_path: Path) -> None:
    site = new_site(tmp_path, backups={"heartbeat_url": HEARTBEAT})
    try:
        assert site.up().status == 0
        Night(site).run("backup", "touch", "/stores/local/kept", "/work/gone")
        said = site.must("uninstall", "--purge", "--name", site.name).text
        assert f"the backups in {site.folder}/backups" in said
        assert [path.name for path in (site.folder / "backups").iterdir()] == ["kept"]
        assert site.name not in docker("volume", "ls", "-q")
        assert site.name not in docker("network", "ls")
        assert not docker("images", "-q", f"moorage-job/{site.name}").split()
    finally:
        site.remove()
