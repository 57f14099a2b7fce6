"""A dump into a new database: never into one that is there, and never half a one that stays."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.backups.failures import RestoreFailed
from moorage.backups.manifest import DatabaseFacts
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.bound import extension_in, refuse_bound
from moorage.backups.postgres.connections import connect, conninfo, is_superuser, program_environment, reason_of
from moorage.backups.postgres.entries import Part, entries_of, parts_of
from moorage.backups.postgres.plain_roles import WRITES, making_allowed, plain_role
from moorage.backups.postgres.programs import started
from moorage.backups.postgres.properties import apply_properties, create_statement
from moorage.backups.postgres.roles import add_missing_roles, plain_name
from moorage.backups.progress import Progress
from moorage.process import run
from moorage.words import plural

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

_BY_HAND = "else `moorage backup export` gives the dump, and `backups/RESTORE.md` tells how to restore it by hand"
# What the server, the role or the database has set must not cut a restore off.
_OPTIONS = (
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
    " -c default_transaction_read_only=off -c client_min_messages=error"
)

_OWNER = re.compile(r'^ALTER .+ OWNER TO ("(?:[^"]|"")+"|[^\s";]+);$', re.MULTILINE)
_GRANT = re.compile(r"^(?:GRANT|ALTER DEFAULT PRIVILEGES .+ GRANT) .+;$", re.MULTILINE)


def restore(
    server: DatabasePlan,
    facts: DatabaseFacts,
    folder: Path,
    name: str,
    *,
    parallel: int,
    progress: Progress | None = None,
    warn: Callable[[str], object] | None = None,
) -> None:
    """Restore the dump of `facts` below the backup's `folder` into a new database `name`, and gather its statistics.

    As superuser everything is as it was: owners, rights, settings. Another role becomes the owner of everything, and
    rights are left out, because it may not give what is others'; `warn` gets a sentence with how many. Raises
    RestoreFailed; the database is removed then.
    """
    import psycopg

    with connect(server, server.maintenance) as connection:
        may_all = is_superuser(connection)
        refuse_bound(connection, facts, name)
        if may_all:
            add_missing_roles(connection, folder)
        elif warn is not None and (lost := _left_out(facts, folder / facts.folder, connection.info.user)):
            warn(lost)
        _create(connection, facts, name)
        try:
            _close(connection, name)
            _fill(connection, server, facts, folder / facts.folder, name, parallel, may_all, progress)
            apply_properties(connection, facts, name, may_all=may_all)
        except BaseException as error:
            with suppress(psycopg.Error):
                drop_database(connection, name)
            raise _as_failure(error, name) from None


def drop_database(connection: Connection, name: str) -> None:
    """Remove a database and whoever is connected to it; one that is gone is fine."""
    from psycopg import sql

    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _close(connection: Connection, name: str) -> None:
    """Let nobody in until all is there: an app could change what is being made. Its rights come last."""
    from psycopg import sql

    connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))


def _create(connection: Connection, facts: DatabaseFacts, name: str) -> None:
    import psycopg

    try:
        connection.execute(create_statement(facts, name, connection.info.server_version))
    except psycopg.errors.DuplicateDatabase:
        raise RestoreFailed(
            f"the database `{name}` is there already; a restore writes into a new one only",
            "look what it holds; remove it if it is left over from a restore",
        ) from None
    except psycopg.Error as error:
        raise RestoreFailed(f"the database `{name}` can't be made: {reason_of(error)}") from None


def _left_out(facts: DatabaseFacts, dumped: Path, role: str) -> str:
    """What this role can't set, "" when all is its own and nothing was granted."""
    statements = run(["pg_restore", "--schema-only", "--file=-", str(dumped)]).output
    owners = [facts.owner, *(plain_name(name) for name in _OWNER.findall(statements))]
    foreign = sum(owner != role for owner in owners)
    # What everybody may do in a new database anyway, and what its owner may, is nothing that is lost.
    known = ("", role, facts.owner)
    of_database = sum(given_to not in known for given_to, *_ in facts.properties.privileges)
    grants = len(_GRANT.findall(statements)) + of_database
    if not foreign and not grants:
        return ""
    left_out = f"{plural(foreign, 'owner')} and {plural(grants, 'grant')} of `{facts.name}`"
    return f"{left_out} can't be set by this role, which is no superuser: everything becomes `{role}`'s, nothing is granted"


