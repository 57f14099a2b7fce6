"""Postgres parameters from what the server may really use.

The basis is min(the container's memory limit, host memory − the limits of everything else), never the
whole host: a server tuned for 16 GB in a 10 GB cgroup is killed by the kernel (flawchess#144). Formulas
follow pgtune (le0pard) and timescaledb-tune where they agree; the reasons stand with each value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from moorage.quantities import GIBIBYTE, KIBIBYTE, MEBIBYTE, human_size
from moorage.stack.model import Parameter

# Docker's default of 64 MB for /dev/shm is too small for parallel queries (openremote#2612).
SHARED_MEMORY = 256 * MEBIBYTE


@dataclass(frozen=True)
class TuningBasis:
    """What the formulas start from: bytes, CPUs, the disk's kind and size (0: unknown), the major version."""

    memory: int
    cpus: int
    disk: str
    disk_size: int
    max_connections: int
    version: int


def tune(basis: TuningBasis, overrides: Mapping[str, str]) -> tuple[Parameter, ...]:
    """All parameters that are set, in the order of their subjects; the operator's win.

    Names are read without regard to case, as the server does. Another number of connections counts for memory too.
    """
    overrides = {name.lower(): value for name, value in overrides.items()}
    parameters = (
        *_connections(basis),
        *_memory(_with_connections(basis, overrides.get("max_connections", ""))),
        *_wal(basis),
        *_planner(basis),
        *_parallel(basis),
        *_autovacuum(basis),
        *_logging(),
    )
    known = {parameter.name for parameter in parameters}
    replaced = tuple(
        Parameter(parameter.name, overrides[parameter.name], f"from moorage.yaml; the tuning says {parameter.value}")
        if parameter.name in overrides
        else parameter
        for parameter in parameters
    )
    added = tuple(
        Parameter(name, value, "from moorage.yaml") for name, value in sorted(overrides.items()) if name not in known
    )
    return replaced + added


def _with_connections(basis: TuningBasis, written: str) -> TuningBasis:
    """The basis with the number of connections that an override sets, if it is one."""
    return replace(basis, max_connections=int(written)) if re.fullmatch(r"[0-9]{1,9}", written) else basis


def _connections(basis: TuningBasis) -> tuple[Parameter, ...]:
    return (
        Parameter(
            "max_connections",
            str(basis.max_connections),
            "postgres.max_connections; each connection can cost work_mem several times",
        ),
        Parameter("password_encryption", "scram-sha-256", "the only method that does not give the password away"),
    )


