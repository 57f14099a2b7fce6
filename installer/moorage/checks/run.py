"""All checks of a server, side by side: `moorage check` in seconds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moorage.checks import (
    backups,
    clock,
    cpus,
    disk,
    dns,
    engine,
    files,
    firewall,
    images,
    logs,
    memory,
    networks,
    permissions,
    ports,
    volumes,
)
from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, warning


@dataclass(frozen=True)
class Check:
    """One subject: `name` is the first word of its lines, `look` gathers and judges."""

    name: str
    look: Callable[[Needs, Engine], Sequence[Finding]]


# The order of the lines: what stands in the way of everything first.
CHECKS = (
    Check(engine.NAME, engine.check),
    Check(memory.NAME, memory.check),
    Check(cpus.NAME, cpus.check),
    Check(disk.NAME, disk.check),
    Check(ports.NAME, ports.check),
    Check(dns.NAME, dns.check),
    Check(clock.NAME, clock.check),
    Check(files.NAME, files.check),
    Check(volumes.NAME, volumes.check),
    Check(images.NAME, images.check),
    Check(backups.NAME, backups.check),
    Check(logs.NAME, logs.check),
    Check(networks.NAME, networks.check),
    Check(permissions.NAME, permissions.check),
    Check(firewall.NAME, firewall.check),
)

# Every question has its own limit of five seconds; this one is for a file system that hangs.
LIMIT_SECONDS = 20.0


def run_checks(
    needs: Needs, checks: Sequence[Check] = CHECKS, limit_seconds: float = LIMIT_SECONDS
) -> tuple[Finding, ...]:
    """Every finding, in the order of `checks`; never raises, changes nothing, ends within the limit."""
    shared = Engine()
    done: queue.SimpleQueue[tuple[int, tuple[Finding, ...]]] = queue.SimpleQueue()
    # Threads that nobody waits for at the end: a check that hangs in the kernel must not hang the program.
    for index, check in enumerate(checks):
        threading.Thread(
            target=lambda index, check: done.put((index, _looked(check, needs, shared))),
            args=(index, check),
            name=f"check {check.name}",
            daemon=True,
        ).start()
    found: dict[int, tuple[Finding, ...]] = {}
    end = time.monotonic() + limit_seconds
    while len(found) < len(checks):
        try:
            index, findings = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        found[index] = findings
    return tuple(
        finding for index, check in enumerate(checks) for finding in found.get(index, (_late(check, limit_seconds),))
    )


def _looked(check: Check, needs: Needs, shared: Engine) -> tuple[Finding, ...]:
    try:
        return tuple(check.look(needs, shared))
    except Exception as error:  # a host that nobody thought of must not hide the other findings
        text = f"could not be found out: {type(error).__name__}: {error}"
        return (warning(check.name, text, "look at it by hand, and please report this line with `moorage --version`"),)


def _late(check: Check, limit_seconds: float) -> Finding:
    text = f"did not end within {limit_seconds:g} seconds"
    return warning(check.name, text, "`dmesg | tail` and `df -h`: does a disk or a network mount hang?")
