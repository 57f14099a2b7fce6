"""A real deployment on the real engine, driven through the command line as a user drives it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DOMAIN = "notes.example.com"


@dataclass
class Outcome:
    """What a command gave back."""

    status: int
    output: str
    errors: str

    @property
    def text(self) -> str:
        """Both streams."""
        return self.output + self.errors


@dataclass
class Response:
    """What a request gave back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Site:
    """One deployment folder with its own project name and ports."""

    folder: Path
    name: str
    http_port: int
    https_port: int
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, **changes: Any) -> None:
        """Write moorage.yaml: the settings so far, with the changes."""
        self.settings = {**self.settings, **changes}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "moorage.yaml").write_text(yaml.safe_dump(self.settings, sort_keys=False), encoding="utf-8")

    def command(self, *words: str) -> list[str]:
        """The command line of `moorage`."""
        return [sys.executable, "-m", "moorage", "-C", str(self.folder), *words]

    def moorage(self, *words: str, stdin: str | None = None, timeout: float = 600) -> Outcome:
        """Run `moorage …` to its end."""
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def up(self, *words: str) -> Outcome:
        """`moorage up`; the host's own checks (public DNS…) are another test's business."""
        return self.moorage("up", "--skip-checks", *words)

    def must(self, *words: str) -> Outcome:
        """Run and insist on success."""
        outcome = self.moorage(*words)
        assert outcome.status == 0, outcome.text
        return outcome

    def container(self, service: str) -> str:
        """The id of the (only) container of a service."""
        found = docker(
            "ps",
            "-q",
            "--filter",
            f"label=com.docker.compose.project={self.name}",
            "--filter",
            f"label=com.docker.compose.service={service}",
        ).split()
        assert len(found) == 1, found
        return found[0]

    def address(self, service: str, network: str) -> str:
        """The address of a service on one of the project's networks."""
        template = f'{{{{(index .NetworkSettings.Networks "{self.name}_{network}").IPAddress}}}}'
        return docker("inspect", "--format", template, self.container(service)).strip()

    def request(
        self, method: str, path: str, body: Any = None, *, host: str = DOMAIN, headers: dict[str, str] | None = None
    ) -> Response:
        """One HTTPS request through the edge."""
        connection = self.connect(host)
        try:
            data = json.dumps(body) if body is not None else None
            extra = {"Content-Type": "application/json"} if data else {}
            connection.request(method, path, body=data, headers={"Host": host, **extra, **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def connect(self, host: str = DOMAIN, *, verify: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A TLS connection to the edge with the site's name."""
        context = verify or _anything()
        plain = socket.create_connection(("127.0.0.1", self.https_port), timeout=30)
        connection = http.client.HTTPConnection(host)
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        return connection

    def plain_request(self, path: str, *, host: str = DOMAIN, headers: dict[str, str] | None = None) -> Response:
        """One plain HTTP request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        try:
            connection.request("GET", path, headers={"Host": host, **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def remove(self) -> None:
        """Take everything away, whatever state it is in."""
        containers = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name}").split()
        if containers:
            docker("rm", "-f", *containers)
        for kind in ("network", "volume"):
            names = docker(kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={self.name}").split()
            if names:
                docker(kind, "rm", *names)
        for mine in (f"moorage-release/{self.name}/*", f"moorage-job/{self.name}"):
            kept = docker("images", "--format", "{{.Repository}}:{{.Tag}}", mine).split()
            if kept:
                docker("rmi", *kept)
        shutil.rmtree(self.folder, ignore_errors=True)


def new_site(folder: Path, **settings: Any) -> Site:
    """A site with a free name and free ports; internal authority unless told otherwise."""
    name = f"t{uuid.uuid4().hex[:8]}"
    http_port, https_port = free_ports(2)
    site = Site(folder / name, name, http_port, https_port)
    site.write(
        **{
            "name": name,
            "app": "notes",
            "domain": DOMAIN,
            "tls": {"mode": "internal-ca"},
            "edge": {"http_port": http_port, "https_port": https_port},
            "resources": {"host": {"memory": "6Gi", "cpus": 2}},
            **settings,
        }
    )
    return site


@contextmanager
def site_with_store(folder: Path) -> Iterator[Site]:
    """A site that is up, whose backups go to the folder `store` beside it, which nobody but root may look into."""
    store = folder / "store"
    store.mkdir(mode=0o700)
    site = new_site(folder, backups={"stores": [{"name": "disk", "directory": str(store)}]})
    try:
        outcome = site.up()
        assert outcome.status == 0, outcome.text
        yield site
    finally:
        site.remove()


def note(site: Site, title: str, **more: str) -> int:
    """Write a note; gives its number."""
    answer = site.request("POST", "/api/notes", {"title": title, "body": "b", **more})
    assert answer.status == 201, answer.body
    return int(answer.json()["id"])


def titles(site: Site) -> set[str]:
    """Those of all notes."""
    return {item["title"] for item in site.request("GET", "/api/notes").json()["notes"]}


def docker(*words: str, check: bool = True) -> str:
    """Run `docker …`; gives its output."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def _anything() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass
class Load:
    """Requests from a second process, counted."""

    good: int = 0
    lost: int = 0
    bad: list[str] = field(default_factory=list)


@contextmanager
def load(site: Site, workers: int = 4) -> Iterator[Load]:
    """Reads and writes in a loop from another process until the block ends."""
    script = Path(__file__).with_name("load.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(site.https_port), DOMAIN, str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    result = Load()
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "started"
        yield result
    finally:
        answer, _ = process.communicate("stop\n", timeout=60)
        data = json.loads(answer.strip().splitlines()[-1])
        result.good, result.lost, result.bad = data["good"], data["lost"], data["bad"]


@contextmanager
def watched_arguments(secrets: Sequence[str]) -> Iterator[list[str]]:
    """Look at the command line of every process of the machine, again and again; gives what was seen of the secrets."""
    seen: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit() or int(entry.name) == os.getpid():
                    continue
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                seen.extend(f"{secret[:4]}… in {line!r}" for secret in secrets if secret.encode() in line)
            time.sleep(0.005)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def secrets_of(site: Site) -> list[str]:
    """Every secret value of a deployment, derived ones included."""
    values = [path.read_text(encoding="utf-8").strip() for path in (site.folder / "secrets").glob("*/values/*")]
    values.append((site.folder / "secrets" / "recovery.key").read_text(encoding="ascii").strip())
    assert len(values) > 3
    return values
