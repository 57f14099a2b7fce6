"""What a restore has kept beside the live database is removed: never the live one."""

from __future__ import annotations

from contextlib import closing

from moorage.backups.plan import DatabasePlan
from moorage.backups.postgres.connections import connect
from moorage.backups.postgres.restore import drop_database
from moorage.backups.postgres.swap import before_name, incoming_name


def discard(server: DatabasePlan, name: str, identifier: str) -> None:
    """Drop the restored database that was not used, and the one from before; those that are gone are fine."""
    with closing(connect(server, server.maintenance)) as connection:
        for other in (incoming_name(name, identifier), before_name(name, identifier)):
            drop_database(connection, other)
