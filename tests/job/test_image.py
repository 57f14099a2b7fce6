"""The image has what the job's code needs."""

from __future__ import annotations

import importlib
import shutil

import pytest


@pytest.mark.parametrize("program", ["restic", "pgbackrest", "pg_dump", "pg_restore", "initdb", "pg_amcheck", "rclone"])
def test_a_program_is_there(program: str) -> None:
    found = shutil.which(program, path="/usr/local/bin:/usr/bin:/usr/lib/postgresql/17/bin:/usr/lib/postgresql/15/bin")
    assert found, program


@pytest.mark.parametrize("module", ["psycopg", "boto3", "moorage.backups.plan"])
def test_a_module_is_there(module: str) -> None:
    assert importlib.import_module(module)
