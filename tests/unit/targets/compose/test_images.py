"""Images before anything stops: what is built, pulled and named, and what is said when that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from moorage.console import Console
from moorage.errors import DeployError
from moorage.process import Result
from moorage.targets.compose import docker as docker_module
from moorage.targets.compose import images
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import ExtraImageFacts, StackFacts
from tests.unit.targets.compose.test_plan import service, stack


class Engine:
    """`docker` as a table of images; a build says what a real one says, on both streams."""

    def __init__(self, *names: str, build: Result | None = None) -> None:
        self.names = set(names)
        self.build = build
        self.commands: list[list[str]] = []

    def __call__(self, command: Sequence[str], **_keys: Any) -> Result:
        words = list(command)[1:]
        self.commands.append(words)
        if words[:2] == ["image", "inspect"]:
            found = [name for name in words[2:] if name in self.names]
            tags = ", ".join(f'{{"Id": "sha256:{name}", "RepoTags": ["{name}"]}}' for name in found)
            return Result(0, f"[{tags}]", "")
        if words[0] == "tag":
            self.names.add(words[2])
        return self.build if "build" in words and self.build else Result(0, "", "")


def obtain(monkeypatch: pytest.MonkeyPatch, engine: Engine, facts: StackFacts, sources: Path) -> dict[str, str]:
    monkeypatch.setattr(docker_module, "run", engine)
    console = Console()
    return images.obtain(
        Docker("acme", Path("/srv/a b"), console), facts, console, sources, build=False, no_cache=False
    )


def test_an_image_of_the_app_s_own_containers_has_both_names_afterwards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    projects = ExtraImageFacts("projects:latest", "ghcr.io/acme/projects:1", builds=False)
    engine = Engine("web:1", "ghcr.io/acme/projects:1")
    found = obtain(monkeypatch, engine, stack(service(), extra_images=(projects,)), tmp_path)
    # A release remembers all of them, so that going back moves the second name too, and a repeated `up` sees no change.
    assert sorted(found) == ["ghcr.io/acme/projects:1", "projects:latest", "web:1"]
    assert ["tag", "ghcr.io/acme/projects:1", "projects:latest"] in engine.commands
    assert not [words for words in engine.commands if words[0] == "pull"]


def test_a_failed_build_shows_what_the_failed_step_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Result(17, "#7 [web 2/3] RUN npm ci\n#7 npm error code ENOTFOUND\n", "failed to solve: exit code: 1\n")
    facts = stack(service(builds=True))
    with pytest.raises(DeployError) as refusal:
        obtain(monkeypatch, Engine(build=failed), facts, tmp_path)
    said = capsys.readouterr().err
    assert said.index("npm error code ENOTFOUND") < said.index("failed to solve: exit code: 1")
    assert "nothing was stopped" in refusal.value.message
    assert f"cd '/srv/a b' && env MOORAGE_ASSETS={tmp_path} docker compose -f build.yaml build" in refusal.value.hint
