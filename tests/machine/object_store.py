"""A real S3 server for tests, and a proxy before it that has the faults of networks, keys and providers."""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rig import RigError

START_LIMIT_SECONDS = 20
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True)
class ObjectStore:
    """An S3 server: its address, the folder whose sub-folders are buckets, and the one key that it lets in."""

    endpoint: str
    folder: Path
    key_id: str
    secret: str

    def write_credentials(self, file: Path) -> Path:
        """Write the key as an AWS credentials file, mode 0600."""
        file.write_text(f"[default]\naws_access_key_id = {self.key_id}\naws_secret_access_key = {self.secret}\n")
        file.chmod(0o600)
        return file


@contextmanager
def object_store(rclone: Path | str, folder: Path, bucket: str = "backups") -> Iterator[ObjectStore]:
    """Serve a folder as S3 for the time of a `with` block, with one empty bucket in it."""
    (folder / bucket).mkdir(parents=True, exist_ok=True)
    port, key_id, secret = _free_port(), "AK" + secrets.token_hex(9), secrets.token_hex(20)
    command = [str(rclone), "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null", str(folder)]
    # Not as an argument: tests look for secrets in those of all processes. A list of rclone's is CSV.
    known = {**os.environ, "RCLONE_AUTH_KEY": f'"{key_id},{secret}"'}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=known)
    try:
        _wait_for(port, server)
        yield ObjectStore(f"http://127.0.0.1:{port}", folder, key_id, secret)
    finally:
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RigError("`rclone serve s3` did not start")


@dataclass(frozen=True)
class Answer:
    """What S3 says instead of doing it."""

    status: int
    code: str


@dataclass(frozen=True)
class Drop:
    """The connection ends in the middle of the request."""


@dataclass(frozen=True)
class Hang:
    """No answer ever comes; the connection stays open."""


Fault = Answer | Drop | Hang
NO_DELETE = Answer(403, "AccessDenied")


@dataclass
class FaultyProxy:
    """Passes S3 requests on, unless `fault(method, path)` gives a fault.

    `requests` are those seen, `headers` those of the one that `fault` is asked about.
    """

    endpoint: str
    fault: Callable[[str, str], Fault | None] = lambda method, path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def refuse_deletes(self) -> None:
        """Be what a key sees that may put but not delete."""
        self.fault = lambda method, path: NO_DELETE if method == "DELETE" or "?delete" in path else None


@contextmanager
def faulty_proxy(endpoint: str, host: str = "127.0.0.1") -> Iterator[FaultyProxy]:
    """A proxy on this host's address before the S3 server at `endpoint`, for the time of a `with` block."""
    address = endpoint.removeprefix("http://")
    proxy = FaultyProxy("")
    server = ThreadingHTTPServer((host, 0), _handler(proxy, address))
    server.daemon_threads = True
    server.block_on_close = False
    proxy.endpoint = f"http://{host}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def _handler(proxy: FaultyProxy, address: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            proxy.requests.append((self.command, self.path))
            proxy.headers = dict(self.headers.items())
            fault = proxy.fault(self.command, self.path)
            if isinstance(fault, Drop):
                self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            if isinstance(fault, Hang):
                threading.Event().wait(600)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if isinstance(fault, Answer):
                self.reply(fault.status, {"Content-Type": "application/xml"}, _error(fault.code))
                return
            self.pass_on(body)

        def pass_on(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(address, timeout=60)
            # The signature covers the host that the client named.
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            content = answer.read()
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            connection.close()
            self.reply(answer.status, kept, content, length)

        def reply(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    return Handler


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()
