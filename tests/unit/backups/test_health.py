"""Health of backups: what is a failure, what is worth knowing."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone

import pytest

from moorage.backups.health import Health, LogHealth, StoreHealth, judge, none_yet, read_health
from moorage.backups.metrics import prometheus

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
GIB = 1024**3
STORE = StoreHealth(
    "local", good=9, last_good="2026-11-22T03:30:00Z", last_proven="2026-11-22T03:33:00Z", bytes=GIB, median_bytes=GIB
)
HEALTH = Health("2026-11-22T03:34:00Z", "20261122T033000Z-7f3a91", 0, "", (STORE,))


def found(store: StoreHealth = STORE, **changes: object) -> list[tuple[str, bool]]:
    health = replace(HEALTH, stores=(store,), **changes)  # type: ignore[arg-type]
    return [(finding.text, finding.is_failure) for finding in judge(health, 26, NOW - timedelta(days=9), NOW)]


def test_all_is_well() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("change", "text", "is_failure"),
    [
        ({"last_good": ""}, "store local has no good backup yet", True),
        (
            {"last_good": "2026-11-21T03:30:00Z"},
            "the newest good backup in store local is 32 hours old, the limit is 26",
            True,
        ),
        (
            {"last_good": "2026-11-25T03:30:00Z"},
            "the newest good backup in store local is from the future (2026-11-25T03:30:00Z): is the clock right?",
            True,
        ),
        ({"error": "it does not answer"}, "store local: it does not answer", True),
        ({"bytes": GIB // 3}, "the newest backup in store local is 341.3 MiB, those before were 1 GiB", False),
        ({"bytes": 3 * GIB}, "the newest backup in store local is 3 GiB, those before were 1 GiB", False),
        (
            {"free_bytes": 10 * GIB, "grows_per_day": 2 * GIB},
            "store local is full in about 5 days: 10 GiB are free",
            False,
        ),
        (
            {"last_read_back": "2026-11-02T03:30:00Z", "newest_sequence": 99},
            "store local itself was last read back whole 20 days ago",
            False,
        ),
        ({"last_read_back": "", "newest_sequence": 15}, "store local itself was never read back whole", False),
        (
            {"unexplained": ("20261120T033000Z-7f3a91",)},
            "store local has the data of 1 backup but no record of it: 20261120T033000Z-7f3a91",
            False,
        ),
        ({"unreadable": 2}, "store local has 2 entries that can't be read", False),
    ],
)
def test_what_is_told(change: dict[str, object], text: str, is_failure: bool) -> None:
    assert found(replace(STORE, **change)) == [(text, is_failure)]  # type: ignore[arg-type]


def test_a_store_that_has_not_had_its_turn_yet_is_no_finding() -> None:
    assert found(replace(STORE, last_read_back="", newest_sequence=14)) == []
    assert found(replace(STORE, last_read_back="2026-11-09T03:30:00Z", newest_sequence=99)) == []


def test_a_failed_night_is_told_and_age_decides() -> None:
    assert found(exit_status=25, reason="pg_dump failed") == [("the last night failed: pg_dump failed", False)]
    old = replace(STORE, last_good="2026-11-01T00:00:00Z")
    assert [is_failure for _, is_failure in found(old, exit_status=25, reason="pg_dump failed")] == [True]


def test_a_new_deployment_has_its_first_night_before_it() -> None:
    health = replace(HEALTH, stores=(replace(STORE, last_good=""),))
    assert [item.is_failure for item in judge(health, 26, NOW - timedelta(hours=3), NOW)] == [False]
    assert not none_yet(26, NOW - timedelta(hours=3), NOW).is_failure
    assert none_yet(26, NOW - timedelta(hours=30), NOW).is_failure


def test_a_clock_that_differs_a_little_is_no_finding() -> None:
    assert found(replace(STORE, last_good="2026-11-22T12:59:00Z")) == []


def test_a_deployment_of_the_future_is_not_new() -> None:
    health = replace(HEALTH, stores=(replace(STORE, last_good=""),))
    assert [item.is_failure for item in judge(health, 26, NOW + timedelta(days=30), NOW)] == [True]
    assert none_yet(26, NOW + timedelta(days=30), NOW).is_failure


def test_metrics_tell_no_time_that_is_yet_to_come() -> None:
    lines = prometheus("notes", HEALTH)
    assert 'moorage_backup_last_good_timestamp_seconds{project="notes",store="local"} 1795318200' in lines
    ahead = replace(STORE, last_good="2026-11-25T03:30:00Z")
    lines = prometheus("notes", replace(HEALTH, stores=(ahead,)))
    assert "last_good_timestamp_seconds{" not in lines
    assert "last_proven_timestamp_seconds{" in lines
    assert 'good_count{project="notes",store="local"} 9' in lines


def test_it_is_read_back() -> None:
    assert read_health(json.loads(json.dumps(asdict(HEALTH)))) == HEALTH


def of_log(**changes: object) -> list[tuple[str, bool]]:
    log = replace(LogHealth("local", "2026-11-01T00:00:00Z", "2026-11-22T11:59:00Z"), **changes)  # type: ignore[arg-type]
    return found(logs=(log,))


def test_gaps_and_errors_of_the_log_are_failures_and_a_disk_that_fills_is_told() -> None:
    assert of_log() == []
    assert of_log(healed_gaps=("1 segment from A to A",), days_until_full=400.0) == []
    spans = (("2026-11-01T00:00:00Z", "2026-11-09T03:30:00Z"), ("2026-11-10T03:30:00Z", "2026-11-21T08:15:00Z"))
    assert of_log(open_gaps=("1 segment from A to A",), spans=spans)[0][0].endswith(
        ", what can is from 2026-11-01T00:00:00Z to 2026-11-09T03:30:00Z or from 2026-11-10T03:30:00Z to 2026-11-21T08:15:00Z"
    )
    health = replace(HEALTH, logs=(LogHealth("local", spans=spans, healed_gaps=("x",)),))
    assert read_health(json.loads(json.dumps(asdict(health)))) == health
    assert of_log(open_gaps=("2 segments from A to B",)) == [
        ("store local misses 2 segments from A to B of the log: nothing that happened after it can be restored", True)
    ]
    assert of_log(error="it does not answer") == [("the log in store local: it does not answer", True)]
    assert of_log(days_until_full=3.2) == [("store local is full of log and backups in about 3 days", False)]


def test_the_log_survives_its_file() -> None:
    health = replace(HEALTH, logs=(LogHealth("local", open_gaps=("one",)), LogHealth("other", error="away")))
    assert read_health(json.loads(json.dumps(asdict(health)))) == health
    older = json.loads(json.dumps(asdict(HEALTH)))
    del older["logs"]
    assert read_health(older) == HEALTH
