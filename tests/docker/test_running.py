"""One running site: what plan, status, tune and the containers say."""

from __future__ import annotations

import json
import time

import psycopg
import pytest

from tests.docker.site import DOMAIN, Site, docker, secrets_of

pytestmark = pytest.mark.docker


def test_the_site_answers_with_safe_headers(notes: Site) -> None:
    answer = notes.request("GET", "/health")
    assert answer.status == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert "server" not in answer.headers
    redirect = notes.plain_request("/some/path?x=1")
    assert redirect.status == 301
    assert redirect.headers["location"] == f"https://{DOMAIN}:{notes.https_port}/some/path?x=1"


def test_the_certificate_is_trusted_by_who_trusts_the_authority(notes: Site) -> None:
    import ssl

    context = ssl.create_default_context(cafile=str(notes.folder / "secrets" / "compose" / "tls" / "ca.crt"))
    connection = notes.connect(verify=context)
    connection.request("GET", "/health", headers={"Host": DOMAIN})
    assert connection.getresponse().status == 200


def test_status_is_green_and_plan_is_empty(notes: Site) -> None:
    status = notes.moorage("status", "--json")
    assert status.status == 0, status.text
    report = json.loads(status.output)
    assert report["good"] is True
    assert {row["service"] for row in report["services"]} == {"traefik", "postgres", "redis", "web", "worker"}
    assert all(row["state"] == "healthy" for row in report["services"])
    plan = notes.moorage("plan", "--json")
    assert plan.status == 0
    assert json.loads(plan.output)["changes"] is False
    again = notes.up()
    assert again.status == 0
    assert "nothing to do" in again.errors


def test_postgres_runs_with_exactly_what_tune_promised(notes: Site) -> None:
    promised = json.loads(notes.must("tune", "--json").output)["parameters"]
    assert len(promised) > 20
    password = (notes.folder / "secrets" / "compose" / "values" / "POSTGRES_PASSWORD").read_text().strip()
    address = notes.address("postgres", "data")
    with psycopg.connect(host=address, user="notes", password=password, dbname="notes", autocommit=True) as connection:
        for item in promised:
            row = connection.execute(
                "SELECT setting, unit, source, sourcefile, pending_restart FROM pg_settings WHERE name = %s",
                (item["name"],),
            ).fetchone()
            assert row is not None, item
            assert row[4] is False, item
            shown = connection.execute(f"SHOW {item['name']}").fetchone()
            assert shown is not None
            assert _same(connection, shown[0], item["value"]), (item, shown[0])


def _same(connection: psycopg.Connection[tuple[object, ...]], shown: str, promised: str) -> bool:
    """The server writes 1GB for 1024MB and 15min for 900s: let it compare itself."""
    if shown == promised:
        return True
    try:
        row = connection.execute("SELECT pg_size_bytes(%s) = pg_size_bytes(%s)", (shown, promised)).fetchone()
    except psycopg.Error:
        row = connection.execute("SELECT %s::interval = %s::interval", (shown, promised)).fetchone()
    return bool(row and row[0])


def test_the_superuser_cannot_log_in_over_the_network(notes: Site) -> None:
    password = (notes.folder / "secrets" / "compose" / "values" / "POSTGRES_PASSWORD").read_text().strip()
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects connection"):
        psycopg.connect(host=notes.address("postgres", "data"), user="postgres", password=password, dbname="postgres")


def test_redis_wants_its_password_and_never_evicts(notes: Site) -> None:
    container = notes.container("redis")
    assert "NOAUTH" in docker(
        "exec", "-e", "REDISCLI_AUTH=", container, "redis-cli", "config", "get", "maxmemory-policy"
    )
    assert "noeviction" in docker("exec", container, "redis-cli", "config", "get", "maxmemory-policy")
    assert "yes" in docker("exec", container, "redis-cli", "config", "get", "appendonly")


