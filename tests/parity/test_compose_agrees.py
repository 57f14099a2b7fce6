"""Our reader of rendered Compose folders reads what the real `docker compose config` prints. It needs no engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from moorage.console import Console
from moorage.operations import comparing
from moorage.parity.compose_services import services, top_level
from moorage.parity.words import cpus, seconds, size
from tests.conftest import need
from tests.parity.deployments import CASE_FOLDERS, build, kustomize, write_case

pytestmark = pytest.mark.docker
_TEXTS = ("image", "restart", "user", "working_dir", "read_only", "command", "entrypoint", "cap_drop", "cap_add", "security_opt", "network_mode", "stop_signal", "init")  # fmt: skip


def _config(folder: Path) -> dict[str, Any]:
    """What Compose itself makes of a rendered folder, profiles and all."""
    answer = subprocess.run(
        ["docker", "compose", "--profile", "*", "config", "--format", "json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    # It prints what could be read again: a sign of a variable stands twice.
    content: dict[str, Any] = json.loads(answer.stdout.replace("$$", "$"))
    return content


@pytest.mark.parametrize("name", sorted(CASE_FOLDERS))
def test_a_rendered_folder_is_read_as_compose_reads_it(name: str, tmp_path: Path) -> None:
    need(shutil.which("docker") is not None, "docker compose")
    need(bool(kustomize()), "kustomize")
    for environment in write_case(name, tmp_path / "site"):
        rendered = comparing.read_environment(tmp_path / "site", environment, Console(quiet=True), build)
        if rendered.is_cluster:
            continue
        folder = tmp_path / "site" / "rendered" / environment
        theirs, ours = _config(folder / "compose"), services(rendered)
        assert theirs["services"].keys() == ours.keys()
        for service, data in theirs["services"].items():
            _same(folder, service, data, ours[service])
        own = top_level(rendered)
        assert own["name"] == theirs["name"]
        assert (own.get("volumes") or {}).keys() <= theirs.get("volumes", {}).keys()
        internal = {name for name, item in (own.get("networks") or {}).items() if (item or {}).get("internal")}
        # Compose leaves out what no service uses.
        used = internal & theirs["networks"].keys()
        assert used == {name for name, item in theirs["networks"].items() if item.get("internal")}


def _same(folder: Path, service: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for key in _TEXTS:
        assert _plain(theirs.get(key)) == _plain(ours.get(key)), (service, key)
    names = theirs.get("environment") or {}
    for name, value in (ours.get("environment") or {}).items():
        assert names[name] == str(value if value is not None else ""), (service, name)
    mounts = {item["target"]: item for item in theirs.get("volumes") or []}
    assert mounts.keys() == (ours.get("volumes") or {}).keys(), service
    for target, item in mounts.items():
        mine = ours["volumes"][target]
        assert item["type"] == mine.get("type"), (service, target)
        assert bool(item.get("read_only")) == bool(mine.get("read_only")), (service, target)
        source = mine["source"] if item["type"] == "volume" else os.path.normpath(folder / mine["source"])
        assert item["source"] == str(source), (service, target)
    assert (theirs.get("networks") or {}).keys() - {"default"} == (ours.get("networks") or {}).keys(), service
    limits = ((theirs.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    mine = ((ours.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    assert (size(limits.get("memory")), cpus(limits.get("cpus"))) == (size(mine.get("memory")), cpus(mine.get("cpus")))
    check, own = theirs.get("healthcheck") or {}, ours.get("healthcheck") or {}
    assert check.get("test") == own.get("test"), service
    for key in ("interval", "timeout", "start_period", "start_interval"):
        assert seconds(check.get(key)) == seconds(own.get(key)), (service, key)
    waits, mine = (
        {name: item.get("condition") for name, item in (data.get("depends_on") or {}).items()}
        for data in (theirs, ours)
    )
    # Whose network it shares comes first by itself.
    implied = str(ours.get("network_mode", "")).removeprefix("service:")
    assert {name: text for name, text in waits.items() if name != implied or name in mine} == mine, service


def _plain(value: Any) -> Any:
    return value or None
