"""What an answer through the proxy says: a service's own, or the proxy's for lack of one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from moorage.targets.compose import probe
from moorage.targets.compose.facts import StackFacts
from tests.unit.targets.compose.test_plan import stack


class Handler(BaseHTTPRequestHandler):
    """`/STATUS/bare` or `/STATUS/routed`: an answer with the words of Go's own 404."""

    def do_GET(self) -> None:
        _, status, kind = self.path.split("/")
        self.send_response(int(status))
        if kind == "routed":
            self.send_header("Referrer-Policy", "strict-origin-when-cross-origin")
        self.end_headers()
        self.wfile.write(b"404 page not found\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def edge() -> Iterator[StackFacts]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield stack(address="0.0.0.0", http_port=server.server_port)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "is_routed"),
    [
        ("/404/bare", False),
        ("/404/routed", True),
        ("/200/bare", True),
        ("/401/bare", True),
        ("/500/routed", True),
        ("/502/routed", False),
        ("/503/bare", False),
    ],
)
def test_a_404_of_a_service_in_go_is_not_the_proxys(path: str, is_routed: bool, edge: StackFacts) -> None:
    assert probe.ask(edge, "notes.example.com", path).is_routed is is_routed


def test_no_answer_is_an_answer_with_its_reason() -> None:
    found = probe.ask(stack(address="127.0.0.1", http_port=1), "notes.example.com", "/")
    assert (found.status, found.is_routed) == (0, False)
    assert "refused" in found.text
