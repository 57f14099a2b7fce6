"""`python -m notes.worker`: count words in the background; `--check` tells if it does."""

import argparse
import os

from notes import heartbeat
from notes.settings import read_worker_settings
from notes.startup import run, set_up_logging


def main() -> int:
    """Work until SIGTERM, or answer the health check; return the exit status."""
    parser = argparse.ArgumentParser(prog="notes.worker", description="Count the words of new notes.")
    parser.add_argument("--check", action="store_true", help="exit 0 when the worker's heartbeat is fresh, else 1")
    return check() if parser.parse_args().check else work()


def check() -> int:
    """Return 0 when the worker that shares our /tmp is turning its loop, else 1."""
    fresh = heartbeat.is_fresh()
    print("the heartbeat is fresh" if fresh else "the heartbeat is stale or missing")
    return 0 if fresh else 1


def work() -> int:
    """Work until SIGTERM or SIGINT and return 0."""
    settings = read_worker_settings(os.environ)
    # Imported here, because the health check runs every few seconds and needs no database driver.
    from notes.counting import StopSignal, count_until_stopped

    set_up_logging()
    count_until_stopped(settings, StopSignal.listen())
    return 0


if __name__ == "__main__":
    run(main)
