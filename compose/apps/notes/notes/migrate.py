"""`python -m notes.migrate`: bring the schema up to date; may run twice, and at once."""

import argparse
import os
import signal
import time
from types import FrameType
from typing import NoReturn

import psycopg
from psycopg.rows import TupleRow

from notes.database import connect
from notes.migration_files import Migration, pending, read_migrations
from notes.settings import read_database_url
from notes.startup import StartError, first_line, run

Connection = psycopg.Connection[TupleRow]

# Any number will do, as long as every version of this program uses the same one.
LOCK = 6_679_669
LOCK_TIMEOUT = "60s"
PAUSE_SECONDS = 1.0


def main() -> int:
    """Wait for the database, apply what it lacks, and return 0."""
    signal.signal(signal.SIGTERM, give_up)
    wait_seconds = read_arguments().wait_seconds
    database_url = read_database_url(os.environ)
    migrations = read_migrations()
    with wait_for_database(database_url, wait_seconds) as connection:
        try:
            migrate(connection, migrations)
        except psycopg.errors.LockNotAvailable:
            raise StartError(f"another migration is still running after {LOCK_TIMEOUT}") from None
        except psycopg.Error as error:
            raise StartError(f"the schema is not up to date: {first_line(error)}") from None
    return 0


def give_up(_number: int, _frame: FrameType | None) -> NoReturn:
    """Fail when asked to stop, or whoever waits for us would believe that the schema is ready."""
    raise StartError("stopped before the schema was ready; what was not complete is rolled back")


def read_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="notes.migrate", description="Bring the database schema up to date.")
    parser.add_argument("--wait-seconds", type=float, default=60, help="how long to wait for the database (60)")
    return parser.parse_args()


def wait_for_database(database_url: str, wait_seconds: float) -> Connection:
    """Return a connection, or raise StartError when there is none after `wait_seconds`."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return connect(database_url, "notes-migrate")
        except psycopg.OperationalError as error:
            reason = first_line(error)
        except psycopg.ProgrammingError:
            raise StartError("DATABASE_URL is not understood by the Postgres driver") from None
        if time.monotonic() + PAUSE_SECONDS > deadline:
            raise StartError(f"the database can't be reached after {wait_seconds:g} s: {reason}")
        time.sleep(PAUSE_SECONDS)


def migrate(connection: Connection, migrations: tuple[Migration, ...]) -> None:
    """Apply what is pending, alone: a second run waits here, and then finds nothing to do."""
    connection.execute("SELECT set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations"
        " (version integer PRIMARY KEY, name text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied = {row[0] for row in connection.execute("SELECT version FROM schema_migrations")}
    for step in pending(migrations, applied):
        apply(connection, step)
    report(applied, migrations)


def apply(connection: Connection, step: Migration) -> None:
    """Apply one migration and its record in one transaction, or raise StartError."""
    try:
        with connection.transaction():
            connection.execute(step.sql.encode())
            connection.execute(
                "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)",
                (step.version, step.name),
            )
    except psycopg.Error as error:
        reason = first_line(error)
        raise StartError(f"migration {step.label} failed, rolled back: {reason}") from None
    print(f"applied {step.label}", flush=True)


def report(applied: set[int], migrations: tuple[Migration, ...]) -> None:
    """Say where the schema is now; a newer one is no failure, or no one could roll back."""
    newest, in_database = len(migrations), max(applied, default=0)
    if in_database > newest:
        print(f"the schema is at version {in_database}, left as it is: this program knows {newest}")
    else:
        print(f"the schema is at version {newest}")


if __name__ == "__main__":
    run(main)
