"""Connections to Postgres, for our own questions and for its client programs; no password ever passes through here.

Passwords stand in a pgpass file that libpq itself reads. What fails is told apart, with what to look at.
"""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moorage.backups.failures import DatabaseUnreachable
from moorage.backups.plan import DatabasePlan

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

APPLICATION = "moorage backup"
_CONNECT_TIMEOUT_SECONDS = 10
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_URL = re.compile(r"\S*//\S*")
_VALUE = re.compile(r": \"[^\n]*\"$", re.MULTILINE)
# What passes by itself while a server starts; everything else is told at once.
_PASSES = ("connection refused", "no such file or directory", "starting up", "not yet accepting", "shutting down")
_HINTS: tuple[tuple[str, str], ...] = (
    ("password authentication failed", "its password is not the one in the pgpass file: `moorage secrets` shows which is meant"),
    ("no password supplied", "the pgpass file has no line for this host, port, database and user"),
    ("pg_hba.conf", "the server's pg_hba.conf has no rule that lets this user in from here"),
    ("does not exist", "compare the names with those on the server (`\\du` and `\\l` in psql)"),
    ("permission denied for database", "GRANT CONNECT on the database to this user"),
    ("not currently accepting connections", "ALTER DATABASE … ALLOW_CONNECTIONS true opens it again"),
    ("too many", "all of its connections are in use: end some, or raise max_connections"),
    ("remaining connection slots", "all of its connections are in use: end some, or raise max_connections"),
    ("certificate", "the server's certificate does not fit its name, or is signed by nobody that is known here"),
    ("ssl", "the server and `tls` in moorage.yaml don't agree on encryption"),
    ("translate host name", "the name of the host can't be resolved: look at its spelling and at the DNS"),
    ("name resolution", "the name of the host can't be resolved: look at its spelling and at the DNS"),
    ("name or service", "the name of the host can't be resolved: look at its spelling and at the DNS"),
    ("timeout", "nothing answers at that address: look at the firewall and the network"),
    ("starting up", "it is starting; its log says how far it is"),
    ("startup parameter", "a pooler answers there: give the address of the server itself"),
)  # fmt: skip
_IS_IT_RUNNING = "does the database run? `moorage status` says so, `moorage logs` says why not"
# Whatever the server, the database or the role has set: the same row is the same text on every server of a major version,
# names are always written in full. No time limit of an app cuts a backup off, but it waits for no migration for ever: even to
# ask for the size of a table waits for its lock.
_SETTINGS = {
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "client_min_messages": "error",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "3",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "intervalstyle": "postgres",
    "jit": "off",
    "lc_messages": "C",
    "lc_monetary": "C",
    "lock_timeout": "60s",
    "quote_all_identifiers": "off",
    "row_security": "off",
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "timezone": "UTC",
    "transaction_timeout": "0",
    "xmlbinary": "base64",
}
# As a part of the connection it holds from its first statement on, whatever a database's owner has set for it: with a
# search path of theirs `lower(…)` would be a function of theirs, run with our rights.
_OPTIONS = "-c search_path=pg_catalog"


def connect(
    database: DatabasePlan, name: str, *, wait_seconds: float = 30, with_its_settings: bool = False
) -> Connection:
    """An autocommitting connection to the database `name`; a server that starts is waited for.

    `with_its_settings` leaves all as the database's owner has set it: never do that as a superuser. Raises
    DatabaseUnreachable with what to look at.
    """
    _refuse_unusable_password_file(database)
    end = time.monotonic() + wait_seconds
    while True:
        try:
            if with_its_settings:
                return _opened(database, name, "")
            return _settled(_opened(database, name, _OPTIONS))
        except DatabaseUnreachable as error:
            if time.monotonic() >= end or not any(word in error.message.lower() for word in _PASSES):
                raise
        time.sleep(0.5)


