"""Extensions that the server makes in the database of one name only: a restore under another name must know before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from moorage.backups.failures import RestoreFailed
from moorage.backups.manifest import DatabaseFacts

if TYPE_CHECKING:
    from moorage.backups.postgres.connections import Connection

# The extension, and the setting that names its database; only a restart of the server changes one.
_BOUND_BY = {"pg_cron": "cron.database_name"}
_MAKING = re.compile(r"^Command was: CREATE EXTENSION IF NOT EXISTS (\S+)", re.MULTILINE)


def bound_by(facts: DatabaseFacts, settings: Mapping[str, str]) -> dict[str, str]:
    """The extensions of a database that are bound to a name, with the setting that does it, where it is set."""
    names = (name for name, _ in facts.extensions if name in _BOUND_BY)
    return {name: _BOUND_BY[name] for name in names if settings.get(_BOUND_BY[name])}


def warning_of(facts: DatabaseFacts, settings: Mapping[str, str]) -> str:
    """What to know of a backup before the day of its restore, "" where there is nothing."""
    found = bound_by(facts, settings)
    if not found:
        return ""
    text = ", ".join(f"`{setting}` binds extension {name}" for name, setting in found.items())
    return (
        f"{text} to the name of database {facts.name}: before a restore it must be changed (docs/backups.md, Restore)"
    )


def refuse_bound(connection: Connection, facts: DatabaseFacts, name: str) -> None:
    """Raise RestoreFailed when an extension of the backup can't be made in a database `name`, with what to do."""
    settings = {setting: _current(connection, setting) for setting in _BOUND_BY.values()}
    for extension, setting in bound_by(facts, settings).items():
        if settings[setting] != name:
            raise RestoreFailed(
                f"extension {extension} can only be made in database `{settings[setting]}` (`{setting}`), "
                f"and `{facts.name}` is restored as `{name}` first; nothing was changed",
                f"write `{setting}: {name}` below `postgres.parameters`, then `moorage up` and the same restore; "
                f"afterwards `{setting}: {facts.name}` and `moorage up` again",
            )


def extension_in(said: str) -> str:
    """The extension that `pg_restore` could not make, by its own words; "" when it failed at something else."""
    found = _MAKING.search(said)
    return found[1].strip('";') if found else ""


def _current(connection: Connection, setting: str) -> str:
    row = connection.execute("SELECT pg_catalog.current_setting(%s, true)", [setting]).fetchone()
    return str(row[0] or "") if row else ""
