"""Certificates and keys in PEM files: read without a crash, made with what browsers ask for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.errors import MoorageError
from moorage.tree import File, write_file

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# Browsers refuse certificates that are valid for longer than 398 days.
_CERTIFICATE = timedelta(days=390)
_AUTHORITY = timedelta(days=3650)


def load_certificate(path: Path) -> x509.Certificate | None:
    """The first certificate of a PEM file; None when there is none or it is damaged."""
    from cryptography import x509

    content = _content(path)
    try:
        return x509.load_pem_x509_certificate(content) if content else None
    except ValueError:
        return None


def load_key(path: Path) -> PrivateKey | None:
    """The private key of a PEM file; None when there is none, it is damaged or needs a password."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path)
    try:
        key = load_pem_private_key(content, None) if content else None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)) else None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise MoorageError(f"{path} can't be read: {error.strerror}", "look at its owner and mode") from None


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority's name and key are those that the certificate was signed with."""
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names_of(certificate: x509.Certificate) -> set[str]:
    """The host names that a certificate is for."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return set()
    return set(extension.value.get_values_for_type(x509.DNSName))


def default_name(site: str) -> x509.Name:
    """The name of a new authority."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"moorage authority of {site}"[:64])])


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key that every browser understands."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def authority_certificate(key: PrivateKey, name: x509.Name, now: datetime) -> x509.Certificate:
    """A certificate that an authority signs for itself; with the same key and name it continues an older one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _AUTHORITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def site_certificate(
    key: PrivateKey, names: tuple[str, ...], authority: x509.Certificate, authority_key: PrivateKey, now: datetime
) -> x509.Certificate:
    """A certificate for host names that never outlives its authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(min(now + _CERTIFICATE, authority.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def write_key(path: Path, key: PrivateKey) -> None:
    """Write a private key for its owner alone."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    write_file(path, File(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600))


def write_certificate(path: Path, certificate: x509.Certificate) -> None:
    """Write a certificate, which is public."""
    from cryptography.hazmat.primitives.serialization import Encoding

    write_file(path, File(certificate.public_bytes(Encoding.PEM), 0o644))
