"""The addresses of this host, and which of them the world could reach."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from moorage.checks.asking import ask

# Interfaces that Docker, Kubernetes and virtual machines make for themselves.
_INNER = re.compile(r"^(lo|docker\d+|docker_gwbridge|br-[0-9a-f]{12}|veth.*|cni.*|flannel.*|virbr.*)$")
_SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class HostAddress:
    """One address and the interface that has it."""

    interface: str
    address: str


def host_addresses() -> tuple[HostAddress, ...]:
    """Every address of this host, loopback and bridges included; empty when nobody tells."""
    answer = ask(["ip", "-j", "addr"])
    found = tuple(_parsed(answer.output)) if answer.is_good else ()
    return found or tuple(_from_kernel(Path("/proc")))


def outward(addresses: Iterable[HostAddress]) -> tuple[str, ...]:
    """Those that a name could point at: no loopback, no link-local, no bridges of Docker."""
    return tuple(
        item.address
        for item in addresses
        if not _INNER.match(item.interface)
        and not ipaddress.ip_address(item.address).is_loopback
        and not ipaddress.ip_address(item.address).is_link_local
    )


def is_public(address: str) -> bool:
    """Whether the internet routes it."""
    return ipaddress.ip_address(address).is_global


def normal(address: str) -> str:
    """One writing for one address: no scope, IPv4 inside IPv6 as IPv4."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)


def _parsed(text: str) -> Iterator[HostAddress]:
    try:
        interfaces = json.loads(text)
        for interface in interfaces:
            for item in interface.get("addr_info") or ():
                if item.get("local"):
                    yield HostAddress(str(interface["ifname"]), normal(str(item["local"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _from_kernel(proc: Path) -> Iterator[HostAddress]:
    """Without the program `ip`: the first IPv4 address of every interface, and all of IPv6."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asker.fileno(), _SIOCGIFADDR, name.encode()[:15].ljust(256, b"\0"))
            except OSError:
                continue
            yield HostAddress(name, socket.inet_ntoa(answer[20:24]))
    try:
        lines = (proc / "net" / "if_inet6").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        yield HostAddress(fields[5], str(ipaddress.IPv6Address(int(fields[0], 16))))
