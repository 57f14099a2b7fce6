"""Firewall: what Docker publishes is not held back by ufw."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, PublicationNeed, ok, warning
from moorage.formats import dotted

NAME = "firewall"


@dataclass(frozen=True)
class FirewallFacts:
    """Whether ufw is switched on (None: unknown), whether its rules reach Docker's chain, the way to the world."""

    is_active: bool | None
    filters_docker: bool
    interface: str


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:  # noqa: ARG001 - the same for all checks
    """Look at ufw and judge."""
    return judge(gather(), needs)


def gather(root: Path = Path("/")) -> FirewallFacts:
    """Read ufw's own files: asking the program needs root and says no more."""
    try:
        lines = (root / "etc/ufw/ufw.conf").read_text(encoding="utf-8", errors="replace").splitlines()
        active: bool | None = any(line.replace('"', "").strip().lower() == "enabled=yes" for line in lines)
    except FileNotFoundError:
        active = False
    except OSError:
        active = None
    return FirewallFacts(active, _mentions_docker(root / "etc/ufw/after.rules"), _interface(root))


def judge(facts: FirewallFacts, needs: Needs) -> tuple[Finding, ...]:
    """The one line about what ufw does not hold back."""
    open_ports = tuple(item for item in needs.publications if not ipaddress.ip_address(item.address).is_loopback)
    edge = " and ".join(str(number) for number, _ in needs.ports)
    if not open_ports:
        return (ok(NAME, f"nothing is published besides {edge}"),)
    shown = ", ".join(f"{item.port} ({item.service})" for item in open_ports)
    if facts.is_active is None:
        return (ok(NAME, f"{shown} published; whether ufw is on is not known, Docker goes past it in any case"),)
    if not facts.is_active:
        return (ok(NAME, f"{shown} published, no ufw is on"),)
    if facts.filters_docker:
        return (ok(NAME, f"{shown} published; ufw's rules reach Docker's chain DOCKER-USER"),)
    text = f"ufw is on, but Docker publishes {shown} past it"
    return (warning(NAME, text, _fix(open_ports[0], facts), open_ports[0].key),)


def _fix(item: PublicationNeed, facts: FirewallFacts) -> str:
    # After Docker's address translation the port of the packet is the container's: only the connection knows ours.
    rule = (
        f"iptables -I DOCKER-USER -i {facts.interface or 'eth0'} -p {item.protocol} -m conntrack "
        f"--ctorigdstport {item.port} --ctdir ORIGINAL ! -s 203.0.113.0/24 -j DROP"
    )
    return f"`{dotted(item.key)}.address: 127.0.0.1`, or let only your network in: `{rule}`"


def _mentions_docker(file: Path) -> bool:
    try:
        return "DOCKER-USER" in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _interface(root: Path) -> str:
    """The interface of the default route."""
    try:
        lines = (root / "proc/net/route").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return ""
    return next((fields[0] for fields in map(str.split, lines) if len(fields) > 1 and fields[1] == "00000000"), "")
