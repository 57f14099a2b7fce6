"""A certificate authority for a LAN: made once, its certificates renewed in time, the chain always whole."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from moorage.config.authority import AuthorityFiles, digest, ensure
from moorage.errors import MoorageError
from tests.unit.given import NOW

SITE = "notes.example.com"
NAMES = (SITE, f"*.{SITE}")
DAY = timedelta(days=1)


def made(folder: Path, names: tuple[str, ...] = NAMES, now: datetime = NOW) -> AuthorityFiles:
    ensure(folder, names[0], names, now)
    return AuthorityFiles(folder)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def verify(files: AuthorityFiles, name: str, now: datetime = NOW) -> None:
    """What a browser that knows the authority does. Raises VerificationError."""
    policy = PolicyBuilder().store(Store([certificate(files.authority_certificate)])).time(now)
    policy.build_server_verifier(x509.DNSName(name)).verify(certificate(files.certificate), [])


def test_the_chain_verifies_for_the_site_and_its_subdomains(tmp_path: Path) -> None:
    files = made(tmp_path)
    verify(files, SITE)
    verify(files, f"anything.{SITE}")
    for other in ("example.com", f"a.b.{SITE}", "evil.com"):
        with pytest.raises(VerificationError):
            verify(files, other)


@pytest.mark.parametrize("site", ["localhost", "notes.localhost", "x" * 63 + "." + "y" * 63 + ".example.com"])
def test_unusual_names_get_a_certificate_too(site: str, tmp_path: Path) -> None:
    files = made(tmp_path, (site, f"*.{site}"))
    found = certificate(files.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == [site, f"*.{site}"]


def test_certificate_and_key_belong_together(tmp_path: Path) -> None:
    files = made(tmp_path)
    for path, key in ((files.certificate, files.key), (files.authority_certificate, files.authority_key)):
        private = load_pem_private_key(key.read_bytes(), None)
        assert private.public_key() == certificate(path).public_key()
    assert files.key.read_bytes() != files.authority_key.read_bytes()


def test_keys_are_private_and_certificates_are_not(tmp_path: Path) -> None:
    files = made(tmp_path / "tls")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "server.crt": 0o644, "server.key": 0o600}
    assert files.folder.stat().st_mode & 0o777 == 0o700


def test_browsers_accept_the_time_it_is_valid(tmp_path: Path) -> None:
    site = certificate(made(tmp_path).certificate)
    assert site.not_valid_after_utc - site.not_valid_before_utc <= timedelta(days=398)
    assert site.not_valid_before_utc < NOW


def test_only_the_authority_may_sign(tmp_path: Path) -> None:
    files = made(tmp_path)
    for path, is_authority in ((files.authority_certificate, True), (files.certificate, False)):
        constraints = certificate(path).extensions.get_extension_for_class(x509.BasicConstraints)
        assert constraints.value.ca is is_authority
        assert constraints.critical


def test_nothing_is_made_again_while_everything_is_good(tmp_path: Path) -> None:
    files = made(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    made(tmp_path, now=NOW + 300 * DAY)
    made(tmp_path, tuple(reversed(NAMES)), NOW)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert digest(files.certificate, files.key)


@pytest.mark.parametrize("days", [331, 389, 391, 1000])
def test_the_certificate_is_renewed_before_its_end_and_the_authority_kept(days: int, tmp_path: Path) -> None:
    files = made(tmp_path)
    authority, old = files.authority_certificate.read_bytes(), digest(files.certificate, files.key)
    later = NOW + days * DAY
    made(tmp_path, now=later)
    assert files.authority_certificate.read_bytes() == authority
    assert digest(files.certificate, files.key) != old
    verify(files, SITE, later)
    assert certificate(files.certificate).not_valid_after_utc > later + 300 * DAY


def test_other_names_give_another_certificate_of_the_same_authority(tmp_path: Path) -> None:
    files = made(tmp_path)
    authority = files.authority_certificate.read_bytes()
    made(tmp_path, ("other.example.com", "*.other.example.com"))
    assert files.authority_certificate.read_bytes() == authority
    verify(files, "x.other.example.com")
    with pytest.raises(VerificationError):
        verify(files, SITE)


@pytest.mark.parametrize("lost", [("server.key",), ("server.crt",), ("server.crt", "server.key")])
def test_a_lost_certificate_is_made_again(lost: tuple[str, ...], tmp_path: Path) -> None:
    files = made(tmp_path)
    for name in lost:
        (tmp_path / name).unlink()
    made(tmp_path)
    verify(files, SITE)
    assert (
        load_pem_private_key(files.key.read_bytes(), None).public_key() == certificate(files.certificate).public_key()
    )


@pytest.mark.parametrize("lost", ["ca.key", "ca.crt"])
def test_a_lost_authority_is_made_again_with_its_certificate(lost: str, tmp_path: Path) -> None:
    files = made(tmp_path)
    (tmp_path / lost).unlink()
    made(tmp_path)
    verify(files, SITE)


def test_a_key_of_another_certificate_is_noticed(tmp_path: Path) -> None:
    files = made(tmp_path)
    made(tmp_path / "other")
    files.key.write_bytes(AuthorityFiles(tmp_path / "other").key.read_bytes())
    made(tmp_path)
    assert (
        load_pem_private_key(files.key.read_bytes(), None).public_key() == certificate(files.certificate).public_key()
    )


def test_an_authority_at_its_end_is_made_again(tmp_path: Path) -> None:
    files = made(tmp_path)
    later = NOW + 3651 * DAY
    made(tmp_path, now=later)
    verify(files, SITE, later)


@pytest.mark.parametrize("name", ["server.crt", "ca.crt"])
def test_a_damaged_file_is_an_error_that_names_it_or_is_made_again(name: str, tmp_path: Path) -> None:
    files = made(tmp_path)
    (tmp_path / name).write_bytes(b"-----BEGIN CERTIFICATE-----\n")
    try:
        made(tmp_path)
    except MoorageError as error:
        assert name in error.message
        return
    verify(files, SITE)


@pytest.mark.parametrize("name", ["server.key", "ca.key", "ca.crt", "server.crt"])
@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff\x00", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_devices_trust_survives_any_damaged_file(name: str, content: bytes, tmp_path: Path) -> None:
    """Devices have a copy of the first ca.crt; the site's certificate must go on fitting it."""
    files = made(tmp_path)
    trusted = tmp_path / "copy on a device"
    trusted.write_bytes(files.authority_certificate.read_bytes())
    (tmp_path / name).write_bytes(content)
    made(tmp_path)
    policy = PolicyBuilder().store(Store([certificate(trusted)])).time(NOW)
    policy.build_server_verifier(x509.DNSName(SITE)).verify(certificate(files.certificate), [])
    verify(files, SITE)


