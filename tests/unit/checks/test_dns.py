"""DNS: names against addresses, for every way to get a certificate."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from moorage.checks import addresses, caa, names
from moorage.checks import dns as dns_check
from moorage.checks.addresses import HostAddress
from moorage.checks.names import CaaRecord, CaaSet, Lookup, Reply
from tests.unit.checks.samples import lines, needs

NAME = "app.example.com"
OURS, OURS6, OTHER, OTHER6 = "93.184.216.34", "2606:2800:220:1::1", "8.8.8.8", "2001:4860:4860::8888"
PRIVATE = "10.0.0.5"
NO_CAA = (CaaSet(NAME),)
CAA_OK = ("ok", f"{NAME} has no CAA records: every authority may issue", "")


def facts(*found: str, own: tuple[str, ...] = (OURS,), error: str = "", **changes: Any) -> dns_check.DnsFacts:
    lookup = Lookup(
        NAME,
        tuple(item for item in found if ":" not in item),
        tuple(item for item in found if ":" in item),
        error,
    )
    return replace(dns_check.DnsFacts((lookup,), None, own, ()), **changes)


OR_PROXY = "or `tls.mode: behind-proxy` if a proxy answers there"
SET = f"set the A record of {NAME} to {OURS}"


@pytest.mark.parametrize(
    ("facts", "stack", "expected"),
    [
        (facts(OURS), {}, ("ok", f"{NAME} → {OURS}, this host", "")),
        (facts(OURS, OURS6, own=(OURS, OURS6)), {"address": "::"}, ("ok", f"{NAME} → {OURS}, {OURS6}, this host", "")),
        (
            facts(OURS, own=(PRIVATE,)),
            {"public_address": OURS},
            ("ok", f"{NAME} → {OURS}, this host", ""),
        ),
        (facts(), {}, ("failure", f"{NAME} does not resolve", SET)),
        (
            facts(own=(PRIVATE,)),
            {},
            (
                "failure",
                f"{NAME} does not resolve",
                f"set the A record of {NAME} to the public address of this server",
            ),
        ),
        (
            facts(own=(PRIVATE,)),
            {"acme_server": "https://ca.lan:9000/acme/directory"},
            ("failure", f"{NAME} does not resolve", f"set the A record of {NAME} to {PRIVATE}"),
        ),
        *(
            (
                facts(),
                {"tls_mode": mode},
                (
                    "warning",
                    f"{NAME} does not resolve, so nobody finds it",
                    f"{SET}; for a try, a line in /etc/hosts",
                ),
            )
            for mode in ("internal-ca", "behind-proxy", "off", "files")
        ),
        (
            facts(in_hosts_file=frozenset({NAME})),
            {"tls_mode": "internal-ca"},
            ("ok", f"{NAME} is known to /etc/hosts only: other machines need it too", ""),
        ),
        (
            facts(OTHER),
            {},
            (
                "failure",
                f"{NAME} → {OTHER}, this host is {OURS}",
                f"{SET}, {OR_PROXY}, or `tls.challenge: cloudflare-dns`",
            ),
        ),
        (
            facts(OURS, OTHER),
            {},
            (
                "failure",
                f"{NAME} → also {OTHER}, this host is {OURS}",
                f"{SET}, {OR_PROXY}, or `tls.challenge: cloudflare-dns`",
            ),
        ),
        (
            facts(OTHER),
            {"acme_challenge": "cloudflare-dns"},
            ("warning", f"{NAME} → {OTHER}, this host is {OURS}", f"{SET}, {OR_PROXY}"),
        ),
        (facts(OTHER), {"tls_mode": "files"}, ("warning", f"{NAME} → {OTHER}, this host is {OURS}", SET)),
        (facts(OTHER), {"tls_mode": "behind-proxy"}, ("ok", f"{NAME} → {OTHER} (the proxy's, as it seems)", "")),
        (
            facts(OURS, OTHER6),
            {},
            (
                "failure",
                f"{NAME} → {OTHER6} by its AAAA record, this host is {OURS}; authorities ask IPv6 first",
                f"remove the AAAA record of {NAME}",
            ),
        ),
        (
            facts(OURS, OTHER6, own=(OURS, OURS6)),
            {"tls_mode": "internal-ca"},
            (
                "warning",
                f"{NAME} → {OTHER6} by its AAAA record, this host is {OURS}, {OURS6}",
                f"remove the AAAA record of {NAME}, or set it to {OURS6}",
            ),
        ),
        (
            facts(OURS, OURS6, own=(OURS, OURS6)),
            {},
            (
                "warning",
                f"{NAME} → {OURS}, {OURS6}: the AAAA record points here, but the edge listens on IPv4 only",
                f"remove the AAAA record of {NAME}: visitors and authorities try it first",
            ),
        ),
        (
            facts(OTHER, own=(PRIVATE,)),
            {},
            (
                "warning",
                f"{NAME} → {OTHER}; this host has only private addresses ({PRIVATE}), so whether that is this server "
                "cannot be told",
                f"if {OTHER} is this server's public address: `resources.host.address: {OTHER}`; else correct the "
                "record",
            ),
        ),
        (
            facts(OTHER, own=()),
            {},
            (
                "warning",
                f"{NAME} → {OTHER}; this host has no known address, so whether that is this server cannot be told",
                f"if {OTHER} is this server's public address: `resources.host.address: {OTHER}`; else correct the "
                "record",
            ),
        ),
        (
            facts(OTHER, OURS6, own=(PRIVATE, OURS6)),
            {},
            (
                "warning",
                f"{NAME} → {OTHER}, {OURS6}; this host has no public IPv4 address of its own ({PRIVATE}, {OURS6}), so "
                "whether that is this server cannot be told",
                f"if {OTHER} is this server's public address: `resources.host.address: {OTHER}`; else correct the "
                "record",
            ),
        ),
        (
            facts(PRIVATE, own=(PRIVATE,)),
            {},
            (
                "failure",
                f"{NAME} → {PRIVATE}: {PRIVATE} is not a public address, so Let's Encrypt does not reach it",
                "`tls.challenge: cloudflare-dns`, or `tls.mode: internal-ca`, or a record with the public address",
            ),
        ),
        (
            facts(PRIVATE, own=(PRIVATE,)),
            {"acme_server": "https://ca.lan/directory"},
            ("ok", f"{NAME} → {PRIVATE}, this host", ""),
        ),
        (facts(PRIVATE, own=(PRIVATE,)), {"tls_mode": "internal-ca"}, ("ok", f"{NAME} → {PRIVATE}, this host", "")),
        (
            facts("127.0.1.1"),
            {},
            (
                "warning",
                f"{NAME} → 127.0.1.1 here, which hides what the world sees",
                f"take {NAME} out of /etc/hosts",
            ),
        ),
        (facts("127.0.0.1"), {"tls_mode": "off"}, ("ok", f"{NAME} → 127.0.0.1 here, this machine itself", "")),
        (
            facts(OURS, error="the name server 192.0.2.53 does not answer"),
            {},
            (
                "warning",
                f"{NAME} → {OURS}, this host; the rest could not be looked up: the name server 192.0.2.53 does not "
                "answer",
                f"`dig AAAA {NAME}` must answer, even with nothing",
            ),
        ),
        (
            facts(error="the name server 192.0.2.53 does not answer"),
            {},
            (
                "warning",
                "no name could be looked up: the name server 192.0.2.53 does not answer",
                "`resolvectl status`, or the `nameserver` lines of /etc/resolv.conf",
            ),
        ),
    ],
)
def test_a_name(facts: dns_check.DnsFacts, stack: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert lines(dns_check.judge(facts, needs(**stack))) == [expected]


def test_a_chosen_address_is_the_only_right_one() -> None:
    second = "151.101.1.69"
    found = lines(dns_check.judge(facts(OURS, own=(OURS, second)), needs(address=second)))
    assert found[0][1] == f"{NAME} → {OURS}, this host is {second}"


def test_the_wildcard_is_a_name_like_the_others() -> None:
    found = dns_check.judge(
        facts(OURS, wildcard=Lookup("x1y2.app.example.com")), needs(wildcard=True, acme_challenge="cloudflare-dns")
    )
    assert lines(found) == [
        ("ok", f"{NAME} → {OURS}, this host", ""),
        ("failure", f"*.{NAME} does not resolve", f"set the A record of *.{NAME} to {OURS}"),
    ]


def test_one_name_without_answer_does_not_hide_the_others() -> None:
    second = Lookup("admin.example.com", error="no name server gives an answer (SERVFAIL, REFUSED or no network)")
    both = facts(OURS)
    found = dns_check.judge(replace(both, lookups=(*both.lookups, second)), needs())
    assert lines(found)[1] == (
        "warning",
        "admin.example.com could not be looked up: no name server gives an answer (SERVFAIL, REFUSED or no network)",
        "`dig +short admin.example.com` must give this host's address",
    )


def test_localhost_needs_no_name_server() -> None:
    asked: list[str] = []

    def query(name: str, _kind: str) -> Reply:
        asked.append(name)
        return Reply()

    stack = needs(domain="app.localhost", hosts=(), tls_mode="off", wildcard=True)
    found = dns_check.judge(dns_check.gather(stack, query), stack)
    assert lines(found) == [("ok", "app.localhost always means the machine itself", "")]
    assert asked == []


def records(*texts: str) -> tuple[CaaRecord, ...]:
    return tuple(CaaRecord(int(flags), tag, value) for flags, tag, value in (text.split(" ", 2) for text in texts))


@pytest.mark.parametrize(
    ("found", "wildcard", "challenge", "expected"),
    [
        ((), False, "http", CAA_OK),
        (
            records("0 issue letsencrypt.org"),
            False,
            "http",
            ("ok", "the CAA records of example.com allow letsencrypt.org for app.example.com", ""),
        ),
        (
            records("0 iodef mailto:ops@example.com"),
            False,
            "http",
            ("ok", "the CAA records of example.com allow letsencrypt.org for app.example.com", ""),
        ),
        (
            records("0 issue pki.goog; cansignhttpexchanges=yes", "0 issue digicert.com"),
            False,
            "http",
            (
                "failure",
                "the CAA records of example.com allow digicert.com, pki.goog to issue for app.example.com, not "
                "letsencrypt.org",
                'add the record `example.com CAA 0 issue "letsencrypt.org"`',
            ),
        ),
        (
            records("0 issue ;"),
            False,
            "http",
            (
                "failure",
                "the CAA records of example.com allow nobody to issue for app.example.com, not letsencrypt.org",
                'add the record `example.com CAA 0 issue "letsencrypt.org"`',
            ),
        ),
        (
            records("0 issue digicert.com", "0 issuewild letsencrypt.org"),
            False,
            "http",
            (
                "failure",
                "the CAA records of example.com allow digicert.com to issue for app.example.com, not letsencrypt.org",
                'add the record `example.com CAA 0 issue "letsencrypt.org"`',
            ),
        ),
        (
            records("128 issue letsencrypt.org", "0 policy loose"),
            False,
            "http",
            ("ok", "the CAA records of example.com allow letsencrypt.org for app.example.com", ""),
        ),
        (
            records("0 issue letsencrypt.org", "0 issuewild digicert.com"),
            True,
            "cloudflare-dns",
            (
                "failure",
                "the CAA records of example.com allow digicert.com to issue for *.app.example.com, not letsencrypt.org",
                'add the record `example.com CAA 0 issuewild "letsencrypt.org"`',
            ),
        ),
        (
            records("0 issue digicert.com", "0 issuewild letsencrypt.org"),
            True,
            "cloudflare-dns",
            ("ok", "the CAA records of example.com allow letsencrypt.org for *.app.example.com", ""),
        ),
        (
            records("0 issue letsencrypt.org; validationmethods=dns-01"),
            False,
            "http",
            (
                "failure",
                "the CAA records of example.com allow letsencrypt.org, but not by the challenge http-01",
                'add the record `example.com CAA 0 issue "letsencrypt.org"`, or another `tls.challenge`',
            ),
        ),
        (
            records("0 issue letsencrypt.org; validationmethods=http-01,dns-01; accounturi=https://a/1"),
            False,
            "http",
            ("ok", "the CAA records of example.com allow letsencrypt.org for app.example.com", ""),
        ),
        (
            records("128 policy strict", "0 issue letsencrypt.org"),
            False,
            "http",
            (
                "failure",
                "the CAA records of example.com have the critical tag `policy`, which forbids everything",
                "remove that record from example.com",
            ),
        ),
    ],
)
def test_caa(found: tuple[CaaRecord, ...], wildcard: bool, challenge: str, expected: tuple[str, str, str]) -> None:
    set_ = CaaSet(NAME, "example.com", found)
    stack = needs(acme_challenge=challenge)
    assert lines((caa.judge(NAME, "dns", set_, stack, wildcard=wildcard),)) == [expected]


def test_caa_without_answer_is_a_warning() -> None:
    set_ = CaaSet(NAME, "example.com", error="no name server gives an answer (SERVFAIL, REFUSED or no network)")
    assert lines((caa.judge(NAME, "dns", set_, needs(), wildcard=False),)) == [
        (
            "warning",
            "whether app.example.com may get a certificate (CAA) is not known: no name server gives an answer "
            "(SERVFAIL, REFUSED or no network)",
            "`dig CAA example.com` must answer, even with nothing",
        )
    ]


@pytest.mark.parametrize(
    ("server", "authority"),
    [
        ("https://acme-v02.api.letsencrypt.org/directory", "letsencrypt.org"),
        ("https://acme-staging-v02.api.letsencrypt.org/directory", "letsencrypt.org"),
        ("https://notletsencrypt.org/directory", ""),
        ("https://ca.lan:9000/acme", ""),
        ("", ""),
    ],
)
def test_the_authority_of_a_server(server: str, authority: str) -> None:
    assert caa.authority_of(server) == authority


def test_names_that_may_and_may_not_have_their_certificate() -> None:
    forbidden = CaaSet("admin.example.com", "admin.example.com", records("0 issue digicert.com"))
    both = dns_check.judge(facts(OURS, caa=(*NO_CAA, forbidden)), needs())
    assert [item.level for item in both] == ["ok", "failure"]
    assert lines(dns_check.judge(facts(OURS, caa=(*NO_CAA, CaaSet("admin.example.com"))), needs()))[1:] == [CAA_OK]


def test_a_wildcard_certificate_is_asked_for_by_the_domain_only() -> None:
    sets = (
        CaaSet(NAME, NAME, records("0 issue letsencrypt.org", "0 issuewild ;")),
        CaaSet("admin.example.com", "admin.example.com", records("0 issue letsencrypt.org", "0 issuewild ;")),
    )
    by_dns = needs(wildcard=True, acme_challenge="cloudflare-dns")
    found = [item.text for item in dns_check.judge(facts(OURS, caa=sets), by_dns) if item.level == "failure"]
    assert found == [
        "the CAA records of app.example.com allow nobody to issue for *.app.example.com, not letsencrypt.org"
    ]
    for stack in (needs(wildcard=True), needs(acme_challenge="cloudflare-dns")):
        assert [item.level for item in dns_check.judge(facts(OURS, caa=sets), stack)] == ["ok", "ok"]


ZONE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("app.example.com.", "A"): (OURS,),
    ("app.example.com.", "AAAA"): (OURS6,),
    ("admin.example.com.", "A"): (OURS,),
    ("half.example.com.", "A"): (OURS,),
    ("example.com.", "CAA"): ('0 issue "letsencrypt.org; validationmethods=http-01"', '0 iodef "mailto:a@b.example"'),
}


class NameServer(threading.Thread):
    """A name server on a port of this machine; `broken.` names fail, `silent.` ones get no answer."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])

    def run(self) -> None:
        while True:
            try:
                wire, client = self.socket.recvfrom(4096)
                answer = self.answer(dns.message.from_wire(wire))
                if answer is not None:
                    self.socket.sendto(answer.to_wire(), client)
            except OSError:
                return

    @staticmethod
    def answer(question: Any) -> Any:
        name, kind = str(question.question[0].name), question.question[0].rdtype.name
        if name.startswith("silent."):
            return None
        reply = dns.message.make_response(question)
        reply.flags |= dns.flags.RA
        if name.startswith("broken.") or (name.startswith("half.") and kind == "AAAA"):
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in ZONE:
            reply.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *ZONE[name, kind]))
        elif not any(known.endswith(name) for known, _ in ZONE):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply


