"""Ask the site through Traefik, as a browser would, but without leaving the host."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import datetime, timezone

from moorage.targets.compose.facts import StackFacts
from moorage.targets.routers import ROUTED_HEADER

_TRAEFIK_NOT_FOUND = "404 page not found"


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when nothing did, with the reason in `text`."""

    status: int
    text: str
    has_our_headers: bool = False

    @property
    def is_routed(self) -> bool:
        """Whether a service answered, rather than Traefik for lack of one."""
        # Many services answer with the very same words: they are written in Traefik's language. But every route of
        # ours adds headers, and Traefik's own answer has none of them.
        missing = self.status == 404 and self.text.startswith(_TRAEFIK_NOT_FOUND) and not self.has_our_headers
        return self.status not in (0, 502, 503, 504) and not missing


def ask(facts: StackFacts, host: str, path: str, timeout_seconds: float = 5) -> Answer:
    """One GET through the edge's published port. Certificates are not judged here, see `certificate`."""
    try:
        connection = _connection(facts, host, timeout_seconds)
        try:
            connection.request("GET", path, headers={"Host": host, "User-Agent": "moorage"})
            response = connection.getresponse()
            text = response.read(2000).decode(errors="replace").strip()
            return Answer(response.status, text, response.getheader(ROUTED_HEADER) is not None)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, str(error) or type(error).__name__)


def wait_for(facts: StackFacts, host: str, path: str, limit_seconds: float, *, stable: int = 1) -> Answer:
    """Ask until a service answers below 500 (`stable` times in a row), or the time is over."""
    end = time.monotonic() + limit_seconds
    in_a_row = 0
    while True:
        answer = ask(facts, host, path)
        in_a_row = in_a_row + 1 if answer.is_routed and answer.status < 500 else 0
        if in_a_row >= stable or time.monotonic() > end:
            return answer
        time.sleep(0.1 if in_a_row else 0.25)


def _connection(facts: StackFacts, host: str, timeout_seconds: float) -> http.client.HTTPConnection:
    address = _local_address(facts)
    if not facts.https_port:
        return http.client.HTTPConnection(address, facts.http_port, timeout=timeout_seconds)
    return _NamedConnection(address, facts.https_port, host, timeout_seconds)


def _local_address(facts: StackFacts) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(facts.address, facts.address)  # noqa: S104


class _NamedConnection(http.client.HTTPSConnection):
    """TLS to an address, with the name of the site in the handshake."""

    def __init__(self, address: str, port: int, name: str, timeout_seconds: float) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(address, port, timeout=timeout_seconds, context=context)
        self._name = name
        self._tls = context

    def connect(self) -> None:
        """Connect by address, present the name."""
        plain = socket.create_connection((self.host, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self._name)


@dataclass(frozen=True)
class Certificate:
    """The certificate that the edge presents for a name."""

    issuer: str
    subject: str
    not_after: datetime
    names: tuple[str, ...]

    @property
    def is_default(self) -> bool:
        """Whether it is Traefik's stand-in, made because there is no real one."""
        return "TRAEFIK DEFAULT CERT" in (self.subject + self.issuer)

    def days_left(self, now: datetime) -> float:
        """Days until it is no longer valid; negative when it is not."""
        return (self.not_after - now).total_seconds() / 86400


def certificate(facts: StackFacts, host: str, timeout_seconds: float = 5) -> Certificate | None:
    """The certificate for `host`, or None when the edge does not answer or does not do TLS."""
    if not facts.https_port:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((_local_address(facts), facts.https_port), timeout_seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            raw = secured.getpeercert(binary_form=True)
    except OSError:
        return None
    return _parsed(raw) if raw else None


def _parsed(raw: bytes) -> Certificate:
    from cryptography import x509

    parsed = x509.load_der_x509_certificate(raw)
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    except x509.ExtensionNotFound:
        names = []
    return Certificate(
        parsed.issuer.rfc4514_string(),
        parsed.subject.rfc4514_string(),
        parsed.not_valid_after_utc.astimezone(timezone.utc),
        tuple(names),
    )