def test_a_lost_authority_certificate_is_made_again_under_the_name_that_devices_know(tmp_path: Path) -> None:
    files = made(tmp_path)
    before = certificate(files.authority_certificate)
    files.authority_certificate.unlink()
    names = ("other.example.com", "*.other.example.com")
    (told,) = ensure(tmp_path, names[0], names, NOW)
    after = certificate(files.authority_certificate)
    assert (after.subject, after.public_key()) == (before.subject, before.public_key())
    assert "ca.crt" in told
    policy = PolicyBuilder().store(Store([before])).time(NOW)
    policy.build_server_verifier(x509.DNSName(names[0])).verify(certificate(files.certificate), [])


def test_an_authority_is_renewed_with_its_own_key_long_before_its_end(tmp_path: Path) -> None:
    files = made(tmp_path)
    before = certificate(files.authority_certificate)
    assert ensure(tmp_path, SITE, NAMES, NOW + 3200 * DAY) == ()
    later = NOW + 3300 * DAY
    (told,) = ensure(tmp_path, SITE, NAMES, later)
    assert "every device" in told
    assert f"{before.not_valid_after_utc:%Y-%m-%d}" in told
    after = certificate(files.authority_certificate)
    assert after.not_valid_after_utc > later + 3600 * DAY
    # Devices with the old one and devices with the new one accept the same certificate.
    for known in (before, after):
        policy = PolicyBuilder().store(Store([known])).time(later + 200 * DAY)
        policy.build_server_verifier(x509.DNSName(SITE)).verify(certificate(files.certificate), [])
    assert ensure(tmp_path, SITE, NAMES, later + DAY) == ()


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    files = made(tmp_path)
    for days in range(0, 4200, 200):
        made(tmp_path, now=NOW + days * DAY)
        verify(files, SITE, NOW + days * DAY)
        assert (
            certificate(files.certificate).not_valid_after_utc
            <= certificate(files.authority_certificate).not_valid_after_utc
        )


@pytest.mark.parametrize("content", [None, b"", b"another"])
def test_without_the_authority_key_the_certificate_serves_to_its_end(content: bytes | None, tmp_path: Path) -> None:
    files = made(tmp_path)
    made(tmp_path / "other")
    other = AuthorityFiles(tmp_path / "other").authority_key.read_bytes()
    if content is None:
        files.authority_key.unlink()
    else:
        files.authority_key.write_bytes(other if content else b"")
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    (told,) = ensure(tmp_path, SITE, NAMES, NOW + 380 * DAY)
    assert "ca.key" in told
    with pytest.raises(MoorageError, match=r"ca\.key") as error:
        ensure(tmp_path, SITE, NAMES, NOW + 391 * DAY)
    assert "backup" in error.value.hint
    assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == before
    # When nobody trusts it any more nothing is lost by a new one.
    later = NOW + 3651 * DAY
    (told,) = ensure(tmp_path, SITE, NAMES, later)
    assert "new authority" in told
    verify(files, SITE, later)


def test_a_damaged_authority_without_its_key_is_left_to_its_owner(tmp_path: Path) -> None:
    files = made(tmp_path)
    files.authority_key.unlink()
    files.authority_certificate.write_bytes(b"damaged")
    with pytest.raises(MoorageError, match=r"ca\.crt"):
        made(tmp_path)
    assert files.authority_certificate.read_bytes() == b"damaged"


def test_the_first_authority_is_made_without_a_word(tmp_path: Path) -> None:
    assert ensure(tmp_path, SITE, NAMES, NOW) == ()
    assert ensure(tmp_path, SITE, NAMES, NOW) == ()


def test_a_clock_that_was_wrong_when_it_was_made_is_mended(tmp_path: Path) -> None:
    files = made(tmp_path, now=NOW + 100 * DAY)
    made(tmp_path)
    verify(files, SITE)


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    files = made(tmp_path)
    files.key.unlink()
    files.key.mkdir()
    with pytest.raises(MoorageError, match=r"server\.key"):
        made(tmp_path)


def test_the_digest_changes_with_any_of_its_files_and_is_empty_when_one_is_missing(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"1")
    assert digest(first, second) == ""
    second.write_bytes(b"2")
    one = digest(first, second)
    second.write_bytes(b"3")
    assert one != digest(first, second) != ""
