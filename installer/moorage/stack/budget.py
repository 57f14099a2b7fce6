"""Who gets how much: memory and CPU limits for every container, log sizes inside one total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moorage.app.model import Sizes
from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.stack.model import Limits, LogLimits

SMALLEST_LOG = MEBIBYTE
LARGEST_LOG = 50 * MEBIBYTE


@dataclass(frozen=True)
class Claim:
    """What one service asks for; None where it says nothing."""

    name: str
    sizes: Sizes
    count: int = 1


def system_reserve(host_memory: int) -> int:
    """What the kernel, Docker and page cache keep: a sixteenth, at least 384 MiB."""
    return max(384 * MEBIBYTE, host_memory // 16)


def share_memory(claims: list[Claim], available: int) -> dict[str, int]:
    """A memory limit per container; services that ask for nothing share what is left, 256 MiB to 2 GiB each."""
    asked = sum((claim.sizes.memory or 0) * claim.count for claim in claims)
    open_count = sum(claim.count for claim in claims if claim.sizes.memory is None)
    share = (available - asked) // open_count if open_count else 0
    default = max(256 * MEBIBYTE, min(share, 2 * GIBIBYTE)) // (16 * MEBIBYTE) * (16 * MEBIBYTE)
    return {claim.name: claim.sizes.memory or default for claim in claims}


def limits(sizes: Sizes, memory: int, host_cpus: int) -> Limits:
    """Complete limits: CPU at most what the host has, requests at most the limits."""
    # Docker refuses a limit above the number of CPUs that exist.
    cpu = min(sizes.cpu or host_cpus * 1000, host_cpus * 1000)
    memory_request = sizes.memory_request or min(memory, max(64 * MEBIBYTE, memory // 4))
    cpu_request = sizes.cpu_request or min(cpu, 100)
    return Limits(memory, min(memory_request, memory), cpu, min(cpu_request, cpu), sizes.processes or 0)


def log_limits(total: int, containers: int, max_files: int, max_size: int | None) -> LogLimits:
    """The rotation of every container so that all logs together stay inside `total` bytes.

    Raises ValueError when that is not possible.
    """
    largest = total // max(1, containers * max_files) // SMALLEST_LOG * SMALLEST_LOG
    if largest < SMALLEST_LOG:
        needed = containers * max_files * SMALLEST_LOG
        raise ValueError(
            f"is too small for {containers} containers with {max_files} files each; it takes {needed // MEBIBYTE}Mi"
        )
    if max_size is not None and max_size > largest:
        raise ValueError(
            f"is above what the total allows: {containers} containers × {max_files} files fit with {largest // MEBIBYTE}Mi"
        )
    return LogLimits(max_size or min(largest, LARGEST_LOG), max_files)


def memory_total(memory: Mapping[str, int], claims: list[Claim]) -> int:
    """The sum of all limits, every replica counted."""
    return sum(memory[claim.name] * claim.count for claim in claims)
