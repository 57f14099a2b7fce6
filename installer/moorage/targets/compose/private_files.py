"""Files with secrets: closed to other users of the host, open to the users of the containers that mount them."""

from __future__ import annotations

from pathlib import Path

from moorage.tree import Tree


def write(tree: Tree, folder: Path) -> None:
    """Bring `secrets/<environment>/compose/` to this content; nobody else may look inside at any moment."""
    _close(folder)
    tree.write(folder)
    for place in folder.rglob("*"):
        if place.is_dir():
            # Nobody gets here past the closed folders above, but a container that has it mounted starts here.
            place.chmod(0o755)


def _close(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for place in (*folder.parents[:2], folder):
        place.chmod(0o700)
