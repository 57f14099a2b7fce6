"""Whether a service stays or ends by itself, and so what happens when its process has ended."""

from __future__ import annotations

import re
from collections.abc import Collection

from moorage.app.model import App, AppService, Condition

# What people call services that do one thing and end.
_TASKS = frozenset(
    {"migrate", "migration", "migrations", "init", "setup", "seed", "install", "bootstrap", "prepare", "job", "task"}
)


def restart(app: App, service: AppService, routed: Collection[str]) -> str:
    """Compose's `restart`: `always` for what stays; `no` or `on-failure` for what ends.

    In a foreign file `on-failure` is mostly a server's, and `no` stands at servers too, for somebody's desk.
    """
    kind = service.restart.partition(":")[0]
    if service.profiles or _is_awaited(app, service, "service_completed_successfully"):
        return service.restart if kind == "on-failure" else "no"
    if kind not in ("no", "on-failure") or stays(app, service, routed):
        return "always"
    return service.restart if kind == "no" or _is_called_a_task(service) else "always"


def stays(app: App, service: AppService, routed: Collection[str]) -> bool:
    """Whether others reach it or look after its health, which makes sense only while it runs."""
    has_check = service.health_check is not None and not service.health_check.disabled
    is_reached = bool(service.ports or service.exposed or service.extension.port) or service.name in routed
    is_looked_after = has_check or service.extension.health is not None
    return is_reached or is_looked_after or _is_awaited(app, service, "service_healthy")


def _is_awaited(app: App, service: AppService, condition: Condition) -> bool:
    return any(
        name == service.name and dependency.condition == condition
        for other in app.services.values()
        for name, dependency in other.depends_on.items()
    )


def _is_called_a_task(service: AppService) -> bool:
    return bool(_TASKS & set(re.split(r"[-_]", service.name.lower())))