def _fill(
    connection: Connection,
    server: DatabasePlan,
    facts: DatabaseFacts,
    dumped: Path,
    name: str,
    parallel: int,
    may_all: bool,
    progress: Progress | None,
) -> None:
    options = ["--exit-on-error", "--no-tablespaces", f"--jobs={parallel}"]
    tick = _tick(connection, facts, name, progress)
    if may_all:
        _fill_with_owners(connection, server, dumped, name, options, tick)
    else:
        _run([*_program(options, name), "--no-owner", "--no-privileges", str(dumped)], server, name, tick)
    # Gathers each table's with its owner's rights.
    analysing = ["vacuumdb", "--analyze-only", "--quiet", f"--jobs={parallel}", f"--dbname={conninfo(name)}"]
    _run(analysing, server, name, lambda: None)


def _fill_with_owners(
    connection: Connection, server: DatabasePlan, dumped: Path, name: str, options: list[str], tick: Callable[[], None]
) -> None:
    """The parts of the dump one after the other, each with the rights that it needs and no more.

    A drill does the same: it proves the way that a restore takes, and takes no longer by it.
    """
    roles: dict[str, bool] = dict(connection.execute("SELECT rolname::text, rolsuper FROM pg_roles").fetchall())
    entries = entries_of(dumped, roles, {role for role, is_super in roles.items() if is_super})
    owners = sorted({role for entry in entries for role in entry.owners if not roles[role]})
    with (
        plain_role(server, name, (*WRITES, *owners)) as loader,
        connect(server, name) as inside,
        tempfile.TemporaryDirectory() as folder,
    ):

        def make(part: Part) -> None:
            wanted = Path(folder) / "entries"
            wanted.write_text("\n".join(part.lines) + "\n", encoding="utf-8")
            command = [*_program(options, name), f"--use-list={wanted}", str(dumped)]
            _run(command, loader if part.is_plain else server, name, tick)

        parts = parts_of(entries)
        with making_allowed(inside, loader.user, owners) as allow:
            for part in (part for part in parts if not part.is_late):
                allow()
                make(part)
        for part in (part for part in parts if part.is_late):
            make(part)


def _program(options: list[str], name: str) -> list[str]:
    return ["pg_restore", *options, f"--dbname={conninfo(name)}"]


def _run(command: list[str], server: DatabasePlan, name: str, tick: Callable[[], None]) -> None:
    with started(command, program_environment(server, name, _OPTIONS)) as program:
        status = program.wait(tick)
        if status != 0:
            said = program.said()
            extension = extension_in(program.text())
            hint = f"does extension {extension} work here, in a database of any name? {_BY_HAND}" if extension else ""
            raise RestoreFailed(f"{command[0]} into `{name}` ended with status {status}: {said}", hint)


def _tick(connection: Connection, facts: DatabaseFacts, name: str, progress: Progress | None) -> Callable[[], None]:
    """Tell how far the restore is: the size of the database against what it was."""

    def tick() -> None:
        if progress is not None:
            row = connection.execute("SELECT pg_database_size(%s::name)", [name]).fetchone()
            progress(min(row[0] if row else 0, facts.bytes), facts.bytes, f"restoring {facts.name}")

    return tick


def _as_failure(error: BaseException, name: str) -> BaseException:
    import psycopg

    if isinstance(error, psycopg.Error):
        return RestoreFailed(f"the restored database `{name}` can't be given its settings: {reason_of(error)}")
    return error
