"""Memory and CPUs: what is planned against what is there."""

from pathlib import Path
from typing import Any

import pytest

from moorage.checks import cpus, memory
from moorage.checks.memory import MemoryFacts
from moorage.quantities import GIBIBYTE, MEBIBYTE
from tests.unit.checks.samples import ScriptedEngine, lines, needs

# What a server that is sold with 4 GiB shows.
SOLD_AS_4 = 3881 * MEBIBYTE
OK_4 = ("ok", "3.8 GiB (moorage.yaml plans with 4 GiB, limits add up to 3 GiB)", "")


@pytest.mark.parametrize(
    ("facts", "stack", "expected"),
    [
        (MemoryFacts(SOLD_AS_4, True, True), {}, [OK_4]),
        (MemoryFacts(SOLD_AS_4, True, None), {}, [OK_4]),
        (MemoryFacts(SOLD_AS_4, None, True), {}, [OK_4]),
        (
            MemoryFacts(2 * GIBIBYTE, True, True),
            {"memory_limits": 2 * GIBIBYTE},
            [
                (
                    "failure",
                    "this host has 2 GiB, moorage.yaml plans with 4 GiB",
                    "set `resources.host.memory: 2048Mi`, or a larger server",
                )
            ],
        ),
        (
            MemoryFacts(GIBIBYTE, True, True),
            {"memory": GIBIBYTE, "memory_limits": GIBIBYTE},
            [("failure", "this host has 1 GiB, the app needs 2 GiB", "a server with 2 GiB")],
        ),
        *(
            (
                MemoryFacts(total * GIBIBYTE, True, True),
                {"memory": 4 * GIBIBYTE},
                [("ok", f"{total} GiB (moorage.yaml plans with 4 GiB, limits add up to 3 GiB)", "")],
            )
            for total in (4, 6, 8)
        ),
        (
            MemoryFacts(9 * GIBIBYTE, True, True),
            {},
            [
                (
                    "warning",
                    "this host has 9 GiB, moorage.yaml plans with 4 GiB only: the rest lies idle",
                    "set `resources.host.memory: 9216Mi`",
                )
            ],
        ),
        (
            MemoryFacts(16 * GIBIBYTE, True, True),
            {},
            [
                (
                    "warning",
                    "this host has 16 GiB, moorage.yaml plans with 4 GiB only: the rest lies idle",
                    "set `resources.host.memory: 16384Mi`",
                )
            ],
        ),
        (
            MemoryFacts(SOLD_AS_4, True, True),
            {"memory_limits": 6 * GIBIBYTE},
            [
                ("ok", "3.8 GiB (moorage.yaml plans with 4 GiB, limits add up to 6 GiB)", ""),
                (
                    "warning",
                    "all limits together are 6 GiB, this host has 3.8 GiB: when everything is busy at once, the "
                    "kernel ends a container",
                    "smaller limits under `resources.services`, or a larger server",
                ),
            ],
        ),
        (
            MemoryFacts(SOLD_AS_4, False, None),
            {},
            [
                OK_4,
                (
                    "failure",
                    "the kernel has no memory controller, so no container's memory is limited",
                    "add `cgroup_enable=memory swapaccount=1` to the kernel's command line (/etc/default/grub, on a "
                    "Raspberry Pi /boot/firmware/cmdline.txt) and reboot",
                ),
            ],
        ),
        (
            MemoryFacts(SOLD_AS_4, True, False),
            {},
            [
                OK_4,
                (
                    "failure",
                    "Docker cannot limit memory here (`docker info` says so), although the kernel could",
                    "rootless: `systemctl edit user@.service` with `[Service]` and "
                    "`Delegate=cpu cpuset io memory pids`, then log in again; else restart Docker",
                ),
            ],
        ),
        (
            MemoryFacts(0, None, None),
            {},
            [
                (
                    "warning",
                    "the kernel does not say how much memory there is",
                    "compare `free -m` with moorage.yaml",
                ),
                (
                    "warning",
                    "neither the kernel nor Docker says whether memory can be limited",
                    "`docker info` shows a warning when it can't",
                ),
            ],
        ),
    ],
)
def test_memory(facts: MemoryFacts, stack: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert lines(memory.judge(facts, needs(**stack))) == expected


def test_sizes_of_the_configuration_name_its_key() -> None:
    (found,) = memory.judge(MemoryFacts(16 * GIBIBYTE, True, True), needs())
    assert found.key == ("resources", "host", "memory")


@pytest.mark.parametrize(
    ("sold", "shown"), [(1024, 916), (2048, 1900), (4096, 3788), (8192, 7750), (16384, 15700), (65536, 63000)]
)
def test_a_server_has_what_it_is_sold_with(sold: int, shown: int) -> None:
    stack = needs(memory=sold * MEBIBYTE, memory_limits=0, minimum_memory=0)
    assert [item.level for item in memory.judge(MemoryFacts(shown * MEBIBYTE, True, True), stack)] == ["ok"]


def test_gather_reads_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemFree: 12 kB\nMemTotal:        2048 kB\n")
    facts = memory.gather(ScriptedEngine({"MemoryLimit": True}), tmp_path)
    assert facts == MemoryFacts(2 * MEBIBYTE, None, True)
    assert memory.gather(ScriptedEngine(error="gone"), tmp_path / "nothing") == MemoryFacts(0, None, None)


V1 = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t9\t1\nmemory\t4\t26\t{}\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n"}, True),
        ({"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids\n"}, False),
        ({"sys/fs/cgroup/unified/cgroup.controllers": "\n", "proc/cgroups": V1.format(1)}, True),
        ({"sys/fs/cgroup/unified/cgroup.controllers": "\n", "proc/cgroups": V1.format(0)}, False),
        ({"proc/cgroups": V1.format(0)}, False),
        ({}, None),
    ],
)
def test_the_memory_controller_of_both_versions(files: dict[str, str], expected: bool | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.has_controller("memory", tmp_path) is expected


@pytest.mark.parametrize(
    ("facts", "planned", "expected"),
    [
        (cpus.CpuFacts(2, True), 2, [("ok", "2 CPUs (moorage.yaml plans with 2 CPUs)", "")]),
        (cpus.CpuFacts(4, None), 2, [("ok", "4 CPUs (moorage.yaml plans with 2 CPUs)", "")]),
        (
            cpus.CpuFacts(5, True),
            2,
            [
                (
                    "warning",
                    "this host has 5 CPUs, moorage.yaml plans with 2 only: the rest lies idle",
                    "set `resources.host.cpus: 5`",
                )
            ],
        ),
        (
            cpus.CpuFacts(1, True),
            2,
            [
                (
                    "failure",
                    "this host has 1 CPU, moorage.yaml plans with 2: Docker refuses limits above what exists",
                    "set `resources.host.cpus: 1`",
                )
            ],
        ),
        (
            cpus.CpuFacts(8, True),
            2,
            [
                (
                    "warning",
                    "this host has 8 CPUs, moorage.yaml plans with 2 only: the rest lies idle",
                    "set `resources.host.cpus: 8`",
                )
            ],
        ),
        (
            cpus.CpuFacts(0, None),
            2,
            [("warning", "the number of CPUs is not known", "compare `nproc` with moorage.yaml")],
        ),
        (
            cpus.CpuFacts(2, False),
            2,
            [
                ("ok", "2 CPUs (moorage.yaml plans with 2 CPUs)", ""),
                (
                    "failure",
                    "Docker cannot limit CPUs here (`docker info` says so), and refuses containers that have a limit",
                    "rootless: `systemctl edit user@.service` with `[Service]` and "
                    "`Delegate=cpu cpuset io memory pids`, then log in again; else a kernel with CONFIG_CFS_BANDWIDTH",
                ),
            ],
        ),
    ],
)
def test_cpus(facts: cpus.CpuFacts, planned: int, expected: list[tuple[str, str, str]]) -> None:
    assert lines(cpus.judge(facts, needs(cpus=planned))) == expected


def test_cpus_are_counted_by_the_engine_first() -> None:
    assert cpus.gather(ScriptedEngine({"NCPU": 7, "CpuCfsQuota": True})) == cpus.CpuFacts(7, True)
    alone = cpus.gather(ScriptedEngine(error="gone"))
    assert alone.count > 0
    assert alone.engine_limits is None
