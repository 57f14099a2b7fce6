"""What stands in Traefik's own file on every target: its dashboard, TLS options, and texts that it must not take for code."""

from __future__ import annotations

from typing import Any

from moorage.stack.model import Edge
from moorage.targets.routers import DENIED, SECURITY_HEADERS, own_name

_DASHBOARD = own_name("dashboard")
_DASHBOARD_PASSWORD = own_name("dashboard-password")


def literal(value: Any) -> Any:
    """The same data for a reader that takes `{{` for the start of an expression: Traefik runs its files as templates."""
    if isinstance(value, str):
        return value.replace("{{", "{{`{{`}}")
    if isinstance(value, dict):
        return {literal(key): literal(item) for key, item in value.items()}
    return [literal(item) for item in value] if isinstance(value, list) else value


def entry_point(edge: Edge) -> str:
    """Where visitors come in."""
    return "websecure" if edge.terminates_tls else "web"


def router(entry: str, rule: str, priority: int, chain: list[str], service: str) -> dict[str, Any]:
    """One router of the file."""
    return {"entryPoints": [entry], "rule": rule, "priority": priority, "middlewares": chain, "service": service}


def add_dashboard(edge: Edge, http: dict[str, Any]) -> None:
    """The dashboard's router and its password, if it is served."""
    if not edge.dashboard_host:
        return
    # The one text that Traefik fills in itself: a password hash belongs into no committable file.
    users = ['{{ env "DASHBOARD_USERS" }}']
    http["middlewares"][_DASHBOARD_PASSWORD] = {"basicAuth": {"users": users, "removeHeader": True}}
    http.setdefault("routers", {})[_DASHBOARD] = router(
        entry_point(edge),
        f"Host(`{edge.dashboard_host}`)",
        DENIED,
        [SECURITY_HEADERS, _DASHBOARD_PASSWORD],
        "api@internal",
    )


def tls_options(edge: Edge) -> dict[str, Any]:
    """What clients must speak, where Traefik speaks TLS."""
    return {"default": {"minVersion": "VersionTLS12", "sniStrict": False}} if edge.terminates_tls else {}
