"""Notes on a real Kubernetes, from `moorage up` to a restore: every container runs, every request passes the ingress."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from access import Access
from job_image import build_job_image
from node_site import NodeSite

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
IMAGES = ("postgres:17", "redis:7", "traefik:v3.7.15")
JOB = "moorage-job/acme:postgres-17-0.1.0"


@pytest.fixture(scope="module")
def site(node_cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeSite]:
    """Up and running."""
    subprocess.run(["docker", "build", "-q", "-t", "notes:latest", str(ROOT / "compose/apps/notes")], check=True)
    build_job_image("postgres:17", JOB)
    node_cluster.load_images([*IMAGES, JOB])
    found = NodeSite(tmp_path_factory.mktemp("site") / "acme", node_cluster)
    found.must("up")
    yield found
    node_cluster.kubectl("delete", "namespace", "acme", "--wait=false")


def test_it_answers_through_the_ingress_with_the_headers_of_a_server(site: NodeSite) -> None:
    assert site.ask("GET", "/health") == (200, {"status": "ok", "postgres": "ok", "redis": "ok"})
    number = site.add("first", private="only for me")
    assert site.ask("GET", f"/api/notes/{number}")[1]["private"] == "only for me"


def test_a_second_up_does_nothing_and_a_plan_is_empty(site: NodeSite) -> None:
    assert "nothing to do" in site.must("up")
    assert site.run("plan").returncode == 0


def test_a_changed_value_rolls_the_site_and_loses_no_request(site: NodeSite) -> None:
    site.settings["env"] = {"SITE_NAME": "Renamed"}
    site.write()
    with site.asked_all_the_time() as answers:
        site.must("up")
        time.sleep(3)
    assert set(answers) == {"200"}, answers
    assert "<title>Renamed</title>" in site.ask("GET", "/")[1]


def test_going_back_serves_what_was_and_loses_no_request(site: NodeSite) -> None:
    with site.asked_all_the_time() as answers:
        site.must("rollback", "--yes")
        time.sleep(3)
    assert set(answers) == {"200"}, answers
    assert "<title>Notes</title>" in site.ask("GET", "/")[1]
    site.must("up")


def test_a_night_of_the_cron_job_is_proven_and_told(site: NodeSite) -> None:
    assert "is good: it was restored from store local and compared" in site.night("night")
    rows = json.loads(site.run("--json", "backup", "list").stdout)
    assert [row["state"] for row in rows if "id" in row] == ["good"]
    status = json.loads(site.kubectl("get", "configmap", "backup-status", "-o", "jsonpath={.data.status\\.json}"))
    assert status["stores"][0]["good"] == 1


def test_a_restore_brings_rows_and_files_back_and_can_be_undone(site: NodeSite) -> None:
    site.must("backup", "run")
    before = site.titles()
    site.add("written after the night")
    site.must("backup", "restore", "--yes")
    assert site.titles() == before
    site.must("backup", "restore", "--undo", "--yes")
    assert site.titles() == sorted([*before, "written after the night"])


def test_nobody_reaches_the_database_but_who_is_in_its_network(site: NodeSite) -> None:
    """The rig keeps policies by a small reading of its own; what it lets through proves nothing of other controllers."""
    address = site.kubectl("get", "service", "postgres", "-o", "jsonpath={.spec.clusterIP}")
    ask = f"import socket; socket.create_connection(('{address}', 5432), 3)"
    inside = site.cluster.try_kubectl("-n", "acme", "exec", "deploy/web", "--", "python3", "-c", ask)
    assert inside.returncode == 0, inside.stderr
    stranger = ["-n", "acme", "run", "stranger", "--image=notes:latest", "--restart=Never", "--rm", "-i", "--quiet"]
    overrides = {
        "spec": {
            "containers": [
                {
                    "name": "stranger",
                    "image": "notes:latest",
                    "imagePullPolicy": "Never",
                    "command": ["python3", "-c", ask],
                }
            ]
        }
    }
    outside = site.cluster.try_kubectl(*stranger, f"--overrides={json.dumps(overrides)}")
    assert outside.returncode != 0, outside.stdout


def test_a_command_has_the_streams_and_the_status_of_its_own(site: NodeSite) -> None:
    """Nothing that it says is lost, however early; its two outputs are told apart; bytes pass as they are."""
    script = "import sys; sys.stdout.write('early\\n'); sys.stderr.write('apart\\n'); data = sys.stdin.buffer.read(); print(len(data), sum(data)); sys.exit(7)"
    words = site.command("run", "web", "--", "python3", "-c", script)
    sent = bytes(range(256)) * 1000
    done = subprocess.run(words, input=sent, capture_output=True, env=site.variables(), timeout=120, check=False)
    assert done.returncode == 7, done.stderr
    assert done.stdout == f"early\n{len(sent)} {sum(sent)}\n".encode()
    assert b"apart\n" in done.stderr
    assert runs(site) == []


def test_an_image_without_a_shell_runs_a_command_too(site: NodeSite) -> None:
    found = site.run("run", "traefik", "--", "traefik", "version")
    assert found.returncode == 0, found.stderr
    assert "3.7" in found.stdout


def test_a_command_that_is_interrupted_leaves_nothing_behind(site: NodeSite) -> None:
    with site.started("run", "web", "--", "sh", "-c", "echo begun; sleep 600") as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "begun\n"
        assert len(runs(site)) == 1
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 130
    assert runs(site) == []


def test_a_log_is_followed_over_a_rollout_until_somebody_ends_it(site: NodeSite) -> None:
    with site.started("logs", "-f", "--tail", "5", "web") as program:
        assert program.stdout is not None
        heard = Heard(program.stdout)
        site.ask("GET", "/api/notes?first")
        heard.wait_for("/api/notes?first")
        site.kubectl("rollout", "restart", "deployment/web")
        site.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
        time.sleep(3)
        site.ask("GET", "/api/notes?second")
        heard.wait_for("/api/notes?second")
        program.send_signal(signal.SIGINT)
        assert program.wait(60) == 130


class Heard:
    """The lines of a program as they come."""

    def __init__(self, stream: TextIO) -> None:
        self.lines: list[str] = []
        threading.Thread(target=lambda: self.lines.extend(iter(stream.readline, "")), daemon=True).start()

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + 60
        while not any(text in line for line in self.lines):
            assert time.monotonic() < end, self.lines
            time.sleep(0.2)


def runs(site: NodeSite) -> list[str]:
    """The pods of commands that are there, but for those that are about to go."""
    items = json.loads(site.kubectl("get", "pods", "-l", "moorage/job=run", "-o", "json"))["items"]
    return [item["metadata"]["name"] for item in items if "deletionTimestamp" not in item["metadata"]]
