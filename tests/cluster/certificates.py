"""The certificates and kubeconfigs of a cluster: one authority, and one identity for each of its parts."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=7)
# Machines disagree about the time; a certificate of this minute must be valid on all of them.
BEFORE = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both into a folder, the key for its owner only, and return their paths."""
        certificate = folder / f"{name}.crt"
        certificate.write_bytes(self.certificate)
        return certificate, write_private(folder / f"{name}.key", self.key)


class Authority:
    """A certificate authority that lives as long as its cluster."""

    def __init__(self) -> None:
        """Make a new authority."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "moorage test cluster")])
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def certificate(self) -> bytes:
        """Return the authority's own certificate as PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def identity(self) -> Identity:
        """Return the authority itself, for the controller that signs requests."""
        return Identity(self.certificate, _pem(self._key))

    def issue(self, user: str, groups: Sequence[str] = (), names: Sequence[str] = ()) -> Identity:
        """Issue an identity: to Kubernetes a user with its groups, to clients a server of these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        words = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*words, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])]
        builder = _builder(subject, self._name, key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Identity(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))

    def kubeconfig(self, server: str, identity: Identity) -> str:
        """Return a kubeconfig that needs no other file; JSON, which is YAML."""
        cluster = {"server": server, "certificate-authority-data": _base64(self.certificate)}
        user = {"client-certificate-data": _base64(identity.certificate), "client-key-data": _base64(identity.key)}
        name = "moorage-test"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
        return json.dumps(content, indent=2) + "\n"


def signing_key() -> bytes:
    """Return a new private key for the tokens of service accounts, as PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def write_private(path: Path, content: bytes) -> Path:
    """Write a file that nobody but its owner could ever read, and return its path."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)
    return path


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BEFORE).not_valid_after(now + VALID)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
