"""Dumps under load, dumps that must fail, and what is left of those; no password where others could read it."""

# docker run: --network none --user postgres

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from moorage.backups.failures import Busy, Corrupt, DatabaseUnreachable, DumpFailed, RestoreFailed
from moorage.backups.files import compare_files, seal_files
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.compare import compare
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.dump import dump
from moorage.backups.postgres.restore import restore
from moorage.backups.postgres.roles import recreate_roles
from moorage.backups.postgres.scratch import scratch_server
from moorage.backups.postgres.server import server_facts
from tests.job.live_server import execute, live_server, make_database, quoted, value

SHOP = """
CREATE TABLE orders (id bigserial PRIMARY KEY, customer text NOT NULL, note text, total numeric);
CREATE TABLE lines (order_id bigint REFERENCES orders ON DELETE CASCADE, number integer, PRIMARY KEY (order_id, number));
INSERT INTO orders (customer, note, total) SELECT 'c' || n, repeat(md5(n::text), 20), n FROM generate_series(1, 20000) AS n;
INSERT INTO lines SELECT id, n FROM orders, generate_series(1, 2) AS n;
"""
WRITES = """
INSERT INTO orders (customer, note, total) SELECT 'new', md5(random()::text), 1 FROM generate_series(1, 20);
DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY random() LIMIT 15);
UPDATE orders SET total = total + 1 WHERE id % 1000 = (random() * 1000)::int;
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture(scope="module")
def shop(live: DatabasePlan) -> DatabasePlan:
    return make_database(live, "shop", SHOP)


@pytest.fixture(scope="module")
def scratch(live: DatabasePlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with connect(live, "postgres") as connection:
        facts = server_facts(connection)
    folder = tmp_path_factory.mktemp("drill") / "server"
    with scratch_server(folder, forbidden_identifier=facts.system_identifier, like=facts) as server:
        yield server


@contextmanager
def busy_writers(server: DatabasePlan, count: int) -> Iterator[list[int]]:
    """Sessions that write all the time; the numbers are the rounds that each did."""
    stop, rounds = threading.Event(), [0] * count

    def write(number: int) -> None:
        with connect(server, "shop", with_its_settings=True) as connection:
            while not stop.is_set():
                with suppress(psycopg.errors.DeadlockDetected):
                    connection.execute(WRITES)
                    rounds[number] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield rounds
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_what_is_restored_is_what_was_counted_while_others_wrote(
    shop: DatabasePlan, scratch: DatabasePlan, tmp_path: Path
) -> None:
    meanwhile = 0
    with busy_writers(shop, 2) as rounds:
        for number in range(5):
            before = sum(rounds)
            (facts,) = dump(shop, tmp_path / str(number), parallel=2, lock_wait_seconds=5)
            meanwhile += sum(rounds) > before
            restore(scratch, facts, tmp_path / str(number), f"shop_{number}", parallel=2)
            results = compare(scratch, f"shop_{number}", facts)
            assert [result for result in results if not result.passed] == []
            later = value(shop, "shop", "SELECT sum(total) FROM public.orders")
            assert later != value(scratch, f"shop_{number}", "SELECT sum(total) FROM public.orders")
    # A dump takes a moment; on a busy machine one of them may fall between two writes.
    assert meanwhile >= 2, "nobody wrote during the dumps"


def test_big_tables_are_checked_by_the_same_share_of_rows(
    shop: DatabasePlan, scratch: DatabasePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moorage.backups.postgres.tables.SAMPLED_BYTES", 500_000)
    (facts,) = dump(shop, tmp_path, parallel=1, lock_wait_seconds=5)
    checks = {table.name: table.check for table in facts.tables}
    assert int(checks["public.orders"].partition(":")[0]) > 10
    restore(scratch, facts, tmp_path, "sampled", parallel=1)
    assert all(result.passed for result in compare(scratch, "sampled", facts))
    # The share is some hundred of 20,000 rows: a change of all of a column can't hide.
    execute(scratch, "sampled", "UPDATE orders SET total = total + 1")
    assert [result.name for result in compare(scratch, "sampled", facts) if not result.passed] == ["shop: content"]


def test_progress_is_told_in_bytes(shop: DatabasePlan, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    dump(shop, tmp_path, parallel=1, lock_wait_seconds=5, progress=lambda *item: told.append(item))
    assert told
    assert all(0 <= done <= total and what == "dumping shop" for done, total, what in told)


def test_several_databases_and_the_roles_lie_beside_each_other(live: DatabasePlan, tmp_path: Path) -> None:
    names = ("globals.sql", "..", "a/b", "a=b", "postgresql://x", "Ä" * 31)
    for name in names:
        make_database(live, name, "CREATE TABLE t AS SELECT 1 AS i")
    plan = replace(live, names=names)
    facts = dump(plan, tmp_path, parallel=1, lock_wait_seconds=5)
    assert [item.name for item in facts] == list(names)
    assert [item.tables[0].rows for item in facts] == [1] * len(names)
    assert {path.name for path in tmp_path.iterdir()} == {"globals.sql", *(item.folder for item in facts)}
    for name in names:
        execute(live, "postgres", f"DROP DATABASE {quoted(name)}")


# --- what must not pass


@pytest.mark.parametrize(
    "hold", ["LOCK TABLE orders IN ACCESS EXCLUSIVE MODE", "ALTER TABLE orders ADD COLUMN x integer"]
)
def test_a_migration_that_holds_a_table_is_told_and_nothing_is_left(
    shop: DatabasePlan, tmp_path: Path, hold: str
) -> None:
    with psycopg.connect(host=shop.host, user=shop.user, dbname="shop", application_name="alembic") as migration:
        migration.execute(hold)
        with pytest.raises(Busy) as caught:
            dump(shop, tmp_path, parallel=2, lock_wait_seconds=1)
        assert "`alembic` (process" in caught.value.message
        assert "public.orders" in caught.value.message
        assert list(tmp_path.iterdir()) == []
        migration.rollback()
    dump(shop, tmp_path, parallel=2, lock_wait_seconds=1)


def test_tables_that_are_emptied_while_the_snapshot_is_taken_are_not_dumped_as_empty(
    live: DatabasePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRUNCATE is seen by older snapshots, too: the count would agree with a dump of nothing."""
    from moorage.backups.postgres import snapshot

    plan = make_database(live, "emptied", "CREATE TABLE t AS SELECT generate_series(1, 10) AS i")
    seen, really = [0], snapshot.dumped_tables

    def interrupted(connection: psycopg.Connection[tuple[object, ...]]) -> object:
        tables = really(connection)
        if not seen[0]:
            execute(plan, "emptied", "TRUNCATE t; INSERT INTO t SELECT generate_series(1, 3)")
        seen[0] += 1
        return tables

    monkeypatch.setattr(snapshot, "dumped_tables", interrupted)
    (facts,) = dump(plan, tmp_path, parallel=1, lock_wait_seconds=5)
    assert (seen[0], facts.tables[0].rows) == (2, 3)