def program_environment(database: DatabasePlan, name: str, options: str = "") -> dict[str, str]:
    """The whole environment of a client program: where the server is, and nothing that would lead it elsewhere.

    The name of the database stands here because on a command line one such as `a=b` would be taken for a URL's like.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG") and not key.startswith("LC_")}
    found = {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGDATABASE": name,
        "PGPASSFILE": database.password_file,
        "PGSSLMODE": database.tls,
        "PGSSLROOTCERT": _authorities(database),
        "PGAPPNAME": APPLICATION,
        "PGCONNECT_TIMEOUT": str(_CONNECT_TIMEOUT_SECONDS),
        "PGOPTIONS": options,
    }
    return {**kept, "LC_ALL": "C", **{key: value for key, value in found.items() if value}}


def conninfo(name: str) -> str:
    """A connection string that names a database only, for programs that don't take the name from the environment."""
    from psycopg.conninfo import make_conninfo

    return make_conninfo(dbname=name)


def is_superuser(connection: Connection) -> bool:
    """Whether the connection's role may do everything."""
    return connection.info.parameter_status("is_superuser") == "on"


def reason_of(error: BaseException) -> str:
    """What the server says, without the values of rows that its DETAIL and CONTEXT would bring."""
    diagnosis = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None)
    return without_values(str(primary)) if primary else _first_line(str(error)) or type(error).__name__


def without_values(text: str) -> str:
    """A message without the value of a row at its end, as in `invalid input syntax for type integer: "…"`."""
    return _VALUE.sub(': "…"', text)


def _opened(database: DatabasePlan, name: str, options: str) -> Connection:
    import psycopg
    from psycopg.conninfo import make_conninfo

    given = {
        "host": database.host,
        "port": str(database.port),
        "user": database.user,
        "passfile": database.password_file,
        "sslmode": database.tls,
        "sslrootcert": _authorities(database),
        "application_name": APPLICATION,
        "connect_timeout": str(_CONNECT_TIMEOUT_SECONDS),
        "keepalives_idle": "30",
        "options": options,
    }
    try:
        where = make_conninfo(dbname=name, **{key: value for key, value in given.items() if value})
        return psycopg.connect(where, autocommit=True)
    except psycopg.Error as error:
        raise _unreachable(database, name, str(error)) from None


def _settled(connection: Connection) -> Connection:
    connection.execute(
        "SELECT pg_catalog.set_config(known.name, given.value, false) FROM pg_catalog.pg_settings AS known"
        " JOIN ROWS FROM (pg_catalog.unnest(%s::pg_catalog.text[]), pg_catalog.unnest(%s::pg_catalog.text[]))"
        " AS given (name, value)"
        " ON pg_catalog.lower(known.name) OPERATOR(pg_catalog.=) given.name"
        " WHERE known.context OPERATOR(pg_catalog.=) 'user'"
        " OR pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on'",
        [list(_SETTINGS), list(_SETTINGS.values())],
    )
    connection.prepare_threshold = None
    return connection


def _unreachable(database: DatabasePlan, name: str, text: str) -> DatabaseUnreachable:
    reason = _first_line(text)
    hint = next((hint for word, hint in _HINTS if word in reason.lower()), _IS_IT_RUNNING)
    if "no such file or directory" in reason.lower() or "connection refused" in reason.lower():
        hint = _IS_IT_RUNNING
    return DatabaseUnreachable(f"no connection to the database `{name}` on {_place(database)}: {reason}", hint)


def _place(database: DatabasePlan) -> str:
    return _URL.sub("…", f"{database.host} port {database.port} as `{database.user}`")


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if "failed" in line or "FATAL" in line), "")
    line = line or next((line.strip() for line in text.splitlines() if line.strip()), "")
    return _URL.sub("…", line.removeprefix("connection failed: ").removeprefix("- "))[:400]


def _authorities(database: DatabasePlan) -> str:
    """Whom to believe where certificates are verified; libpq itself would look for a file of the user only."""
    if not database.tls.startswith("verify"):
        return ""
    return os.environ.get("PGSSLROOTCERT", "") or (str(_AUTHORITIES) if _AUTHORITIES.is_file() else "")


def _refuse_unusable_password_file(database: DatabasePlan) -> None:
    """libpq says only `no password supplied` where the file is missing, closed or open to others."""
    if not database.password_file:
        return
    path = Path(database.password_file)
    try:
        mode = path.stat().st_mode
        path.open("rb").close()
    except OSError as error:
        raise DatabaseUnreachable(
            f"the pgpass file {path} can't be read: {error.strerror}", "`moorage up` writes it again"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise DatabaseUnreachable(
            f"the pgpass file {path} has mode {stat.S_IMODE(mode):o}, so libpq ignores it", "give it mode 600"
        )
