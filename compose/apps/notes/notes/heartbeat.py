"""The sign of life of the worker: a file that its loop touches; imports nothing external."""

import time
from pathlib import Path

# The only place that is writable in a container with a read-only root file system.
HEARTBEAT_FILE = Path("/tmp/worker-heartbeat")
FRESH_SECONDS = 30


def beat(file: Path = HEARTBEAT_FILE) -> None:
    """Say that the loop is turning."""
    file.touch()


def is_fresh(file: Path = HEARTBEAT_FILE) -> bool:
    """Return whether the loop turned less than FRESH_SECONDS ago."""
    try:
        age_seconds = time.time() - file.stat().st_mtime
    except OSError:
        return False
    return age_seconds < FRESH_SECONDS
