"""Every change of a running site: updates under load, broken ones, rollback, down and up, kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.docker.site import Site, docker, load, secrets_of, watched_arguments

pytestmark = pytest.mark.docker

BROKEN = """\
FROM notes:latest
ENV UPLOADS_DIRECTORY=/nowhere
"""


def _build(tag: str, text: str) -> None:
    subprocess.run(["docker", "build", "-q", "-t", tag, "-"], input=text, text=True, check=True, capture_output=True)


def test_an_update_under_load_loses_no_request(notes: Site) -> None:
    notes.write(env={"GREETING": "before"})
    assert notes.up().status == 0
    notes.write(env={"GREETING": "after"})
    plan = notes.moorage("plan", "--json")
    assert plan.status == 2
    assert [(item["service"], item["action"]) for item in json.loads(plan.output)["containers"]] == [("web", "roll")]
    with load(notes) as result:
        time.sleep(1)
        outcome = notes.up()
        time.sleep(1)
    assert outcome.status == 0, outcome.text
    assert result.bad == []
    assert result.good > 200
    assert notes.request("GET", "/api/about").json()["greeting"] == "after"
    assert notes.moorage("plan").status == 0


def test_the_proxy_and_a_service_can_change_together(notes: Site) -> None:
    from tests.docker.site import free_ports

    port = free_ports(1)[0]
    old = notes.https_port
    notes.write(env={"GREETING": "on another port"}, edge={"http_port": notes.http_port, "https_port": port})
    notes.https_port = port
    outcome = notes.up()
    assert outcome.status == 0, outcome.text
    assert notes.request("GET", "/api/about").json()["greeting"] == "on another port"
    assert notes.moorage("plan").status == 0
    notes.write(edge={"http_port": notes.http_port, "https_port": old})
    notes.https_port = old
    assert notes.up().status == 0


def test_a_proxy_that_somebody_stopped_comes_back_with_the_change(notes: Site) -> None:
    docker("stop", notes.container("traefik"))
    notes.write(env={"GREETING": "without a proxy"})
    outcome = notes.up()
    assert outcome.status == 0, outcome.text
    assert notes.request("GET", "/api/about").json()["greeting"] == "without a proxy"


def test_a_slow_upload_survives_the_update(notes: Site) -> None:
    """A request that began before the update ends well after it began to switch."""
    number = notes.request("POST", "/api/notes", {"title": "slow", "body": ""}).json()["id"]
    boundary = "xxxxBOUNDARYxxxx"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    piece, pieces = b"x" * 4096, 60
    connection = notes.connect()
    connection.putrequest("POST", f"/api/notes/{number}/attachments")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
    connection.putheader("Content-Length", str(len(head) + len(piece) * pieces + len(tail)))
    connection.endheaders()
    connection.send(head)
    notes.write(env={"GREETING": f"during {time.time()}"})
    update = subprocess.Popen(
        notes.command("up", "--skip-checks"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for _ in range(pieces):
        connection.send(piece)
        time.sleep(0.2)
    connection.send(tail)
    answer = connection.getresponse()
    body = answer.read()
    output, _ = update.communicate(timeout=300)
    assert update.returncode == 0, output
    assert answer.status == 201, body
    assert json.loads(body)["size_bytes"] == len(piece) * pieces


def test_a_broken_update_leaves_the_old_version_serving(notes: Site) -> None:
    _build("notes:broken", BROKEN)
    before = notes.request("GET", "/api/about").json()
    notes.write(images={"tag": "broken"})
    with load(notes) as result:
        outcome = notes.up()
    assert outcome.status == 1
    assert "UPLOADS_DIRECTORY /nowhere can't be written" in outcome.errors
    assert "serves" in outcome.errors
    assert result.bad == []
    after = notes.request("GET", "/api/about").json()
    assert (after["hostname"], after["app_version"]) == (before["hostname"], before["app_version"])
    assert notes.moorage("status").status == 0
    assert notes.moorage("plan").status == 2
    notes.write(images={"tag": "latest"})
    assert notes.up().status == 0


def test_a_failing_migration_changes_nothing_that_runs(notes: Site) -> None:
    _build(
        "notes:badmigration",
        "FROM notes:latest\nUSER root\nRUN echo 'SELECT broken;' > /app/notes/migrations/0099_broken.sql && chmod a+r /app/notes/migrations/*\nUSER 10001:10001\n",
    )
    before = notes.request("GET", "/api/about").json()["hostname"]
    notes.write(images={"tag": "badmigration"})
    outcome = notes.up()
    assert outcome.status == 1
    assert "migrate failed" in outcome.errors
    assert notes.request("GET", "/api/about").json()["hostname"] == before
    notes.write(images={"tag": "latest"})
    assert notes.up().status == 0


def test_an_image_that_cannot_be_had_stops_nothing(notes: Site) -> None:
    before = docker("ps", "-q", "--no-trunc", "--filter", f"label=com.docker.compose.project={notes.name}").split()
    notes.write(images={"overrides": {"worker": "registry.invalid/nothing:1"}, "pull": "never"})
    outcome = notes.up()
    assert outcome.status == 1
    assert "nothing was stopped" in outcome.errors
    after = docker("ps", "-q", "--no-trunc", "--filter", f"label=com.docker.compose.project={notes.name}").split()
    assert sorted(before) == sorted(after)
    notes.write(images={"tag": "latest"})
    assert notes.up().status == 0


def test_rollback_goes_back_without_a_pause_and_forward_again(notes: Site) -> None:
    notes.write(env={"GREETING": "first"})
    assert notes.up().status == 0
    notes.write(env={"GREETING": "second"})
    assert notes.up().status == 0
    with load(notes) as result:
        time.sleep(0.5)
        outcome = notes.moorage("rollback", "--yes")
    assert outcome.status == 0, outcome.text
    assert result.bad == []
    assert notes.request("GET", "/api/about").json()["greeting"] == "first"
    assert notes.moorage("plan").status == 2
    assert notes.up().status == 0
    assert notes.request("GET", "/api/about").json()["greeting"] == "second"


def test_rollback_brings_back_the_image_that_a_tag_meant(notes: Site) -> None:
    _build("notes:moving", "FROM notes:latest\nENV GREETING_IMAGE=one\n")
    notes.write(images={"tag": "moving"})
    assert notes.up().status == 0
    first = docker("inspect", "--format", "{{.Image}}", notes.container("web")).strip()
    _build("notes:moving", "FROM notes:latest\nENV GREETING_IMAGE=two\n")
    plan = notes.moorage("plan")
    assert plan.status == 2
    assert "its image changed" in plan.output
    assert notes.up().status == 0
    assert docker("inspect", "--format", "{{.Image}}", notes.container("web")).strip() != first
    assert notes.must("rollback", "--yes")
    assert docker("inspect", "--format", "{{.Image}}", notes.container("web")).strip() == first
    notes.write(images={"tag": "latest"})
    assert notes.up().status == 0


def test_a_data_risk_is_refused(notes: Site) -> None:
    notes.write(postgres={"version": "15"})
    plan = notes.moorage("plan", "--json")
    assert json.loads(plan.output)["risk"] == "data"
    container = notes.container("postgres")
    outcome = notes.up()
    assert outcome.status == 1
    assert "endanger data" in outcome.errors
    assert notes.container("postgres") == container
    notes.write(postgres={})
    assert notes.up().status == 0


def test_down_and_up_keep_the_data(notes: Site) -> None:
    made = notes.request("POST", "/api/notes", {"title": "stays", "body": "b", "private": "secret words"}).json()["id"]
    assert notes.must("down")
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={notes.name}") == ""
    assert notes.up().status == 0
    assert notes.request("GET", f"/api/notes/{made}").json()["private"] == "secret words"


def test_uninstall_keeps_data_and_purge_wants_the_name(notes: Site) -> None:
    made = notes.request("POST", "/api/notes", {"title": "kept", "body": "b"}).json()["id"]
    assert notes.must("uninstall", "--yes")
    assert notes.up().status == 0
    assert notes.request("GET", f"/api/notes/{made}").status == 200
    refused = notes.moorage("uninstall", "--purge", "--yes")
    assert refused.status == 1
    assert "was not typed" in refused.errors
    assert notes.request("GET", f"/api/notes/{made}").status == 200
    assert notes.must("uninstall", "--purge", "--name", notes.name)
    assert docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={notes.name}") == ""
    assert notes.up().status == 0
    assert notes.request("GET", f"/api/notes/{made}").status == 404


def test_secrets_never_reach_an_argument_or_an_output(make_site: Callable[..., Site]) -> None:
    site = make_site(edge={"http_port": 0, "https_port": 0})
    ports = site.http_port, site.https_port
    site.write(edge={"http_port": ports[0], "https_port": ports[1], "dashboard": {"enabled": True}})
    site.must("render")
    secrets = secrets_of(site)
    with watched_arguments(secrets) as seen:
        outcome = site.moorage("--verbose", "up", "--skip-checks")
        site.write(env={"GREETING": "again"})
        again = site.moorage("--verbose", "up", "--skip-checks")
        back = site.moorage("--verbose", "rollback", "--yes")
        logs = site.moorage("logs")
        status = site.moorage("status", "--json")
    assert outcome.status == 0, outcome.text
    assert seen == []
    for answer in (outcome, again, back, logs, status):
        for secret in secrets:
            assert secret not in answer.text


@pytest.mark.slow
def test_a_killed_up_is_finished_by_the_next_one(make_site: Callable[..., Site]) -> None:
    """kill -9 of `moorage up` at random points: the next `up` always converges, nothing is lost."""
    seed = int(os.environ.get("MOORAGE_SEED", "20261122"))
    rounds = int(os.environ.get("MOORAGE_KILLS", "6"))
    chance = random.Random(seed)
    site = make_site()
    assert site.up().status == 0
    notes = [
        site.request("POST", "/api/notes", {"title": f"note {number}", "body": "b"}).json()["id"] for number in range(5)
    ]
    started = time.monotonic()
    site.write(env={"GREETING": "measure"})
    assert site.up().status == 0
    usual = time.monotonic() - started
    for number in range(rounds):
        greeting = f"round {number} of seed {seed}"
        site.write(
            env={"GREETING": greeting},
            resources={"host": {"memory": "6Gi", "cpus": 2}, "services": {"worker": {"memory": f"{200 + number}Mi"}}},
        )
        process = subprocess.Popen(
            site.command("up", "--skip-checks"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(0.05, usual))
        if chance.random() < 0.5:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        outcome = site.up()
        assert outcome.status == 0, (number, outcome.text)
        assert site.request("GET", "/api/about").json()["greeting"] == greeting, number
        plan = site.moorage("plan")
        assert plan.status == 0, (number, plan.text)
        assert site.moorage("status").status == 0
        found = {item["id"] for item in site.request("GET", "/api/notes").json()["notes"]}
        assert set(notes) <= found, number
        containers = docker(
            "ps", "-a", "--format", "{{.Names}}", "--filter", f"label=com.docker.compose.project={site.name}"
        ).split()
        assert len([name for name in containers if "-web-" in name]) == 1, (number, containers)
