"""Data that an image keeps where nobody mounted a volume: only the image itself tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def unkept_folders(declared: Iterable[str], mounted: Iterable[str]) -> tuple[str, ...]:
    """The volumes of an image (`VOLUME`) that nothing is mounted at: nameless ones, which end with their container.

    Only the very path counts: the engine also makes one inside of a volume that is mounted above it.
    """
    kept = {path.rstrip("/") for path in mounted}
    return tuple(sorted(path for path in declared if path.rstrip("/") not in kept))


def unkept_text(service: str, folders: Sequence[str]) -> str:
    """What to tell of them."""
    return (
        f"{service}: its image keeps data at {', '.join(folders)}, and no volume of the app file is mounted there: "
        "what is written there is gone when the container is replaced"
    )


UNKEPT_FIX = "mount a volume at that very path, or list it under `tmpfs` if nothing there must stay"
