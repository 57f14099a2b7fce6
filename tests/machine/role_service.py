"""What AWS answers a container that asks for the keys of its role. AWS itself can't be had on a test machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from object_store import ObjectStore


@contextmanager
def role_service(store: ObjectStore) -> Iterator[str]:
    """Serve the key of a store as that of a role; gives the address for AWS_CONTAINER_CREDENTIALS_FULL_URI."""
    answer = {
        "AccessKeyId": store.key_id,
        "SecretAccessKey": store.secret,
        "Token": "a-session",
        "Expiration": "2099-01-01T00:00:00Z",
        "Code": "Success",
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/credentials"
    finally:
        server.shutdown()
        server.server_close()
