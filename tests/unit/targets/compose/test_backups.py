"""What is rendered for backups: the plan, the three containers, secrets apart, a hook that no quoting breaks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from moorage import flow
from moorage.backups.plan import PLAN_FILE, BackupPlan, read_plan
from moorage.stack.model import Stack
from moorage.targets.base import Rendering
from tests.unit.given import compose_of, deployment

ROUTED = {"port": 80, "route": {"paths": ["/"]}}
WITH_DATABASE: dict[str, Any] = {
    "x-moorage": {"requires": {"postgres": {"database": "notes", "databases": ["other"]}, "redis": {}}},
    "services": {"web": {"image": "nginx:1.27", "volumes": ["uploads:/srv", "cache:/cache"], "x-moorage": ROUTED}},
    "volumes": {"uploads": {"x-moorage": {"exclude": ["*.tmp"]}}, "cache": {"x-moorage": {"backup": False}}},
}
KEYS = {"STORE_OFF_SITE_ACCESS_KEY": "AKIAEXAMPLE", "STORE_OFF_SITE_SECRET_KEY": "wJalr/K7=+x"}
BUCKET = "backups: {stores: [{name: off-site, bucket: acme-backups, prefix: /a/b/, may_delete: false}]}\n"


def rendered(folder: Path, compose: Any = None, settings: str = "", **given: Any) -> tuple[Stack, Rendering]:
    stack = deployment(folder, compose or WITH_DATABASE, settings, **given).stack
    return stack, flow.render(stack)


def plan_of(rendering: Rendering) -> BackupPlan:
    return read_plan(rendering.public.files[PLAN_FILE].content.decode())


def services_of(rendering: Rendering) -> dict[str, Any]:
    return {name: service for name, service in compose_of(rendering)["services"].items() if "backup" in name}


def mounts_of(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["target"]: item for item in service.get("volumes", [])}


def test_without_a_word_backups_go_to_a_folder_of_the_deployment(tmp_path: Path) -> None:
    stack, rendering = rendered(tmp_path)
    plan = plan_of(rendering)
    assert plan.deployment_id == stack.deployment_id
    assert [(store.name, store.directory, store.kind) for store in plan.stores] == [
        ("local", "/stores/local", "directory")
    ]
    assert plan.database is not None
    assert (plan.database.host, plan.database.user, plan.database.password_file) == (
        "/var/run/postgresql",
        "postgres",
        "",
    )
    assert plan.database.names == ("notes", "other")
    assert [(item.name, item.path, item.excludes) for item in plan.volumes] == [
        ("redis-data", "/volumes/redis-data", ()),
        ("uploads", "/volumes/uploads", ("*.tmp",)),
    ]
    assert "backups" in plan.folder_excludes, "a backup of the backups"
    store = mounts_of(services_of(rendering)["backup"])["/stores/local"]
    assert (store["source"], store["bind"]) == ("../../../backups", {"create_host_path": False})
    assert services_of(rendering)["backup"]["network_mode"] == "none"
    assert "backup" not in compose_of(rendering)["networks"]


def test_the_night_reads_what_the_restore_may_write(tmp_path: Path) -> None:
    _, rendering = rendered(tmp_path)
    services = services_of(rendering)
    night, restore = mounts_of(services["backup"]), mounts_of(services["backup-restore"])
    data = {place for place in night if place.startswith(("/volumes", "/var/lib"))}
    assert data == {"/volumes/uploads", "/volumes/redis-data", "/var/lib/postgresql/data"}
    assert all(night[place]["read_only"] for place in data)
    writes = {place for place, mount in restore.items() if not mount.get("read_only")}
    # Not to the cluster's files, and not to a store.
    assert writes == {"/volumes/uploads", "/volumes/redis-data"}
    assert night["/var/run/postgresql"]["read_only"]


def test_the_drill_gets_no_secret_and_nothing_of_the_app(tmp_path: Path) -> None:
    _, rendering = rendered(tmp_path, settings=BUCKET, secrets=KEYS)
    drill = services_of(rendering)["backup-drill"]
    assert set(drill) == {"extends", "tmpfs"}
    fragment = yaml.safe_load(rendering.public.files["compose/platform/backup.yaml"].content)["services"][
        "backup-drill"
    ]
    assert fragment["network_mode"] == "none"
    assert fragment["user"] == "999:999"
    assert "cap_add" not in fragment
    assert [item.partition(":")[0] for item in fragment["volumes"]] == ["backup-work", "../../backups/plan.json"]


def test_the_keys_of_a_bucket_stand_in_one_closed_file_and_nowhere_else(tmp_path: Path) -> None:
    _, rendering = rendered(tmp_path, settings=BUCKET, secrets=KEYS)
    file = rendering.private.files["backups/store_off-site"]
    assert file.mode == 0o600
    assert file.content.decode() == (
        "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = wJalr/K7=+x\n"
    )
    for value in KEYS.values():
        assert not [path for path, item in rendering.public.files.items() if value.encode() in item.content]
    (store,) = plan_of(rendering).stores
    assert (store.bucket, store.prefix, store.region, store.may_delete) == ("acme-backups", "a/b", "us-east-1", False)
    assert store.credentials_file == "/run/secrets/store_off-site"
    backup = services_of(rendering)["backup"]
    assert {"source": "backup_store_off-site", "target": "store_off-site"} in backup["secrets"]
    assert backup["networks"] == ["backup"]
    assert compose_of(rendering)["networks"]["backup"] == {}


def test_a_role_of_the_machine_needs_no_key(tmp_path: Path) -> None:
    settings = "backups: {stores: [{name: s3, bucket: acme-backups, credentials: instance-role}]}\n"
    _, rendering = rendered(tmp_path, settings=settings)
    assert plan_of(rendering).stores[0].credentials_file == ""
    assert not [path for path in rendering.private.files if path.startswith("backups/")]


def test_each_store_may_keep_its_own_number(tmp_path: Path) -> None:
    settings = """\
