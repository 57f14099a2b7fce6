"""What a cluster can't do of a Compose file is told, once for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.given import SETTINGS, WEB, deployment

ROUTED = {"port": 80, "route": {"paths": ["/"]}}


def told(folder: Path, keys: dict[str, Any], target: str = "minikube") -> list[str]:
    content = {"services": {"web": {"image": "nginx:1.27", "x-moorage": ROUTED, **keys}}}
    found = deployment(folder, content, base=f"{SETTINGS}target: {target}\n").stack.notices
    return [notice.text for notice in found if notice.subject == "service web"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"ulimits": {"nofile": 1024}}, "has `ulimits`"),
        ({"stop_signal": "SIGINT"}, "has `stop_signal`"),
        ({"extra_hosts": ["host:host-gateway"]}, "host-gateway"),
        ({"pids_limit": 100}, "limit of processes"),
        ({"tmpfs": ["/run:mode=0700"]}, "mounts /run in memory"),
        ({"x-moorage": {**ROUTED, "docker_access": "write"}}, "asks Docker"),
    ],
)
def test_each_is_told_where_it_matters_and_nowhere_else(keys: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert sum(words in text for text in told(tmp_path / "cluster", keys)) == 1
    if "x-moorage" not in keys:
        assert not any("cluster" in text for text in told(tmp_path / "server", keys, "compose"))


def test_an_ordinary_service_gets_no_notice(tmp_path: Path) -> None:
    found = deployment(tmp_path, WEB, base=SETTINGS + "target: minikube\n").stack.notices
    assert not [notice for notice in found if notice.subject == "service web"]
