"""The app's own role owns its database and plants traps there; no phase of the job, superuser as it is, springs one."""

# docker run: --network none --user postgres

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.server import needed_room
from tests.job.live_server import execute, live_server, value

APP = "notes"
# Makes the app a superuser when one runs it. A function that says it is immutable may run one that is not.
TRAP = """
CREATE FUNCTION public.spring() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        ALTER ROLE notes SUPERUSER;
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
