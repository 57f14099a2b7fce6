"""The program as it is, but for one step: on nodes that only report no command can be run inside of a pod."""

from __future__ import annotations

from moorage.targets.cluster import database


def _nothing(*_: object) -> None:
    """Stand in for the SQL that is run in the database's pod."""


if __name__ == "__main__":
    # Before the modules that take it as their default are loaded.
    database.ensure = _nothing

    from moorage.cli.app import main

    main()
