"""Whole nights with a bucket, by real containers and a real S3 server: good ones, bad ones, and who is told of them."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tools
from object_store import Answer, Fault, FaultyProxy, ObjectStore, faulty_proxy, object_store

from moorage.backups.keys import derived_key
from moorage.recovery_key import parse_recovery_key
from tests.docker.site import Site, docker, new_site, secrets_of, watched_arguments

pytestmark = pytest.mark.docker


@dataclass
class Bucket:
    """A site whose only store is a bucket, the way to it, and who was told of its nights."""

    site: Site
    server: ObjectStore
    proxy: FaultyProxy
    heartbeats: list[str] = field(default_factory=list)

    def fails(self, fault: Fault, after: int = 0) -> None:
        """From the data file of that number on, or from the very first request."""
        puts = [0]

        def choose(method: str, path: str) -> Fault | None:
            puts[0] += method == "PUT" and "/restic/data/" in path
            return fault if puts[0] > after or not after else None

        self.proxy.fault = choose

    def works(self) -> None:
        self.proxy.fault = lambda method, path: None

    def states(self) -> list[str]:
        """Of the backups, the newest first."""
        listed = json.loads(self.site.must("--json", "backup", "list").output)
        return [item["state"] for item in listed if "id" in item]

    @property
    def told(self) -> list[str]:
        """What the command for failures was told."""
        file = self.site.folder.parent / "told"
        return file.read_text().splitlines() if file.is_file() else []

    def prometheus(self, name: str) -> float | None:
        """A number of the text file."""
        text = (self.site.folder / "releases/compose/backups/moorage.prom").read_text()
        found = re.search(rf"^moorage_backup_{name}{{[^}}]*}} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else None


@contextmanager
def _listener(host: str, calls: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer((host, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def bucket(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    folder = tmp_path_factory.mktemp("bucket")
    # Where containers reach this host.
    host = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()
    calls: list[str] = []
    with (
        object_store(tools.fetch("rclone"), folder / "s3") as server,
        faulty_proxy(server.endpoint, host) as proxy,
        _listener(host, calls) as heartbeat,
    ):
        store = {"name": "cloud", "bucket": "backups", "prefix": "servers", "endpoint": proxy.endpoint}
        told = f'echo "$MOORAGE_STATUS $MOORAGE_PHASE" >>{folder}/told'
        site = new_site(
            folder,
            backups={
                "stores": [store],
                "heartbeat_url": f"{heartbeat}/ping",
                "on_failure": ["sh", "-c", told],
            },
        )
        try:
            for name, value in (("ACCESS", server.key_id), ("SECRET", server.secret)):
                kept = site.moorage("secrets", "set", f"STORE_CLOUD_{name}_KEY", stdin=value)
                assert kept.status == 0, kept.text
            outcome = site.up()
            assert outcome.status == 0, outcome.text
            docker("exec", site.container("web"), "sh", "-c", "head -c 3000000 /dev/urandom >/srv/uploads/noise")
            yield Bucket(site, server, proxy, calls)
        finally:
            site.remove()


def test_a_good_night_is_told_and_no_argument_has_a_secret(bucket: Bucket) -> None:
    key = parse_recovery_key((bucket.site.folder / "secrets/recovery.key").read_text())
    derived = [derived_key(key, name).reveal() for name in ("restic", "signature", "pgbackrest")]
    secrets = [*secrets_of(bucket.site), *derived, bucket.server.secret]
    with watched_arguments(secrets) as seen:
        outcome = bucket.site.moorage("backup", "run")
    assert outcome.status == 0, outcome.text
    assert seen == []
    assert not [secret for secret in secrets if secret in outcome.text]
    assert bucket.states() == ["good"]
    assert bucket.heartbeats == ["/ping"]
    assert bucket.told == []
    assert bucket.prometheus("good_count") == 1
    last = bucket.prometheus("last_good_timestamp_seconds")
    assert last is not None
    assert last == int(last)
    assert bucket.prometheus("night_exit_status") == 0
    assert bucket.site.must("backup", "verify").status == 0


@pytest.mark.parametrize(
    ("fault", "after", "status"),
    [
        (Answer(403, "ExpiredToken"), 0, 27),
        (Answer(403, "AccessDenied"), 1, 27),
    ],
    ids=["expired", "no-longer-let-in-half-way"],
)
def test_a_bucket_that_fails_is_told_by_its_own_status_and_nothing_is_recorded(
    bucket: Bucket, fault: Fault, after: int, status: int
) -> None:
    states, told, calls = bucket.states(), len(bucket.told), len(bucket.heartbeats)
    bucket.fails(fault, after)
    # What was stored once is not sent again.
    docker("exec", bucket.site.container("web"), "sh", "-c", "head -c 3000000 /dev/urandom >/srv/uploads/noise")
    try:
        outcome = bucket.site.moorage("backup", "run")
        assert outcome.status == status, outcome.text
    finally:
        bucket.works()
    assert bucket.states() == states
    assert len(bucket.heartbeats) == calls
    assert len(bucket.told) == told
    assert bucket.prometheus("night_exit_status") == status


def test_the_script_of_the_timer_tells_who_wants_to_be_told(bucket: Bucket) -> None:
    import subprocess

    script = str(bucket.site.folder / "rendered/compose/backups/night.sh")
    bucket.fails(Answer(403, "ExpiredToken"))
    try:
        failed = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    finally:
        bucket.works()
    assert failed.returncode == 27, failed.stderr
    assert bucket.told == ["27 take"]
    calls = len(bucket.heartbeats)
    good = subprocess.run(["sh", script], capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stdout + good.stderr
    assert len(bucket.heartbeats) == calls + 1
    assert bucket.states() == ["good", "good"]


def test_a_key_that_may_not_delete_is_enough_for_a_night(bucket: Bucket) -> None:
    stores = bucket.site.settings["backups"]["stores"]
    bucket.site.write(backups={**bucket.site.settings["backups"], "stores": [{**stores[0], "may_delete": False}]})
    assert bucket.site.up().status == 0
    bucket.proxy.refuse_deletes()
    try:
        outcome = bucket.site.moorage("backup", "run")
        assert outcome.status == 0, outcome.text
    finally:
        bucket.works()
    assert bucket.states()[0] == "good"


def test_a_bare_machine_gets_everything_out_of_the_bucket(bucket: Bucket, tmp_path: Path) -> None:
    site = bucket.site
    noise = docker("exec", site.container("web"), "sha256sum", "/srv/uploads/noise")
    site.must("backup", "run")
    keys = bucket.server.write_credentials(tmp_path / "credentials")
    key = tmp_path / "recovery.key"
    shutil.copy(site.folder / "secrets/recovery.key", key)
    site.remove()
    given = ["--from", "s3://backups/servers", "--endpoint", bucket.proxy.endpoint, "--credentials", str(keys)]
    secrets = [bucket.server.secret, key.read_text().strip()]
    with watched_arguments(secrets) as seen:
        outcome = site.moorage(
            "restore", "--bare", *given, "--project", site.name, "--recovery-key-file", str(key), "--yes"
        )
    assert outcome.status == 0, outcome.text
    assert seen == []
    assert docker("exec", site.container("web"), "sha256sum", "/srv/uploads/noise") == noise
    assert site.moorage("backup", "run").status == 0
