"""A dump of one of everything, restored into a scratch server and compared; and every damage that must be seen."""

# docker run: --network none --user postgres

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moorage.backups.manifest import DatabaseFacts
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.amcheck import amcheck
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.connections import connect, conninfo
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.restore import restore
from moorage.backups.postgres.roles import recreate_roles
from moorage.backups.postgres.scratch import scratch_server
from moorage.backups.postgres.server import server_facts
from moorage.backups.records import CheckResult
from tests.job.live_server import NASTY, execute, live_server, make_database, quoted, value

ODD = 'Übergröße "x" a=b %s'
LONG = "n" * 63


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture(scope="module")
def nasty(live: DatabasePlan) -> DatabasePlan:
    plan = make_database(live, ODD, NASTY)
    for statement in (
        'OWNER TO "Owner ""of"" all"',
        'SET search_path TO "$user", public, "Odd Schema"',
        "SET statement_timeout TO '1s'",
        "SET default_transaction_read_only TO on",
        "SET datestyle TO 'German'",
        "SET app.tenant TO 'it''s'",
        "CONNECTION LIMIT 50",
    ):
        execute(live, "postgres", f"ALTER DATABASE {quoted(ODD)} {statement}")
    execute(live, "postgres", f"ALTER ROLE reader IN DATABASE {quoted(ODD)} SET work_mem TO '8MB'")
    execute(live, "postgres", f"REVOKE CONNECT ON DATABASE {quoted(ODD)} FROM PUBLIC")
    execute(live, "postgres", f"GRANT CONNECT ON DATABASE {quoted(ODD)} TO reader WITH GRANT OPTION")
    execute(live, "postgres", f"COMMENT ON DATABASE {quoted(ODD)} IS 'what it''s for'")
    return plan


@pytest.fixture(scope="module")
def dumped(nasty: DatabasePlan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatabaseFacts]:
    folder = tmp_path_factory.mktemp("dumped")
    (facts,) = dump(nasty, folder, parallel=2, lock_wait_seconds=5)
    return folder, facts


