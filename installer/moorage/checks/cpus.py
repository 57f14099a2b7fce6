"""CPUs: what the host has and what moorage.yaml plans with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.words import plural

NAME = "cpus"
_KEY = ("resources", "host", "cpus")


@dataclass(frozen=True)
class CpuFacts:
    """CPUs that containers can use, 0 when unknown; whether the engine can limit them, None when unknown."""

    count: int
    engine_limits: bool | None


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Count the CPUs and judge."""
    return judge(gather(engine), needs)


def gather(engine: Engine) -> CpuFacts:
    """The engine's count, because it is the engine that refuses a limit above it; else the kernel's."""
    view = engine.view()
    count = int(view.info.get("NCPU") or 0) if view.answers else 0
    return CpuFacts(count or os.cpu_count() or 0, bool(view.info.get("CpuCfsQuota")) if view.answers else None)


def judge(facts: CpuFacts, needs: Needs) -> tuple[Finding, ...]:
    """The line about the number, then about limits."""
    return (*_count(facts, needs), *_limits(facts))


def _count(facts: CpuFacts, needs: Needs) -> Iterator[Finding]:
    found, planned = plural(facts.count, "CPU"), plural(needs.cpus, "CPU")
    if not facts.count:
        yield warning(NAME, "the number of CPUs is not known", "compare `nproc` with moorage.yaml", _KEY)
    elif needs.cpus > facts.count:
        text = f"this host has {found}, moorage.yaml plans with {needs.cpus}: Docker refuses limits above what exists"
        yield failure(NAME, text, f"set `resources.host.cpus: {facts.count}`", _KEY)
    elif needs.cpus * 2 < facts.count:
        text = f"this host has {found}, moorage.yaml plans with {needs.cpus} only: the rest lies idle"
        yield warning(NAME, text, f"set `resources.host.cpus: {facts.count}`", _KEY)
    else:
        yield ok(NAME, f"{found} (moorage.yaml plans with {planned})")


def _limits(facts: CpuFacts) -> Iterator[Finding]:
    if facts.engine_limits is False:
        yield failure(
            NAME,
            "Docker cannot limit CPUs here (`docker info` says so), and refuses containers that have a limit",
            "rootless: `systemctl edit user@.service` with `[Service]` and `Delegate=cpu cpuset io memory pids`, "
            "then log in again; else a kernel with CONFIG_CFS_BANDWIDTH",
        )
