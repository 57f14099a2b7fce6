"""Ports: free, held by this stack's own proxy, or held by somebody who can be named."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moorage.checks.addresses import host_addresses, normal
from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.checks.containers import RunningContainer, running_containers
from moorage.checks.sockets import Listener, listeners
from moorage.formats import KeyPath, dotted

NAME = "ports"
_EDGE_KEYS = {"HTTP": ("edge", "http_port"), "HTTPS": ("edge", "https_port")}
_DOCKER_PROGRAMS = ("docker-proxy", "dockerd", "rootlesskit", "slirp4netns")
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on


@dataclass(frozen=True)
class PortFacts:
    """Who listens, which containers publish (None: unknown), the host's addresses, and what this user may."""

    listeners: tuple[Listener, ...]
    containers: tuple[RunningContainer, ...] | None
    addresses: tuple[str, ...]
    is_root: bool
    is_rootless_engine: bool
    unprivileged_from: int
    error: str = ""


@dataclass(frozen=True)
class _Wanted:
    """One port that the stack wants to listen on."""

    number: int
    purpose: str
    address: str
    protocol: str
    key: KeyPath
    is_edge: bool


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Look who holds the ports and judge."""
    return judge(gather(needs, engine), needs)


def gather(needs: Needs, engine: Engine) -> PortFacts:
    """Read the kernel's socket tables, name the processes, ask Docker for containers."""
    error = ""
    found: tuple[Listener, ...] = ()
    try:
        found = listeners({item.number for item in _wanted(needs)})
    except (OSError, ValueError, IndexError) as problem:
        error = f"/proc/net does not tell ({type(problem).__name__})"
    return PortFacts(
        listeners=found,
        containers=running_containers(engine),
        addresses=tuple(item.address for item in host_addresses()),
        is_root=os.geteuid() == 0,
        is_rootless_engine=engine.view().is_rootless,
        unprivileged_from=_unprivileged_from(),
        error=error,
    )


def judge(facts: PortFacts, needs: Needs) -> tuple[Finding, ...]:
    """A line for every port, after one for an address that this host does not have."""
    return (*_address(facts, needs), *(_port(item, facts, needs) for item in _wanted(needs)))


def overlap(first: str, second: str, *, only_ipv6: bool = False) -> bool:
    """Whether two sockets on one port are in each other's way; `only_ipv6` says that `second` leaves IPv4 alone."""
    if first == second:
        return True
    one, other = ipaddress.ip_address(first), ipaddress.ip_address(second)
    if one.version == other.version:
        return first in _WILDCARDS or second in _WILDCARDS
    # The IPv6 wildcard takes IPv4 too, unless it was told not to; Docker tells it for its own.
    return second == "::" and not only_ipv6


def _wanted(needs: Needs) -> tuple[_Wanted, ...]:
    edge = [
        _Wanted(number, purpose, normal(needs.address), "tcp", _EDGE_KEYS.get(purpose, ("edge",)), True)
        for number, purpose in needs.ports
    ]
    others = [
        _Wanted(item.port, item.service, normal(item.address), item.protocol, item.key, False)
        for item in needs.publications
    ]
    return (*edge, *others)


def _address(facts: PortFacts, needs: Needs) -> Iterator[Finding]:
    address = normal(needs.address)
    if not facts.addresses or address in _WILDCARDS or ipaddress.ip_address(address).is_loopback:
        return
    if address not in facts.addresses:
        own = ", ".join(sorted(set(facts.addresses) - {"127.0.0.1", "::1"})) or "none"
        text = f"this host does not have the address {needs.address}, so nothing can listen on it"
        yield failure(NAME, text, f"set `edge.address: 0.0.0.0`, or one of this host's: {own}", ("edge", "address"))


