"""Postgres parameters: a table of hosts, and what must hold on every one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.quantities import GIBIBYTE, KIBIBYTE, MEBIBYTE
from moorage.stack.model import Parameter
from moorage.stack.tuning import TuningBasis, tune

UNITS = {"kB": KIBIBYTE, "MB": MEBIBYTE, "GB": GIBIBYTE}
# Postgres' own default, below which no parameter of this kind goes.
SMALLEST_WORK_MEMORY = 4 * MEBIBYTE


def basis(
    memory: int, cpus: int = 2, disk: str = "ssd", disk_size: int = 0, connections: int = 100, version: int = 17
) -> TuningBasis:
    return TuningBasis(memory, cpus, disk, disk_size, connections, version)


def values(found: tuple[Parameter, ...]) -> dict[str, str]:
    return {parameter.name: parameter.value for parameter in found}


def size(text: str) -> int:
    """Bytes of the server's notation."""
    match = re.fullmatch(r"(\d+)(kB|MB|GB)", text)
    assert match is not None, text
    return int(match[1]) * UNITS[match[2]]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            basis(256 * MEBIBYTE, 1, "hdd"),
            {"shared_buffers": "64MB", "effective_cache_size": "192MB", "work_mem": "4MB", "maintenance_work_mem": "32MB",
             "random_page_cost": "4", "effective_io_concurrency": "2", "max_worker_processes": "8", "max_parallel_workers": "2",
             "max_parallel_workers_per_gather": "1", "autovacuum_vacuum_cost_limit": "400"},
        ),
        (
            basis(GIBIBYTE, 1, "hdd", 20 * GIBIBYTE),
            {"shared_buffers": "256MB", "effective_cache_size": "768MB", "work_mem": "4MB", "maintenance_work_mem": "64MB",
             "max_wal_size": "2048MB", "min_wal_size": "512MB"},
        ),
        (
            basis(4 * GIBIBYTE, 4, "ssd", 80 * GIBIBYTE),
            {"shared_buffers": "1024MB", "effective_cache_size": "3072MB", "work_mem": "9MB", "maintenance_work_mem": "256MB",
             "random_page_cost": "1.1", "effective_io_concurrency": "200", "max_parallel_workers": "4",
             "max_parallel_workers_per_gather": "2", "max_wal_size": "8192MB"},
        ),
        (
            basis(64 * GIBIBYTE, 64, "nvme", 2000 * GIBIBYTE),
            {"shared_buffers": "8192MB", "effective_cache_size": "49152MB", "work_mem": "64MB", "maintenance_work_mem": "2048MB",
             "autovacuum_work_mem": "256MB", "effective_io_concurrency": "1000", "max_worker_processes": "64",
             "max_parallel_workers": "64", "max_parallel_workers_per_gather": "4", "max_wal_size": "16384MB"},
        ),
    ],
)  # fmt: skip
def test_a_host_gets_the_parameters_that_the_formulas_give(host: TuningBasis, expected: dict[str, str]) -> None:
    found = values(tune(host, {}))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(("version", "compression"), [(14, "on"), (15, "lz4"), (18, "lz4")])
def test_a_server_is_told_only_what_its_version_understands(version: int, compression: str) -> None:
    assert values(tune(basis(GIBIBYTE, version=version), {}))["wal_compression"] == compression


BASES = st.builds(
    basis,
    memory=st.integers(256, 256 * 1024).map(lambda count: count * MEBIBYTE),
    cpus=st.integers(1, 128),
    disk=st.sampled_from(["hdd", "ssd", "nvme"]),
    disk_size=st.one_of(st.just(0), st.integers(5, 20_000).map(lambda count: count * GIBIBYTE)),
    connections=st.integers(10, 5000),
    version=st.integers(14, 18),
)


@given(BASES)
def test_memory_never_goes_beyond_the_basis(host: TuningBasis) -> None:
    found = values(tune(host, {}))
    shared, work = size(found["shared_buffers"]), size(found["work_mem"])
    assert shared <= host.memory // 4
    assert shared < size(found["effective_cache_size"]) <= host.memory
    assert size(found["maintenance_work_mem"]) <= host.memory // 4
    # Three workers of autovacuum at once, beside the buffers.
    assert shared + 3 * size(found["autovacuum_work_mem"]) <= host.memory
    # Every connection one sort at once, unless work_mem is already the server's own default.
    assert shared + host.max_connections * work <= host.memory or work == SMALLEST_WORK_MEMORY


