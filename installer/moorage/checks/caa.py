"""CAA records: whom the owner of a domain allows to make certificates for it."""

from __future__ import annotations

from moorage.checks.base import Finding, Needs, failure, ok, warning
from moorage.checks.names import CaaRecord, CaaSet

LETS_ENCRYPT = "letsencrypt.org"
_KNOWN_TAGS = ("issue", "issuewild", "issuemail", "issuevmc", "iodef", "contactemail", "contactphone")
_CRITICAL = 128
_METHODS = {"http": "http-01", "cloudflare-dns": "dns-01"}


def authority_of(acme_server: str) -> str:
    """The name that CAA records know an ACME server by; empty for servers that are not Let's Encrypt's."""
    host = acme_server.partition("://")[2].partition("/")[0].partition(":")[0].lower()
    return LETS_ENCRYPT if host == LETS_ENCRYPT or host.endswith(f".{LETS_ENCRYPT}") else ""


def judge(name: str, check: str, found: CaaSet, needs: Needs, *, wildcard: bool) -> Finding:
    """The line about one set of records; `wildcard` when the certificate is for `*.<name>`."""
    shown = f"*.{name}" if wildcard else name
    if found.error:
        text = f"whether {shown} may get a certificate (CAA) is not known: {found.error}"
        return warning(check, text, f"`dig CAA {found.found_at or name}` must answer, even with nothing", ("domain",))
    if not found.records:
        return ok(check, f"{shown} has no CAA records: every authority may issue")
    unknown = [item.tag for item in found.records if item.flags & _CRITICAL and item.tag not in _KNOWN_TAGS]
    if unknown:
        text = f"the CAA records of {found.found_at} have the critical tag `{unknown[0]}`, which forbids everything"
        return failure(check, text, f"remove that record from {found.found_at}", ("domain",))
    rules = _rules(found.records, wildcard=wildcard)
    method = _METHODS.get(needs.acme_challenge, "")
    if not rules or any(_allows(item, method) for item in rules):
        return ok(check, f"the CAA records of {found.found_at} allow {LETS_ENCRYPT} for {shown}")
    tag = rules[0].tag
    named = sorted({item.value.partition(";")[0].strip() for item in rules if item.value.partition(";")[0].strip()})
    if LETS_ENCRYPT in named:
        text = f"the CAA records of {found.found_at} allow {LETS_ENCRYPT}, but not by the challenge {method}"
        fix = f'add the record `{found.found_at} CAA 0 {tag} "{LETS_ENCRYPT}"`, or another `tls.challenge`'
        return failure(check, text, fix, ("tls", "challenge"))
    allowed = ", ".join(named) or "nobody"
    text = f"the CAA records of {found.found_at} allow {allowed} to issue for {shown}, not {LETS_ENCRYPT}"
    return failure(check, text, f'add the record `{found.found_at} CAA 0 {tag} "{LETS_ENCRYPT}"`', ("domain",))


def _rules(records: tuple[CaaRecord, ...], *, wildcard: bool) -> tuple[CaaRecord, ...]:
    """The records that decide: `issuewild` for a wildcard if there is one, else `issue`."""
    wild = tuple(item for item in records if item.tag == "issuewild")
    return wild if wildcard and wild else tuple(item for item in records if item.tag == "issue")


def _allows(record: CaaRecord, method: str) -> bool:
    domain, _, rest = record.value.partition(";")
    if domain.strip().lower() != LETS_ENCRYPT:
        return False
    for parameter in rest.split(";"):
        key, _, value = parameter.strip().partition("=")
        if key.strip().lower() == "validationmethods" and method:
            return method in [item.strip().lower() for item in value.split(",")]
    return True
