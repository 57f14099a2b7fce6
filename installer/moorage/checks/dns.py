"""DNS: do the names point at this host, and may the certificate authority issue for them."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from moorage.checks import caa
from moorage.checks.addresses import host_addresses, is_public, normal, outward
from moorage.checks.asking import Engine
from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.checks.names import CaaSet, Lookup, Query, caa_set, hosts_file_names, look_up, system_query

NAME = "dns"
_DOMAIN = ("domain",)
_ADDRESS = ("resources", "host", "address")
_ANY_IPV4 = "0.0.0.0"  # noqa: S104 - compared, not listened on


@dataclass(frozen=True)
class DnsFacts:
    """What the name servers say, and the addresses that this host itself knows of.

    `wildcard` is the lookup of a random name below the domain. `caa` is empty when no public authority is asked.
    """

    lookups: tuple[Lookup, ...]
    wildcard: Lookup | None
    addresses: tuple[str, ...]
    caa: tuple[CaaSet, ...]
    in_hosts_file: frozenset[str] = frozenset()


def check(needs: Needs, engine: Engine) -> tuple[Finding, ...]:  # noqa: ARG001 - the same for all checks
    """Ask the name servers and judge."""
    return judge(gather(needs, system_query()), needs)


def gather(needs: Needs, query: Query, random_label: Callable[[], str] = lambda: secrets.token_hex(6)) -> DnsFacts:
    """Look up all names at once. At most two times the name server's limit, with no network at all too."""
    names = tuple(name for name in _names(needs) if not _is_local(name))
    below = (f"{random_label()}.{needs.domain}",) if needs.wildcard and not _is_local(needs.domain) else ()
    asks_caa = needs.tls_mode == "letsencrypt" and caa.authority_of(needs.acme_server)
    with ThreadPoolExecutor(max_workers=2 + len(names)) as pool:
        sets = [pool.submit(caa_set, name, query) for name in names] if asks_caa else []
        lookups = look_up((*names, *below), query)
        found = tuple(item.result() for item in sets)
    return DnsFacts(
        lookups=lookups[: len(names)],
        wildcard=lookups[-1] if below else None,
        addresses=outward(host_addresses()),
        caa=found,
        in_hosts_file=hosts_file_names(),
    )


def judge(facts: DnsFacts, needs: Needs) -> tuple[Finding, ...]:
    """A line for every name, then the lines about CAA."""
    lookups = [*facts.lookups, *([facts.wildcard] if facts.wildcard else [])]
    local = [ok(NAME, f"{name} always means the machine itself") for name in _names(needs) if _is_local(name)]
    if lookups and all(item.error and not item.addresses for item in lookups):
        text = f"no name could be looked up: {lookups[0].error}"
        return (*local, warning(NAME, text, "`resolvectl status`, or the `nameserver` lines of /etc/resolv.conf"))
    findings = [*local]
    for item in facts.lookups:
        findings.extend(_name(item.name, item, facts, needs))
    if facts.wildcard:
        findings.extend(_name(f"*.{needs.domain}", facts.wildcard, facts, needs))
    return (*findings, *_authorities(facts, needs))


def _names(needs: Needs) -> tuple[str, ...]:
    return tuple(dict.fromkeys((needs.domain, *sorted(needs.hosts))))


