"""Point-in-time recovery: whether it can be, which store gets the write-ahead log, what the server is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from moorage.app.adopted_postgres import AdoptedPostgres
from moorage.app.model import Notice
from moorage.backups.physical.settings import postgres_parameters
from moorage.config.loading import LoadedConfig
from moorage.config.schema import Store
from moorage.errors import Problem
from moorage.sensitive import Sensitive
from moorage.stack.model import Archive, BundledPostgres, Image, Parameter
from moorage.stack.platform.parameters import normal

_OWNS_ARCHIVING = ("archive_mode", "archive_command", "archive_library")
# The user id of `postgres` in the official images, of Debian and of Alpine.
_USER, _USER_OF_ALPINE = 999, 70


@dataclass(frozen=True)
class Choice:
    """The store that gets the log, "" for none; `obstacle` says why not, where somebody could expect it."""

    store: str = ""
    obstacle: str = ""


def choose(loaded: LoadedConfig, adopted: AdoptedPostgres | None, default_store: str, *, has_database: bool) -> Choice:
    """Where the log goes. One store only: one that is away would hold up another (pgBackRest hands over in order).

    `auto` wants a store that the operator named: all that can be known here of the disk that holds the data.
    """
    config = loaded.config.backups
    if not config.enabled or config.point_in_time == "off":
        return Choice()
    if loaded.config.postgres.mode == "external":
        return Choice(obstacle="your own Postgres server archives its log itself, or not at all")
    if loaded.config.target != "compose":
        rule = "it is there on a single server only; in a cluster there are the nightly backups"
        return Choice(obstacle=rule) if config.point_in_time == "on" else Choice()
    if not has_database:
        return Choice(obstacle="this app has no Postgres") if config.point_in_time == "on" else Choice()
    written = normal(adopted.parameters if adopted else {}) | normal(loaded.config.postgres.parameters)
    of_operator = _own_archiving(written)
    if of_operator:
        return Choice(obstacle=f"`{of_operator}` is set for Postgres, and moorage sets it for the log")
    if not config.stores:
        return Choice(default_store) if config.point_in_time == "on" else Choice()
    fitting = [store for store in config.stores if not unfit(store)]
    if fitting:
        return Choice(fitting[0].name)
    return Choice(obstacle="; ".join(f"store {store.name} {unfit(store)}" for store in config.stores))


def _own_archiving(parameters: Mapping[str, str]) -> str:
    """The parameter with which the operator archives in another way, or not at all."""
    if parameters.get("wal_level", "").lower() == "minimal":
        return "wal_level: minimal"
    return next((name for name in _OWNS_ARCHIVING if name in parameters), "")


def unfit(store: Store) -> str:
    """Why a store can't get the log, "" when it can."""
    if store.endpoint and store.endpoint.startswith("http://"):
        return "is reached without TLS, which pgBackRest refuses"
    if not store.may_delete:
        return "may not be deleted in, and the log grows for ever where nothing is deleted"
    return ""


def problems(loaded: LoadedConfig, choice: Choice) -> Iterator[Problem]:
    """`on` is a promise; `auto` is kept as far as it goes."""
    if loaded.config.backups.point_in_time == "on" and choice.obstacle:
        hint = "take the obstacle away, or `point_in_time: auto`"
        yield loaded.problem(("backups", "point_in_time"), f"can't be on: {choice.obstacle}", value="on", hint=hint)


def notices(loaded: LoadedConfig, choice: Choice) -> Iterator[Notice]:
    """That a restore goes back to a night only, where the stores would let one expect more."""
    config = loaded.config
    if choice.obstacle and config.backups.stores and config.postgres.mode == "bundled":
        yield Notice("backups.point_in_time", f"is off, a restore goes back to a night: {choice.obstacle}")


def archive(choice: Choice, server_image: str, base_image: str, passphrase: Sensitive) -> Archive | None:
    """What is true of it; `base_image` is the server's own image, which tells the distribution."""
    if not choice.store:
        return None
    is_alpine = "alpine" in base_image.rpartition("/")[2]
    return Archive(choice.store, server_image, _USER_OF_ALPINE if is_alpine else _USER, passphrase)


def with_archiving(postgres: BundledPostgres, found: Archive, stanza: str) -> BundledPostgres:
    """The server with what it needs to archive: another image of itself, and its parameters with their reasons."""
    reasons = {
        "archive_mode": f"each piece of the log goes to store {found.store}: restores to any minute",
        "archive_command": "pgBackRest, encrypted; the log of a store that is away waits, up to a tenth of the disk",
        "archive_timeout": "a quiet minute goes there too: at most so much is lost with the disk",
        "wal_level": "the least that a restore to a moment needs",
    }
    known = {parameter.name: parameter for parameter in postgres.parameters}
    # A longer wait and `logical` are the operator's to choose.
    wanted = [
        Parameter(name, value, reasons[name])
        for name, value in postgres_parameters(stanza).items()
        if name not in known
    ]
    return replace(postgres, image=Image(found.image), parameters=(*postgres.parameters, *wanted))