backups:
  retention: {daily: 3}
  stores: [{name: a, directory: /mnt/a}, {name: b, directory: /mnt/b/, retention: {daily: 30}}]
"""
    plan = plan_of(rendered(tmp_path, settings=settings)[1])
    assert [store.retention.daily for store in plan.stores] == [3, 30]
    services = services_of(rendered(tmp_path, settings=settings)[1])
    assert mounts_of(services["backup"])["/stores/b"]["source"] == "/mnt/b"


EXTERNAL = "postgres: {mode: external, host: db.example.com, user: 'me:too', tls: verify-full, version: 16}\n"


def test_a_foreign_server_is_reached_by_a_password_file(tmp_path: Path) -> None:
    password = {"POSTGRES_PASSWORD": "a:b\\c"}
    _, rendering = rendered(tmp_path, settings=EXTERNAL, secrets=password)
    database = plan_of(rendering).database
    assert database is not None
    assert (database.host, database.port, database.tls, database.major) == ("db.example.com", 5432, "verify-full", 16)
    assert database.password_file == "/run/secrets/pgpass"
    assert rendering.private.files["backups/pgpass"].content == b"db.example.com:5432:*:me\\:too:a\\:b\\\\c\n"
    backup = services_of(rendering)["backup"]
    assert "/var/run/postgresql" not in mounts_of(backup)
    assert backup["networks"] == ["backup"]
    assert (
        'MOORAGE_BACKUP_IMAGE="moorage-job/acme:postgres-16-' in rendering.public.files["compose/.env"].content.decode()
    )


def test_the_heartbeat_is_a_file(tmp_path: Path) -> None:
    url = "https://hc.example.com/0a1b2c"
    _, rendering = rendered(tmp_path, settings=f"backups: {{heartbeat_url: '{url}'}}\n")
    assert plan_of(rendering).heartbeat_url_file == "/run/secrets/heartbeat"
    assert rendering.private.files["backups/heartbeat"].content.decode() == f"{url}\n"
    assert not [path for path, item in rendering.public.files.items() if url.encode() in item.content]


def test_an_app_without_data_still_has_its_folder_saved(tmp_path: Path) -> None:
    compose = {"services": {"web": {"image": "nginx:1.27", "x-moorage": ROUTED}}}
    plan = plan_of(rendered(tmp_path, compose)[1])
    assert (plan.database, plan.volumes, plan.folder) == (None, (), "/deployment")


def test_backups_that_are_off_leave_nothing(tmp_path: Path) -> None:
    stack, rendering = rendered(tmp_path, settings="backups: {enabled: false}\n")
    assert stack.backups is None
    assert not services_of(rendering)
    assert not [path for path in rendering.public.files if "backup" in path]
    assert "backup" not in rendering.public.files["compose/compose.yaml"].content.decode()


def test_no_container_of_the_app_is_replaced_because_backups_change(tmp_path: Path) -> None:
    def revisions(settings: str) -> dict[str, str]:
        content = rendered(tmp_path, settings=settings, secrets=KEYS)[1].public.files["stack.json"].content
        return {item["name"]: item["revision"] for item in json.loads(content)["services"]}

    assert revisions("backups: {enabled: false}\n") == revisions(BUCKET) == revisions("")


def test_an_app_may_have_a_service_a_job_and_a_network_called_backup(tmp_path: Path) -> None:
    compose = {
        "x-moorage": {"jobs": {"backup-drill": {"service": "backup", "command": ["x"], "schedule": "0 1 * * *"}}},
        "services": {"backup": {"image": "nginx:1.27", "networks": ["backup"], "x-moorage": ROUTED}},
        "networks": {"backup": None},
    }
    stack, rendering = rendered(tmp_path, compose, BUCKET, secrets=KEYS)
    assert stack.backups is not None
    assert stack.backups.services == ("moorage-backup", "moorage-backup-drill", "moorage-backup-restore")
    services = compose_of(rendering)["services"]
    assert services["backup"]["image"] == "nginx:1.27"
    assert "backup" not in services["backup"]["networks"], "the app's own network is another one"
    units = {path.rpartition("/")[2] for path in rendering.public.files if path.startswith("host/systemd/")}
    assert {"moorage-acme.moorage-backup.timer", "moorage-acme.backup-drill.timer"} <= units
    assert "SERVICE=moorage-backup\n" in rendering.public.files["backups/night.settings"].content.decode()


def test_an_external_volume_is_saved_where_it_is_used(tmp_path: Path) -> None:
    compose = {
        "services": {"web": {"image": "nginx:1.27", "volumes": ["theirs:/srv"], "x-moorage": ROUTED}},
        "volumes": {"theirs": {"external": True, "name": "their_data"}, "unused": {"external": True}},
    }
    _, rendering = rendered(tmp_path, compose)
    assert [item.name for item in plan_of(rendering).volumes] == ["theirs"]
    assert mounts_of(services_of(rendering)["backup"])["/volumes/theirs"]["source"] == "theirs"


def test_a_queue_is_saved_and_a_cache_is_not(tmp_path: Path) -> None:
    _, rendering = rendered(tmp_path, settings="redis: {policy: allkeys-lru}\n")
    assert [item.name for item in plan_of(rendering).volumes] == ["uploads"]


def test_the_certificates_are_saved_where_an_authority_issues_them(tmp_path: Path) -> None:
    settings = "name: acme\napp: ./compose.yaml\ndomain: notes.example.com\ntls: {email: ops@example.com}\n"
    _, rendering = rendered(tmp_path, base=settings)
    assert plan_of(rendering).volumes[0].path == "/volumes/edge-acme"


def test_an_adopted_database_is_dumped_by_its_own_superuser_and_not_copied(tmp_path: Path) -> None:
    compose = {
        "services": {
            "web": {"image": "nginx:1.27", "x-moorage": ROUTED},
            "db": {
                "image": "postgres:16",
                "environment": {"POSTGRES_USER": "boss", "POSTGRES_PASSWORD": "p", "POSTGRES_DB": "shop"},
                "volumes": ["pg:/var/lib/postgresql/data"],
            },
        },
        "volumes": {"pg": None},
    }
    plan = plan_of(rendered(tmp_path, compose)[1])
    assert plan.database is not None
    assert (plan.database.user, plan.database.names, plan.database.major) == ("boss", ("shop",), 16)
    assert plan.volumes == ()


@pytest.mark.parametrize("shell", ["sh", "bash"])
@given(
    words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=4)
)
def test_the_hook_gets_its_words_as_they_were_written(shell: str, words: list[str]) -> None:
    import shlex

    from moorage.targets.compose.backups import hook_text

    show = ["python3", "-c", "import json,sys; print(json.dumps(sys.argv[1:]))"]
    found = subprocess.run([shell, "-c", hook_text((*show, *words))], capture_output=True, check=True)
    assert json.loads(found.stdout) == words, shlex.join(words)
