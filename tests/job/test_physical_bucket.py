"""The physical path into a bucket: a real S3 server with a certificate of its own authority, and a directory beside it."""

# docker run: --user postgres --network none

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.backups.failures import StoreRefused, StoreUnreachable
from moorage.backups.physical.recovery import recovered_server
from moorage.backups.physical.settings import BucketKeys
from moorage.backups.plan import StorePlan
from moorage.sensitive import Sensitive
from tests.job.physical_cluster import Cluster, cluster_in, now, recovered_rows

KEY, SECRET = "access-key-of-some-length", "secret-key-that-is-long-enough"
BUCKET = "backups"


def _certificate(folder: Path) -> Path:
    """For 127.0.0.1, and its own authority."""
    subject = ["-subj", "/CN=moorage test", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "cert.pem"


class Server:
    """`rclone serve s3` with TLS, which pgBackRest insists on."""

    def __init__(self, folder: Path) -> None:
        (folder / "data" / BUCKET).mkdir(parents=True)
        self.folder = folder
        self.certificate = _certificate(folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start, and wait for the port."""
        options = [
            "--cert",
            str(self.certificate),
            "--key",
            str(self.folder / "key.pem"),
            "--auth-key",
            f"{KEY},{SECRET}",
        ]
        command = ["rclone", "serve", "s3", "--addr", f":{self.port}", *options, str(self.folder / "data")]
        self.process = subprocess.Popen(
            command, stderr=subprocess.DEVNULL, env={"HOME": str(self.folder), "PATH": "/usr/local/bin"}
        )
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", self.port)) != 0:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    @property
    def store(self) -> StorePlan:
        """How a plan names it."""
        return StorePlan(
            "remote", bucket=BUCKET, prefix="team", endpoint=f"https://localhost:{self.port}", region="us-east-1"
        )

    def keys(self, secret: str = SECRET) -> dict[str, BucketKeys]:
        """What lets pgBackRest in."""
        return {"remote": BucketKeys(Sensitive(KEY), Sensitive(secret), str(self.certificate))}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("s3"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def cluster(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    stores = (StorePlan("local", directory=str(folder / "stores" / "local")), server.store)
    with cluster_in(folder, stores, server.keys()) as made:
        made.check()
        made.run("create table notes (body text)", "insert into notes values ('A')")
        yield made


def test_a_backup_and_the_log_go_to_the_bucket_and_come_back(cluster: Cluster, server: Server, tmp_path: Path) -> None:
    made = cluster.engine.backup("remote", now())
    assert (made.kind, made.store) == ("full", "remote")
    assert cluster.engine.backups("local") == ()
    mark = cluster.mark("remote")
    cluster.run("insert into notes values ('B')")
    cluster.switch()
    assert cluster.engine.verify("remote").is_good
    health = cluster.health("remote")
    assert (health.open_gaps, health.free_bytes, health.days_until_full) == ((), None, None)
    assert cluster.plan.database is not None
    restored = cluster.engine.restore("remote", tmp_path / "restored", mark.at)
    with recovered_server(restored, cluster.plan.database, is_drill=False) as recovered:
        assert recovered_rows(recovered.server, "select body from notes") == [("A",)]
    fetched = cluster.engine.fetch("remote", tmp_path / "drill", made.label, mark)
    with recovered_server(fetched, cluster.plan.database, is_drill=True) as recovered:
        assert recovered_rows(recovered.server, "select body from notes") == [("A",)]
    assert (server.folder / "data" / BUCKET / "team" / "demo" / "pgbackrest" / "archive").is_dir()


def test_expiry_by_time_keeps_what_is_young(cluster: Cluster) -> None:
    made = cluster.engine.backup("remote", now())
    expiry = cluster.engine.expire("remote")
    assert made.label in expiry.kept
    assert expiry.removed == ()


def test_wrong_keys_are_refused(cluster: Cluster, server: Server) -> None:
    right = cluster.keys
    cluster.keys = server.keys(secret="another-secret-that-is-as-long")
    cluster.configure()
    try:
        with pytest.raises(StoreRefused) as caught:
            cluster.engine.backups("remote")
        assert "another-secret" not in str(caught.value)
    finally:
        cluster.keys = right
        cluster.configure()


def test_an_unknown_authority_is_named(cluster: Cluster) -> None:
    right = cluster.keys
    cluster.keys = {"remote": BucketKeys(Sensitive(KEY), Sensitive(SECRET))}
    cluster.configure()
    try:
        with pytest.raises(StoreUnreachable) as caught:
            cluster.engine.backups("remote")
        assert "certificate" in caught.value.message
    finally:
        cluster.keys = right
        cluster.configure()


def test_a_bucket_that_is_away_is_named_and_its_log_comes_later(cluster: Cluster, server: Server) -> None:
    cluster.engine.backup("local", now())
    server.stop()
    try:
        with pytest.raises(StoreUnreachable):
            cluster.engine.backups("remote")
        (name,) = cluster.run(
            "insert into notes values ('while the bucket was away')", "select pg_walfile_name(pg_switch_wal())"
        )[0]
        deadline = time.monotonic() + 120
        while not list(cluster.repository.rglob(f"{name}-*")):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert cluster.health("local").open_gaps == ()
    finally:
        server.start()
    cluster.check()
    assert cluster.health("remote").open_gaps == ()
