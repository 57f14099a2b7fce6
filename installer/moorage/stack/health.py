"""How to see that a container works: the file's own check, or one made from `x-moorage.health`."""

from __future__ import annotations

import shlex

from moorage.app.extension import Health
from moorage.app.model import AppService, HealthCheck
from moorage.stack.model import Probe


def probe(health: Health | None, port: int) -> Probe | None:
    """The HTTP question that the edge may ask, if the app's file names a path."""
    if health is None or health.path is None:
        return None
    return Probe(health.path, health.port or port, health.live_path or "")


def health_check(service: AppService, port: int) -> HealthCheck | None:
    """The file's own check, else one made from `x-moorage.health`; None leaves the image's own in force."""
    if service.health_check is not None:
        return service.health_check
    health = service.extension.health
    if health is None:
        return None
    test: tuple[str, ...]
    if health.command:
        test = ("CMD", *health.command)
    elif health.path:
        url = f"http://127.0.0.1:{health.port or port}{health.path}"
        test = ("CMD-SHELL", _http_question(url, health.timeout_seconds))
    else:
        return None
    return HealthCheck(test, health.interval_seconds, health.timeout_seconds, health.retries, health.startup_seconds, 1)


def _http_question(url: str, timeout_seconds: int) -> str:
    """A shell line that asks with whatever the image has: wget, curl, Python or Node.

    The address is one quoted word everywhere and never part of a program: paths may hold `&`, `;` and `'`.
    """
    word = shlex.quote(url)
    python = f"import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout={timeout_seconds})"
    node = "fetch(process.argv[1]).then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))"
    return (
        f"if command -v wget >/dev/null; then wget -q -T {timeout_seconds} -O /dev/null {word}; "
        f"elif command -v curl >/dev/null; then curl -fsS -m {timeout_seconds} -o /dev/null {word}; "
        f'elif command -v python3 >/dev/null; then python3 -c "{python}" {word}; '
        f'else node -e "{node}" {word}; fi'
    )