def _port(wanted: _Wanted, facts: PortFacts, needs: Needs) -> Finding:
    label = f"{wanted.number} ({wanted.purpose})"
    if facts.error:
        fix = f"`ss -ltnp 'sport = :{wanted.number}'` must show nothing"
        return warning(NAME, f"who holds {label} is not known: {facts.error}", fix, wanted.key)
    for container in facts.containers or ():
        if _publishes(container, wanted):
            return _held_by_container(wanted, container, needs)
    for listener in facts.listeners:
        if _is_in_the_way(listener, wanted):
            return _held(wanted, listener, facts, needs)
    if facts.is_rootless_engine and wanted.number < facts.unprivileged_from:
        text = f"{label} is free, but the rootless engine may only use {facts.unprivileged_from} and above"
        return failure(NAME, text, f"`sysctl -w net.ipv4.ip_unprivileged_port_start={wanted.number}`", wanted.key)
    return ok(NAME, f"{label} is free")


def _publishes(container: RunningContainer, wanted: _Wanted) -> bool:
    return any(
        item.first <= wanted.number <= item.last
        and item.protocol == wanted.protocol
        and overlap(wanted.address, item.address, only_ipv6=True)
        for item in container.published
    )


def _is_in_the_way(listener: Listener, wanted: _Wanted) -> bool:
    return (
        listener.port == wanted.number
        and listener.protocol == wanted.protocol
        and overlap(wanted.address, listener.address, only_ipv6=listener.only_ipv6)
    )


def _held(wanted: _Wanted, listener: Listener, facts: PortFacts, needs: Needs) -> Finding:
    label = f"{wanted.number} ({wanted.purpose})"
    other = _other_way(wanted, needs)
    for container in facts.containers or ():
        if listener.container_id and container.id == listener.container_id:
            return _held_by_container(wanted, container, needs)
    if listener.name in _DOCKER_PROGRAMS:
        text = f"{label} is held by a container that Docker does not name ({listener.name}, pid {listener.pid})"
        return warning(NAME, text, f"`docker ps --filter publish={wanted.number}` names it; {other}", wanted.key)
    if not listener.pid:
        text = f"{label} is held by a process of the user {listener.user} that cannot be seen from here"
        hint = (
            f"`sudo ss -lnp 'sport = :{wanted.number}'` names it"
            if not facts.is_root
            else "is it in another container?"
        )
        return failure(NAME, text, f"{hint}; stop it, or {other}", wanted.key)
    who = listener.name or "a process"
    return failure(NAME, f"{label} is held by {who} (pid {listener.pid})", f"{_stop(listener)}, or {other}", wanted.key)


def _stop(listener: Listener) -> str:
    if listener.pid == 1:
        return "`systemctl list-sockets` names the socket unit that systemd holds it for: `systemctl disable --now` it"
    if not listener.unit:
        return f"`kill {listener.pid}`"
    scope = "systemctl --user" if listener.is_user_unit else "systemctl"
    return f"`{scope} stop {listener.unit}` (and `{scope} disable {listener.unit}`, or it is back after a reboot)"


def _held_by_container(wanted: _Wanted, container: RunningContainer, needs: Needs) -> Finding:
    label = f"{wanted.number} ({wanted.purpose})"
    if container.project == needs.project:
        return ok(NAME, f"{label} is held by this stack's own {container.name}")
    of = f" of the project {container.project}" if container.project else ""
    text = f"{label} is held by the container {container.name}{of}"
    return failure(NAME, text, f"`docker stop {container.name}`, or {_other_way(wanted, needs)}", wanted.key)


def _other_way(wanted: _Wanted, needs: Needs) -> str:
    """What to write in moorage.yaml when the other one is to stay."""
    key = f"{dotted(wanted.key)}.port" if not wanted.is_edge else dotted(wanted.key)
    if not wanted.is_edge or needs.tls_mode != "letsencrypt" or needs.acme_challenge != "http":
        return f"set another `{key}`"
    # Another port alone would not help: the ACME server asks on 80.
    return f"if it is a proxy that is to stay in front: `tls.mode: behind-proxy` and another `{key}`"


def _unprivileged_from(proc: Path = Path("/proc")) -> int:
    try:
        return int((proc / "sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1024
