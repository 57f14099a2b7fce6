"""What is told when the database does not let the job in, who holds the lock, and which programs are too old."""

# docker run: --network none --user postgres

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from moorage.backups.failures import Busy, DatabaseUnreachable, WrongVersion
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.lock import deployment_lock
from moorage.backups.postgres.server import (
    client_version,
    known_hole,
    needed_room,
    refuse_other_client,
    server_facts,
)
from tests.job.live_server import SUPERUSER, execute, live_server, make_database, value

PASSWORD = "hunter2-and-a-half"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabasePlan]:
    with live_server(tmp_path_factory.mktemp("live")) as server:
        execute(
            server,
            "postgres",
            f"CREATE ROLE remote LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE full LOGIN CONNECTION LIMIT 0",
        )
        make_database(server, "closed")
        execute(server, "postgres", "ALTER DATABASE closed ALLOW_CONNECTIONS false")
        yield server


def _pgpass(folder: Path, password: str, mode: int = 0o600) -> str:
    path = folder / "pgpass"
    path.write_text(f"127.0.0.1:5432:*:remote:{password}\n")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("change", "name", "reason", "hint"),
    [
        ({"host": "/nowhere"}, "postgres", "No such file or directory", "moorage status"),
        ({"host": "127.0.0.1", "port": 5499}, "postgres", "Connection refused", "moorage status"),
        ({"host": "no.such.host.invalid"}, "postgres", "name", "DNS"),
        ({"user": "nobody here"}, "postgres", 'role "nobody here" does not exist', "names"),
        ({}, "not there", 'database "not there" does not exist', "names"),
        ({}, "closed", "not currently accepting connections", "ALLOW_CONNECTIONS"),
        ({"user": "full"}, "postgres", "too many connections", "max_connections"),
        ({"host": "127.0.0.1", "user": "remote"}, "postgres", "no password supplied", "pgpass"),
        ({"host": "127.0.0.1", "user": "remote", "tls": "require"}, "postgres", "SSL", "encryption"),
        ({"host": f"postgresql://remote:{PASSWORD}@127.0.0.1/x"}, "postgres", "no connection", ""),
    ],
)
def test_what_is_wrong_is_told_apart(
    live: DatabasePlan, change: dict[str, object], name: str, reason: str, hint: str
) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        connect(replace(live, **change), name, wait_seconds=0)
    assert reason in caught.value.message
    assert hint in caught.value.hint
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_wrong_password_is_told_and_not_shown(live: DatabasePlan, tmp_path: Path) -> None:
    plan = replace(live, host="127.0.0.1", user="remote", password_file=_pgpass(tmp_path, "wrong-secret"))
    with pytest.raises(DatabaseUnreachable, match="password authentication failed") as caught:
        connect(plan, "postgres", wait_seconds=0)
    assert "wrong-secret" not in str(caught.value)
    _pgpass(tmp_path, PASSWORD)
    connect(plan, "postgres").close()


def test_a_pgpass_file_that_libpq_would_ignore_is_named(live: DatabasePlan, tmp_path: Path) -> None:
    plan = replace(live, host="127.0.0.1", user="remote", password_file=_pgpass(tmp_path, PASSWORD, 0o644))
    with pytest.raises(DatabaseUnreachable, match="has mode 644, so libpq ignores it"):
        connect(plan, "postgres", wait_seconds=0)
    Path(plan.password_file).unlink()
    with pytest.raises(DatabaseUnreachable, match="can't be read: No such file"):
        connect(plan, "postgres", wait_seconds=0)


def test_a_server_that_starts_is_waited_for(tmp_path: Path) -> None:
    found: list[object] = []
    plan = DatabasePlan(host=str(tmp_path), port=5432, user=SUPERUSER, names=(), major=17)
    waiting = threading.Thread(target=lambda: found.append(value(plan, "postgres", "SELECT 1")))
    waiting.start()
    with live_server(tmp_path, "listen_addresses="):
        waiting.join()
    assert found == [1]