@pytest.fixture
def query(tmp_path: Path) -> Iterator[names.Query]:
    server = NameServer()
    server.start()
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    yield names.system_query(tmp_path / "resolv.conf", server.port, 0.5)
    server.socket.close()


def test_real_questions_to_a_name_server(query: names.Query) -> None:
    found = names.look_up(("app.example.com", "admin.example.com", "none.example.org", "broken.example.com"), query)
    assert found == (
        Lookup("app.example.com", (OURS,), (OURS6,)),
        Lookup("admin.example.com", (OURS,), ()),
        Lookup("none.example.org"),
        Lookup("broken.example.com", error="no name server gives an answer (SERVFAIL, REFUSED or no network)"),
    )
    (half,) = names.look_up(("half.example.com",), query)
    assert half == Lookup(
        "half.example.com", (OURS,), (), "no name server gives an answer (SERVFAIL, REFUSED or no network)"
    )
    (silent,) = names.look_up(("silent.example.com",), query)
    assert silent.error == "the name server 127.0.0.1 does not answer"


def test_caa_is_found_up_the_tree(query: names.Query) -> None:
    found = names.caa_set("app.example.com", query)
    assert found.found_at == "example.com"
    assert found.records == (
        CaaRecord(0, "iodef", "mailto:a@b.example"),
        CaaRecord(0, "issue", "letsencrypt.org; validationmethods=http-01"),
    )
    assert names.caa_set("broken.example.com", query).error.startswith("no name server gives an answer")
    assert names.caa_set("none.example.org", query) == CaaSet("none.example.org")


