"""Who gets how much: memory and CPU limits for every container, log sizes inside one total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from moorage.app.model import Sizes
from moorage.quantities import MEBIBYTE
from moorage.stack.model import DEFAULT_PROCESSES, Limits, LogLimits

SMALLEST_LOG = MEBIBYTE
LARGEST_LOG = 50 * MEBIBYTE
# A container of the platform takes a twelfth of the log budget at most, however many services the app has.
_PLATFORM_LOG_PARTS = 12

# Shares come in steps, so that one more small service changes no other: a changed limit is a new container.
_LOG_STEPS = tuple(size * MEBIBYTE for size in (50, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1))
_MEMORY_STEPS = tuple(size * MEBIBYTE for size in (2048, 1536, 1024, 768, 512, 384, 256))


class WrongLogSize(ValueError):
    """A key of `logs` whose value does not fit; the text is the rule."""

    def __init__(self, key: str, rule: str) -> None:
        super().__init__(rule)
        self.key = key


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
    """A memory limit per container; services that ask for nothing share what is left, in steps from 256 MiB to 2 GiB."""
    asked = sum((claim.sizes.memory or 0) * claim.count for claim in claims)
    open_count = sum(claim.count for claim in claims if claim.sizes.memory is None)
    share = (available - asked) // open_count if open_count else 0
    default = _step(share, _MEMORY_STEPS)
    return {claim.name: claim.sizes.memory or default for claim in claims}


def limits(sizes: Sizes, memory: int, host_cpus: int) -> Limits:
    """Complete limits: CPU at most what the host has, requests at most the limits."""
    # Docker refuses a limit above the number of CPUs that exist.
    cpu = min(sizes.cpu or host_cpus * 1000, host_cpus * 1000)
    memory_request = sizes.memory_request or min(memory, max(64 * MEBIBYTE, memory // 4))
    cpu_request = sizes.cpu_request or min(cpu, 100)
    return Limits(memory, min(memory_request, memory), cpu, min(cpu_request, cpu), sizes.processes or DEFAULT_PROCESSES)


def share_logs(
    total: int, platform: int, app: int, max_files: int, max_size: int | None
) -> tuple[LogLimits, LogLimits]:
    """The rotations of the platform's and of the app's containers, so that all together stay inside `total` bytes.

    The platform's does not follow from the app's services: a database is not restarted because a service came.
    Raises WrongLogSize when that is not possible.
    """
    equal = log_limits(total, platform + app, max_files, max_size)
    if max_size is not None:
        return equal, equal
    size = total // (_PLATFORM_LOG_PARTS * max_files) // SMALLEST_LOG * SMALLEST_LOG
    size = max(SMALLEST_LOG, min(size, LARGEST_LOG))
    if total - platform * max_files * size < app * max_files * SMALLEST_LOG:
        size = SMALLEST_LOG
    return LogLimits(size, max_files), log_limits(total - platform * max_files * size, app, max_files, None)


def log_limits(total: int, containers: int, max_files: int, max_size: int | None) -> LogLimits:
    """The same rotation for every container so that all logs together stay inside `total` bytes.

    Raises WrongLogSize when that is not possible.
    """
    if max_size is not None and max_size < SMALLEST_LOG:
        raise WrongLogSize("max_size", f"is too small: a file holds at least {SMALLEST_LOG // MEBIBYTE}Mi")
    largest = total // max(1, containers * max_files) // SMALLEST_LOG * SMALLEST_LOG
    if largest < SMALLEST_LOG:
        needed = containers * max_files * SMALLEST_LOG
        raise WrongLogSize(
            "total",
            f"is too small for {containers} containers with {max_files} files each; it takes {needed // MEBIBYTE}Mi",
        )
    if max_size is not None and max_size > largest:
        raise WrongLogSize(
            "max_size",
            f"is above what the total allows: {containers} containers × {max_files} files fit with {largest // MEBIBYTE}Mi",
        )
    return LogLimits(max_size or _step(largest, _LOG_STEPS), max_files)


def _step(size: int, steps: tuple[int, ...]) -> int:
    """The largest step that is not above `size`, or the smallest of all."""
    return next((step for step in steps if step <= size), steps[-1])


def memory_total(memory: Mapping[str, int], claims: list[Claim]) -> int:
    """The sum of all limits, every replica counted."""
    return sum(memory[claim.name] * claim.count for claim in claims)
