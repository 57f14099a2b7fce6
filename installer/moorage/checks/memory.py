"""Memory: what the host has, what moorage.yaml plans with, and whether limits hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.quantities import MEBIBYTE, human_size

NAME = "memory"
_KEY = ("resources", "host", "memory")


@dataclass(frozen=True)
class MemoryFacts:
    """Bytes of memory, 0 when unknown; whether kernel and engine can limit it, None when unknown."""

    total: int
    kernel_limits: bool | None
    engine_limits: bool | None


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:
    """Look at the memory and judge."""
    return judge(gather(engine), needs)


def gather(engine: Engine, root: Path = Path("/")) -> MemoryFacts:
    """Read the kernel's numbers, and what the engine makes of its control groups."""
    view = engine.view()
    return MemoryFacts(
        total=_total(root),
        kernel_limits=has_controller("memory", root),
        engine_limits=bool(view.info.get("MemoryLimit")) if view.answers else None,
    )


def judge(facts: MemoryFacts, needs: Needs) -> tuple[Finding, ...]:
    """The lines about sizes, then about limits."""
    return (*_size(facts, needs), *_limits(facts))


def kernel_share(total: int) -> int:
    """What a machine's memory is larger than MemTotal says: the kernel keeps some of it for itself.

    A server sold with 4 GiB shows 3.7, one with 1 GiB shows 0.9; its owner writes 4 and 1.
    """
    return max(min(384 * MEBIBYTE, total // 8), total // 16)


def has_controller(name: str, root: Path = Path("/")) -> bool | None:
    """Whether the kernel offers this control group controller (version 1 or 2); None when it doesn't say."""
    groups = root / "sys" / "fs" / "cgroup"
    found: bool | None = None
    for place in (groups / "cgroup.controllers", groups / "unified" / "cgroup.controllers"):
        try:
            names = place.read_text(encoding="ascii").split()
        except OSError:
            continue
        if name in names:
            return True
        found = False
    try:
        lines = (root / "proc" / "cgroups").read_text(encoding="ascii").splitlines()
    except OSError:
        return found
    return any(fields[0] == name and fields[3] == "1" for fields in map(str.split, lines) if len(fields) == 4)


def _size(facts: MemoryFacts, needs: Needs) -> Iterator[Finding]:
    if not facts.total:
        yield warning(
            NAME, "the kernel does not say how much memory there is", "compare `free -m` with moorage.yaml", _KEY
        )
        return
    most = facts.total + kernel_share(facts.total)
    host, planned = human_size(facts.total), human_size(needs.memory)
    rounded = f"{facts.total // MEBIBYTE}Mi"
    if needs.minimum_memory > most:
        text = f"this host has {host}, the app needs {human_size(needs.minimum_memory)}"
        yield failure(NAME, text, f"a server with {human_size(needs.minimum_memory)}")
    if needs.memory > most:
        text = f"this host has {host}, moorage.yaml plans with {planned}"
        yield failure(NAME, text, f"set `resources.host.memory: {rounded}`, or a larger server", _KEY)
    elif needs.memory * 2 < facts.total:
        text = f"this host has {host}, moorage.yaml plans with {planned} only: the rest lies idle"
        yield warning(NAME, text, f"set `resources.host.memory: {rounded}`", _KEY)
    elif needs.minimum_memory <= most:
        yield ok(
            NAME, f"{host} (moorage.yaml plans with {planned}, limits add up to {human_size(needs.memory_limits)})"
        )
    if needs.memory_limits > most:
        text = (
            f"all limits together are {human_size(needs.memory_limits)}, this host has {host}: when everything is "
            "busy at once, the kernel ends a container"
        )
        yield warning(NAME, text, "smaller limits under `resources.services`, or a larger server", ("resources",))


def _limits(facts: MemoryFacts) -> Iterator[Finding]:
    if facts.kernel_limits is False:
        yield failure(
            NAME,
            "the kernel has no memory controller, so no container's memory is limited",
            "add `cgroup_enable=memory swapaccount=1` to the kernel's command line (/etc/default/grub, on a Raspberry "
            "Pi /boot/firmware/cmdline.txt) and reboot",
        )
    elif facts.engine_limits is False:
        yield failure(
            NAME,
            "Docker cannot limit memory here (`docker info` says so), although the kernel could",
            "rootless: `systemctl edit user@.service` with `[Service]` and `Delegate=cpu cpuset io memory pids`, "
            "then log in again; else restart Docker",
        )
    elif facts.engine_limits is None and facts.kernel_limits is None:
        yield warning(
            NAME,
            "neither the kernel nor Docker says whether memory can be limited",
            "`docker info` shows a warning when it can't",
        )


def _total(root: Path) -> int:
    try:
        for line in (root / "proc" / "meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