def test_settings_of_the_app_change_nothing_for_us(live: DatabasePlan) -> None:
    execute(
        live, "postgres", "ALTER ROLE remote SET statement_timeout = '1ms'; ALTER ROLE remote SET datestyle = 'German'"
    )
    execute(live, "postgres", "ALTER ROLE remote SET search_path = 'x'; ALTER ROLE remote SET timezone = 'Asia/Tokyo'")
    with connect(live, "postgres") as connection:
        assert connection.info.parameter_status("application_name") == "moorage backup"
        for name, expected in (
            ("statement_timeout", "0"),
            ("datestyle", "ISO, YMD"),
            ("timezone", "UTC"),
            ("row_security", "off"),
        ):
            row = connection.execute(f"SHOW {name}").fetchone()
            assert row == (expected,), name


# --- the lock


def test_the_lock_is_the_one_that_psql_takes_and_its_holder_is_named(live: DatabasePlan) -> None:
    with (
        psycopg.connect(
            host=live.host, user=live.user, dbname="postgres", application_name="moorage up", autocommit=True
        ) as other,
        connect(live, "postgres") as connection,
    ):
        other.execute("SELECT pg_advisory_lock(hashtext('moorage:deployment'))")
        with (
            pytest.raises(Busy, match=r"`moorage up` \(process \d+ of the server, since 20") as caught,
            deployment_lock(connection, 1),
        ):
            pytest.fail("two hold it")
        assert caught.value.exit_status == 23
        other.execute("SELECT pg_advisory_unlock(hashtext('moorage:deployment'))")
        with deployment_lock(connection, 1):
            assert other.execute("SELECT pg_try_advisory_lock(hashtext('moorage:deployment'))").fetchone() == (False,)
        assert other.execute("SELECT pg_try_advisory_lock(hashtext('moorage:deployment'))").fetchone() == (True,)


def test_the_lock_is_waited_for_and_goes_with_its_holder(live: DatabasePlan) -> None:
    other = connect(live, "postgres")
    other.execute("SELECT pg_advisory_lock(hashtext('moorage:deployment'))")
    threading.Thread(target=lambda: (time.sleep(0.5), other.close())).start()
    with connect(live, "postgres") as connection, deployment_lock(connection, 20):
        pass


def test_an_error_inside_frees_the_lock_and_a_lost_server_hides_no_error(live: DatabasePlan) -> None:
    with connect(live, "postgres") as connection, pytest.raises(ZeroDivisionError), deployment_lock(connection, 1):
        raise ZeroDivisionError
    with connect(live, "postgres") as connection, pytest.raises(ZeroDivisionError), deployment_lock(connection, 1):
        execute(live, "postgres", f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        raise ZeroDivisionError


# --- the server


def test_the_server_tells_what_it_is(live: DatabasePlan) -> None:
    with connect(live, "postgres") as connection:
        facts = server_facts(connection)
    assert facts.version_number // 10000 == live.major
    assert facts.version.startswith(f"{live.major}.")
    assert facts.superuser == SUPERUSER
    assert facts.system_identifier.isdigit()
    assert "/" in facts.lsn
    refuse_other_client(facts, client_version())
    # A hole is told, but is no reason to go without backups.
    refuse_other_client(facts, (live.major, 0))
    for client in ((live.major - 1, 99), (live.major + 1, 99)):
        with pytest.raises(WrongVersion):
            refuse_other_client(facts, client)


def test_a_role_without_rights_still_gets_the_facts(live: DatabasePlan) -> None:
    execute(live, "postgres", "CREATE ROLE plain LOGIN")
    with connect(replace(live, user="plain"), "postgres") as connection:
        assert server_facts(connection).version_number // 10000 == live.major


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ((17, 12), ""),
        ((17, 11), "closed in 17.12"),
        ((15, 20), ""),
        ((14, 24), "closed in 14.25"),
        ((13, 99), "no longer maintained"),
        ((19, 0), ""),
    ],
)
def test_known_holes(client: tuple[int, int], told: str) -> None:
    assert told in known_hole(client)
    assert bool(told) == bool(known_hole(client))


def test_room_grows_with_the_tables(live: DatabasePlan) -> None:
    plan = make_database(live, "roomy")
    with connect(plan, "roomy") as connection:
        empty = needed_room([connection])
        execute(plan, "roomy", "CREATE TABLE t AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n")
        full = needed_room([connection])
    assert full.dumps - empty.dumps > 1 << 20
    assert full.scratch > full.databases > full.dumps
