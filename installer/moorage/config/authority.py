"""A certificate authority for one deployment on a LAN: made once, renewed in time, never replaced while it is trusted.

People install `ca.crt` on their devices. Whatever happens to the files, a site certificate that those devices
accept is kept as long as possible, and the authority is renewed with its own key, which they go on trusting.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.config.certificates import (
    authority_certificate,
    default_name,
    is_issued_by,
    load_certificate,
    load_key,
    names_of,
    new_key,
    site_certificate,
    write_certificate,
    write_key,
)
from moorage.durable import make_closed_folder, only_writer
from moorage.errors import MoorageError

if TYPE_CHECKING:
    from cryptography import x509

    from moorage.config.certificates import PrivateKey

_RENEW_CERTIFICATE = timedelta(days=60)
# So early that no site certificate outlives its authority, and that there is a year to install the new one.
_RENEW_AUTHORITY = timedelta(days=400)


@dataclass(frozen=True)
class AuthorityFiles:
    """The four files, below `secrets/<environment>/tls/`."""

    folder: Path

    @property
    def authority_certificate(self) -> Path:
        """What people install on their devices."""
        return self.folder / "ca.crt"

    @property
    def authority_key(self) -> Path:
        """The authority's key; stays here."""
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        """The site's certificate."""
        return self.folder / "server.crt"

    @property
    def key(self) -> Path:
        """The site's key."""
        return self.folder / "server.key"


@dataclass(frozen=True)
class _Pair:
    """A certificate and its key; None for what is missing, damaged or does not belong to the other."""

    certificate: x509.Certificate | None
    key: PrivateKey | None


def ensure(folder: Path, site: str, names: tuple[str, ...], now: datetime) -> tuple[str, ...]:
    """Make what is missing and renew what ends soon; gives back what people have to know.

    Raises MoorageError naming the file when only its owner can mend it without breaking the devices' trust.
    """
    make_closed_folder(folder)
    with only_writer(folder):
        files = AuthorityFiles(folder)
        authority, told = _ensure_authority(files, site, now)
        _ensure_certificate(files, authority, names, now)
        return told


def _ensure_certificate(files: AuthorityFiles, authority: _Pair, names: tuple[str, ...], now: datetime) -> None:
    found = _pair(files.certificate, files.key)
    # Without the authority's key the certificate serves to its very end.
    left = timedelta(0) if authority.key is None else _RENEW_CERTIFICATE
    if _is_good(found, names, authority.certificate, now, left):
        return
    if authority.key is None or authority.certificate is None:
        raise _damaged(files.authority_key)
    key = new_key()
    write_key(files.key, key)
    write_certificate(files.certificate, site_certificate(key, names, authority.certificate, authority.key, now))


def digest(*paths: Path) -> str:
    """One fingerprint over certificate files, so that a renewed one is noticed; empty when one is missing."""
    total = hashlib.sha256()
    for path in paths:
        try:
            total.update(path.read_bytes())
        except OSError:
            return ""
    return total.hexdigest()[:16]


def _ensure_authority(files: AuthorityFiles, site: str, now: datetime) -> tuple[_Pair, tuple[str, ...]]:
    """The authority, made or renewed where nothing is lost by it, and what people have to know of that."""
    found = _pair(files.authority_certificate, files.authority_key)
    if found.certificate is None and found.key is None:
        return _new_authority(files, site, now)
    if found.key is None:
        assert found.certificate is not None
        if found.certificate.not_valid_after_utc <= now:
            return _new_authority(files, site, now)
        told = f"{files.authority_key} is lost or damaged: {files.certificate} can't be renewed without it; restore it"
        return found, (told,)
    if found.certificate is not None and _is_current(found.certificate, now, _RENEW_AUTHORITY):
        return found, ()
    # The key is what devices trust: under the same name and key their copy of the old certificate stays good.
    certificate = authority_certificate(found.key, _authority_name(files, found, site), now)
    write_certificate(files.authority_certificate, certificate)
    end = (
        f"the old one ends on {found.certificate.not_valid_after_utc:%Y-%m-%d}" if found.certificate else "it was lost"
    )
    told = f"{files.authority_certificate} was made anew with the same key ({end}): install it on every device in time"
    return _Pair(certificate, found.key), (told,)


def _new_authority(files: AuthorityFiles, site: str, now: datetime) -> tuple[_Pair, tuple[str, ...]]:
    is_first = not any(path.exists() for path in (files.authority_certificate, files.authority_key, files.certificate))
    for path in (files.authority_certificate, files.authority_key):
        if path.exists() and not _has_ended(files, now):
            raise _damaged(path)
    key = new_key()
    certificate = authority_certificate(key, default_name(site), now)
    write_key(files.authority_key, key)
    write_certificate(files.authority_certificate, certificate)
    told = f"{files.authority_certificate} belongs to a new authority: every device has to install it"
    return _Pair(certificate, key), () if is_first else (told,)


def _has_ended(files: AuthorityFiles, now: datetime) -> bool:
    certificate = load_certificate(files.authority_certificate)
    return certificate is not None and certificate.not_valid_after_utc <= now


def _pair(certificate_path: Path, key_path: Path) -> _Pair:
    certificate, key = load_certificate(certificate_path), load_key(key_path)
    if certificate is not None and key is not None and certificate.public_key() != key.public_key():
        # What other people or programs hold is the certificate.
        key = None
    return _Pair(certificate, key)


def _is_current(certificate: x509.Certificate, now: datetime, left: timedelta) -> bool:
    """Whether it is valid now and for some time more."""
    return certificate.not_valid_before_utc <= now and certificate.not_valid_after_utc > now + left


def _is_good(
    pair: _Pair, names: tuple[str, ...], authority: x509.Certificate | None, now: datetime, left: timedelta
) -> bool:
    """Whether devices that trust the authority accept the site's certificate, for all names and long enough."""
    if pair.certificate is None or pair.key is None or authority is None:
        return False
    is_current = _is_current(pair.certificate, now, left)
    return is_current and is_issued_by(pair.certificate, authority) and names_of(pair.certificate) == set(names)


def _damaged(path: Path) -> MoorageError:
    return MoorageError(
        f"{path} is lost, damaged or of another authority, and what devices trust would be lost by making it anew",
        f"restore it from a backup; or move {path.parent} away: a new authority is made, and every device has to install it",
    )


def _authority_name(files: AuthorityFiles, found: _Pair, site: str) -> x509.Name:
    """The name that devices know the authority by; when its certificate is lost, what the site's says."""
    if found.certificate is not None:
        return found.certificate.subject
    issued = load_certificate(files.certificate)
    return issued.issuer if issued is not None else default_name(site)
