"""Files with secrets: closed to other users of the host, open to the users of the containers that mount them."""

from __future__ import annotations

from pathlib import Path

from moorage.durable import is_real_folder
from moorage.tree import Tree

_MOUNT_DEPTH = 3


def write(tree: Tree, folder: Path) -> None:
    """Bring `secrets/<environment>/compose/` to this content; nobody else may look inside at any moment."""
    _close(folder)
    tree.write(folder)
    for place in folder.rglob("*"):
        if is_real_folder(place):
            place.chmod(0o755 if is_mounted(place.relative_to(folder)) else 0o700)


def is_mounted(place: Path) -> bool:
    """Whether a place below the folder is, or stands in, `files/<service>/<mount>`: a folder that a container gets.

    Nobody of the host gets there past the closed folders above; but the container's user, who is not always root,
    starts right there and has to pass.
    """
    return place.parts[:1] == ("files",) and len(place.parts) >= _MOUNT_DEPTH


def _close(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for place in (*folder.parents[:2], folder):
        place.chmod(0o700)
