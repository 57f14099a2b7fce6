"""The app's own role owns its database and plants traps there; no phase of the job, superuser as it is, springs one."""

# docker run: --network none --user postgres

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moorage.backups.failures import RestoreFailed
from moorage.backups.manifest import DatabaseFacts, DatabaseProperties
from moorage.backups.plan import AssertionPlan, DatabasePlan
from moorage.backups.postgres.assertions import ask
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.plain_roles import PREFIX, plain_role
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


# What runs the trap while it is made or filled. Each in its own database, each by the owner of it.
MADE = {
    "check": "CREATE TABLE public.t (i integer CHECK (public.trap() = 1)); INSERT INTO public.t VALUES (1)",
    "check of the whole row": """
        CREATE TABLE public.t (i integer); INSERT INTO public.t VALUES (1);
        CREATE FUNCTION public.ok(public.t) RETURNS boolean LANGUAGE sql AS 'SELECT public.trap() = 1';
        ALTER TABLE public.t ADD CHECK (public.ok(t.*))""",
    "check not valid": "CREATE TABLE public.t (i integer); ALTER TABLE public.t ADD CHECK (public.trap() = 1) NOT VALID",
    "domain": """
        CREATE DOMAIN public.d AS integer CHECK (public.trap() = 1); CREATE TABLE public.t (i public.d);
        INSERT INTO public.t VALUES (1)""",
    "domain not valid": """
        CREATE DOMAIN public.d AS integer; CREATE TABLE public.t (i public.d); INSERT INTO public.t VALUES (1);
        ALTER DOMAIN public.d ADD CHECK (public.trap() = 1) NOT VALID""",
    "generated column": """
        CREATE TABLE public.t (i integer, j integer GENERATED ALWAYS AS (i + public.trap()) STORED);
        INSERT INTO public.t VALUES (1)""",
    "partition key": """
        CREATE TABLE public.t (i integer) PARTITION BY RANGE ((i + public.trap()));
        CREATE TABLE public.p PARTITION OF public.t DEFAULT; INSERT INTO public.t VALUES (1)""",
    "partition": """
        CREATE TABLE public.t (i integer) PARTITION BY RANGE (i);
        CREATE TABLE public.p (i integer CHECK (i + public.trap() > 0)); INSERT INTO public.p VALUES (1);
        ALTER TABLE public.t ATTACH PARTITION public.p FOR VALUES FROM (0) TO (9)""",
    "aggregate": """
        CREATE DOMAIN public.d AS integer CHECK (public.trap() = 1);
        CREATE FUNCTION public.added(public.d, integer) RETURNS public.d LANGUAGE sql AS 'SELECT $1';
        CREATE AGGREGATE public.a (integer) (sfunc = public.added, stype = public.d, initcond = '1')""",
    "foreign key": """
        CREATE TYPE public.mood AS ENUM ('x');
        CREATE FUNCTION public.said(public.mood) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
            BEGIN PERFORM public.spring(); RETURN 'x'; END $$;
        CREATE CAST (public.mood AS text) WITH FUNCTION public.said(public.mood) AS IMPLICIT;
        CREATE TABLE public.words (word text PRIMARY KEY); INSERT INTO public.words VALUES ('x');
        CREATE TABLE public.t (m public.mood REFERENCES public.words); INSERT INTO public.t VALUES ('x')""",
    "materialized view": "CREATE MATERIALIZED VIEW public.v AS SELECT public.trap()",
    "primary key": """
        CREATE TABLE public.t (i integer CHECK (public.trap() = 1) PRIMARY KEY); INSERT INTO public.t VALUES (1);
        CREATE INDEX ON public.t ((i + public.trap()))""",
    "exclusion": """
        CREATE TABLE public.t (i integer, EXCLUDE ((i + public.trap()) WITH =)); INSERT INTO public.t VALUES (1)""",
    "default": "CREATE TABLE public.t (i integer DEFAULT public.trap()); INSERT INTO public.t VALUES (1)",
    "row security": """
        CREATE TABLE public.t (i integer); INSERT INTO public.t VALUES (1); ALTER TABLE public.t FORCE ROW LEVEL SECURITY;
        ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON public.t USING (public.trap() = 1)""",
    "trigger and rule": """
        CREATE TABLE public.t (i integer); CREATE TABLE public.u (i integer);
        CREATE FUNCTION public.fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM public.trap(); RETURN NEW; END';
        INSERT INTO public.t VALUES (1);
        CREATE TRIGGER fires BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.fired();
        CREATE RULE also AS ON INSERT TO public.t DO ALSO INSERT INTO public.u VALUES (public.trap())""",
}


@pytest.mark.parametrize("script", MADE.values(), ids=MADE.keys())
def test_what_is_run_to_restore_it(live: DatabasePlan, app: DatabasePlan, tmp_path: Path, script: str) -> None:
    execute(live, APP, f"ALTER SCHEMA public OWNER TO {APP}")
    execute(app, APP, TRAP + script)
    restored(live, tmp_path)
    assert not is_trapped(live)


def test_a_role_that_a_killed_job_left_goes_with_the_next(live: DatabasePlan, app: DatabasePlan) -> None:
    execute(live, "postgres", f"CREATE ROLE {PREFIX}0 LOGIN BYPASSRLS; GRANT CONNECT ON DATABASE {APP} TO {PREFIX}0")
    execute(live, "postgres", f"CREATE ROLE {PREFIX}1 LOGIN; GRANT CONNECT ON DATABASE {APP} TO {PREFIX}1")
    known = f"SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE starts_with(rolname, '{PREFIX}')"
    with connect(replace(live, user=f"{PREFIX}1"), APP), plain_role(live, APP) as role:
        assert value(live, "postgres", known) == " ".join(sorted([f"{PREFIX}1", role.user])), "one is in use"
    with plain_role(live, APP) as role:
        assert value(live, "postgres", known) == role.user
    assert value(live, "postgres", known) is None


def test_where_every_role_needs_a_password_the_plain_one_has_one(
    live: DatabasePlan, app: DatabasePlan, tmp_path: Path
) -> None:
    execute(live, "postgres", "CREATE ROLE far SUPERUSER LOGIN PASSWORD 'x'")
    file = tmp_path / "pgpass"
    file.write_text("*:*:*:far:x\n")
    file.chmod(0o600)
    remote = replace(live, host="127.0.0.1", user="far", password_file=str(file))
    execute(app, APP, "CREATE TABLE public.t AS SELECT 1 AS i")
    assert restored(remote, tmp_path / "dump").rows == 1


def test_an_operators_question_to_a_view_of_the_app(live: DatabasePlan, app: DatabasePlan) -> None:
    execute(app, APP, TRAP + "CREATE SCHEMA own; CREATE VIEW own.v AS SELECT public.trap() AS one")
    execute(app, APP, f"ALTER DATABASE {APP} SET search_path = own")
    (result,) = ask(live, [AssertionPlan("a question", APP, "SELECT one = 1 FROM v")])
    assert (result.passed, result.detail) == (True, "true")
    assert not is_trapped(live)
