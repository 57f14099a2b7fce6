"""Ask the system's name servers: addresses and CAA records, in parallel and with a time limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moorage.checks.addresses import normal

LIMIT_SECONDS = 4.0

Query = Callable[[str, str], "Reply"]
"""Asks for one record type of one name: (`notes.example.com`, `AAAA`) → Reply."""


@dataclass(frozen=True)
class Reply:
    """The records of one type as text; `error` when nobody could tell, empty when there simply are none."""

    records: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Lookup:
    """The addresses of one name; `error` when at least one question got no answer."""

    name: str
    a: tuple[str, ...] = ()
    aaaa: tuple[str, ...] = ()
    error: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """IPv4 first."""
        return (*self.a, *self.aaaa)


@dataclass(frozen=True)
class CaaRecord:
    """One CAA record: `0 issue "letsencrypt.org; validationmethods=dns-01"`."""

    flags: int
    tag: str
    value: str


@dataclass(frozen=True)
class CaaSet:
    """The records that count for a name, and where up the tree they stand; none at all means that all may issue."""

    name: str
    found_at: str = ""
    records: tuple[CaaRecord, ...] = ()
    error: str = ""


def look_up(names: Sequence[str], query: Query) -> tuple[Lookup, ...]:
    """A and AAAA of all names at once, in the order given."""
    if not names:
        return ()
    with ThreadPoolExecutor(max_workers=min(64, 2 * len(names))) as pool:
        pending = [(name, pool.submit(query, name, "A"), pool.submit(query, name, "AAAA")) for name in names]
        replies = [(name, a.result(), aaaa.result()) for name, a, aaaa in pending]
    return tuple(
        Lookup(name, _addresses(a.records), _addresses(aaaa.records), a.error or aaaa.error)
        for name, a, aaaa in replies
    )


def caa_set(name: str, query: Query) -> CaaSet:
    """The CAA records of the name, or of the nearest parent that has any (RFC 8659)."""
    labels = name.split(".")
    # All steps are asked at once, because a slow name server would otherwise cost its time once per label.
    steps = [".".join(labels[index:]) for index in range(len(labels))]
    with ThreadPoolExecutor(max_workers=len(steps)) as pool:
        replies = list(pool.map(lambda step: query(step, "CAA"), steps))
    for step, reply in zip(steps, replies, strict=True):
        if reply.error:
            return CaaSet(name, step, error=reply.error)
        if reply.records:
            return CaaSet(name, step, tuple(_caa_record(text) for text in reply.records))
    return CaaSet(name)


def hosts_file_names(file: Path = Path("/etc/hosts")) -> frozenset[str]:
    """The names that this host resolves by itself, whatever the world's name servers say."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(name.lower() for line in lines for name in line.partition("#")[0].split()[1:])


def system_query(
    settings: Path = Path("/etc/resolv.conf"), port: int = 53, limit_seconds: float = LIMIT_SECONDS
) -> Query:
    """A Query to the name servers of /etc/resolv.conf; every question ends within the limit."""
    import dns.exception
    import dns.resolver

    try:
        resolver = dns.resolver.Resolver(filename=str(settings))
    except (dns.exception.DNSException, OSError) as error:
        reason = f"no name server is configured ({type(error).__name__})"
        return lambda _name, _kind: Reply(error=reason)
    resolver.port = port
    resolver.lifetime = limit_seconds
    resolver.timeout = limit_seconds / 2

    def query(name: str, kind: str) -> Reply:
        try:
            answer = resolver.resolve(f"{name}.", kind, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Reply()
        except dns.exception.Timeout:
            servers = ", ".join(str(server) for server in resolver.nameservers)
            return Reply(error=f"the name server {servers} does not answer")
        except dns.resolver.NoNameservers:
            return Reply(error="no name server gives an answer (SERVFAIL, REFUSED or no network)")
        except (dns.exception.DNSException, OSError) as error:
            return Reply(error=str(error).splitlines()[0] if str(error) else type(error).__name__)
        return Reply(tuple(sorted(_text(record, kind) for record in answer)))

    return query


def _text(record: Any, kind: str) -> str:
    if kind != "CAA":
        return str(record.to_text())
    tag, value = record.tag.decode("ascii", "replace"), record.value.decode("utf-8", "replace")
    return f"{record.flags} {tag} {value}"


def _caa_record(text: str) -> CaaRecord:
    flags, tag, value = (*text.split(" ", 2), "", "")[:3]
    return CaaRecord(int(flags) if flags.isdigit() else 0, tag.lower(), value.strip())


def _addresses(records: Sequence[str]) -> tuple[str, ...]:
    found = []
    for text in records:
        try:
            found.append(normal(text))
        except ValueError:
            continue
    return tuple(sorted(found))
