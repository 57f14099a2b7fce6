"""How the image of the backup job is made from the database's own image, and by what one knows that it is still the same."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moorage.assets import asset

# The label of an image that says what it was made of.
LABEL_CONTENT = "moorage.job-content"
# The stages of the recipe: the job, and a Postgres that archives its log.
JOB, SERVER = "job", "server"
_PACKAGE = Path(__file__).parents[1]
_LEFT_OUT = ("__pycache__", "_assets")


def content_digest(base_id: str, target: str = JOB) -> str:
    """A fingerprint of all that goes into an image: the base, the recipe, and into the job's the package."""
    total = hashlib.sha256(base_id.encode())
    for name, content in _context() if target == JOB else [_recipe()]:
        total.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


@contextmanager
def build_command(name: str, base: str, base_id: str, target: str = JOB, *, no_cache: bool) -> Iterator[list[str]]:
    """The arguments of `docker` that make the image `name`, for as long as the folder of the build is there."""
    with tempfile.TemporaryDirectory(prefix="moorage-job-") as folder:
        _write_context(Path(folder))
        yield [
            "build",
            *(["--no-cache"] if no_cache else []),
            *("--target", target),
            *("--tag", name),
            *("--label", f"{LABEL_CONTENT}={content_digest(base_id, target)}"),
            *("--build-arg", f"POSTGRES_IMAGE={base}"),
            folder,
        ]


def _context() -> Iterator[tuple[str, bytes]]:
    """The files that the build is given, sorted, by their names."""
    yield _recipe()
    for path in sorted(_PACKAGE.rglob("*.py")):
        relative = path.relative_to(_PACKAGE)
        if not set(relative.parts) & set(_LEFT_OUT):
            yield f"moorage/{relative.as_posix()}", path.read_bytes()


def _recipe() -> tuple[str, bytes]:
    return "Dockerfile", asset("backups", "image", "Dockerfile").read_bytes()


def _write_context(folder: Path) -> None:
    """Files that every user of the image may read, whatever the package's own rights here are."""
    for name, content in _context():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
    for place in (folder, *folder.rglob("*")):
        if place.is_dir():
            place.chmod(0o755)
