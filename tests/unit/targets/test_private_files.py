"""Files with secrets: closed to other users of the host, open to the users of the containers that mount them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from moorage.checks import files
from moorage.targets import private_files
from moorage.tree import MANIFEST, Tree
from tests.unit.checks.samples import needs
from tests.unit.given import deployment


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def private_tree() -> Tree:
    tree = Tree()
    tree.add("env/web.env", "A=1", 0o600)
    tree.add("files/postgres_password", "x", 0o600)
    tree.add("files/web/key.pem", "x", 0o600)
    tree.add("files/web/conf/sub/app.ini", "x", 0o600)
    tree.add("files/web/conf/sub/plain.ini", "x", 0o644)
    tree.add(MANIFEST, tree.manifest(), 0o600)
    return tree


def test_folders_are_closed_unless_a_container_gets_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets" / "compose" / "compose"
    private_files.write(private_tree(), folder)
    modes = {
        str(place.relative_to(tmp_path)): place.stat().st_mode & 0o777
        for place in tmp_path.rglob("*")
        if place.is_dir()
    }
    inside = "secrets/compose/compose"
    assert modes == {
        "secrets": 0o700,
        "secrets/compose": 0o700,
        inside: 0o700,
        f"{inside}/env": 0o700,
        f"{inside}/files": 0o700,
        f"{inside}/files/web": 0o700,
        f"{inside}/files/web/conf": 0o755,
        f"{inside}/files/web/conf/sub": 0o755,
    }


def test_check_has_nothing_to_say_about_our_own_folders(tmp_path: Path) -> None:
    from moorage.targets.releases import Releases

    private_files.write(private_tree(), tmp_path / "secrets" / "compose" / "compose")
    public = Tree()
    public.add(MANIFEST, public.manifest())
    public.write(tmp_path / "rendered")
    now = datetime(2026, 5, 4, tzinfo=timezone.utc)
    Releases(tmp_path, "compose").record(tmp_path / "rendered", tmp_path / "secrets/compose/compose", {}, now)
    assert files.gather(needs(folder=tmp_path), now).open_paths == ()


def test_an_open_folder_above_a_mounted_one_is_told(tmp_path: Path) -> None:
    private_files.write(private_tree(), tmp_path / "secrets" / "compose" / "compose")
    for place in ("secrets", "secrets/compose", "secrets/compose/compose", "secrets/compose/compose/files"):
        (tmp_path / place).chmod(0o755)
    (tmp_path / "secrets/compose/compose/files/web").chmod(0o755)
    found = files.gather(needs(folder=tmp_path), datetime(2026, 5, 4, tzinfo=timezone.utc)).open_paths
    assert "secrets/compose/compose/files/web/conf/sub/plain.ini" in [item.path for item in found]


def test_the_own_authority_s_folders_are_closed(tmp_path: Path) -> None:
    base = "name: acme\napp: ./compose.yaml\ndomain: notes.example.com\ntls: {mode: internal-ca}\n"
    deployment(tmp_path, base=base)
    for place in ("secrets", "secrets/compose", "secrets/compose/tls", "secrets/compose/values"):
        if (tmp_path / place).exists():
            assert (tmp_path / place).stat().st_mode & 0o777 == 0o700, place
