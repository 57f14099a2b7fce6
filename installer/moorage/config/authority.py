"""A certificate authority for one deployment on a LAN: made once, its certificates renewed in time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from moorage.tree import File, write_file

# Browsers refuse certificates that are valid for longer than 398 days.
_CERTIFICATE_DAYS = 390
_AUTHORITY_DAYS = 3650
_RENEW_DAYS = 60


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


def ensure(folder: Path, site: str, names: tuple[str, ...], now: datetime) -> None:
    """Make the authority when there is none, and the certificate when it is missing, ends soon or names others."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    files = AuthorityFiles(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (files.authority_certificate.exists() and files.authority_key.exists()):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _authority(key, site, now)
        _write_pair(files.authority_key, key, files.authority_certificate, certificate)
    authority = x509.load_pem_x509_certificate(files.authority_certificate.read_bytes())
    if _is_good(files, names, authority, now):
        return
    authority_key = serialization.load_pem_private_key(files.authority_key.read_bytes(), None)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _site(key, names, authority, authority_key, now)
    _write_pair(files.key, key, files.certificate, certificate)


def digest(*paths: Path) -> str:
    """One fingerprint over certificate files, so that a renewed one is noticed; empty when one is missing."""
    total = hashlib.sha256()
    for path in paths:
        try:
            total.update(path.read_bytes())
        except OSError:
            return ""
    return total.hexdigest()[:16]


def _is_good(files: AuthorityFiles, names: tuple[str, ...], authority: object, now: datetime) -> bool:
    from cryptography import x509

    if not (files.certificate.exists() and files.key.exists()):
        return False
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )
    assert isinstance(authority, x509.Certificate)
    soon = now + timedelta(days=_RENEW_DAYS)
    return (
        set(found) == set(names) and certificate.not_valid_after_utc > soon and certificate.issuer == authority.subject
    )


def _authority(key: object, site: str, now: datetime) -> object:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"moorage authority of {site}"[:64])])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _site(key: object, names: tuple[str, ...], authority: object, authority_key: object, now: datetime) -> object:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
    assert isinstance(authority, x509.Certificate)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _write_pair(key_path: Path, key: object, certificate_path: Path, certificate: object) -> None:
    """Key first: a certificate without its key would be taken for good."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(certificate, x509.Certificate)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate_path.unlink(missing_ok=True)
    write_file(key_path, File(private, 0o600))
    write_file(certificate_path, File(certificate.public_bytes(serialization.Encoding.PEM), 0o644))