def test_gather_asks_for_everything_once(query: names.Query) -> None:
    stack = needs(wildcard=True, hosts=("admin.example.com", NAME))
    found = dns_check.gather(stack, query, lambda: "random")
    assert [item.name for item in found.lookups] == [NAME, "admin.example.com"]
    assert found.wildcard == Lookup("random.app.example.com")
    assert [item.name for item in found.caa] == [NAME, "admin.example.com"]
    assert dns_check.gather(needs(tls_mode="files"), query).caa == ()


def test_without_a_name_server_nothing_fails_hard(tmp_path: Path) -> None:
    missing = names.system_query(tmp_path / "none")
    (empty,) = names.look_up((NAME,), missing)
    assert empty.error.startswith("no name server is configured")


def test_the_hosts_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost\n127.0.1.1 Box.lan box # app.example.com\n\n")
    assert names.hosts_file_names(file) == {"localhost", "box.lan", "box"}
    assert names.hosts_file_names(tmp_path / "none") == frozenset()


def test_the_addresses_of_this_host() -> None:
    found = addresses.host_addresses()
    assert HostAddress("lo", "127.0.0.1") in found
    assert "127.0.0.1" not in addresses.outward(found)
    assert HostAddress("lo", "127.0.0.1") in tuple(addresses._from_kernel(Path("/proc")))


