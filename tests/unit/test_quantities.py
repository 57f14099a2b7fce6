"""Sizes, CPU shares and durations as people write them, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.quantities import (
    GIBIBYTE,
    KIBIBYTE,
    MEBIBYTE,
    format_cpu,
    format_duration,
    format_size,
    human_size,
    parse_cpu,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (0, 0),
        (1024, 1024),
        ("1024", 1024),
        ("1b", 1),
        ("1B", 1),
        ("1k", KIBIBYTE),
        ("1K", KIBIBYTE),
        ("1kb", KIBIBYTE),
        ("1Ki", KIBIBYTE),
        ("1KiB", KIBIBYTE),
        ("512m", 512 * MEBIBYTE),
        ("512M", 512 * MEBIBYTE),
        ("512Mi", 512 * MEBIBYTE),
        ("512 MiB", 512 * MEBIBYTE),
        ("  2g ", 2 * GIBIBYTE),
        ("1.5g", 3 * GIBIBYTE // 2),
        ("0.5Gi", GIBIBYTE // 2),
        ("1t", 1024 * GIBIBYTE),
        ("1.5", 1),
    ],
)
def test_a_size_is_read_in_binary_units(written: object, count: int) -> None:
    assert parse_size(written) == count


@pytest.mark.parametrize(
    "written",
    ["", " ", "m", "Mi", "-1", "-1m", "1x", "1mm", "1 2", "1,5g", "1.g", ".5g", "1e3", "0x10", "50%", "1p", "1gi b",
     True, False, None, 1.5, [], {}, "١m\n2"],
)  # fmt: skip
def test_what_is_no_size_is_refused_with_the_form(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a size such as"):
        parse_size(written)


@pytest.mark.parametrize("written", ["9" * 400, "9" * 400 + "g", 10**400, "9223372036854775808", "8388608t", "٣g"])
def test_a_size_beyond_all_numbers_is_refused_and_no_crash(written: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a size"):
        parse_size(written)


def test_a_large_size_is_exact() -> None:
    assert parse_size("9007199254740993") == 9007199254740993


@given(st.integers(0, 2**50))
def test_a_size_is_the_same_after_writing_and_reading(count: int) -> None:
    assert parse_size(format_size(count)) == count


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1, "1"), (1024, "1Ki"), (1536, "1536"), (MEBIBYTE, "1Mi"), (512 * MEBIBYTE, "512Mi"),
     (GIBIBYTE, "1Gi"), (GIBIBYTE + MEBIBYTE, "1025Mi"), (1024 * GIBIBYTE, "1024Gi")],
)  # fmt: skip
def test_a_size_is_written_in_the_largest_exact_unit(count: int, text: str) -> None:
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (512 * MEBIBYTE, "512 MiB"), (1536 * MEBIBYTE, "1.5 GiB"),
     (2048 * GIBIBYTE, "2 TiB")],
)  # fmt: skip
def test_a_size_for_people_is_short(count: int, text: str) -> None:
    assert human_size(count) == text


@pytest.mark.parametrize(
    ("written", "thousandths"),
    [(1, 1000), (0.5, 500), ("0.5", 500), ("500m", 500), ("2", 2000), (" 2 ", 2000), ("0.001", 1), ("1m", 1), ("1.5m", 2),
     (64, 64000), ("0.25", 250)],
)  # fmt: skip
def test_a_cpu_share_is_read_in_thousandths(written: object, thousandths: int) -> None:
    assert parse_cpu(written) == thousandths


@pytest.mark.parametrize(
    "written",
    [0, "0", "0m", "0.0001", "-1", -0.5, "", "m", "1.m", "half", "50%", "1 m", True, None, [], float("nan"), float("inf"),
     "1e3"],
)  # fmt: skip
def test_what_is_no_cpu_share_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        parse_cpu(written)


@pytest.mark.parametrize("written", ["9" * 400, 10**400, "1000000000", "٣"])
def test_a_cpu_share_beyond_all_numbers_is_refused_and_no_crash(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        parse_cpu(written)


@given(st.integers(1, 1024 * 1000))
def test_a_cpu_share_is_the_same_after_writing_and_reading(thousandths: int) -> None:
    text = format_cpu(thousandths)
    assert parse_cpu(text) == thousandths
    assert "e" not in text
    assert float(text) == thousandths / 1000


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1d", 86400), ("1h1m1s", 3661), (30, 30), (0.5, 0.5),
     ("0s", 0), ("1.5s", 1.5), ("1m 30s", 90), ("250us", 0.00025), ("250µs", 0.00025), ("100ns", 1e-7), ("1w", 604800)],
)  # fmt: skip
def test_a_duration_is_read_in_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["", "s", "30", "-5s", "1x", "1m30", "soon", None, True, [], "1,5s", "1s garbage"])
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a duration"):
        parse_duration(written)


@pytest.mark.parametrize(
    "written", [float("nan"), float("inf"), -1, -0.5, 1e300, 10**400, "9" * 400 + "s", "300000d", "٣s"]
)
def test_a_number_that_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a duration"):
        parse_duration(written)


@given(st.integers(1, 10**7))
def test_a_duration_is_the_same_after_writing_and_reading(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize("written", ["250us", "0.4ms", "1ns"])
def test_a_very_short_duration_is_not_written_as_none(written: str) -> None:
    assert parse_duration(format_duration(parse_duration(written))) > 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "90s"), (0.5, "500ms"), (0.0015, "1500us"), (0.00025, "250us"), (1.25, "1250ms")],
)
def test_a_duration_is_written_in_the_largest_exact_unit(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
