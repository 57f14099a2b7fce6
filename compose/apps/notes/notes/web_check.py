"""The health check of the web process, as a program: the image has no curl."""

import urllib.error
import urllib.request

# Longer than the two seconds that the server itself allows Postgres and Redis.
TIMEOUT_SECONDS = 5


def check(port: int) -> int:
    """Print what the server in this container says of its health; return 0 when well, else 1."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_SECONDS) as answer:
            print(answer.read().decode())
            return 0
    except urllib.error.HTTPError as answer:
        print(answer.read().decode())
    except OSError as error:
        print(f"no answer: {error}")
    return 1