def test_a_role_that_may_not_read_everything_gets_no_dump(shop: DatabasePlan, tmp_path: Path) -> None:
    execute(shop, "shop", "CREATE ROLE half LOGIN; GRANT SELECT ON lines TO half")
    with pytest.raises(DumpFailed, match="permission denied for table orders") as caught:
        dump(replace(shop, user="half"), tmp_path, parallel=1, lock_wait_seconds=5)
    assert "pg_read_all_data" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_row_level_security_never_hides_rows(live: DatabasePlan, tmp_path: Path) -> None:
    script = """CREATE TABLE t AS SELECT generate_series(1, 10) AS i; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
    CREATE ROLE hidden LOGIN IN ROLE pg_read_all_data; CREATE POLICY few ON t USING (i < 3);"""
    plan = replace(make_database(live, "secured", script), user="hidden")
    with pytest.raises(DumpFailed, match="row-level security") as caught:
        dump(plan, tmp_path, parallel=1, lock_wait_seconds=5)
    assert "BYPASSRLS" in caught.value.hint
    execute(live, "postgres", "ALTER ROLE hidden BYPASSRLS")
    (facts,) = dump(plan, tmp_path, parallel=1, lock_wait_seconds=5)
    assert facts.tables[0].rows == 10


def test_an_external_role_without_superuser_dumps_and_restores_its_own(live: DatabasePlan, tmp_path: Path) -> None:
    execute(live, "postgres", "CREATE ROLE tenant LOGIN CREATEDB")
    script = (
        "SET ROLE tenant; CREATE SCHEMA s; CREATE TABLE s.t (i serial PRIMARY KEY); INSERT INTO s.t DEFAULT VALUES;"
    )
    make_database(live, "tenants", script, "OWNER tenant")
    execute(live, "postgres", "CREATE ROLE other; ALTER ROLE other IN DATABASE tenants SET work_mem = '8MB'")
    execute(
        live,
        "postgres",
        "ALTER DATABASE tenants SET log_statement = 'ddl'; ALTER DATABASE tenants SET work_mem = '9MB'",
    )
    execute(live, "postgres", "REVOKE CONNECT ON DATABASE tenants FROM PUBLIC")
    plan = replace(live, user="tenant", names=("tenants",))
    (facts,) = dump(plan, tmp_path, parallel=2, lock_wait_seconds=5)
    restore(plan, facts, tmp_path, "tenants__incoming", parallel=2)
    failed = [result for result in compare(plan, "tenants__incoming", facts) if not result.passed]
    assert [result.name for result in failed] == ["tenants: properties"]
    assert "'log_statement=ddl'" in failed[0].detail, "what only a superuser may give is told"
    privileges = value(live, "postgres", "SELECT datacl::text[] FROM pg_database WHERE datname = 'tenants__incoming'")
    assert sorted(privileges) == ["=T/tenant", "tenant=CTc/tenant"]
    assert value(plan, "tenants__incoming", "SELECT setting FROM pg_settings WHERE name = 'work_mem'") == "9216"


