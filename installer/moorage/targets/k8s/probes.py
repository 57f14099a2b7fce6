"""Health checks as probes: one for the start, one for traffic, one for life."""

from __future__ import annotations

import math
from typing import Any

from moorage.app.model import HealthCheck
from moorage.parity.reasons import Allowed, Pair, values
from moorage.stack.model import Service

_PERIOD_AT_START = 2
# Who answers that it is ill may wait for a database; who answers nothing for so long is started anew.
_LIVE_FAILURES = 6


def probes(service: Service) -> dict[str, Any]:
    """`startupProbe`, `readinessProbe` and `livenessProbe`; none where nothing says how to ask.

    A container that is not ready gets no requests. It is ended only when it does not live: where the app's file names no
    path for that, by a port that is open, for a restart heals no database that is away.
    """
    check, question = service.health_check, _question(service)
    if question is None:
        return {}
    interval = math.ceil(check.interval_seconds) if check else 10
    timeout = math.ceil(check.timeout_seconds) if check else 5
    retries = check.retries if check else 3
    start = max(service.startup_seconds, math.ceil(check.start_period_seconds) if check else 0)
    ready = {**question, "periodSeconds": interval, "timeoutSeconds": timeout, "failureThreshold": retries}
    live = {**_life(service, question), "periodSeconds": interval, "timeoutSeconds": timeout}
    return {
        "startupProbe": {
            **question,
            "periodSeconds": _PERIOD_AT_START,
            "timeoutSeconds": timeout,
            "failureThreshold": max(1, math.ceil(start / _PERIOD_AT_START)),
        },
        "readinessProbe": ready,
        "livenessProbe": {**live, "failureThreshold": max(retries, _LIVE_FAILURES)},
    }


def _question(service: Service) -> dict[str, Any] | None:
    if service.probe is not None:
        return _http(service.probe.path, service.probe.port)
    return _command(service.health_check)


def _life(service: Service, question: dict[str, Any]) -> dict[str, Any]:
    if service.probe is not None and service.probe.live_path:
        return _http(service.probe.live_path, service.probe.port)
    return {"tcpSocket": {"port": service.port}} if service.port else question


def _http(path: str, port: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}}


def _command(check: HealthCheck | None) -> dict[str, Any] | None:
    if check is None or check.disabled or not check.test:
        return None
    kind, *words = check.test
    if kind == "NONE" or not words:
        return None
    return {"exec": {"command": ["/bin/sh", "-c", words[0]] if kind == "CMD-SHELL" else words}}


def _lives(pair: Pair) -> bool:
    """Whether a question for life is the one for health or an open port, and no stricter than this module's rule."""
    interval, timeout = (pair.beside(f"health.{name}")[1] for name in ("interval", "timeout"))
    command, request, retries = (pair.beside(f"health.{name}")[1] for name in ("command", "request", "retries"))
    expected = {
        "health.live.interval": interval,
        "health.live.timeout": timeout,
        "health.live.failures": str(max(int(retries or 3), _LIVE_FAILURES)),
    }
    if pair.key.field == "health.live.question":
        opened = {
            f"open :{key.field.removeprefix('port.').partition('/')[0]}"
            for key in pair.left_facts.values
            if key.subject == pair.key.subject and key.field.startswith("port.")
        }
        return pair.right in {command, request, *opened}
    return expected.get(pair.key.field) == pair.right


DIFFERENCES = (
    Allowed(
        "*",
        "health.start interval",
        "While a container starts, the kubelet asks every two seconds and Docker every second.",
        values("1s", f"{_PERIOD_AT_START}s"),
    ),
    Allowed(
        "service *",
        "health.live.*",
        "Only Kubernetes ends a container that is stuck; Docker starts anew what has ended.",
        lambda pair: not pair.left and _lives(pair),
        between=("compose", "cluster"),
    ),
)
