"""`uninstall --purge` deletes what this deployment made, and nothing that somebody else did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from moorage import flow
from moorage.console import Console
from moorage.operations import changing
from moorage.process import Result
from tests.unit.given import compose_of, deployment

COMPOSE: dict[str, Any] = {
    "services": {
        "web": {
            "image": "nginx",
            "volumes": ["theirs:/theirs", "ours:/ours"],
            "x-moorage": {"port": 80, "route": {"paths": ["/"]}},
        },
        "db": {
            "image": "postgres:16",
            "environment": {"POSTGRES_PASSWORD": "p"},
            "volumes": ["old:/var/lib/postgresql/data"],
        },
    },
    "volumes": {"theirs": {"external": True}, "old": {"external": True, "name": "old_pg"}, "ours": None},
}


class RecordingDocker:
    """Notes what Docker would be told."""

    calls: ClassVar[list[tuple[str, ...]]] = []

    def __init__(self, *_: object) -> None:
        self.calls.clear()

    def compose(self, *words: str, **_: object) -> None:
        self.calls.append(("compose", *words))

    def docker(self, *words: str, **_: object) -> Result:
        self.calls.append(words)
        return Result(0, "", "")

    def volumes(self, names: Iterable[str]) -> dict[str, str]:
        left = {"acme_backup-work"} - {words[-1] for words in self.calls if words[:2] == ("volume", "rm")}
        return dict.fromkeys(left & set(names), "")


def uninstall(folder: Path, *, dry_run: bool) -> None:
    console = Console()
    found = changing.uninstall(
        folder, "compose", console, purge=True, typed_name="acme", confirm=lambda _: True, dry_run=dry_run
    )
    assert found == 0


def test_an_external_volume_stays_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = deployment(tmp_path, COMPOSE)
    rendered = flow.render(found.stack)
    rendered.public.write(found.rendered_folder)
    assert compose_of(rendered)["volumes"]["old"] == {"name": "old_pg", "external": True}
    monkeypatch.setattr(changing, "Docker", RecordingDocker)
    monkeypatch.setattr(changing.units, "remove", lambda *_: None)
    uninstall(tmp_path, dry_run=True)
    said = capsys.readouterr().err
    gone, kept = said.splitlines()[:2]
    assert "volume acme_ours" in gone
    assert "old_pg" not in gone
    assert "the external volume old_pg" in kept
    assert "the external volume theirs" in kept
    assert "volume acme_backup-work" in gone
    assert f"the backups in {tmp_path}/backups" in kept
    uninstall(tmp_path, dry_run=False)
    assert ("compose", "--profile", "backup", "down", "--volumes") in RecordingDocker.calls
    assert ("volume", "rm", "acme_backup-work") in RecordingDocker.calls
    assert not any("old_pg" in words or "theirs" in words for words in RecordingDocker.calls)
