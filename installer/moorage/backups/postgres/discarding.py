"""What a restore has kept beside the live database is removed: never the live one."""

from __future__ import annotations

from contextlib import closing

from moorage.backups.failures import RestoreFailed
from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.restore import drop_database
from moorage.backups.postgres.swap import before_name, incoming_name


def discard(server: DatabasePlan, name: str, identifier: str) -> None:
    """Drop the restored database that was not used, and the one from before; those that are gone are fine.

    Raises RestoreFailed when the live one is gone: what was kept aside is all that there is of it then.
    """
    with closing(connect(server, server.maintenance)) as connection:
        there = {str(row[0]) for row in connection.execute("SELECT datname::text FROM pg_database")}
        if name not in there and before_name(name, identifier) in there:
            raise RestoreFailed(
                f"the database `{name}` is gone, and `{before_name(name, identifier)}` is all that there is of it",
                f"`moorage backup restore --undo {identifier}`",
            )
        for other in (incoming_name(name, identifier), before_name(name, identifier)):
            drop_database(connection, other)