def test_addresses_that_a_name_can_point_at() -> None:
    known = (
        HostAddress("lo", "127.0.0.1"),
        HostAddress("eth0", OURS),
        HostAddress("eth0", "fe80::1"),
        HostAddress("docker0", "172.17.0.1"),
        HostAddress("br-0123456789ab", "172.18.0.1"),
        HostAddress("br-lan", "192.168.1.2"),
        HostAddress("br0", OURS6),
    )
    assert addresses.outward(known) == (OURS, "192.168.1.2", OURS6)
    assert addresses.normal("::ffff:10.0.0.1") == "10.0.0.1"
    assert addresses.normal("fe80::1%eth0") == "fe80::1"


def ip(folder: Path, output: str) -> None:
    (folder / "ip").write_text(f"#!/bin/sh\ncat <<'end'\n{output}\nend\n")
    (folder / "ip").chmod(0o755)


def test_addresses_as_the_program_ip_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    ip(tmp_path, '[{"ifname": "eth9", "addr_info": [{"local": "93.184.216.34"}, {}]}, {"ifname": "down"}]')
    assert addresses.host_addresses() == (HostAddress("eth9", OURS),)
    for rubbish in ("[]", "no JSON", "[3]"):
        ip(tmp_path, rubbish)
        assert HostAddress("lo", "127.0.0.1") in addresses.host_addresses()