@pytest.fixture(scope="module")
def scratch(live: DatabasePlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with connect(live, "postgres") as connection:
        facts = server_facts(connection)
    folder = tmp_path_factory.mktemp("drill") / "server"
    with scratch_server(folder, forbidden_identifier=facts.system_identifier, like=facts) as server:
        yield server


@pytest.fixture(scope="module")
def restored(
    scratch: DatabasePlan, dumped: tuple[Path, DatabaseFacts], nasty: DatabasePlan
) -> tuple[DatabasePlan, DatabaseFacts]:
    folder, facts = dumped
    recreate_roles(scratch, folder)
    restore(scratch, facts, folder, ODD, parallel=2)
    return scratch, facts


def failed(results: tuple[CheckResult, ...]) -> dict[str, str]:
    return {result.name.rpartition(": ")[2]: result.detail for result in results if not result.passed}


def schema_of(server: DatabasePlan, name: str) -> list[str]:
    """What pg_dump writes of a database without its rows: owners, rights, everything."""
    command = ["pg_dump", "--schema-only", f"--host={server.host}", f"--username={server.user}", conninfo(name)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if not line.startswith("\\")]


def test_one_of_everything_comes_back(restored: tuple[DatabasePlan, DatabaseFacts]) -> None:
    server, facts = restored
    results = compare(server, ODD, facts)
    assert failed(results) == {}
    assert len(results) == 9
    assert amcheck(server, [ODD], heapallindexed=True).passed


def test_what_is_dumped_is_counted_and_nothing_else(dumped: tuple[Path, DatabaseFacts]) -> None:
    facts = dumped[1]
    tables = {table.name: table.rows for table in facts.tables}
    assert tables['"Odd Schema"."Tab\'le ""x"" %s"'] == 100
    assert (tables["public.no_columns"], tables["public.nothing_in_it"], tables["public.unlogged"]) == (7, 0, 30)
    assert tables["public.secrets"] == 3, "row-level security hides nothing"
    assert tables["public.measured_2025"] + tables["public.measured_2026"] == 400
    assert "public.measured" not in tables
    assert (tables["public.parent"], tables["public.child"], tables["public.stepchild"]) == (1, 2, 1)
    assert not any("gone_soon" in name or "sums" in name for name in tables)
    sequences = {sequence.name: sequence.last_value for sequence in facts.sequences}
    assert sequences['"Odd Schema"."Seq ""q"""'] == -4
    assert sequences["public.never_used"] is None
    assert facts.large_objects == 12
    assert dict(facts.objects)["policies"] == 1


def test_owners_rights_and_policies_are_as_they_were(restored: tuple[DatabasePlan, DatabaseFacts]) -> None:
    server = restored[0]
    table = '"Odd Schema"."Tab\'le ""x"" %s"'
    owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = $${}$$::regclass"
    assert value(server, ODD, owner.format(table)) == 'Owner "of" all'
    assert value(server, ODD, "SELECT has_table_privilege('reader', 'public.kinds', 'SELECT')") is True
    assert value(server, ODD, "SELECT pg_has_role('Größe ☃', 'reader', 'MEMBER')") is True
    assert value(server, ODD, "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'Größe ☃'") is True
    assert value(server, ODD, "SELECT count(*) FROM pg_default_acl") == 1
    assert not Path("/tmp/never").exists()


MANY_OWNERS = """
CREATE ROLE anna; CREATE ROLE bert NOINHERIT; CREATE ROLE "o'c ""x" SUPERUSER;
GRANT CREATE ON SCHEMA public TO anna;
CREATE SCHEMA berts AUTHORIZATION bert;
CREATE EXTENSION postgres_fdw;
GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO anna;
CREATE TABLE common (id integer PRIMARY KEY); INSERT INTO common VALUES (1);
GRANT REFERENCES, SELECT ON common TO anna WITH GRANT OPTION;
CREATE TABLE berts.given (id integer PRIMARY KEY REFERENCES common); ALTER TABLE berts.given OWNER TO anna;
CREATE TABLE berts.odd (id integer); ALTER TABLE berts.odd OWNER TO "o'c ""x";
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; GRANT USAGE ON FOREIGN SERVER far TO anna;
CREATE USER MAPPING FOR anna SERVER far OPTIONS (user 'x');
SET ROLE anna;
GRANT SELECT ON common TO bert;
CREATE TABLE annas (id serial PRIMARY KEY, of integer REFERENCES common, at date GENERATED ALWAYS AS ('2026-01-01') STORED);
INSERT INTO annas (of) VALUES (1);
CREATE FOREIGN TABLE elsewhere (i integer) SERVER far;
CREATE SERVER near FOREIGN DATA WRAPPER postgres_fdw;
CREATE FUNCTION hidden() RETURNS integer LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION hidden() FROM PUBLIC;
CREATE TYPE kind AS ENUM ('a'); CREATE DOMAIN few AS integer CHECK (VALUE < hidden() + 5);
CREATE TABLE of_few (f few DEFAULT 2, k kind); INSERT INTO of_few VALUES (3, 'a');
CREATE MATERIALIZED VIEW seen AS SELECT hidden() AS h, id FROM annas;
CREATE TEXT SEARCH CONFIGURATION words (COPY = english);
CREATE COLLATION mine FROM "C"; CREATE AGGREGATE plus (integer) (sfunc = int4pl, stype = integer, initcond = '0');
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bert;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
SELECT lo_from_bytea(0, 'anna''s');
RESET ROLE;
SET ROLE bert;
CREATE TABLE berts.measured (at integer) PARTITION BY RANGE (at);
CREATE TABLE berts.measured_1 PARTITION OF berts.measured FOR VALUES FROM (1) TO (9); INSERT INTO berts.measured VALUES (1);
CREATE STATISTICS berts.both ON at, (at % 2) FROM berts.measured_1;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM anna;
CREATE PUBLICATION of_anna FOR TABLE annas; ALTER PUBLICATION of_anna OWNER TO "o'c ""x";
"""


def test_many_owners_some_of_whom_may_no_longer_make_anything_there(live: DatabasePlan, tmp_path: Path) -> None:
    plan = make_database(live, "many", MANY_OWNERS)
    execute(live, "postgres", "ALTER DATABASE many OWNER TO anna")
    (facts,) = dump(plan, tmp_path, parallel=2, lock_wait_seconds=5)
    restore(live, facts, tmp_path, "many_again", parallel=2)
    assert failed(compare(live, "many_again", facts)) == {}
    assert schema_of(live, "many_again") == schema_of(live, "many")
    query = "SELECT string_agg(pg_get_userbyid(lomowner), ' ') FROM pg_largeobject_metadata"
    assert value(live, "many_again", query) == "anna"
    assert value(live, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'moorage%'") == 0
    members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'anna'::regrole OR roleid = 'bert'::regrole"
    assert value(live, "postgres", members) == 0


@pytest.mark.parametrize(
    ("damage", "check", "detail"),
    [
        ("DELETE FROM public.kinds WHERE id IN (3, 4)", "rows", "1 table differs: public.kinds 300 → 298"),
        ("DROP TABLE public.unlogged", "tables", "1 difference: public.unlogged is missing"),
        ("CREATE TABLE public.more ()", "tables", "1 difference: public.more was not there"),
        ("UPDATE public.kinds SET f8 = f8 + 1e-6 WHERE id = 3", "content", "1 table differs: public.kinds"),
        (
            "UPDATE public.kinds SET num = (SELECT num FROM public.kinds AS o WHERE o.id = 7 - kinds.id) WHERE id IN (3, 4)",
            "content",
            "1 table differs: public.kinds",
        ),
        ("SELECT setval('public.parent_id_seq', 2)", "sequences", "1 difference: public.parent_id_seq 3 → 2"),
        ("SELECT setval('public.never_used', 1)", "sequences", "1 difference: public.never_used None → 1"),
        ("DROP EXTENSION hstore CASCADE", "extensions", "1 difference: hstore 1.8 is missing"),
        ("DROP INDEX public.trigrams", "objects", "1 difference: 'indexes' {} → {}"),
        ("DROP POLICY own ON public.secrets", "objects", "1 difference: policies 1 → 0"),
        ("SELECT lo_unlink(min(oid)) FROM pg_largeobject_metadata", "large objects", "1 difference: 12 → 11"),
        (
            "SELECT lo_put(min(oid), 5, 'X') FROM pg_largeobject_metadata",
            "large objects",
            "1 difference: their content",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.kinds_pkey'::regclass",
            "invalid indexes",
            "1 difference: public.kinds_pkey is invalid",
        ),
    ],
)
def test_every_difference_is_told(
    restored: tuple[DatabasePlan, DatabaseFacts], damage: str, check: str, detail: str
) -> None:
    server, facts = restored
    script = f"SET default_transaction_read_only = off; CREATE DATABASE damaged TEMPLATE {quoted(ODD)}"
    with connect(server, "postgres") as connection:
        connection.execute(script.partition("; ")[2].encode())
    try:
        execute(server, "damaged", f"SET allow_system_table_mods = on; {damage}")
        found = failed(compare(server, "damaged", facts))
        found.pop("properties")
        assert check in found
        if "{}" not in detail:
            assert found[check] == detail
    finally:
        execute(server, "postgres", "DROP DATABASE damaged")


def test_a_restore_never_writes_into_a_database_that_is_there(
    restored: tuple[DatabasePlan, DatabaseFacts], dumped: tuple[Path, DatabaseFacts]
) -> None:
    from moorage.backups.failures import RestoreFailed

    with pytest.raises(RestoreFailed, match="is there already"):
        restore(restored[0], dumped[1], dumped[0], ODD, parallel=1)
    assert failed(compare(restored[0], ODD, dumped[1])) == {}


def test_a_role_without_all_rights_says_what_it_can_not_set(live: DatabasePlan, tmp_path: Path) -> None:
    execute(live, "postgres", "CREATE ROLE modest LOGIN CREATEDB; CREATE ROLE somebody; CREATE ROLE guest")
    own = make_database(live, "modest_own", "SET ROLE modest; CREATE TABLE one AS SELECT 1", "OWNER modest")
    others = make_database(
        live,
        "modest_others",
        "CREATE TABLE a (); ALTER TABLE a OWNER TO somebody; CREATE TABLE b (); ALTER TABLE b OWNER TO modest;"
        " GRANT SELECT ON b TO guest; GRANT INSERT ON b TO somebody",
        "OWNER modest",
    )
    role = replace(live, user="modest")
    said: list[str] = []
    for plan in (own, others):
        (facts,) = dump(plan, tmp_path / plan.names[0], parallel=2, lock_wait_seconds=5)
        name = f"{facts.name}_again"
        restore(role, facts, tmp_path / facts.name, name, parallel=2, warn=said.append)
        results = compare(role, name, facts)
        assert [check for check in results if not check.passed] == []
        assert "not compared" in results[-1].detail
    assert [text.partition(" can't")[0] for text in said] == ["1 owner and 2 grants of `modest_others`"]