def _memory(basis: TuningBasis) -> tuple[Parameter, ...]:
    memory = basis.memory
    shared = _rounded(min(memory // 4, 8 * GIBIBYTE))
    maintenance_cap = GIBIBYTE if memory < 16 * GIBIBYTE else 2 * GIBIBYTE
    workers = max(8, basis.cpus)
    work = (memory - shared) // ((basis.max_connections + workers) * 3)
    maintenance = _rounded(_clamp(memory // 16, min(32 * MEBIBYTE, memory // 8), maintenance_cap))
    # Several workers vacuum at once: none takes more than a single VACUUM by hand.
    autovacuum = min(maintenance, _rounded(_clamp(memory // 64, 64 * MEBIBYTE, 256 * MEBIBYTE)))
    return (
        Parameter("shared_buffers", _size(shared), f"a quarter of {human_size(memory)}, at most 8 GB"),
        Parameter(
            "effective_cache_size",
            _size(_rounded(memory * 3 // 4)),
            "three quarters: what the planner may expect to be cached",
        ),
        Parameter(
            "work_mem",
            _size(_rounded(_clamp(work, 4 * MEBIBYTE, 64 * MEBIBYTE))),
            "(memory − shared_buffers) / ((connections + workers) × 3), 4 to 64 MB",
        ),
        Parameter(
            "maintenance_work_mem",
            _size(maintenance),
            f"a sixteenth for VACUUM and index builds, at most {human_size(maintenance_cap)}",
        ),
        Parameter(
            "autovacuum_work_mem",
            _size(autovacuum),
            "a 64th per autovacuum worker, 64 to 256 MB, never more than maintenance_work_mem",
        ),
        Parameter("huge_pages", "try", "used when the host has them; worth it from 2 GB of shared_buffers"),
    )


def _wal(basis: TuningBasis) -> tuple[Parameter, ...]:
    # A tenth of the disk; 40 GB are assumed when the size is not known.
    largest = _rounded(_clamp((basis.disk_size or 40 * GIBIBYTE) // 10, GIBIBYTE, 16 * GIBIBYTE), 16 * MEBIBYTE)
    compression = "lz4" if basis.version >= 15 else "on"
    return (
        Parameter("max_wal_size", _size(largest), "a tenth of the data disk, 1 to 16 GB: fewer checkpoints, less WAL"),
        Parameter(
            "min_wal_size", _size(_rounded(largest // 4, 16 * MEBIBYTE)), "a quarter of max_wal_size is kept for reuse"
        ),
        Parameter(
            "checkpoint_timeout", "15min", "fewer full-page images than with 5 min; recovery takes a little longer"
        ),
        Parameter("wal_compression", compression, "full-page images compressed: WAL several times smaller"),
    )


def _planner(basis: TuningBasis) -> tuple[Parameter, ...]:
    page_cost = "4" if basis.disk == "hdd" else "1.1"
    concurrency = {"hdd": "2", "ssd": "200", "nvme": "1000"}[basis.disk]
    return (
        Parameter(
            "random_page_cost",
            page_cost,
            f"random reads on {basis.disk} cost {'much more than' if basis.disk == 'hdd' else 'about as much as'} sequential ones",
        ),
        Parameter("effective_io_concurrency", concurrency, f"reads that a {basis.disk} serves at once"),
        Parameter("jit", "off", "compiling costs more than it gives on short queries"),
    )


def _parallel(basis: TuningBasis) -> tuple[Parameter, ...]:
    gather = max(1, basis.cpus // 2)
    return (
        Parameter("max_worker_processes", str(max(8, basis.cpus)), "one per CPU, at least the default of 8"),
        Parameter("max_parallel_workers", str(max(2, basis.cpus)), "one per CPU"),
        Parameter("max_parallel_workers_per_gather", str(min(4, gather)), "half the CPUs for one query, at most 4"),
        Parameter(
            "max_parallel_maintenance_workers", str(min(4, gather)), "half the CPUs for an index build, at most 4"
        ),
    )


def _autovacuum(basis: TuningBasis) -> tuple[Parameter, ...]:
    limit = {"hdd": "400", "ssd": "1000", "nvme": "2000"}[basis.disk]
    return (
        Parameter(
            "autovacuum_vacuum_scale_factor",
            "0.05",
            "after 5 % of a table changed, not 20 %: less bloat on large tables",
        ),
        Parameter("autovacuum_analyze_scale_factor", "0.05", "fresh statistics after 5 % changes"),
        Parameter("autovacuum_vacuum_cost_limit", limit, f"lets vacuum keep up on {basis.disk}"),
    )


def _logging() -> tuple[Parameter, ...]:
    return (
        Parameter("log_min_duration_statement", "1s", "slow statements are worth a line"),
        Parameter("log_lock_waits", "on", "says who waits for whom, after deadlock_timeout"),
        Parameter("log_temp_files", "64MB", "large sorts on disk tell that work_mem is small"),
        Parameter("log_autovacuum_min_duration", "1min", "long vacuums are worth a line"),
        Parameter("log_line_prefix", "%m [%p] %u@%d ", "time, process, user, database"),
        Parameter(
            "idle_in_transaction_session_timeout", "1h", "a forgotten transaction stops vacuum and fills the disk"
        ),
    )


def _clamp(value: int, low: int, high: int) -> int:
    return max(low, min(value, high))


def _rounded(count: int, unit: int = MEBIBYTE) -> int:
    return max(unit, count // unit * unit)


def _size(count: int) -> str:
    """The server's own notation, whose units are powers of two."""
    return f"{count // MEBIBYTE}MB" if count % MEBIBYTE == 0 else f"{count // KIBIBYTE}kB"
