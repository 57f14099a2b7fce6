"""The operator's questions: only one `true` passes, and nothing can be changed by asking."""

# docker run: --network none --user postgres

from __future__ import annotations

from collections.abc import Iterator

import pytest

from moorage.backups.plan import AssertionPlan, DatabasePlan
from moorage.backups.postgres.assertions import ask
from tests.job.live_server import execute, live_server, make_database, value


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        make_database(
            server,
            "shop",
            "CREATE SCHEMA app; CREATE TABLE app.orders AS SELECT generate_series(1, 3) AS id, now() AS at",
        )
        execute(
            server,
            "postgres",
            "ALTER DATABASE shop SET search_path TO app; ALTER DATABASE shop SET default_transaction_read_only TO off",
        )
        yield server


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SELECT count(*) > 2 FROM orders", "true"),
        ("SELECT max(at) > now() - interval '26 hours' FROM orders;  -- with a comment", "true"),
        ("SELECT '100%' LIKE '%s'", "false"),
        ("SELECT count(*) > 3 FROM orders", "false"),
        ("SELECT NULL::boolean", "null"),
        ("SELECT true WHERE false", "gives no row"),
        ("SELECT true FROM orders", "gives 3 rows instead of one"),
        ("SELECT true, true", "does not give one boolean column"),
        ("SELECT 1", "does not give one boolean column"),
        ("SELECT 'true'", "does not give one boolean column"),
        ("DO $$ BEGIN END $$", "does not give one boolean column"),
        ("SELECT true FROM nothing", 'relation "nothing" does not exist'),
        ("SELEKT", 'syntax error at or near "SELEKT"'),
        ("", "does not give one boolean column"),
        ("SELECT pg_sleep(60) IS NOT NULL", "took longer than 1 s"),
        ("DELETE FROM orders RETURNING true", "cannot execute DELETE in a read-only transaction"),
        ("COMMIT; DELETE FROM app.orders RETURNING true", "cannot insert multiple commands into a prepared statement"),
        (
            "SELECT set_config('transaction_read_only', 'off', false) IS NOT NULL",
            "transaction read-write mode must be set before any query",
        ),
    ],
)
def test_an_answer(live: DatabasePlan, question: str, answer: str) -> None:
    (result,) = ask(live, [AssertionPlan("orders come in", "shop", question)], timeout_seconds=1)
    assert result.name == "shop: orders come in"
    assert (result.passed, result.detail) == (answer == "true", answer)
    assert value(live, "shop", "SELECT count(*) FROM app.orders") == 3


def test_a_database_that_is_not_there_is_an_answer_too(live: DatabasePlan) -> None:
    (result,) = ask(live, [AssertionPlan("a", "gone", "SELECT true")])
    assert not result.passed
    assert 'database "gone" does not exist' in result.detail