@pytest.mark.parametrize(
    ("program", "script", "message"),
    [
        ("pg_dump", 'exec "$REAL" "$@" --exclude-table=orders', "1 table counted, but not dumped: public.orders"),
        ("pg_dump", 'exec "$REAL" "$@" --schema-only', "2 tables counted, but not dumped: public.lines, public.orders"),
        ("pg_dump", '"$REAL" "$@"; rm "$TARGET"/[0-9]*.dat*', "2 tables dumped without a file"),
        ("pg_dump", '"$REAL" "$@"; kill -9 $$', "ended with status -9"),
        ("pg_dump", "exit 0", "can't be read"),
        ("pg_dumpall", "exit 0", "its file is not whole"),
    ],
)
def test_a_program_that_lies_is_not_believed(
    shop: DatabasePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, script: str, message: str
) -> None:
    real = shutil.which(program)
    fake = tmp_path / "bin" / program
    fake.parent.mkdir()
    body = (
        f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\nREAL={real}\nTARGET={tmp_path}/out/shop\n{script}\n'
    )
    fake.write_text(body)
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(DumpFailed, match=message):
        dump(shop, tmp_path / "out", parallel=1, lock_wait_seconds=5)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_migration_that_comes_in_between_is_told_as_such(
    shop: DatabasePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words are pg_dump's, for a worker that finds somebody waiting for its table."""
    real, fake = shutil.which("pg_dump"), tmp_path / "bin" / "pg_dump"
    fake.parent.mkdir()
    said = "pg_dump: error: could not obtain lock on relation public.orders"
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\necho {said} >&2; exit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(Busy, match="wanted a table for itself"):
        dump(shop, tmp_path / "out", parallel=1, lock_wait_seconds=5)


def test_a_page_that_is_damaged_in_the_live_database_ends_the_dump(tmp_path: Path) -> None:
    with live_server(tmp_path, "listen_addresses=") as server:
        plan = make_database(
            server, "rotten", "CREATE TABLE t AS SELECT n AS i, repeat('x', 200) FROM generate_series(1, 5000) AS n"
        )
        place = value(plan, "rotten", "SELECT pg_relation_filepath('public.t')")
        execute(plan, "rotten", "CHECKPOINT")
        subprocess.run(["pg_ctl", "stop", "--wait", f"--pgdata={tmp_path / 'data'}"], check=True, capture_output=True)
        with (tmp_path / "data" / str(place)).open("r+b") as stream:
            stream.seek(8192 * 3)
            stream.write(b"\x55" * 200)
        subprocess.run(
            ["pg_ctl", "start", "--wait", f"--pgdata={tmp_path / 'data'}", f"--log={tmp_path / 'log'}"], check=True
        )
        with pytest.raises(Corrupt, match="invalid page"):
            dump(plan, tmp_path / "out", parallel=1, lock_wait_seconds=5)
        assert list((tmp_path / "out").iterdir()) == []


def test_a_server_that_is_gone_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with live_server(tmp_path, "listen_addresses=") as server:
        plan = make_database(server, "shop", SHOP)

        def kill(done: int, total: int, what: str) -> None:
            subprocess.run(["pg_ctl", "stop", "--mode=immediate", f"--pgdata={tmp_path / 'data'}"], capture_output=True)

        with pytest.raises((DumpFailed, DatabaseUnreachable)):
            dump(plan, tmp_path / "out", parallel=1, lock_wait_seconds=5, progress=kill)
        assert list((tmp_path / "out").iterdir()) == []
        subprocess.run(
            ["pg_ctl", "start", "--wait", f"--pgdata={tmp_path / 'data'}", f"--log={tmp_path / 'log'}"], check=True
        )


# --- damage on the way back


@pytest.fixture
def dumped(shop: DatabasePlan, tmp_path: Path) -> tuple[Path, object, object]:
    (facts,) = dump(shop, tmp_path / "backup", parallel=2, lock_wait_seconds=5)
    return tmp_path / "backup", facts, seal_files(tmp_path / "backup")


def _biggest(folder: Path) -> Path:
    return max(
        (path for path in folder.rglob("*.dat*") if path.name != "toc.dat"), key=lambda path: path.stat().st_size
    )


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_noticed_before_anything_is_restored(dumped: tuple[Path, object, object], bit: int) -> None:
    folder, _, files = dumped
    assert compare_files(folder, files).passed
    path = _biggest(folder)
    content = bytearray(path.read_bytes())
    content[len(content) * (bit + 1) // 10] ^= 1 << bit
    path.write_bytes(content)
    assert compare_files(folder, files).detail.endswith("holds other bytes")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10]), "bytes instead of"),
        (lambda path: path.write_bytes(b""), "has 0 bytes instead of"),
        (lambda path: path.unlink(), "can't be read: No such file"),
        (lambda path: path.with_name("more.dat").write_bytes(b"x"), "more.dat is not of the backup"),
    ],
)
def test_a_file_that_is_cut_or_gone_is_noticed(dumped: tuple[Path, object, object], damage: object, told: str) -> None:
    folder, _, files = dumped
    damage(_biggest(folder))
    result = compare_files(folder, files)
    assert not result.passed
    assert told in result.detail


