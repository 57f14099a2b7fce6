"""Ways to do the same, measured in turn: wall, processor and size as ratios against the first one."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_USAGE = (Path("/sys/fs/cgroup/cpuacct/cpuacct.usage"), Path("/sys/fs/cgroup/cpu.stat"))


@dataclass
class Way:
    """One way to do something: what it does, what is tidied up unmeasured, and what was measured; seconds and bytes."""

    name: str
    act: Callable[[], object]
    tidy: Callable[[], object] = lambda: None
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    size: int = 0

    def measure(self) -> None:
        os.sync()
        before, started = processor_seconds(), time.perf_counter()
        result = self.act()
        os.sync()
        self.wall.append(time.perf_counter() - started)
        self.processor.append(processor_seconds() - before)
        self.tidy()
        if isinstance(result, int) and not isinstance(result, bool):
            self.size = result


def processor_seconds() -> float:
    """What the container has used so far."""
    if _USAGE[0].is_file():
        return int(_USAGE[0].read_text()) / 1e9
    if _USAGE[1].is_file():
        return int(_USAGE[1].read_text().split()[1]) / 1e6
    return sum(os.times()[:4])


def table(title: str, ways: list[Way], rounds: int) -> None:
    """Measure in turn; every way against the first one."""
    for number in range(rounds):
        for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
            way.measure()
    base = ways[0]
    print(f"\n{title}\n{'':44} {'wall':>8} {'processor':>10} {'size':>9}   faster  best  processor  size")
    for way in ways:
        print(
            f"{way.name:44} {statistics.median(way.wall):7.1f}s {statistics.median(way.processor):9.1f}s "
            f"{way.size / 1e6:7.0f}MB   "
            f"{statistics.median(a / b for a, b in zip(base.wall, way.wall, strict=True)):5.2f}× "
            f"{min(base.wall) / min(way.wall):5.2f}× "
            f"{statistics.median(a / b for a, b in zip(base.processor, way.processor, strict=True)):7.2f}× "
            f"{way.size / base.size if base.size else 0:7.2f}",
            flush=True,
        )
