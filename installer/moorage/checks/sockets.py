"""Who listens on a port: the kernel's socket tables, and the processes behind them."""

from __future__ import annotations

import pwd
import re
import socket
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from moorage.checks.addresses import normal
from moorage.checks.asking import ask

_LISTENING = "0A"
_UNCONNECTED_UDP = "07"
_CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


@dataclass(frozen=True)
class Listener:
    """One listening socket; pid 0 and an empty name when the process is hidden from this user."""

    port: int
    protocol: str
    address: str
    user: str = ""
    pid: int = 0
    name: str = ""
    unit: str = ""
    is_user_unit: bool = False
    container_id: str = ""
    only_ipv6: bool = False


@dataclass(frozen=True)
class _Socket:
    listener: Listener
    inode: str


def listeners(ports: Collection[int], proc: Path = Path("/proc")) -> tuple[Listener, ...]:
    """Everything that listens on one of the ports (TCP and UDP). Raises OSError when /proc does not tell."""
    found = list(_sockets(ports, proc))
    owners = _owners({item.inode for item in found}, proc) if found else {}
    named = tuple(_named(item.listener, owners.get(item.inode, 0), proc) for item in found)
    return _with_ipv6_only(named)


def _sockets(ports: Collection[int], proc: Path) -> Iterator[_Socket]:
    for table, protocol, state in (
        ("tcp", "tcp", _LISTENING),
        ("tcp6", "tcp", _LISTENING),
        ("udp", "udp", _UNCONNECTED_UDP),
        ("udp6", "udp", _UNCONNECTED_UDP),
    ):
        try:
            lines = (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            # A kernel without IPv6 has no such table.
            if table == "tcp":
                raise
            continue
        for line in lines:
            fields = line.split()
            address, _, port = fields[1].partition(":")
            if fields[3] == state and int(port, 16) in ports:
                listener = Listener(int(port, 16), protocol, _address(address), _user(int(fields[7])))
                yield _Socket(listener, fields[9])


def _address(text: str) -> str:
    """The kernel writes each 32-bit word of an address in its own byte order."""
    words = [int(text[index : index + 8], 16).to_bytes(4, sys.byteorder) for index in range(0, len(text), 8)]
    raw = b"".join(words)
    return normal(socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw))


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _owners(inodes: Collection[str], proc: Path) -> dict[str, int]:
    """Inode → the lowest pid that has the socket open: the master, not one of its workers."""
    found: dict[str, int] = {}
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        try:
            descriptors = list((proc / str(pid) / "fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            inode = target.removeprefix("socket:[").removesuffix("]")
            if target.startswith("socket:[") and inode in inodes:
                found.setdefault(inode, pid)
        if len(found) == len(inodes):
            break
    return found


def _named(listener: Listener, pid: int, proc: Path) -> Listener:
    if not pid:
        return listener
    try:
        name = (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
        groups = (proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return replace(listener, pid=pid)
    unit, is_user_unit = unit_of(groups)
    container = _CONTAINER.search(groups)
    return replace(
        listener,
        pid=pid,
        name=name,
        unit=unit,
        is_user_unit=is_user_unit,
        container_id=container[0] if container else "",
    )


def unit_of(groups: str) -> tuple[str, bool]:
    """The systemd service that a process belongs to, from /proc/PID/cgroup, and whether it is a user's."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "-", "")
        if controllers not in ("", "name=systemd"):
            continue
        services = [part for part in path.split("/") if part.endswith(".service") and not part.startswith("user@")]
        if services:
            return services[-1].removesuffix(".service"), "/user@" in path
    return "", False


def _with_ipv6_only(found: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Mark wildcard sockets that leave IPv4 alone; only `ss` tells, and without it none is marked."""
    if not any(item.address == "::" for item in found):
        return found
    lines = ask(["ss", "-H", "-6", "-l", "-n", "-t", "-u", "-e"]).output.splitlines()
    alone = {
        (line.split()[0], line.split()[4].rpartition(":")[2])
        for line in lines
        if "v6only:1" in line and "[::]:" in line
    }
    return tuple(
        replace(item, only_ipv6=True) if item.address == "::" and (item.protocol, str(item.port)) in alone else item
        for item in found
    )
