"""A restored database takes the place of a live one that is in use, and gives it back."""

# docker run: --network none --user postgres

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest

from moorage.backups.failures import Busy, RestoreFailed
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres import swap as swapping
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.swap import before_name, incoming_name, swap, swap_state, undo_swap
from tests.job.live_server import execute, live_server, make_database, quoted, value

ID = "20261122T033000Z-7f3a91"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live"), "max_prepared_transactions=4") as server:
        yield server


@pytest.fixture
def shop(live: DatabasePlan) -> Iterator[str]:
    name = "Shop 1"
    make_database(live, name, "CREATE TABLE t AS SELECT 'live' AS which")
    make_database(live, incoming_name(name, ID), "CREATE TABLE t AS SELECT 'restored' AS which")
    yield name
    for each in (name, incoming_name(name, ID), before_name(name, ID)):
        execute(live, "postgres", f"DROP DATABASE IF EXISTS {quoted(each)} WITH (FORCE)")


def which(server: DatabasePlan, name: str) -> object:
    return value(server, name, "SELECT which FROM public.t")


@contextmanager
def an_app(server: DatabasePlan, name: str, sessions: int) -> Iterator[list[str]]:
    """Sessions that connect again at once whenever they are thrown out; what they saw."""
    stop, seen = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            try:
                with psycopg.connect(host=server.host, user=server.user, dbname=name, autocommit=True) as connection:
                    while not stop.is_set():
                        row = connection.execute("SELECT which FROM t").fetchone()
                        seen.append(row[0] if row else "")
            except psycopg.Error:
                seen.append("error")

    threads = [threading.Thread(target=work) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    try:
        while seen.count("live") < 5 * sessions:
            time.sleep(0.05)
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_swap_and_undo_while_an_app_connects_again_and_again(live: DatabasePlan, shop: str) -> None:
    assert swap_state(live, shop, ID) == "restored"
    with an_app(live, shop, 6) as seen:
        swap(live, shop, ID)
        assert swap_state(live, shop, ID) == "swapped"
        seen.clear()
        while seen.count("restored") < 10:
            time.sleep(0.05)
        assert "live" not in seen[-5:]
        assert which(live, before_name(shop, ID)) == "live"
        swap(live, shop, ID)
        assert which(live, shop) == "restored", "a second time changes nothing"
        undo_swap(live, shop, ID)
        assert (which(live, shop), which(live, incoming_name(shop, ID))) == ("live", "restored")
        undo_swap(live, shop, ID)
        assert swap_state(live, shop, ID) == "restored"


def test_a_failure_between_the_two_renames_changes_nothing(
    live: DatabasePlan, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = swapping._renamed

    def dies(connection: psycopg.Connection[tuple[object, ...]], renames: list[tuple[str, str]]) -> None:
        with connection.transaction():
            real(connection, renames[:1])
            execute(live, "postgres", f"SELECT pg_terminate_backend({connection.info.backend_pid})")
            real(connection, renames[1:])

    monkeypatch.setattr(swapping, "_renamed", dies)
    with pytest.raises(RestoreFailed, match="can't be renamed"):
        swap(live, shop, ID)
    assert swap_state(live, shop, ID) == "restored"
    assert (which(live, shop), which(live, incoming_name(shop, ID))) == ("live", "restored")
    monkeypatch.undo()
    swap(live, shop, ID)
    assert which(live, shop) == "restored"


def test_without_a_live_database_the_restored_one_gets_its_name(live: DatabasePlan, shop: str) -> None:
    execute(live, "postgres", f"DROP DATABASE {quoted(shop)}")
    swap(live, shop, ID)
    assert which(live, shop) == "restored"


def test_nothing_restored_is_an_error(live: DatabasePlan, shop: str) -> None:
    execute(live, "postgres", f"DROP DATABASE {quoted(incoming_name(shop, ID))}")
    with pytest.raises(RestoreFailed, match="there is no database `Shop 1__incoming_"):
        swap(live, shop, ID)
    assert which(live, shop) == "live"


def test_an_older_one_in_the_way_is_not_removed(live: DatabasePlan, shop: str) -> None:
    make_database(live, before_name(shop, ID))
    with pytest.raises(RestoreFailed, match="is there already"):
        swap(live, shop, ID)
    assert which(live, shop) == "live"


def test_a_prepared_transaction_is_told(live: DatabasePlan, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "_ATTEMPTS", 1)
    execute(live, shop, "BEGIN; INSERT INTO t VALUES ('2pc'); PREPARE TRANSACTION 'p'")
    try:
        with pytest.raises(Busy, match="prepared transaction"):
            swap(live, shop, ID)
        assert which(live, shop) == "live"
    finally:
        execute(live, shop, "ROLLBACK PREPARED 'p'")


def test_an_app_may_live_in_the_maintenance_database_itself(live: DatabasePlan) -> None:
    execute(live, "postgres", "CREATE TABLE public.t AS SELECT 'live' AS which")
    make_database(live, incoming_name("postgres", ID), "CREATE TABLE t AS SELECT 'restored' AS which")
    swap(live, "postgres", ID)
    assert which(live, "postgres") == "restored"
    undo_swap(live, "postgres", ID)
    assert which(live, "postgres") == "live"


def test_names_are_short_enough_and_differ() -> None:
    assert incoming_name("shop", ID) == f"shop__incoming_{ID}"
    names = {each(name, ID) for name in ("ä" * 31, "ä" * 30 + "bc", "x" * 63) for each in (incoming_name, before_name)}
    assert len(names) == 6
    assert all(len(name.encode()) <= 63 for name in names)


def test_a_role_that_owns_both_needs_no_superuser(live: DatabasePlan) -> None:
    execute(live, "postgres", "CREATE ROLE tenant LOGIN CREATEDB")
    make_database(live, "mine", "CREATE TABLE t AS SELECT 'live' AS which; GRANT SELECT ON t TO tenant", "OWNER tenant")
    make_database(
        live,
        incoming_name("mine", ID),
        "CREATE TABLE t AS SELECT 'restored' AS which; GRANT SELECT ON t TO tenant",
        "OWNER tenant",
    )
    plan = replace(live, user="tenant")
    with connect(plan, "mine"):
        swap(plan, "mine", ID)
    assert which(live, "mine") == "restored"
