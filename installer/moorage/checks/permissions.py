"""Permissions: who may do more to the host than an ordinary container, and why.

There is nothing to gather: what the stack asks for is the whole story.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, ok, warning
from moorage.formats import KeyPath, dotted

NAME = "permissions"
_KEY = ("permissions", "docker_access")


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:  # noqa: ARG001 - the same for all checks
    """Explain the permissions of the stack."""
    return judge(needs)


def judge(needs: Needs) -> tuple[Finding, ...]:
    """A line for every service with Docker's socket and every database on a port, or one that there is none."""
    found = (*_sockets(needs), *_databases(needs))
    return found or (ok(NAME, "no service has Docker's socket, no database is published"),)


def _sockets(needs: Needs) -> Iterator[Finding]:
    for service in needs.services:
        because = f", because {service.docker_access_reason}" if service.docker_access_reason else ""
        if service.docker_access:
            text = f"{service.name} has Docker's socket (write): the same as root on this host{because}"
            fix = (
                f"if that is not meant: take `docker_access` of {service.name} out of the app's file, or "
                f"`{service.name}` out of `permissions.docker_access`"
            )
            yield warning(NAME, text, fix, _KEY)


def _databases(needs: Needs) -> Iterator[Finding]:
    for service, port, address in needs.database_publications:
        key = _key(needs, port)
        if _is_of_the_host(address):
            yield ok(NAME, f"{service} is published on {address}:{port}, for this host only")
            continue
        reach = "the world" if not ipaddress.ip_address(address).is_private else "the local network"
        if ipaddress.ip_address(address).is_unspecified:
            reach = "the world"
        text = f"{service} is published on {address}:{port}: a database open to {reach}"
        fix = f"`{dotted(key)}.address: 127.0.0.1` and `ssh -L {port}:127.0.0.1:{port}`, or take it out of `publish`"
        yield warning(NAME, text, fix, key)


def _is_of_the_host(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _key(needs: Needs, port: int) -> KeyPath:
    return next((item.key for item in needs.publications if item.port == port), ("publish",))
