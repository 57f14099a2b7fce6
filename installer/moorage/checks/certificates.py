"""The operator's own certificate: does it parse, does the key fit, which names, how many days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from moorage.checks.base import Finding, Needs, failure, ok, warning

_SOON_DAYS = 14
_CERTIFICATE = ("tls", "certificate")
_KEY = ("tls", "key")


@dataclass(frozen=True)
class CertificateFacts:
    """What the two files hold; a problem instead of content when one cannot be used.

    `key_position` is the place in the chain of the certificate that the key belongs to, -1 for none.
    """

    certificate_file: Path
    key_file: Path
    now: datetime
    certificate_problem: str = ""
    key_problem: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    names: tuple[str, ...] = ()
    key_position: int = 0
    key_mode: int = 0o600


def gather(certificate_file: Path, key_file: Path, now: datetime) -> CertificateFacts:
    """Read and parse both files; never raises."""
    chain, certificate_problem = _chain(certificate_file)
    key, key_problem = _key(key_file)
    if not chain:
        return CertificateFacts(certificate_file, key_file, now, certificate_problem, key_problem)
    leaf = chain[0]
    return CertificateFacts(
        certificate_file,
        key_file,
        now,
        key_problem=key_problem,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        names=_names(leaf),
        key_position=_position(chain, key) if key is not None else 0,
        key_mode=_mode(key_file),
    )


def judge(facts: CertificateFacts, needs: Needs, check: str) -> tuple[Finding, ...]:
    """Everything that is wrong with the two files, or one line with days and names."""
    problems = (*_files(facts, check), *_content(facts, needs, check))
    if problems or facts.not_after is None:
        return problems
    days = (facts.not_after - facts.now).days
    return (ok(check, f"the certificate is good for {days} more days, for {', '.join(facts.names)}"),)


def covers(pattern: str, host: str) -> bool:
    """Whether a name of a certificate holds for a host; a `*` stands for exactly one label."""
    pattern, host = pattern.lower().rstrip("."), host.lower()
    if pattern.startswith("*."):
        return pattern == host or host.partition(".")[2] == pattern[2:]
    return pattern == host


def _files(facts: CertificateFacts, check: str) -> Iterator[Finding]:
    if facts.certificate_problem:
        fix = f"`openssl x509 -in {facts.certificate_file} -noout -text` must show it; PEM with the chain behind it"
        yield failure(check, f"{facts.certificate_file} {facts.certificate_problem}", fix, _CERTIFICATE)
    if facts.key_problem:
        fix = f"`openssl pkey -in {facts.key_file} -out NEW` writes it as plain PEM without a password"
        yield failure(check, f"{facts.key_file} {facts.key_problem}", fix, _KEY)
    elif facts.key_mode & 0o077:
        text = f"{facts.key_file} has mode {facts.key_mode:04o}: others on this host can use the key"
        yield warning(check, text, f"`chmod 600 {facts.key_file}`", _KEY)


def _content(facts: CertificateFacts, needs: Needs, check: str) -> Iterator[Finding]:
    if facts.not_after is None or facts.not_before is None:
        return
    file = facts.certificate_file
    if not facts.key_problem and facts.key_position < 0:
        text = f"{facts.key_file} is not the key of {file}"
        fix = f"`openssl pkey -in {facts.key_file} -pubout` and `openssl x509 -in {file} -noout -pubkey` must show the same"
        yield failure(check, text, fix, _KEY)
    elif facts.key_position > 0:
        text = (
            f"{file} does not begin with the site's own certificate (it stands {facts.key_position + 1}. in the file)"
        )
        yield failure(check, text, "put the site's certificate first, then the intermediate ones", _CERTIFICATE)
        return
    missing = [name for name in _wanted(needs) if not any(covers(pattern, name) for pattern in facts.names)]
    if missing:
        text = f"{file} does not hold for {', '.join(missing)} (it holds for {', '.join(facts.names) or 'no name'})"
        yield failure(check, text, f"order a certificate with the names {', '.join(_wanted(needs))}", _CERTIFICATE)
    yield from _time(facts, facts.not_before, facts.not_after, check)


def _time(facts: CertificateFacts, begin: datetime, end: datetime, check: str) -> Iterator[Finding]:
    file = facts.certificate_file
    if facts.now > end:
        fix = f"put the renewed one into {file}, then `moorage up`"
        yield failure(check, f"{file} has expired on {end:%Y-%m-%d}", fix, _CERTIFICATE)
    elif facts.now < begin:
        fix = "compare `date` with the right time, or wait"
        yield failure(check, f"{file} is not valid before {begin:%Y-%m-%d %H:%M} UTC", fix, _CERTIFICATE)
    elif (end - facts.now).days < _SOON_DAYS:
        text = f"{file} ends in {(end - facts.now).days} days, on {end:%Y-%m-%d}"
        yield warning(check, text, f"renew it, put it into {file}, then `moorage up`", _CERTIFICATE)


def _wanted(needs: Needs) -> tuple[str, ...]:
    wildcard = (f"*.{needs.domain}",) if needs.wildcard else ()
    return tuple(dict.fromkeys((needs.domain, *sorted(needs.hosts), *wildcard)))


def _chain(file: Path) -> tuple[list[Any], str]:
    from cryptography import x509

    try:
        return list(x509.load_pem_x509_certificates(file.read_bytes())), ""
    except FileNotFoundError:
        return [], "does not exist"
    except OSError as error:
        return [], f"cannot be read: {error.strerror}"
    except ValueError:
        return [], "is not a certificate in PEM form"


def _key(file: Path) -> tuple[Any, str]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(file.read_bytes(), None), ""
    except FileNotFoundError:
        return None, "does not exist"
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    except TypeError:
        return None, "is locked with a password, which nobody types when the proxy starts"
    except (ValueError, UnsupportedAlgorithm):
        return None, "is not a private key in PEM form"


def _position(chain: list[Any], key: Any) -> int:
    from cryptography.exceptions import UnsupportedAlgorithm

    own = _public_bytes(key.public_key())
    try:
        return next((index for index, item in enumerate(chain) if _public_bytes(item.public_key()) == own), -1)
    except (ValueError, UnsupportedAlgorithm):
        # A kind of key that cannot be compared is not called wrong.
        return 0


def _public_bytes(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return bytes(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def _names(certificate: Any) -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(found.value.get_values_for_type(x509.DNSName))


def _mode(file: Path) -> int:
    try:
        return file.stat().st_mode & 0o777
    except OSError:
        return 0o600
