"""A site moves from a cluster to a server and back, by nothing but a bucket and the recovery key."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tools
from access import Access
from job_image import build_job_image
from node_site import NodeSite
from object_store import FaultyProxy, ObjectStore, faulty_proxy, object_store

from tests.docker.site import Site, docker, free_ports, note

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
ENVIRONMENT = "cluster"
PRIVATE = "only with the key of the cluster"


@dataclass
class Moving:
    """The deployment in the cluster, the machine that is still empty, and the bucket between them."""

    cluster: NodeSite
    server: Site
    bucket: ObjectStore
    proxy: FaultyProxy

    def bare(self, credentials: Path, key: Path, *words: str) -> list[str]:
        """`restore --bare` of what the cluster has saved."""
        given = ["--from", "s3://backups/servers", "--endpoint", self.proxy.endpoint, "--credentials", str(credentials)]
        named = ["--project", f"{self.server.name}--{ENVIRONMENT}", "--recovery-key-file", str(key), "--yes"]
        return ["restore", "--bare", *given, *named, *words]

    def from_server(self) -> NodeSite:
        """The same cluster, deployed to from the folder that came out of the backup."""
        found = object.__new__(NodeSite)
        found.__dict__.update({**vars(self.cluster), "folder": self.server.folder})
        return found


@pytest.fixture(scope="module")
def moving(node_cluster: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moving]:
    folder = tmp_path_factory.mktemp("moving")
    name = f"t{secrets.token_hex(4)}"
    job = f"moorage-job/{name}--{ENVIRONMENT}:postgres-17-0.1.0"
    subprocess.run(["docker", "build", "-q", "-t", "notes:latest", str(ROOT / "compose/apps/notes")], check=True)
    build_job_image("postgres:17", job)
    node_cluster.load_images(["postgres:17", "redis:7", "traefik:v3.7.15", job])
    # Where pods and containers reach this host.
    host = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()
    ports = free_ports(2)
    with object_store(tools.fetch("rclone"), folder / "s3") as bucket, faulty_proxy(bucket.endpoint, host) as proxy:
        store = {"name": "cloud", "bucket": "backups", "prefix": "servers", "endpoint": proxy.endpoint}
        cluster = NodeSite(
            folder / "cluster",
            node_cluster,
            f"{name}--{ENVIRONMENT}",
            ENVIRONMENT,
            name=name,
            tls={"mode": "internal-ca"},
            edge={"http_port": ports[0], "https_port": ports[1]},
            backups={"stores": [store]},
        )
        server = Site(folder / "server" / name, name, *ports)
        try:
            for part, value in (("ACCESS", bucket.key_id), ("SECRET", bucket.secret)):
                cluster.must("secrets", "set", f"STORE_CLOUD_{part}_KEY", stdin=value)
            cluster.must("up")
            yield Moving(cluster, server, bucket, proxy)
        finally:
            server.remove()
            docker("rmi", "-f", job, check=False)
            node_cluster.kubectl("delete", "namespace", cluster.namespace, "--ignore-not-found", "--wait=false")


def in_web(site: NodeSite, script: str) -> str:
    return site.kubectl("exec", "deploy/web", "--", "sh", "-c", script).strip()


def private_of_first(site: Site) -> str:
    found = site.request("GET", "/api/notes").json()["notes"][0]
    return str(site.request("GET", f"/api/notes/{found['id']}").json()["private"])


def test_a_night_of_the_cluster_comes_up_on_an_empty_server(moving: Moving, tmp_path: Path) -> None:
    cluster, server = moving.cluster, moving.server
    cluster.add("of the cluster", private=PRIVATE)
    in_web(cluster, "echo kept >/srv/uploads/file && chmod 2751 /srv/uploads")
    assert "is good: it was restored from store cloud and compared" in cluster.night("night")
    credentials = moving.bucket.write_credentials(tmp_path / "credentials")
    key = tmp_path / "recovery.key"
    shutil.copy(cluster.folder / "secrets/recovery.key", key)

    refused = server.moorage(*moving.bare(credentials, key))
    assert refused.status == 2, refused.text
    assert "`-e compose` brings its data up as compose" in refused.text
    assert not (server.folder / "moorage.yaml").exists()
    outcome = server.moorage(*moving.bare(credentials, key, "-e", "compose"))
    assert outcome.status == 0, outcome.text
    assert "NOTES_ENCRYPTION_KEY and SECRET_KEY of compose are those of cluster" in outcome.text.replace(
        "SECRET_KEY and NOTES_ENCRYPTION_KEY", "NOTES_ENCRYPTION_KEY and SECRET_KEY"
    )

    assert private_of_first(server) == PRIVATE
    assert not [path for path in server.folder.rglob("*") if path.is_symlink() or path.name.startswith("..")]
    found = docker("exec", server.container("web"), "sh", "-c", "cat /srv/uploads/file; stat -c '%a %u' /srv/uploads")
    assert found.split() == ["kept", "2751", "10001"]
    assert (server.folder / "secrets/recovery.key").read_text() == key.read_text()
    assert server.moorage("plan").status == 0
    night = server.moorage("backup", "run")
    assert night.status == 0, night.text


def test_a_backup_of_the_server_comes_into_the_cluster_and_can_be_taken_back(moving: Moving) -> None:
    server, cluster = moving.server, moving.from_server()
    note(server, "of the server", private="written on the server")
    server.must("backup", "run")
    # The folder that came out of the backup deploys to the cluster like the one that was lost.
    cluster.must("up")
    cluster.must("backup", "restore", "--of", "compose", "--yes")
    assert cluster.titles() == ["of the cluster", "of the server"]
    private = {cluster.ask("GET", f"/api/notes/{item['id']}")[1]["private"] for item in notes_of(cluster)}
    assert private == {PRIVATE, "written on the server"}
    assert in_web(cluster, "cat /srv/uploads/file; stat -c '%a %u' /srv/uploads").split() == ["kept", "2751", "10001"]
    # Its own nights go on where they were.
    assert "is good" in cluster.night("after")
    assert [row["state"] for row in json.loads(cluster.run("--json", "backup", "list").stdout)] == ["good", "good"]
    cluster.must("backup", "restore", "--undo", "--yes")
    assert cluster.titles() == ["of the cluster"]


def test_other_secrets_are_told_before_anything_is_exchanged(moving: Moving) -> None:
    cluster = moving.from_server()
    cluster.must("secrets", "set", "NOTES_ENCRYPTION_KEY", stdin="bm90IHRoZSBrZXkgb2YgdGhlIGNsdXN0ZXIgYXQgYWw=")
    refused = cluster.run("backup", "restore", "--of", "compose", "--yes")
    assert refused.returncode == 1
    assert "NOTES_ENCRYPTION_KEY of cluster is not what compose has" in refused.stderr
    assert "moorage secrets copy --from compose -e cluster" in refused.stderr
    cluster.must("secrets", "copy", "--from", "compose", "--yes")
    cluster.must("up")
    cluster.must("backup", "restore", "--of", "compose", "--yes")
    assert cluster.titles() == ["of the cluster", "of the server"]


def notes_of(site: NodeSite) -> list[dict[str, object]]:
    return list(site.ask("GET", "/api/notes")[1]["notes"])
