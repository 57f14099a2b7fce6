"""Try a fresh server for real: boot, nested Compose, a timer, reboot, loss of power.

python3 tests/machine/try_server.py [bookworm|trixie ...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from rig import RigError, say
from server import FreshServer

COMPOSE = """\
services:
  page:
    image: busybox:stable
    command: [httpd, -f, -p, "8080", -h, /srv]
    init: true
    restart: unless-stopped
    ports: ["80:8080"]
    volumes: [pages:/srv]
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/page"], interval: 1s}
    deploy: {resources: {limits: {memory: 32M}}}
volumes: {pages: {}}
"""
TIMER = """\
[Timer]
OnBootSec=1s
OnUnitActiveSec=1s
AccuracySec=100ms
[Install]
WantedBy=timers.target
"""
SERVICE = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'date >> /root/ticks'
"""
PUBLISH = ["docker", "run", "--rm", "--volume", "root_pages:/srv", "busybox:stable"]
# The first exists with control groups version 1, the second with version 2.
READ_LIMIT = ["cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"]


def main() -> int:
    """Try the suites that are named, or both."""
    for suite in sys.argv[1:] or ["bookworm", "trixie"]:
        try:
            _try(suite)
        except RigError as error:
            say(f"error: {error}")
            return 1
    return 0


def _try(suite: str) -> None:
    started = time.monotonic()

    def report(what: str) -> None:
        print(f"{suite:<9} {time.monotonic() - started:6.1f} s  {what}", flush=True)

    with FreshServer(suite) as server:
        report(f"systemd and the engine are up as {server.name} at {server.address}")
        server.load_images(["busybox:stable"])
        report("an image is loaded")
        _install(server)
        _try_compose(server)
        report("nested compose up: page served, memory limit in force")
        server.run(["systemctl", "enable", "--now", "tick.timer"])
        _expect("the timer fires", lambda: _ticks(server) > 1)
        report("a systemd timer fires")
        _try_return(server, server.reboot)
        report("reboot: container and timer are back")
        _try_return(server, server.cut_power)
        report("loss of power: container and timer are back")
    report("removed")


def _try_compose(server: FreshServer) -> None:
    server.run([*PUBLISH, "sh", "-c", "echo moored > /srv/page"])
    server.run(["docker", "compose", "up", "--detach", "--wait"])
    _expect("the page over a published port", lambda: _page(server) == "moored")
    limit = server.run(["docker", "compose", "exec", "page", *READ_LIMIT], check=False).stdout
    _expect("the memory limit holds", lambda: str(32 * 1024 * 1024) in limit)


def _try_return(server: FreshServer, interrupt: Callable[[], None]) -> None:
    ticks = _ticks(server)
    interrupt()
    _expect("the page is back", lambda: _page(server) == "moored")
    _expect("the timer is back", lambda: _ticks(server) > ticks)


def _install(server: FreshServer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = {"compose.yaml": COMPOSE, "tick.timer": TIMER, "tick.service": SERVICE}
        for name, content in files.items():
            target = "/root" if name.endswith("yaml") else "/etc/systemd/system"
            (Path(folder) / name).write_text(content)
            server.copy_in(Path(folder) / name, target)
    server.run(["systemctl", "daemon-reload"])


def _page(server: FreshServer) -> str:
    """Fetch the page from outside, as a visitor would; empty while nothing answers."""
    try:
        with urlopen(f"http://{server.address}/page", timeout=5) as answer:
            return str(answer.read().decode().strip())
    except OSError:
        return ""


def _ticks(server: FreshServer) -> int:
    return server.run(["cat", "/root/ticks"], check=False).stdout.count("\n")


def _expect(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            raise RigError(f"not after 30 s: {what}")
        time.sleep(0.3)


if __name__ == "__main__":
    sys.exit(main())
