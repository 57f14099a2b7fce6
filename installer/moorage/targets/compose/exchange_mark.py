"""A file that says that a restore exchanges old and new: until it is gone nothing else may start the app.

The job's own journal is in a volume; this one is seen by `up`, by the script of the night and by timers, also after a
restart of the host.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from moorage.backups.restore_journal import half_way_words
from moorage.durable import replace_file, sync_folder
from moorage.errors import MoorageError
from moorage.targets.compose.names import EXCHANGE_MARK
from moorage.targets.compose.place import Place

Verb = Literal["swap", "undo"]


@dataclass(frozen=True)
class Exchange:
    """What was begun: to put a restore in place, or to undo it."""

    verb: Verb
    id: str


def begin(place: Place, exchange: Exchange) -> None:
    """Durable before the app is stopped."""
    path = _path(place)
    replace_file(path, (json.dumps(asdict(exchange)) + "\n").encode(), 0o644)
    sync_folder(path.parent)


def end(place: Place) -> None:
    """Old or new is whole again."""
    _path(place).unlink(missing_ok=True)
    sync_folder(_path(place).parent)


def read(place: Place) -> Exchange | None:
    """The exchange that was begun and not ended. Raises MoorageError when its file can't be read."""
    path = _path(place)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Exchange(data["verb"], data["id"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise MoorageError(
            f"{path} says that a restore was cut off, but can't be read",
            "`moorage backup restores` lists them; undo the newest by its name",
        ) from None


def refuse(place: Place) -> None:
    """Raise MoorageError while old and new are half exchanged: whatever started now would write to a mixture."""
    found = read(place)
    if found is not None:
        raise MoorageError(*half_way_words(found.id, is_undo=found.verb == "undo"))


def _path(place: Place) -> Path:
    return place.folder / "releases" / place.environment / EXCHANGE_MARK
