"""What is true of backups: what a night may use, and what a person is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moorage import __version__
from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.stack.model import BackupSettings
from tests.unit.given import deployment, problems

ROUTED = {"port": 80, "route": {"paths": ["/"]}}
WEB: dict[str, Any] = {"image": "nginx:1.27", "x-moorage": ROUTED}


def settings_of(folder: Path, settings: str = "", compose: Any = None) -> BackupSettings:
    found = deployment(folder, compose or {"services": {"web": WEB}}, settings).stack.backups
    assert found is not None
    return found


def told(folder: Path, compose: Any, settings: str = "") -> list[str]:
    return [f"{item.subject}: {item.text}" for item in deployment(folder, compose, settings).stack.notices]


@pytest.mark.parametrize(
    ("host", "memory", "cpu"),
    [
        ("{memory: 1Gi, cpus: 1}", 512 * MEBIBYTE, 1000),
        ("{memory: 8Gi, cpus: 2}", 2 * GIBIBYTE, 1000),
        ("{memory: 64Gi, cpus: 16}", 4 * GIBIBYTE, 15000),
    ],
)
def test_a_night_leaves_a_cpu_and_half_of_what_is_free(host: str, memory: int, cpu: int, tmp_path: Path) -> None:
    compose = {
        "x-moorage": {"requires": {"postgres": {"database": "x"}}},
        "services": {"web": {**WEB, "mem_limit": "64m"}},
    }
    found = settings_of(tmp_path, f"resources: {{host: {host}}}\n", compose)
    assert (found.limits.memory, found.limits.cpu) == (memory, cpu)


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("postgres:17", "postgres-17"),
        ("pgvector/pgvector:pg17", "pgvector-pgvector-pg17"),
        ("registry.example.com:5000/team/postgres:17-alpine", "registry.example.com-5000-team-postgres-17-alpine"),
    ],
)
def test_the_image_is_named_after_what_it_is_made_of(image: str, tag: str, tmp_path: Path) -> None:
    compose = {"x-moorage": {"requires": {"postgres": {"database": "x"}}}, "services": {"web": WEB}}
    found = settings_of(tmp_path, f"postgres: {{image: '{image}'}}\n", compose)
    assert (found.image, found.base_image) == (f"moorage-job/acme:{tag}-{__version__}", image)


def test_a_name_too_long_for_a_tag_is_cut_and_told_apart(tmp_path: Path) -> None:
    compose = {"x-moorage": {"requires": {"postgres": {"database": "x"}}}, "services": {"web": WEB}}
    names = {
        settings_of(tmp_path, f"postgres: {{image: 'a.example.com/{'long-' * 30}{last}/postgres:17'}}\n", compose).image
        for last in ("one", "two")
    }
    assert len(names) == 2
    assert all(len(name.partition(":")[2]) <= 128 for name in names)


def test_a_ready_made_image_is_not_built(tmp_path: Path) -> None:
    found = settings_of(tmp_path, "backups: {image: 'registry.example.com/job:1'}\n")
    assert (found.image, found.base_image) == ("registry.example.com/job:1", "")


@pytest.mark.parametrize(
    ("image", "kind"),
    [("mysql:8", "MySQL"), ("bitnami/mariadb:11", "MariaDB"), ("docker.io/library/mongo", "MongoDB")],
)
def test_a_database_of_another_kind_is_told_with_a_way(image: str, kind: str, tmp_path: Path) -> None:
    services = {"web": WEB, "db": {"image": image, "volumes": ["data:/var/lib/data"]}}
    found = [text for text in told(tmp_path, {"services": services, "volumes": {"data": None}}) if "db: is" in text]
    assert len(found) == 1
    assert f"is {kind}, whose files in data are copied while it writes them" in found[0]
    assert "x-moorage.jobs" in found[0]
    off = {"data": {"x-moorage": {"backup": False}}}
    assert not [text for text in told(tmp_path, {"services": services, "volumes": off}) if "copied while" in text]


def test_a_second_postgres_is_such_a_database_too(tmp_path: Path) -> None:
    compose = {
        "services": {
            "web": WEB,
            "db": {
                "image": "postgres:16",
                "environment": {"POSTGRES_PASSWORD": "x"},
                "volumes": ["d:/var/lib/postgresql/data"],
            },
        },
        "volumes": {"d": None},
    }
    assert not [text for text in told(tmp_path, compose) if "copied while" in text]
    left = told(tmp_path, compose, "postgres: {adopt: false}\n")
    assert [text for text in left if text.startswith("service db: is Postgres, whose files in d are copied while")]


def test_folders_of_the_host_are_not_saved_and_that_is_told(tmp_path: Path) -> None:
    compose = {"services": {"web": {**WEB, "volumes": ["/srv/films:/films", "/etc/localtime:/etc/localtime:ro"]}}}
    allowed = "permissions: {host_paths: [/srv/films, /etc/localtime]}\n"
    found = [text for text in told(tmp_path, compose, allowed) if "backups leave out" in text]
    assert found == [
        "service web: writes to /srv/films of the host, which backups leave out: save that in your own way"
    ]


def test_the_folder_on_the_same_disk_is_told_until_there_is_another_store(tmp_path: Path) -> None:
    compose = {"services": {"web": WEB}}
    assert any("who loses the disk loses both" in text for text in told(tmp_path, compose))
    assert any("backups: are off" in text for text in told(tmp_path, compose, "backups: {enabled: false}\n"))
    other = "backups: {stores: [{name: disk, directory: /mnt/a}]}\n"
    assert not [text for text in told(tmp_path, compose, other) if "backups" in text]


def test_stores_stay_out_of_the_folder_that_is_saved(tmp_path: Path) -> None:
    def messages(place: Path) -> list[str]:
        settings = f"backups: {{stores: [{{name: a, directory: {place}}}]}}\n"
        return [item.rule for item in problems(lambda: deployment(tmp_path, {"services": {"web": WEB}}, settings))]

    assert "is inside of this deployment's folder" in messages(tmp_path / "rendered" / "x")[0]
    assert "is inside of this deployment's folder" in messages(tmp_path / "my-backups")[0]
    assert "holds this deployment's own folder" in messages(tmp_path)[0]
    assert "holds this deployment's own folder" in messages(tmp_path.parent)[0]
    own = f"backups: {{stores: [{{name: a, directory: {tmp_path}/backups}}]}}\n"
    assert deployment(tmp_path, {"services": {"web": WEB}}, own).stack.backups is not None
