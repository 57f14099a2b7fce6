"""The deployment's own files as a cluster gets them: what every backup holds beside data, so that an empty machine will do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from moorage.sensitive import Sensitive

# A Secret may hold one mebibyte; its keys and the encoding of bytes need room as well.
MOST_BYTES = 640 << 10
# Rendered anew, kept elsewhere, other programs' own, or what must never lie beside the data that it opens.
_LEFT_OUT = frozenset({".git", ".venv", "__pycache__", "node_modules", "rendered", "releases", "backups"})
_RECOVERY_KEY = PurePosixPath("secrets/recovery.key")
_DERIVED = frozenset({"compose", "k8s"})


def deployment_files(folder: Path, environment: str) -> tuple[Mapping[str, Sensitive], tuple[str, ...]]:
    """Contents by path below the folder, and the paths of those that are too large to be carried along; both sorted.

    Of the secrets only those of `environment`: no cluster gets another one's. The smallest come first: moorage.yaml and the secrets always fit. Bytes that are no UTF-8 survive as surrogates.
    """
    sizes = sorted((path.stat().st_size, path.relative_to(folder).as_posix()) for path in _files(folder, environment))
    found: dict[str, Sensitive] = {}
    too_large, total = [], 0
    for size, name in sizes:
        total += size
        if total > MOST_BYTES:
            too_large.append(name)
            continue
        found[name] = Sensitive((folder / name).read_bytes().decode("utf-8", "surrogateescape"))
    return dict(sorted(found.items())), tuple(sorted(too_large))


def _files(folder: Path, environment: str) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        folders[:] = sorted(name for name in folders if not _is_left_out(here / name, environment))
        for name in sorted(names):
            path = Path(place) / name
            if here / name != _RECOVERY_KEY and path.is_file() and not path.is_symlink():
                yield path


def _is_left_out(path: PurePosixPath, environment: str) -> bool:
    is_secret = path.parts[:1] == ("secrets",)
    is_derived = is_secret and len(path.parts) == 3 and path.name in _DERIVED
    is_of_another = is_secret and len(path.parts) == 2 and path.name != environment
    return path.name in _LEFT_OUT or is_derived or is_of_another
