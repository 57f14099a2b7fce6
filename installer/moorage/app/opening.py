"""The app's Compose file, wherever the operator says it is."""

from __future__ import annotations

from pathlib import Path

from moorage.app.compose_file import find_compose_file
from moorage.formats import Document, is_file, read_yaml


def open_compose_file(folder: Path, name: str) -> tuple[Document, Path] | None:
    """The file that `name` (a file, or a folder with one of the usual names) means, and the folder it stands in.

    Raises InputError when it cannot be read; gives None when there is none.
    """
    file = find_compose_file(folder / name)
    if file is None:
        return None
    shown = (name if is_file(folder / name) else f"{name.rstrip('/')}/{file.name}").removeprefix("./")
    return read_yaml(file, shown), file.parent
