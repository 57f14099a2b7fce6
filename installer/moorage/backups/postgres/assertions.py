"""The operator's own questions to a restored database: each a SELECT that must give one `true`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from moorage.backups.plan import AssertionPlan, DatabasePlan
from moorage.backups.postgres.connections import connect, reason_of
from moorage.backups.postgres.plain_roles import plain_role
from moorage.backups.records import CheckResult
from moorage.errors import MoorageError
from moorage.words import plural

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

_BOOLEAN = 16
_TIMEOUT_SECONDS = 60


def ask(
    server: DatabasePlan, assertions: Sequence[AssertionPlan], *, timeout_seconds: int = _TIMEOUT_SECONDS
) -> tuple[CheckResult, ...]:
    """Ask every question by a role that may read everything and nothing else.

    Anything but one `true` is a result that did not pass, with the reason.
    """
    return tuple(_answer(server, assertion, timeout_seconds) for assertion in assertions)


def _answer(server: DatabasePlan, assertion: AssertionPlan, timeout_seconds: int) -> CheckResult:
    import psycopg

    try:
        # The app's view of its database, its search path and its time zone, so not with a superuser's rights: a view that
        # is asked may run functions of the app.
        with (
            plain_role(server, assertion.database) as reader,
            connect(reader, assertion.database, with_its_settings=True) as connection,
        ):
            problem = _problem(connection, assertion.sql, timeout_seconds)
    except psycopg.errors.QueryCanceled:
        problem = f"took longer than {timeout_seconds} s"
    except psycopg.Error as error:
        problem = reason_of(error)
    except MoorageError as error:
        problem = error.message
    return CheckResult(f"{assertion.database}: {assertion.name}", not problem, problem or "true")


def _problem(connection: Connection, question: str, timeout_seconds: int) -> str:
    connection.read_only = True
    connection.prepare_threshold = 0
    with connection.transaction():
        connection.execute(f"SET LOCAL statement_timeout = {int(timeout_seconds * 1000)}")
        # Prepared, because only then the server refuses a second statement, which could end the transaction.
        cursor = connection.execute(question.encode(), prepare=True)
        if cursor.description is None or len(cursor.description) != 1 or cursor.description[0].type_code != _BOOLEAN:
            return "does not give one boolean column"
        rows = cursor.fetchmany(2)
    if len(rows) != 1:
        return "gives no row" if not rows else f"gives {plural(cursor.rowcount, 'row')} instead of one"
    return {True: "", False: "false", None: "null"}[rows[0][0]]