@pytest.mark.parametrize("memory", [64, 128, 256, 512])
def test_a_vacuum_does_not_take_all_memory_of_a_small_server(memory: int) -> None:
    found = values(tune(basis(memory * MEBIBYTE), {}))
    assert size(found["autovacuum_work_mem"]) <= size(found["maintenance_work_mem"]) <= memory * MEBIBYTE // 8
    assert size(found["shared_buffers"]) + 3 * size(found["autovacuum_work_mem"]) <= memory * MEBIBYTE * 3 // 4


@given(BASES)
def test_every_value_is_one_that_the_server_accepts(host: TuningBasis) -> None:
    found = values(tune(host, {}))
    assert int(found["max_parallel_workers"]) <= int(found["max_worker_processes"])
    assert int(found["max_parallel_workers_per_gather"]) <= int(found["max_parallel_workers"])
    assert int(found["max_parallel_maintenance_workers"]) <= int(found["max_parallel_workers"])
    assert 0 <= int(found["effective_io_concurrency"]) <= 1000
    assert 1 <= int(found["autovacuum_vacuum_cost_limit"]) <= 10000
    # At least two segments of 16 MB.
    assert 32 * MEBIBYTE <= size(found["min_wal_size"]) <= size(found["max_wal_size"])
    assert int(found["max_connections"]) == host.max_connections
    for name in ("shared_buffers", "work_mem", "maintenance_work_mem", "autovacuum_work_mem", "effective_cache_size"):
        assert size(found[name]) >= MEBIBYTE


@given(BASES)
def test_the_log_of_changes_leaves_room_on_the_disk(host: TuningBasis) -> None:
    disk = host.disk_size or 40 * GIBIBYTE
    assert size(values(tune(host, {}))["max_wal_size"]) <= max(disk // 10, GIBIBYTE)


@given(BASES)
def test_every_parameter_has_a_reason_and_stands_once(host: TuningBasis) -> None:
    found = tune(host, {})
    assert all(parameter.why for parameter in found)
    assert len(values(found)) == len(found)


@given(BASES, BASES)
def test_more_memory_never_means_less_for_anything(first: TuningBasis, second: TuningBasis) -> None:
    small, large = sorted((first, second), key=lambda host: host.memory)
    less = values(tune(small, {}))
    more = values(
        tune(
            TuningBasis(large.memory, small.cpus, small.disk, small.disk_size, small.max_connections, small.version), {}
        )
    )
    for name in ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "autovacuum_work_mem"):
        assert size(less[name]) <= size(more[name]), name


def test_the_operators_value_wins_and_says_so() -> None:
    found = {parameter.name: parameter for parameter in tune(basis(GIBIBYTE), {"work_mem": "32MB", "my.setting": "x"})}
    assert found["work_mem"].value == "32MB"
    assert "moorage.yaml" in found["work_mem"].why
    assert "4MB" in found["work_mem"].why
    assert found["my.setting"] == Parameter("my.setting", "x", "from moorage.yaml")


@given(st.dictionaries(st.sampled_from(["work_mem", "jit", "shared_buffers", "zz", "aa"]), st.text(max_size=5)))
def test_exactly_the_overridden_parameters_change(overrides: dict[str, str]) -> None:
    usual, changed = values(tune(basis(GIBIBYTE), {})), values(tune(basis(GIBIBYTE), overrides))
    assert changed == {**usual, **overrides}
    assert list(changed)[: len(usual)] == list(usual)


def test_work_memory_follows_an_overridden_number_of_connections() -> None:
    few, many = (values(tune(basis(4 * GIBIBYTE), {"max_connections": count})) for count in ("100", "1000"))
    assert size(many["work_mem"]) < size(few["work_mem"])


@pytest.mark.parametrize("count", ["", "many", "-1", "9" * 5000])
def test_a_number_of_connections_that_is_none_changes_no_formula(count: str) -> None:
    usual, found = (values(tune(basis(4 * GIBIBYTE), given)) for given in ({}, {"max_connections": count}))
    assert found == {**usual, "max_connections": count}


def test_a_name_in_capitals_overrides_too() -> None:
    found = tune(basis(GIBIBYTE), {"Work_Mem": "32MB"})
    assert [parameter.value for parameter in found if parameter.name.lower() == "work_mem"] == ["32MB"]
