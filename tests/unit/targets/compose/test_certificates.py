"""A certificate that is missing is asked for again by `up`, and why it can't be had is said in Traefik's words."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from moorage.console import Console
from moorage.errors import CommandFailed
from moorage.process import Result
from moorage.targets.compose import certificates, probe
from moorage.targets.compose.certificates import Certificates
from moorage.targets.compose.docker import Container, Docker
from moorage.targets.compose.facts import RouteFacts
from tests.unit.targets.compose.test_plan import container, service, stack

FACTS = stack(
    service(),
    domain="example.com",
    https_port=443,
    acme_server="https://acme.example/dir",
    routes=(RouteFacts("web", "example.com", "/"), RouteFacts("web", "www.example.com", "/")),
)
ISSUED = probe.Certificate("CN=R11", "CN=example.com", datetime(2027, 2, 20, tzinfo=timezone.utc), ("example.com",))
STAND_IN = probe.Certificate("CN=TRAEFIK DEFAULT CERT", "", datetime(2027, 2, 20, tzinfo=timezone.utc), ())


def line(domain: str, reason: str = "no such host") -> str:
    message = "Unable to obtain ACME certificate for domains"
    return json.dumps(
        {"level": "error", "message": message, "error": f"[{domain}] acme: {reason}"}, separators=(",", ":")
    )


class Proxy(Docker):
    """Traefik's log, and what it does when it is told of a changed file."""

    def __init__(self) -> None:
        self.before: list[str] = []
        self.after: list[str] = []
        self.answers = ""
        self.refuses = False
        self.published: list[str] = []

    def containers(self) -> tuple[Container, ...]:
        return (container("traefik"),)

    def compose(self, *words: str, stdin: str | None = None, **_: Any) -> Result:
        if self.refuses:
            raise CommandFailed(["docker"], 1, "no space left on device")
        assert words[-3:] == ("edge-routes", "put", "again.yaml")
        self.published.append(stdin or "")
        if self.answers:
            self.after.append(self.answers)
        return Result(0, "", "")

    def last_lines(self, container: str, count: int = 20, since: str = "") -> str:
        return "\n".join(self.after if since else [*self.before, *self.after])


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """Issues at once when it is asked, unless it answers with an error."""
    found = Proxy()
    now = iter(range(100_000))
    monkeypatch.setattr(certificates.time, "sleep", lambda _: None)
    monkeypatch.setattr(certificates.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(probe, "certificate", lambda *_: ISSUED if found.published and not found.answers else STAND_IN)
    return found


def status(proxy: Proxy, facts: Any = FACTS, *, is_new: bool) -> int:
    return Certificates(proxy, facts, Console()).status(is_new=is_new)


def test_an_up_without_a_change_asks_again(proxy: Proxy) -> None:
    proxy.before = [line("example.com")]
    assert status(proxy, is_new=False) == 0
    assert len(proxy.published) == 1


def test_each_time_the_file_is_another_one(proxy: Proxy) -> None:
    proxy.answers = line("example.com")
    assert [status(proxy, is_new=False) for _ in range(2)] == [1, 1]
    assert len(set(proxy.published)) == 2


def test_after_a_change_traefik_is_left_at_work_unless_it_had_given_up(proxy: Proxy) -> None:
    assert status(proxy, is_new=True) == 1
    assert proxy.published == []
    proxy.before = [line("example.com")]
    assert status(proxy, is_new=True) == 0
    assert len(proxy.published) == 1


def test_only_what_was_said_about_these_names_and_since_then_is_told(
    proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.before = [line("shop.example.com"), line("example.com", "old reason"), line("example.com.org")]
    proxy.answers = line("example.com", "caa forbids")
    assert status(proxy, is_new=False) == 1
    told = capsys.readouterr().err
    assert "caa forbids" in told
    assert "old reason" not in told
    assert "shop." not in told


def test_names_of_other_sites_are_no_reason(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    proxy.before = [line(name) for name in ("old.example.org", "shop.example.com", "myexample.com", "example.com.org")]
    assert status(proxy, is_new=True) == 1
    assert "Unable" not in capsys.readouterr().err
    assert proxy.published == []


def test_a_reason_that_does_not_name_the_host_is_told(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {
        "level": "error",
        "message": "Unable to obtain ACME certificate",
        "error": "no ACME client",
        "domains": ["example.com"],
    }
    proxy.answers = json.dumps(entry, separators=(",", ":"))
    assert status(proxy, is_new=False) == 1
    assert "no ACME client" in capsys.readouterr().err


def test_without_acme_nothing_is_asked(proxy: Proxy) -> None:
    assert status(proxy, stack(service(), https_port=443), is_new=False) == 1
    assert status(proxy, stack(service()), is_new=False) == 0
    assert proxy.published == []


def test_a_proxy_that_can_not_be_told_is_a_warning(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    proxy.refuses = True
    assert status(proxy, is_new=False) == 1
    assert "could not be told to ask for the certificate" in capsys.readouterr().err
