"""The app's own role owns its database and plants traps there; no phase of the job, superuser as it is, springs one."""

# docker run: --network none --user postgres

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moorage.backups.failures import RestoreFailed
from moorage.backups.manifest import DatabaseFacts, DatabaseProperties
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.properties import apply_properties
from moorage.backups.postgres.restore import drop_database, restore
from moorage.backups.postgres.server import needed_room
from tests.job.live_server import execute, live_server, value

APP = "notes"
# Makes the app a superuser when one runs it, by way of a program of the server's, which also a transaction that is
# read-only may start. A function that says it is immutable may run one that is not.
TRAP = """
CREATE FUNCTION public.spring() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', format(
            'psql --host=%s --username=%s --dbname=postgres --command="ALTER ROLE notes SUPERUSER"',
            current_setting('unix_socket_directories'), current_user));
    END IF;
END $$;
CREATE FUNCTION public.trap() RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM public.spring();
    RETURN 1;
END $$;
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        execute(server, "postgres", f"CREATE ROLE {APP} LOGIN")
        yield server


@pytest.fixture
def app(live: DatabasePlan) -> Iterator[DatabasePlan]:
    """The server as the app reaches it, with a new database of its own, closed to all others."""
    for statement in (
        f"ALTER ROLE {APP} NOSUPERUSER",
        f"CREATE DATABASE {APP} OWNER {APP}",
        f"REVOKE CONNECT ON DATABASE {APP} FROM PUBLIC",
    ):
        execute(live, "postgres", statement)
    yield replace(live, user=APP, names=(APP,))
    execute(live, "postgres", f"DROP DATABASE {APP}")


def is_trapped(server: DatabasePlan) -> bool:
    return value(server, "postgres", f"SELECT rolsuper FROM pg_roles WHERE rolname = '{APP}'") is True


def test_a_search_path_with_functions_of_the_app_in_front(live: DatabasePlan, app: DatabasePlan) -> None:
    fake = "CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS $$SELECT public.trap()::text$$;"
    execute(app, APP, f"{TRAP} {fake} ALTER DATABASE {APP} SET search_path = public, pg_catalog")
    with connect(live, APP) as connection:
        needed_room([connection])
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog",)
    assert not is_trapped(live)


def dumped(live: DatabasePlan, folder: Path) -> DatabaseFacts:
    (facts,) = dump(replace(live, names=(APP,)), folder, parallel=2, lock_wait_seconds=5)
    return facts


CASTS = """
CREATE TYPE public.mood AS ENUM ('x');
CREATE FUNCTION public.said(public.mood) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN PERFORM public.trap(); RETURN 'something else'; END $$;
CREATE CAST (public.mood AS text) WITH FUNCTION public.said(public.mood) AS IMPLICIT;
CREATE TABLE public.one (m public.mood); INSERT INTO public.one VALUES ('x');
CREATE TABLE public.keyed (m public.mood PRIMARY KEY, n integer); INSERT INTO public.keyed VALUES ('x', 1);
"""


def test_a_cast_to_text(live: DatabasePlan, app: DatabasePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(app, APP, TRAP + CASTS)
    # Rows are drawn by their keys in big tables only.
    monkeypatch.setattr("moorage.backups.postgres.tables.SAMPLED_BYTES", 1)
    assert dumped(live, tmp_path).rows == 2
    assert not is_trapped(live)


def restored(live: DatabasePlan, folder: Path) -> DatabaseFacts:
    """A night and a restore beside the live database, as the job does both."""
    facts = dumped(live, folder)
    incoming = f"{APP}__incoming"
    try:
        restore(live, facts, folder, incoming, parallel=2)
        wrong = [result for result in compare(live, incoming, facts) if not result.passed]
        assert wrong == []
    finally:
        with connect(live, "postgres") as connection:
            drop_database(connection, incoming)
    return facts


@pytest.mark.parametrize(
    "path",
    [
        "public;ALTER/**/ROLE/**/notes/**/SUPERUSER",
        """a', "b'"";ALTER ROLE notes SUPERUSER", c\\""",
        " public ,  pg_catalog",
        "",
        '"$user", "x y", public',
    ],
)
def test_a_search_path_that_is_more_than_a_list(
    live: DatabasePlan, app: DatabasePlan, tmp_path: Path, path: str
) -> None:
    with connect(app, APP) as connection:
        connection.execute("SELECT set_config('search_path', %s, false)", [path])
        connection.execute(f"ALTER DATABASE {APP} SET search_path FROM CURRENT")
    restored(live, tmp_path)
    assert not is_trapped(live)


def test_a_privilege_that_is_none(live: DatabasePlan, app: DatabasePlan, tmp_path: Path) -> None:
    facts = dumped(live, tmp_path)
    word = f"CONNECT ON DATABASE {APP} TO {APP}; ALTER ROLE {APP} SUPERUSER; --"
    changed = replace(facts, properties=DatabaseProperties(privileges=(("", word, False),)))
    with connect(live, "postgres") as connection, pytest.raises(RestoreFailed, match="that no database has"):
        apply_properties(connection, changed, APP, may_all=True)
    assert not is_trapped(live)


COMPUTED = """
CREATE TABLE public.t (a integer); INSERT INTO public.t VALUES (1);
CREATE INDEX ON public.t ((a + public.trap()));
CREATE INDEX ON public.t (a) WHERE public.trap() = 1;
CREATE STATISTICS public.s ON (a + public.trap()), a FROM public.t;
"""


def test_what_the_planner_computes_to_count_rows(live: DatabasePlan, app: DatabasePlan, tmp_path: Path) -> None:
    execute(app, APP, TRAP + COMPUTED)
    assert restored(live, tmp_path).rows == 1
    assert not is_trapped(live)
    assert value(live, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'moorage%'") == 0
