"""Networks: an app that makes one per project uses up Docker's default addresses."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from moorage.checks.asking import Engine, engine_silent
from moorage.checks.base import Finding, Needs, ok, warning
from moorage.words import plural

NAME = "networks"

# 172.17 to 172.31 as /16 and 192.168 in /20, when nothing is configured.
_DEFAULT_ROOM = 31


@dataclass(frozen=True)
class NetworkFacts:
    """How many bridge networks Docker's address pools have room for, how many exist (None: unknown)."""

    engine_answers: bool
    room: int = _DEFAULT_ROOM
    is_default: bool = True
    count: int | None = None


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Count networks and judge."""
    return judge(gather(engine), needs)


def gather(engine: Engine) -> NetworkFacts:
    """The configured pools, and the networks that take addresses from them."""
    view = engine.view()
    if not view.answers:
        return NetworkFacts(engine_answers=False)
    answer = engine.ask("network", "ls", "--filter", "driver=bridge", "--quiet")
    count = len(answer.output.split()) if answer.is_good else None
    pools = view.info.get("DefaultAddressPools") or ()
    try:
        room = sum(_room(str(pool["Base"]), int(pool["Size"])) for pool in pools)
    except (ValueError, KeyError, TypeError):
        room = 0
    return NetworkFacts(True, room or _DEFAULT_ROOM, not room, count)


def judge(facts: NetworkFacts, needs: Needs) -> tuple[Finding, ...]:
    """The one line about room for networks."""
    if not facts.engine_answers:
        return (engine_silent(NAME),)
    exist = "" if facts.count is None else f", {facts.count} exist"
    about = "about " if facts.is_default else ""
    room = f"Docker's address pools have room for {about}{plural(facts.room, 'network')}{exist}"
    left = facts.room - (facts.count or 0)
    if not needs.networks_per_project or (not facts.is_default and left > _DEFAULT_ROOM):
        return (ok(NAME, room),)
    fix = (
        f"put `default-address-pools` of rendered/{needs.environment}/host/docker/daemon.json into "
        "/etc/docker/daemon.json, then `systemctl restart docker`"
    )
    return (warning(NAME, f"{room}; the app makes one for every project", fix),)


def _room(base: str, size: int) -> int:
    network = ipaddress.ip_network(base, strict=False)
    return int(2 ** (size - network.prefixlen)) if network.version == 4 else 0