def test_containers_are_confined(notes: Site) -> None:
    for service in ("traefik", "postgres", "redis", "web", "worker"):
        facts = json.loads(docker("inspect", notes.container(service)))[0]
        host = facts["HostConfig"]
        assert host["Memory"] > 0, service
        assert host["NanoCpus"] > 0, service
        assert host["ReadonlyRootfs"] is True, service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["RestartPolicy"]["Name"] == "always", service
        assert host["LogConfig"]["Type"] == "json-file", service
        assert set(host["LogConfig"]["Config"]) >= {"max-size", "max-file"}, service
        published = any(host["PortBindings"].values()) if host["PortBindings"] else False
        assert published is (service == "traefik"), service


def test_the_proxy_cannot_reach_the_database(notes: Site) -> None:
    address = notes.address("postgres", "data")
    # busybox' own -T does not bound the connecting.
    words = ["timeout", "5", "wget", "-q", "-O", "-"]
    tried = docker("exec", notes.container("traefik"), *words, f"http://{address}:5432/", check=False)
    assert tried == ""
    web = notes.address("web", "edge")
    assert docker("exec", notes.container("traefik"), *words, f"http://{web}:8000/health"), "the way to look is none"
    networks = json.loads(
        docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", notes.container("traefik"))
    )
    assert set(networks) == {f"{notes.name}_edge"}


def test_every_container_survives_a_restart(notes: Site) -> None:
    """A restart is not a new start: a tmpfs is mounted again, a data folder is there already."""
    for service in ("redis", "postgres", "web", "worker", "traefik"):
        docker("restart", notes.container(service))
    end = time.monotonic() + 90
    while time.monotonic() < end:
        states = json.loads(notes.moorage("status", "--json").output)
        if states["good"]:
            break
        time.sleep(0.5)
    assert states["good"], states["services"]
    assert notes.moorage("plan").status == 0


def test_jobs_data_and_the_worker_work_together(notes: Site) -> None:
    made = notes.request("POST", "/api/notes", {"title": "one", "body": "three small words", "private": "hush"})
    assert made.status == 201
    number = made.json()["id"]
    end = time.monotonic() + 30
    while time.monotonic() < end:
        note = notes.request("GET", f"/api/notes/{number}").json()
        if note["word_count"] is not None:
            break
        time.sleep(0.2)
    assert note["word_count"] == 3
    assert note["private"] == "hush"


def test_run_gives_the_service_environment_and_the_status(notes: Site) -> None:
    answer = notes.moorage(
        "run", "web", "--", "python3", "-c", "import os,sys; print(os.environ['SITE_NAME']); sys.exit(7)"
    )
    assert answer.status == 7, answer.text
    assert "Notes" in answer.output
    wrong = notes.moorage("run", "wbe", "--", "true")
    assert wrong.status == 1
    assert "did you mean web?" in wrong.errors


def test_logs_show_one_service(notes: Site) -> None:
    notes.request("GET", "/api/about")
    answer = notes.moorage("logs", "traefik", "--tail", "50")
    assert answer.status == 0
    assert "/api/about" in answer.output


def test_no_secret_is_in_any_file_that_others_may_read(notes: Site) -> None:
    secrets = secrets_of(notes)
    for path in notes.folder.rglob("*"):
        if not path.is_file():
            continue
        mode = path.stat().st_mode & 0o777
        holds = any(secret.encode() in path.read_bytes() for secret in secrets)
        if holds:
            assert path.is_relative_to(notes.folder / "secrets"), path
            assert mode == 0o600, path
    assert (notes.folder / "secrets").stat().st_mode & 0o077 == 0


def test_a_rendered_folder_works_by_hand(notes: Site) -> None:
    import subprocess

    compose = notes.folder / "rendered" / "compose" / "compose"
    done = subprocess.run(["docker", "compose", "up", "-d"], cwd=compose, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Compose before 2.27 counts `depends_on` as part of a container and replaces it once; the data is the same.
    assert "postgres-1  Recreate" not in done.stderr
    end = time.monotonic() + 60
    while notes.request("GET", "/health").status != 200 and time.monotonic() < end:
        time.sleep(0.5)
    assert notes.request("GET", "/health").status == 200
    plan = notes.moorage("plan")
    assert plan.status == 0, plan.text
