"""Memory, CPU and log sizes: what is given out stays inside what there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.app.model import Sizes
from moorage.quantities import GIBIBYTE, MEBIBYTE
from moorage.stack.budget import (
    LARGEST_LOG,
    SMALLEST_LOG,
    Claim,
    WrongLogSize,
    limits,
    log_limits,
    memory_total,
    share_logs,
    share_memory,
    system_reserve,
)

MEMORY = st.one_of(st.none(), st.integers(16, 4096).map(lambda count: count * MEBIBYTE))


@pytest.mark.parametrize(
    ("host", "reserve"),
    [
        (GIBIBYTE, 384 * MEBIBYTE),
        (4 * GIBIBYTE, 384 * MEBIBYTE),
        (16 * GIBIBYTE, GIBIBYTE),
        (256 * GIBIBYTE, 16 * GIBIBYTE),
    ],
)
def test_the_system_keeps_a_part(host: int, reserve: int) -> None:
    assert system_reserve(host) == reserve


@given(
    claims=st.lists(st.tuples(MEMORY, st.integers(1, 4)), min_size=1, max_size=8),
    available=st.integers(0, 64 * 1024).map(lambda count: count * MEBIBYTE),
)
def test_limits_stay_inside_what_is_available_when_that_is_possible(
    claims: list[tuple[int | None, int]], available: int
) -> None:
    named = [Claim(f"s{number}", Sizes(memory=memory), count) for number, (memory, count) in enumerate(claims)]
    shared = share_memory(named, available)
    for claim in named:
        asked = claim.sizes.memory
        assert shared[claim.name] == asked if asked else 256 * MEBIBYTE <= shared[claim.name] <= 2 * GIBIBYTE
    asked_for = sum((memory or 256 * MEBIBYTE) * count for memory, count in claims)
    if asked_for <= available:
        assert memory_total(shared, named) <= available


@given(
    sizes=st.builds(
        Sizes,
        memory=MEMORY,
        memory_request=MEMORY,
        cpu=st.one_of(st.none(), st.integers(1, 200_000)),
        cpu_request=st.one_of(st.none(), st.integers(1, 200_000)),
        processes=st.one_of(st.none(), st.integers(1, 1000)),
    ),
    memory=st.integers(1, 64 * 1024).map(lambda count: count * MEBIBYTE),
    cpus=st.integers(1, 128),
)
def test_requests_stay_inside_limits_and_cpu_inside_the_host(sizes: Sizes, memory: int, cpus: int) -> None:
    found = limits(sizes, memory, cpus)
    assert 0 < found.memory_request <= found.memory == memory
    assert 0 < found.cpu_request <= found.cpu <= cpus * 1000
    if sizes.cpu is not None:
        assert found.cpu == min(sizes.cpu, cpus * 1000)


@given(
    total=st.integers(1, 100_000).map(lambda count: count * MEBIBYTE),
    containers=st.integers(1, 200),
    max_files=st.integers(2, 20),
    max_size=st.one_of(st.none(), st.integers(1, 200).map(lambda count: count * MEBIBYTE)),
)
def test_all_logs_together_never_take_more_than_their_budget(
    total: int, containers: int, max_files: int, max_size: int | None
) -> None:
    try:
        found = log_limits(total, containers, max_files, max_size)
    except ValueError as error:
        # It is refused only when it is really impossible, and the way out is named.
        assert (max_size or SMALLEST_LOG) * max_files * containers > total
        assert str(error).startswith("is ")
        return
    assert found.budget * containers <= total
    assert found.budget == found.max_size * found.max_files
    assert found.max_files == max_files
    assert found.max_size == max_size if max_size else SMALLEST_LOG <= found.max_size <= LARGEST_LOG


@given(st.integers(1, 50), st.integers(2, 20))
def test_the_budget_that_a_refusal_names_is_enough(containers: int, max_files: int) -> None:
    with pytest.raises(ValueError, match=r"it takes \d+Mi$") as error:
        log_limits(containers * max_files * MEBIBYTE - 1, containers, max_files, None)
    needed = int(str(error.value).rpartition(" ")[2].removesuffix("Mi")) * MEBIBYTE
    assert log_limits(needed, containers, max_files, None).budget * containers <= needed


@pytest.mark.parametrize("size", [1, 500, 1023, MEBIBYTE - 1])
def test_a_log_of_less_than_a_mebibyte_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="is "):
        log_limits(GIBIBYTE, 2, 3, size)


@given(
    total=st.integers(1, 10_000).map(lambda count: count * MEBIBYTE),
    platform=st.integers(2, 5),
    app=st.integers(1, 100),
    max_files=st.integers(2, 20),
)
def test_the_platforms_logs_and_the_apps_stay_inside_their_budget_together(
    total: int, platform: int, app: int, max_files: int
) -> None:
    try:
        ours, theirs = share_logs(total, platform, app, max_files, None)
    except WrongLogSize as error:
        assert SMALLEST_LOG * max_files * (platform + app) > total
        assert error.key == "total"
        return
    assert ours.budget * platform + theirs.budget * app <= total
    assert all(SMALLEST_LOG <= found.max_size <= LARGEST_LOG for found in (ours, theirs))


@given(
    total=st.integers(200, 10_000).map(lambda count: count * MEBIBYTE),
    first=st.integers(1, 40),
    second=st.integers(1, 40),
)
def test_the_platforms_logs_do_not_follow_from_the_number_of_services(total: int, first: int, second: int) -> None:
    assert share_logs(total, 4, first, 3, None)[0] == share_logs(total, 4, second, 3, None)[0]


def test_memory_that_nobody_asked_for_comes_in_steps() -> None:
    shares = {share_memory([Claim("a", Sizes())], size * MEBIBYTE)["a"] for size in range(3000)}
    assert sorted(size // MEBIBYTE for size in shares) == [256, 384, 512, 768, 1024, 1536, 2048]
