"""Point-in-time recovery: when it is on, which store gets the log, what the server is told and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moorage.stack.model import BundledPostgres, Stack
from tests.unit.given import deployment, problems

COMPOSE: dict[str, Any] = {
    "x-moorage": {"requires": {"postgres": {"database": "notes"}}},
    "services": {"web": {"image": "nginx:1.27", "x-moorage": {"port": 80, "route": {"paths": ["/"]}}}},
}
DISK = "{name: disk, directory: /mnt/a}"
ROLE = "bucket: acme-backups, credentials: instance-role"
PLAIN = "{name: plain, bucket: acme-backups, endpoint: 'http://minio:9000'}"
SECRETS = {"STORE_PLAIN_ACCESS_KEY": "a", "STORE_PLAIN_SECRET_KEY": "b"}


def stack_of(folder: Path, backups: str, more: str = "", compose: Any = None) -> Stack:
    secrets = SECRETS if "plain" in backups else None
    return deployment(folder, compose or COMPOSE, f"backups: {backups}\n{more}", secrets=secrets).stack


def store_of(stack: Stack) -> str:
    assert stack.backups is not None
    return stack.backups.archive.store if stack.backups.archive else ""


def told(stack: Stack) -> list[str]:
    return [item.text for item in stack.notices if item.subject == "backups.point_in_time"]


def parameters(stack: Stack) -> dict[str, tuple[str, str]]:
    assert isinstance(stack.postgres, BundledPostgres)
    return {item.name: (item.value, item.why) for item in stack.postgres.parameters}


@pytest.mark.parametrize(
    ("backups", "store"),
    [
        ("{}", ""),
        ("{point_in_time: on}", "local"),
        (f"{{stores: [{DISK}]}}", "disk"),
        (f"{{stores: [{DISK}], point_in_time: off}}", ""),
        (f"{{stores: [{{name: s3, {ROLE}}}, {DISK}]}}", "s3"),
        (f"{{stores: [{{name: s3, {ROLE}, may_delete: false}}, {DISK}]}}", "disk"),
        (f"{{stores: [{PLAIN}, {DISK}]}}", "disk"),
        (f"{{stores: [{PLAIN}]}}", ""),
        ("{enabled: false, point_in_time: on}", ""),
    ],
)
def test_the_first_store_that_can_take_the_log_gets_it(backups: str, store: str, tmp_path: Path) -> None:
    stack = stack_of(tmp_path, backups.replace(": on}", ': "on"}').replace(": off}", ': "off"}'))
    assert (store_of(stack) if stack.backups else "") == store
    assert bool(told(stack)) == (backups == f"{{stores: [{PLAIN}]}}")


def test_the_server_runs_from_an_image_without_moorage_and_each_parameter_has_a_reason(tmp_path: Path) -> None:
    stack = stack_of(tmp_path, f"{{stores: [{DISK}]}}")
    assert isinstance(stack.postgres, BundledPostgres)
    assert stack.backups is not None
    assert stack.postgres.image.reference == "moorage-job/acme:server-postgres-17"
    assert stack.backups.base_image == "postgres:17"
    found = parameters(stack)
    assert found["archive_mode"] == ("on", "each piece of the log goes to store disk: restores to any minute")
    assert found["archive_command"][0].endswith('--stanza=acme archive-push "%p"')
    assert found["wal_level"][0] == "replica"


def test_what_the_operator_chose_for_the_log_stays(tmp_path: Path) -> None:
    more = "postgres: {parameters: {WAL_LEVEL: logical, archive_timeout: 10min}}\n"
    found = parameters(stack_of(tmp_path, f"{{stores: [{DISK}]}}", more))
    assert (found["wal_level"][0], found["archive_timeout"][0]) == ("logical", "10min")
    assert "WAL_LEVEL" not in found


@pytest.mark.parametrize("own", ["archive_command: 'wal-g wal-push %p'", "archive_mode: 'off'", "wal_level: minimal"])
def test_who_archives_in_another_way_is_left_alone_and_told(own: str, tmp_path: Path) -> None:
    more = f"postgres: {{parameters: {{{own}}}}}\n"
    stack = stack_of(tmp_path, f"{{stores: [{DISK}]}}", more)
    assert store_of(stack) == ""
    (text,) = told(stack)
    assert "is off, a restore goes back to a night" in text
    (problem,) = problems(lambda: stack_of(tmp_path, f"{{stores: [{DISK}], point_in_time: 'on'}}", more))
    assert problem.key == "backups.point_in_time"
    assert "can't be on" in problem.rule


def test_an_app_without_a_database_needs_no_word_of_it(tmp_path: Path) -> None:
    compose = {"services": COMPOSE["services"]}
    stack = stack_of(tmp_path, f"{{stores: [{DISK}]}}", compose=compose)
    assert (store_of(stack), told(stack)) == ("", [])


@pytest.mark.parametrize(("image", "user"), [("postgres:17", 999), ("alpine.example.com/postgres:17-alpine", 70)])
def test_the_user_of_the_server_is_that_of_its_distribution(image: str, user: int, tmp_path: Path) -> None:
    stack = stack_of(tmp_path, f"{{stores: [{DISK}]}}", f"postgres: {{image: '{image}'}}\n")
    assert stack.backups is not None
    assert stack.backups.archive is not None
    assert stack.backups.archive.user == user
