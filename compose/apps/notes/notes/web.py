"""`python -m notes.web`: serve the site until SIGTERM; `--check` tells whether it is healthy."""

import argparse
import logging
import os

from notes.settings import WebSettings, read_port, read_web_settings
from notes.startup import EXIT_FAILED, run, set_up_logging

GRACEFUL_SHUTDOWN_SECONDS = 25
# Longer than a reverse proxy keeps an idle connection (Traefik: 90 s), so that it never sends a
# request into a connection that we are closing.
KEEP_ALIVE_SECONDS = 100
PROBES = ("/health", "/live")


def main() -> int:
    """Serve until SIGTERM, or answer the health check; return the exit status."""
    parser = argparse.ArgumentParser(prog="notes.web", description="Serve the notes.")
    parser.add_argument("--check", action="store_true", help="exit 0 when the server is healthy")
    if parser.parse_args().check:
        from notes.web_check import check

        return check(read_port(os.environ))
    return serve(read_web_settings(os.environ))


def serve(settings: WebSettings) -> int:
    """Serve the site until SIGTERM and return 0, or 1 when the port can't be opened."""
    # Imported here: SIGTERM is heard and a missing variable reported before these take their time.
    import uvicorn

    from notes.site import make_site
    from notes.uploads import prepare

    set_up_logging()
    logging.getLogger("uvicorn.access").addFilter(is_not_probe)
    prepare(settings.uploads_directory)
    server = uvicorn.Server(
        uvicorn.Config(
            make_site(settings),
            host="0.0.0.0",  # in a container, where the engine decides who reaches it
            port=settings.port,
            log_config=None,
            server_header=False,
            # The reverse proxy in front of us has no address that could be known before.
            forwarded_allow_ips="*",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        )
    )
    server.run()
    return 0 if server.started else EXIT_FAILED


def is_not_probe(record: logging.LogRecord) -> bool:
    """Keep the health checks of every few seconds out of the access log."""
    _, _, path, *_ = record.args if isinstance(record.args, tuple) else ("", "", "")
    return path not in PROBES


if __name__ == "__main__":
    run(main)
