"""The certificate after an `up`: let Traefik ask for it again, wait, and say why there is none."""

from __future__ import annotations

import json
import re
import secrets
import time
from datetime import datetime, timezone

from moorage.console import Console
from moorage.formats import dump_yaml
from moorage.targets.compose import probe
from moorage.targets.compose.docker import Docker
from moorage.targets.compose.facts import StackFacts
from moorage.targets.compose.names import AGAIN_FILE, EDGE_ROUTES, TRAEFIK
from moorage.targets.reasons import StepError, reason_of
from moorage.targets.routers import own_name

# Let's Encrypt takes seconds; a DNS challenge waits for the record to spread.
_LIMIT_SECONDS = 120.0
_LOG_LINES = 400


class Certificates:
    """The certificate of one stack; made when an `up` begins, so that it knows what was said before."""

    def __init__(self, docker: Docker, facts: StackFacts, console: Console) -> None:
        self._docker = docker
        self._facts = facts
        self._console = console
        self._since = datetime.now(timezone.utc)

    def status(self, *, is_new: bool) -> int:
        """0 when the site has a real certificate (or needs none), 1 when it has none.

        Waits after a change, and after Traefik was told to ask again; not longer than until it failed.
        """
        if not self._facts.https_port:
            return 0
        found = self._certificate()
        waits = is_new
        if found is None and self._facts.acme_server and (not is_new or self._has_given_up()):
            waits = self._ask_again() or is_new
        limit = _LIMIT_SECONDS if waits else 0
        end = time.monotonic() + limit
        with self._console.waiting("the certificate", limit or None):
            while found is None and time.monotonic() < end and not self._errors({self._facts.domain}):
                time.sleep(1)
                found = self._certificate()
        if found is not None:
            self._console.success(f"certificate until {found.not_after:%Y-%m-%d}, {found.issuer}")
            return 0
        self._tell()
        return 1

    def _certificate(self) -> probe.Certificate | None:
        """The real one; Traefik's stand-in is none."""
        found = probe.certificate(self._facts, self._facts.domain)
        return None if found is None or found.is_default else found

    def _tell(self) -> None:
        self._console.failure("the site runs, but has no certificate yet; browsers will warn")
        hosts = {self._facts.domain, *(route.host for route in self._facts.routes)}
        for line in (self._errors(hosts) or self._errors(hosts, always=True))[-2:]:
            self._console.detail(line)
        self._console.detail(
            "→ `moorage check` looks at DNS and ports; when the cause is mended, `moorage up` asks for it again"
        )

    def _has_given_up(self) -> bool:
        """Whether Traefik failed before this `up`: after a failure it asks at a change of its routes only."""
        return len(self._errors({self._facts.domain}, always=True)) > len(self._errors({self._facts.domain}))

    def _ask_again(self) -> bool:
        """Give Traefik a file that changes nothing but its contents; at any change it asks for what it lacks.

        The file stays until routes are published: taking it away would be a change, too.
        """
        self._since = datetime.now(timezone.utc)
        header = {"headers": {"customResponseHeaders": {"X-Moorage-Asked": secrets.token_hex(8)}}}
        content = dump_yaml(
            {"http": {"middlewares": {own_name("again"): header}}}, "Makes Traefik ask for certificates."
        )
        try:
            self._docker.compose("run", "--rm", "--no-deps", "-T", EDGE_ROUTES, "put", AGAIN_FILE, stdin=content)
        except StepError as error:
            self._console.warning(f"Traefik could not be told to ask for the certificate: {reason_of(error).message}")
            return False
        self._console.action("Traefik asks for the certificate again")
        return True

    def _errors(self, hosts: set[str], *, always: bool = False) -> list[str]:
        """Why Traefik could not get one for these hosts since this run began (or ever), in its own words."""
        since = "" if always else self._since.isoformat()
        names = "|".join(re.escape(host) for host in sorted(hosts))
        about = re.compile(rf"(?<![\w.-])(?:\*\.)?(?:{names})(?![\w-]|\.\w)")
        lines = []
        for item in self._docker.containers():
            if item.service == TRAEFIK and not item.is_one_off:
                said = self._docker.last_lines(item.id, _LOG_LINES, since=since)
                # The whole line: the reason alone does not always name the host, the fields beside it do.
                lines += [_reason(line) for line in said.splitlines() if about.search(line) and _reason(line)]
        return lines


def _reason(line: str) -> str:
    """The sentence of a log line that tells of a certificate that could not be had; else an empty text."""
    if '"level":"error"' not in line or "ertificate" not in line:
        return ""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return f"{entry.get('message', '')}: {entry.get('error', '')}"
