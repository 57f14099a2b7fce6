"""What a small stack needs, and an engine that answers from a script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from moorage.checks.asking import Answer, Engine, EngineView
from moorage.checks.base import Finding, Needs, ServiceNeed
from moorage.quantities import GIBIBYTE

NEEDS = Needs(
    folder=Path("/srv/acme"),
    project="acme",
    environment="production",
    deployment_id="aaaaaaaaaaaa",
    domain="app.example.com",
    wildcard=False,
    hosts=("app.example.com",),
    tls_mode="letsencrypt",
    acme_challenge="http",
    acme_server="https://acme-v02.api.letsencrypt.org/directory",
    certificate_file="",
    key_file="",
    address="0.0.0.0",
    ports=((80, "HTTP"), (443, "HTTPS")),
    memory=4 * GIBIBYTE,
    cpus=2,
    disk=0,
    public_address="",
    memory_limits=3 * GIBIBYTE,
    minimum_memory=2 * GIBIBYTE,
    minimum_disk=10 * GIBIBYTE,
    log_budget=2 * GIBIBYTE,
    volumes=("acme_edge-routes", "acme_postgres-data"),
    services=(ServiceNeed("web", "acme/web:1"),),
)


def needs(**changes: Any) -> Needs:
    """The sample with other values."""
    return replace(NEEDS, **changes)


def lines(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    """Level, text and fix: what a person sees."""
    return [(item.level, item.text, item.fix) for item in findings]


class ScriptedEngine(Engine):
    """Docker as it would answer; a command that is not in the script fails the test."""

    def __init__(
        self, info: Mapping[str, Any] | None = None, answers: Mapping[str, Answer] | None = None, error: str = ""
    ) -> None:
        super().__init__()
        self._view = EngineView({"ServerVersion": "26.1.5", **(info or {})}, error)
        self._answers = dict(answers or {})
        self.asked: list[str] = []

    def ask(self, *arguments: str, limit_seconds: float = 5) -> Answer:
        """The scripted answer to the longest beginning that fits."""
        command = " ".join(arguments)
        self.asked.append(command)
        fitting = [known for known in self._answers if command.startswith(known)]
        assert fitting, f"nobody expected `docker {command}`"
        return self._answers[max(fitting, key=len)]
