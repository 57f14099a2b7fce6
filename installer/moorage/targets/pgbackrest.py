"""pgBackRest's own file, for every target: private, because secrets stand in it."""

from __future__ import annotations

from dataclasses import replace

from moorage.backups.physical.settings import Configuration, Option
from moorage.errors import MoorageError
from moorage.sensitive import Sensitive, reveal
from moorage.templating import render_template

TEMPLATE = "pgbackrest/pgbackrest.conf.j2"


def pgbackrest_configuration(configuration: Configuration) -> Sensitive:
    """The text of the file. Raises MoorageError when a value would end its line and begin another option."""
    plain = replace(
        configuration,
        general=_plain(configuration.general),
        archiving=_plain(configuration.archiving),
        cluster=_plain(configuration.cluster),
    )
    return Sensitive(render_template(TEMPLATE, plain))


def _plain(options: tuple[Option, ...]) -> tuple[Option, ...]:
    for option in options:
        if not reveal(option.value).isprintable():
            raise MoorageError(f"the value of pgBackRest's {option.name} has a line break or a control character in it")
    return tuple(Option(option.name, reveal(option.value)) for option in options)