def test_a_cut_file_also_fails_the_restore_and_leaves_no_database(
    dumped: tuple[Path, object, object], scratch: DatabasePlan
) -> None:
    folder, facts, _ = dumped
    path = _biggest(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(RestoreFailed, match="pg_restore into `cut` ended with status 1"):
        restore(scratch, facts, folder, "cut", parallel=2)
    assert value(scratch, "postgres", "SELECT count(*) FROM pg_database WHERE datname = 'cut'") == 0


def test_the_dump_of_another_database_is_noticed(
    dumped: tuple[Path, object, object], scratch: DatabasePlan, live: DatabasePlan, tmp_path: Path
) -> None:
    folder, facts, _ = dumped
    make_database(live, "empty")
    dump(replace(live, names=("empty",)), tmp_path / "other", parallel=1, lock_wait_seconds=5)
    shutil.rmtree(folder / "shop")
    (tmp_path / "other" / "empty").rename(folder / "shop")
    restore(scratch, facts, folder, "wrong", parallel=1)
    failed = {result.name: result.detail for result in compare(scratch, "wrong", facts) if not result.passed}
    assert failed["shop: tables"] == "2 differences: public.lines is missing, public.orders is missing"


def test_an_error_of_a_restore_shows_no_values(live: DatabasePlan, scratch: DatabasePlan, tmp_path: Path) -> None:
    script = """CREATE TABLE t (i integer); INSERT INTO t VALUES (4711), (4711);
    CREATE FUNCTION f(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN IF current_database() LIKE 'told%' THEN RAISE 'bad value: "%"', $1 USING DETAIL = 'key 4711'; END IF; RETURN 1; END $$;
    CREATE INDEX ON t (f(i));"""
    plan = make_database(live, "values", script)
    (facts,) = dump(plan, tmp_path, parallel=1, lock_wait_seconds=5)
    with pytest.raises(RestoreFailed, match="bad value") as caught:
        restore(scratch, facts, tmp_path, "told", parallel=1)
    assert "4711" not in caught.value.message
    assert "CREATE INDEX" not in caught.value.message


# --- secrets


def test_the_password_is_in_no_command_line_and_no_message(live: DatabasePlan, tmp_path: Path) -> None:
    password = "hunter2-and-a-half"
    execute(live, "postgres", f"CREATE ROLE remote LOGIN SUPERUSER PASSWORD '{password}'")
    make_database(live, "guarded", SHOP)
    pgpass = tmp_path / "pgpass"
    pgpass.write_text(f"127.0.0.1:5432:*:remote:{password}\n")
    pgpass.chmod(0o600)
    plan = replace(live, host="127.0.0.1", user="remote", names=("guarded",), password_file=str(pgpass))
    seen: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for path in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        seen.append((path / name).read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                    except OSError:
                        continue

    looking = threading.Thread(target=look)
    looking.start()
    try:
        facts = dump(plan, tmp_path / "out", parallel=2, lock_wait_seconds=5)
        restore(plan, facts[0], tmp_path / "out", "guarded_again", parallel=2)
    finally:
        stop.set()
        looking.join()
    programs = ("pg_dump ", "pg_dumpall ", "pg_restore ", "vacuumdb ")
    assert all(any(text.startswith(program) or f"/{program}" in text for text in seen) for program in programs)
    assert not any(password in text for text in seen)
    assert not any(password.encode() in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    pgpass.write_text("127.0.0.1:5432:*:remote:another\n")
    with pytest.raises(DatabaseUnreachable) as caught:
        dump(plan, tmp_path / "out2", parallel=1, lock_wait_seconds=5)
    assert password not in str(caught.value)


def test_roles_come_back_without_passwords_and_twice_is_fine(
    shop: DatabasePlan, scratch: DatabasePlan, tmp_path: Path
) -> None:
    execute(
        shop,
        "postgres",
        'CREATE ROLE "Back\\slash ""q""" LOGIN PASSWORD \'x\'; COMMENT ON ROLE boss IS E\'a;\\n\\\\! touch /tmp/never2\'',
    )
    dump(shop, tmp_path, parallel=1, lock_wait_seconds=5)
    for _ in range(2):
        recreate_roles(scratch, tmp_path)
    assert value(scratch, "postgres", "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname LIKE 'Back%'") is True
    assert not Path("/tmp/never2").exists()
