"""What is rendered for point-in-time recovery: the same mounts in both containers, one closed file, no new revision for keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moorage import flow
from moorage.backups.plan import PLAN_FILE, PhysicalPlan, read_plan
from moorage.targets.base import Rendering
from tests.unit.given import compose_of, deployment

COMPOSE: dict[str, Any] = {
    "x-moorage": {"requires": {"postgres": {"database": "notes"}}},
    "services": {"web": {"image": "nginx:1.27", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}},
}
DISK = "backups: {stores: [{name: disk, directory: /mnt/a}]}\n"
BUCKET = "backups: {stores: [{name: s3, bucket: acme-backups, prefix: a/b, endpoint: 'https://s3.example.com:9443'}]}\n"
KEYS = {"STORE_S3_ACCESS_KEY": "AKIAEXAMPLE", "STORE_S3_SECRET_KEY": "wJalr/K7=+x"}
FILE = "files/postgres/pgbackrest/pgbackrest.conf"


def rendered(folder: Path, settings: str = DISK, **more: Any) -> Rendering:
    return flow.render(deployment(folder, COMPOSE, settings, **more).stack)


def mounts_of(rendering: Rendering, service: str) -> dict[str, dict[str, Any]]:
    return {item["target"]: item for item in compose_of(rendering)["services"][service]["volumes"]}


def revision_of(rendering: Rendering) -> str:
    lines = rendering.public.files["compose/.env"].content.decode().splitlines()
    return next(line for line in lines if line.startswith("MOORAGE_POSTGRES_REVISION="))


def test_server_and_job_see_the_log_and_nothing_else_of_the_store_at_the_same_place(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    server, night = mounts_of(found, "postgres"), mounts_of(found, "backup")
    for place in ("/archive/acme/pgbackrest", "/etc/pgbackrest"):
        assert server[place] == night[place]
        # Who restores reads it only.
        assert mounts_of(found, "backup-restore")[place] == {**night[place], "read_only": True}
    assert server["/archive/acme/pgbackrest"]["source"] == "/mnt/a/acme/pgbackrest"
    # A disk that is away must not keep the database from starting.
    assert server["/archive/acme/pgbackrest"]["bind"] == {"create_host_path": True}
    assert server["/etc/pgbackrest"]["read_only"]
    assert "/stores/disk" not in server
    plan = read_plan(found.public.files[PLAN_FILE].content.decode())
    assert plan.physical == PhysicalPlan(
        "acme", "/etc/pgbackrest/pgbackrest.conf", ("disk",), "/archive/acme/pgbackrest"
    )
    services = compose_of(found)["services"]
    assert "backup" not in services["postgres"]["networks"]
    assert services["backup-restore"]["cap_add"] == ["KILL"]
    assert "cap_add" not in services["backup"]


def test_the_passphrase_stands_in_one_file_of_the_servers_own_user(tmp_path: Path) -> None:
    found = rendered(tmp_path)
    file = found.private.files[FILE]
    assert (file.mode, file.owner) == (0o600, 999)
    lines = dict(line.split("=", 1) for line in file.content.decode().splitlines() if "=" in line)
    assert lines["repo1-path"] == "/archive/acme/pgbackrest"
    assert len(lines["repo1-cipher-pass"]) == 64
    secret = lines["repo1-cipher-pass"].encode()
    assert not [path for path, item in found.public.files.items() if secret in item.content]


def test_a_bucket_gives_the_server_a_way_out_and_needs_no_folder(tmp_path: Path) -> None:
    found = rendered(tmp_path, BUCKET, secrets=KEYS)
    assert set(compose_of(found)["services"]["postgres"]["networks"]) == {"data", "backup"}
    assert not [place for place in mounts_of(found, "postgres") if place.startswith("/archive")]
    text = found.private.files[FILE].content.decode()
    assert "repo1-path=/a/b/acme/pgbackrest\n" in text
    assert "repo1-s3-key-secret=wJalr/K7=+x\n" in text
    assert "repo1-storage-port=9443\n" in text
    for value in KEYS.values():
        assert not [path for path, item in found.public.files.items() if value.encode() in item.content]


def test_a_role_of_the_machine_opens_the_bucket_without_a_key(tmp_path: Path) -> None:
    settings = "backups: {stores: [{name: s3, bucket: acme-backups, credentials: instance-role}]}\n"
    text = rendered(tmp_path, settings).private.files[FILE].content.decode()
    assert "repo1-s3-key-type=auto\n" in text
    assert "repo1-s3-key=" not in text


def test_new_keys_of_a_bucket_restart_no_database_and_switching_does(tmp_path: Path) -> None:
    first = rendered(tmp_path, BUCKET, secrets=KEYS)
    other = rendered(tmp_path, BUCKET, secrets={**KEYS, "STORE_S3_SECRET_KEY": "another"})
    off = rendered(tmp_path, BUCKET.replace("stores", "point_in_time: 'off', stores"), secrets=KEYS)
    assert first.private.files[FILE] != other.private.files[FILE]
    assert revision_of(first) == revision_of(other)
    assert revision_of(first) != revision_of(off)
    assert FILE not in off.private.files


@pytest.mark.parametrize("ready", [True, False])
def test_the_entrypoint_is_the_servers_own(ready: bool, tmp_path: Path) -> None:
    image = "image: registry.example.com/job:1, " if ready else ""
    service = compose_of(rendered(tmp_path, DISK.replace("stores", f"{image}stores")))["services"]["postgres"]
    assert service.get("entrypoint") == (["docker-entrypoint.sh"] if ready else None)
    assert service["pull_policy"] == "never"
