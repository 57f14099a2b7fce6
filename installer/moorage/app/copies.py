"""Files and folders beside the Compose file → their contents in memory. Whatever can't be copied is said, not left out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moorage.quantities import MEBIBYTE
from moorage.sensitive import Sensitive, Text

_SIZE_LIMIT = 5 * MEBIBYTE
_COUNT_LIMIT = 500
# What people put into a folder so that git keeps it.
_PLACE_HOLDERS = (".gitkeep", ".keep", ".gitignore", ".DS_Store")
# Beside moorage.yaml; what moorage writes there is no input: secrets, and copies that would grow with each render.
_WRITTEN_FOLDERS = ("secrets", "rendered", "releases")


class Uncopyable(Exception):
    """Why something can't be copied: the rule, the path that it is about and the next step."""

    def __init__(self, rule: str, place: Path | None = None, hint: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.place = place
        self.hint = hint


@dataclass(frozen=True)
class Copy:
    """Contents by relative path ("" for a single file) and which of them are programs."""

    files: dict[str, bytes | Text]
    executable: frozenset[str]


def is_empty(folder: Path) -> bool:
    """Whether no file lies in the folder or below it, but place holders. Raises Uncopyable."""
    return all(path.name in _PLACE_HOLDERS for _, path in _files_below(folder))


def names_in(folder: Path) -> list[str]:
    """The names of a folder's own entries, sorted. Raises Uncopyable."""
    return [path.name for path in _listed(folder)]


def file_names_below(folder: Path) -> Iterator[str]:
    """The names of the files below a folder, at most one more than can be copied. Raises Uncopyable."""
    for count, (_, path) in enumerate(_files_below(folder)):
        if count > _COUNT_LIMIT:
            return
        yield path.name


def empty_folders(folder: Path) -> list[str]:
    """Folders below a folder that has been copied and that hold nothing: a copy has no place for them."""
    inner = (path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir()))
    return sorted(path.relative_to(folder).as_posix() for path in inner)


def copy(place: Path) -> Copy:
    """Read a file or everything below a folder. Raises Uncopyable."""
    found = _files_below(place) if place.is_dir() else iter([("", place)])
    files: dict[str, bytes | Text] = {}
    executable = set()
    total = 0
    for relative, path in found:
        total += path.stat().st_size
        if len(files) >= _COUNT_LIMIT or total > _SIZE_LIMIT:
            rule = f"is too large to be configuration (over {_COUNT_LIMIT} files or 5 MiB)"
            raise Uncopyable(rule, hint="use a named volume and copy the files into it once")
        files[relative] = read(path)
        if os.access(path, os.X_OK):
            executable.add(relative)
    return Copy(files, frozenset(executable))


def read(path: Path) -> bytes | Sensitive:
    """The content of one file; secret when others than its owner and group may not read it. Raises Uncopyable."""
    try:
        content = path.read_bytes()
        is_public = path.stat().st_mode & 0o004
    except OSError:
        raise Uncopyable("may not be read by this user", path) from None
    # A file that others may not read is not to be read in a committable folder either.
    return content if is_public else Sensitive(content.decode("utf-8", "surrogateescape"))


def _files_below(root: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder with its relative path, sorted; links inside are followed."""
    yield from _walk(root, root, "", (root.resolve(),))


def _walk(root: Path, folder: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    for path in _listed(folder):
        target = path.resolve()
        _check(root, path, target, above)
        if target.is_dir():
            yield from _walk(root, path, f"{prefix}{path.name}/", (*above, target))
        else:
            yield f"{prefix}{path.name}", path


def _listed(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError:
        raise Uncopyable("may not be read by this user", folder) from None
    if any(path.name == "moorage.yaml" for path in found) or _is_written_by_moorage(folder.resolve()):
        raise Uncopyable(
            "holds or belongs to the deployment itself, secrets included", hint="mount single files or folders of it"
        )
    return found


def _is_written_by_moorage(folder: Path) -> bool:
    return any(
        place.name in _WRITTEN_FOLDERS and (place.parent / "moorage.yaml").is_file()
        for place in (folder, *folder.parents)
    )


def _check(root: Path, path: Path, target: Path, above: tuple[Path, ...]) -> None:
    """Raise Uncopyable for what is no file or folder of its own inside the root."""
    if not target.is_relative_to(root.resolve()):
        raise Uncopyable("holds a link that leads out of it", path, "replace the link by the file")
    if not target.exists():
        raise Uncopyable("holds a link that leads nowhere", path, "remove the link")
    if target in above:
        raise Uncopyable("holds a link that leads back to a folder above it", path, "remove the link")
    if not target.is_file() and not target.is_dir():
        raise Uncopyable("holds something that is neither a file nor a folder", path, "remove it")
    if not _is_text(path.name):
        raise Uncopyable("holds a file whose name is not UTF-8 text", path.parent, "rename it")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