def _is_local(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _is_strict(needs: Needs) -> bool:
    """Whether a certificate depends on where the names point."""
    return needs.tls_mode == "letsencrypt" and needs.acme_challenge == "http"


def _own(facts: DnsFacts, needs: Needs) -> tuple[str, ...]:
    """The addresses that a name may point at: one to listen on when it was chosen, and the public one."""
    chosen = normal(needs.address)
    parsed = ipaddress.ip_address(chosen)
    own = facts.addresses if parsed.is_unspecified or parsed.is_loopback else (chosen,)
    public = (normal(needs.public_address),) if needs.public_address else ()
    return tuple(dict.fromkeys((*public, *own)))


def _name(shown: str, found: Lookup, facts: DnsFacts, needs: Needs) -> Iterator[Finding]:
    own = _own(facts, needs)
    if not found.addresses:
        yield _without_address(shown, found, facts, needs)
        return
    if any(ipaddress.ip_address(item).is_loopback for item in found.addresses):
        yield _loopback(shown, found, needs)
        return
    elsewhere = Lookup(shown, _without(found.a, own), _without(found.aaaa, own))
    where = f"{shown} → {', '.join(found.addresses)}"
    if not elsewhere.addresses:
        yield _here(shown, where, found, needs)
        return
    if needs.tls_mode == "behind-proxy":
        yield ok(NAME, f"{where} (the proxy's, as it seems)")
        return
    # Nobody translates IPv6 addresses: one known public address is enough to judge an AAAA record.
    can_judge_a, can_judge_aaaa = bool(_public(own, 4)), any(map(is_public, own))
    hidden = (*(() if can_judge_a else elsewhere.a), *(() if can_judge_aaaa else elsewhere.aaaa))
    if hidden:
        yield _behind_nat(where, hidden[0], own)
    if elsewhere.a and can_judge_a:
        yield _wrong_a(shown, found, elsewhere.a, own, needs)
    if elsewhere.aaaa and can_judge_aaaa:
        yield _wrong_aaaa(shown, elsewhere.aaaa, own, needs)


def _without_address(shown: str, found: Lookup, facts: DnsFacts, needs: Needs) -> Finding:
    if found.error:
        text = f"{shown} could not be looked up: {found.error}"
        return warning(NAME, text, f"`dig +short {found.name}` must give this host's address", _DOMAIN)
    if found.name in facts.in_hosts_file and needs.tls_mode != "letsencrypt":
        return ok(NAME, f"{shown} is known to /etc/hosts only: other machines need it too")
    own = _own(facts, needs)
    if needs.tls_mode == "letsencrypt":
        # A private address in the record would only move the failure to the first order.
        candidates = _public(own, 4) if caa.authority_of(needs.acme_server) else own
        return failure(NAME, f"{shown} does not resolve", _record(shown, _best(candidates, 4)), _DOMAIN)
    fix = _record(shown, _best(own, 4))
    return warning(
        NAME, f"{shown} does not resolve, so nobody finds it", f"{fix}; for a try, a line in /etc/hosts", _DOMAIN
    )


def _loopback(shown: str, found: Lookup, needs: Needs) -> Finding:
    where = f"{shown} → {', '.join(found.addresses)} here"
    if needs.tls_mode != "letsencrypt":
        return ok(NAME, f"{where}, this machine itself")
    text = f"{where}, which hides what the world sees"
    return warning(NAME, text, f"take {found.name} out of /etc/hosts", _DOMAIN)


def _here(shown: str, where: str, found: Lookup, needs: Needs) -> Finding:
    private = [item for item in found.addresses if not is_public(item)]
    if private and _is_strict(needs) and caa.authority_of(needs.acme_server):
        text = f"{where}: {private[0]} is not a public address, so Let's Encrypt does not reach it"
        fix = "`tls.challenge: cloudflare-dns`, or `tls.mode: internal-ca`, or a record with the public address"
        return failure(NAME, text, fix, ("tls",))
    if found.aaaa and normal(needs.address) == _ANY_IPV4:
        text = f"{where}: the AAAA record points here, but the edge listens on IPv4 only"
        fix = f"remove the AAAA record of {shown}: visitors and authorities try it first"
        return warning(NAME, text, fix, ("edge", "address"))
    if found.error:
        text = f"{where}, this host; the rest could not be looked up: {found.error}"
        return warning(NAME, text, f"`dig AAAA {found.name}` must answer, even with nothing", _DOMAIN)
    return ok(NAME, f"{where}, this host")


def _behind_nat(where: str, best: str, own: tuple[str, ...]) -> Finding:
    known = f"only private addresses ({', '.join(own)})" if own else "no known address"
    if any(map(is_public, own)):
        known = f"no public IPv4 address of its own ({', '.join(own)})"
    text = f"{where}; this host has {known}, so whether that is this server cannot be told"
    fix = f"if {best} is this server's public address: `resources.host.address: {best}`; else correct the record"
    return warning(NAME, text, fix, _ADDRESS)


def _wrong_a(shown: str, found: Lookup, wrong: tuple[str, ...], own: tuple[str, ...], needs: Needs) -> Finding:
    also = "also " if len(wrong) < len(found.a) else ""
    text = f"{shown} → {also}{', '.join(wrong)}, this host is {', '.join(_public(own, 4))}"
    fix = _record(shown, _best(own, 4))
    if needs.tls_mode == "letsencrypt":
        fix += ", or `tls.mode: behind-proxy` if a proxy answers there"
    if not _is_strict(needs):
        return warning(NAME, text, fix, _DOMAIN)
    return failure(NAME, text, f"{fix}, or `tls.challenge: cloudflare-dns`", _DOMAIN)


def _wrong_aaaa(shown: str, wrong: tuple[str, ...], own: tuple[str, ...], needs: Needs) -> Finding:
    text = f"{shown} → {', '.join(wrong)} by its AAAA record, this host is {', '.join(filter(is_public, own))}"
    best = _best(own, 6)
    fix = f"remove the AAAA record of {shown}" + (f", or set it to {best}" if best else "")
    if not _is_strict(needs):
        return warning(NAME, text, fix, _DOMAIN)
    return failure(NAME, f"{text}; authorities ask IPv6 first", fix, _DOMAIN)


def _without(addresses: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item for item in addresses if item not in own)


def _public(own: tuple[str, ...], version: int) -> tuple[str, ...]:
    return tuple(item for item in own if ipaddress.ip_address(item).version == version and is_public(item))


def _authorities(facts: DnsFacts, needs: Needs) -> Iterator[Finding]:
    """One line when all names may have their certificate, else one for every name that may not."""
    findings = [caa.judge(item.name, NAME, item, needs, wildcard=False) for item in facts.caa]
    if needs.wildcard and needs.acme_challenge != "http":
        own = [item for item in facts.caa if item.name == needs.domain]
        findings += [caa.judge(item.name, NAME, item, needs, wildcard=True) for item in own]
    bad = [item for item in findings if item.level != "ok"]
    yield from dict.fromkeys(bad or findings[:1])


def _best(own: tuple[str, ...], version: int) -> str:
    """The address to write into a record: public before private, nothing when there is none."""
    fitting = [item for item in own if ipaddress.ip_address(item).version == version]
    return next((item for item in fitting if is_public(item)), fitting[0] if fitting and version == 4 else "")


def _record(shown: str, address: str) -> str:
    return f"set the A record of {shown} to {address or 'the public address of this server'}"
