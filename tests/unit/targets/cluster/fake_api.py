"""An API server as far as HTTP goes: it gives answers from a list, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


@dataclass
class FakeApi:
    """Answers by method and path, each with a status; a list is gone through, its last entry repeated. 0 hangs up."""

    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def kubeconfig(self, folder: Path, name: str = "test", user: dict[str, Any] | None = None) -> str:
        """A kubeconfig that leads here."""
        path = folder / f"kubeconfig-{name}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": user or {"token": "t"}}],
            "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}}],
            "current-context": "another-one",
        }
        path.write_text(yaml.safe_dump(content))
        return str(path)

    def next(self, key: str) -> tuple[int, Any]:
        """The answer for a request."""
        self.asked.append(key)
        found = self.answers.get(key) or [(404, {"message": "not found", "reason": "NotFound"})]
        return found.pop(0) if len(found) > 1 else found[0]


def serve(api: FakeApi) -> ThreadingHTTPServer:
    """Start it on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = api.next(f"{self.command} {self.path.partition('?')[0]}")
            if not status:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_POST = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
