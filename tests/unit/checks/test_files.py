"""Files: modes, git, certificates, for real in a folder of the test."""

import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from moorage.checks import certificates, files
from moorage.checks.files import FileFacts, OpenPath
from tests.unit.checks.samples import lines, needs

NOW = datetime(2026, 11, 22, 1, 30, tzinfo=timezone.utc)
GOOD = FileFacts(
    config_mode=0o644,
    config_error="",
    secret_files=12,
    open_paths=(),
    unreadable=(),
    git="none",
    git_detail="",
    certificate=None,
)
CLOSED = ("ok", "secrets/ is closed to others (12 files)", "")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, [CLOSED]),
        ({"secret_files": 0}, [("ok", "no secrets are kept yet", "")]),
        ({"config_mode": 0o664}, [CLOSED]),
        (
            {"config_mode": 0o666},
            [
                (
                    "warning",
                    "/srv/acme/moorage.yaml has mode 0666: everybody on this host may change what runs",
                    "`chmod o-w /srv/acme/moorage.yaml`",
                ),
                CLOSED,
            ],
        ),
        (
            {"config_mode": None, "config_error": "Permission denied"},
            [
                (
                    "failure",
                    "/srv/acme/moorage.yaml cannot be read: Permission denied",
                    "run moorage as the owner of /srv/acme, or as root",
                ),
                CLOSED,
            ],
        ),
        (
            {"open_paths": (OpenPath("secrets", 0o755, True), OpenPath("secrets/A B", 0o644, False))},
            [
                (
                    "failure",
                    "others on this host can reach secrets (0755), secrets/A B (0644)",
                    "`chmod 700 /srv/acme/secrets && chmod 600 '/srv/acme/secrets/A B'`",
                )
            ],
        ),
        (
            {"open_paths": tuple(OpenPath(f"secrets/{number}", 0o640, False) for number in range(4))},
            [
                (
                    "failure",
                    "others on this host can reach secrets/0 (0640), secrets/1 (0640), secrets/2 (0640), "
                    "secrets/3 (0640)",
                    "`chmod 600 /srv/acme/secrets/0 /srv/acme/secrets/1 /srv/acme/secrets/2 /srv/acme/secrets/3`",
                )
            ],
        ),
        (
            {"open_paths": tuple(OpenPath(f"secrets/{number}", 0o640, False) for number in range(6))},
            [
                (
                    "failure",
                    "others on this host can reach secrets/0 (0640), secrets/1 (0640), secrets/2 (0640), "
                    "secrets/3 (0640) and 2 more",
                    "`chmod -R go= /srv/acme/secrets`",
                )
            ],
        ),
        (
            {"open_paths": (OpenPath("secrets/a", 0o755, True), OpenPath("secrets/b/c", 0o755, True, True))},
            [
                (
                    "failure",
                    "others on this host can reach secrets/a (0755)",
                    "`chmod 700 /srv/acme/secrets/a`",
                ),
                (
                    "warning",
                    "only a closed folder above keeps others from secrets/b/c (0755)",
                    "`chmod 700 /srv/acme/secrets/b/c`",
                ),
            ],
        ),
        (
            {"unreadable": ("secrets",)},
            [
                (
                    "warning",
                    "secrets/ cannot be looked into by this user",
                    "`sudo moorage -C /srv/acme check`",
                )
            ],
        ),
        ({"git": "ignored"}, [CLOSED, ("ok", "git ignores secrets/", "")]),
        (
            {"git": "visible"},
            [
                CLOSED,
                (
                    "failure",
                    "git does not ignore secrets/: the next `git add` takes them along",
                    "`echo '/secrets/' >> /srv/acme/.gitignore`",
                ),
            ],
        ),
        (
            {"git": "tracked", "git_detail": "secrets/production/SMTP_PASSWORD"},
            [
                CLOSED,
                (
                    "failure",
                    "git keeps secrets/production/SMTP_PASSWORD: whoever has the repository has the secret",
                    "`git rm -r --cached secrets`, `echo '/secrets/' >> /srv/acme/.gitignore`, then new values for "
                    "the secrets",
                ),
            ],
        ),
        (
            {"git": "unknown", "git_detail": "the program `git` is not installed"},
            [
                CLOSED,
                (
                    "warning",
                    "whether git ignores secrets/ is not known: the program `git` is not installed",
                    "`git -C /srv/acme check-ignore secrets/any` must name a rule",
                ),
            ],
        ),
        (
            {"git": "unknown", "git_detail": "fatal: detected dubious ownership in repository at '/srv/acme'"},
            [
                CLOSED,
                (
                    "warning",
                    "whether git ignores secrets/ is not known: fatal: detected dubious ownership in repository at "
                    "'/srv/acme'",
                    "`git config --global --add safe.directory /srv/acme`, then check again",
                ),
            ],
        ),
    ],
)
def test_judge(facts: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert lines(files.judge(replace(GOOD, **facts), needs())) == expected


def deployment(folder: Path) -> Path:
    (folder / "moorage.yaml").write_text("name: acme\n")
    (folder / "moorage.yaml").chmod(0o644)
    tls = folder / "secrets/production/tls"
    tls.mkdir(parents=True)
    for path in (folder / "secrets", folder / "secrets/production", tls):
        path.chmod(0o700)
    for name, mode in (("server.key", 0o600), ("server.crt", 0o644), ("token", 0o400)):
        (tls / name).write_text("x")
        (tls / name).chmod(mode)
    return folder


def test_gather_reads_real_modes(tmp_path: Path) -> None:
    folder = deployment(tmp_path)
    assert files.gather(needs(folder=folder), NOW) == replace(GOOD, secret_files=3)
    (folder / "secrets/production").chmod(0o750)
    (folder / "secrets/production/tls/server.key").chmod(0o604)
    (folder / "moorage.yaml").chmod(0o666)
    (folder / "secrets/link").symlink_to("/etc/passwd")
    found = files.gather(needs(folder=folder), NOW)
    assert found.config_mode == 0o666
    assert found.open_paths == (
        OpenPath("secrets/production", 0o750, True, is_sheltered=True),
        OpenPath("secrets/production/tls/server.key", 0o604, False, is_sheltered=True),
    )
    (folder / "secrets").chmod(0o711)
    (folder / "secrets/production").chmod(0o701)
    (folder / "secrets/production/tls").chmod(0o701)
    assert [item.is_sheltered for item in files.gather(needs(folder=folder), NOW).open_paths] == [False] * 4


def test_what_the_fix_says_mends_it(tmp_path: Path) -> None:
    folder = deployment(tmp_path)
    (folder / "secrets").chmod(0o755)
    for count in (2, 9):
        for number in range(count):
            (folder / f"secrets/{number} x").write_text("x")
            (folder / f"secrets/{number} x").chmod(0o666)
        for found in files.check(needs(folder=folder), None):  # type: ignore[arg-type]
            assert found.level in ("failure", "warning")
            subprocess.run(["sh", "-c", found.fix.strip("`")], check=True)
        assert files.check(needs(folder=folder), None)[0].level == "ok"  # type: ignore[arg-type]


def test_gather_in_an_empty_folder(tmp_path: Path) -> None:
    found = files.gather(needs(folder=tmp_path), NOW)
    assert (found.config_mode, found.config_error, found.secret_files) == (None, "No such file or directory", 0)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
@pytest.mark.parametrize("below", ["", "deployments/acme"])
def test_gather_asks_git(tmp_path: Path, below: str) -> None:
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    deployment(folder)
    assert files.gather(needs(folder=folder), NOW).git == "none"
    git(tmp_path, "init")
    assert files.gather(needs(folder=folder), NOW).git == "visible"
    (folder / ".gitignore").write_text("/secrets/\n")
    assert files.gather(needs(folder=folder), NOW).git == "ignored"
    git(folder, "add", "--force", "secrets/production/tls/token")
    found = files.gather(needs(folder=folder), NOW)
    assert (found.git, found.git_detail) == ("tracked", "secrets/production/tls/token")


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_git_is_asked_before_there_are_secrets(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text("secrets/\n")
    assert files.gather(needs(folder=tmp_path), NOW).git == "ignored"


def test_git_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "/nonexistent")
    found = files.gather(needs(folder=tmp_path), NOW)
    assert (found.git, found.git_detail) == ("unknown", "the program `git` is not installed")


CERTIFICATE, KEY = Path("/srv/acme/site.crt"), Path("/srv/acme/site.key")
CERTIFICATE_FACTS = certificates.CertificateFacts(
    CERTIFICATE,
    KEY,
    NOW,
    not_before=NOW - timedelta(days=10),
    not_after=NOW + timedelta(days=80, hours=1),
    names=("app.example.com", "*.app.example.com"),
)


@pytest.mark.parametrize(
    ("facts", "stack", "expected"),
    [
        (
            {},
            {},
            [("ok", "the certificate is good for 80 more days, for app.example.com, *.app.example.com", "")],
        ),
        (
            {},
            {"hosts": ("admin.example.com", "a.app.example.com", "a.b.app.example.com")},
            [
                (
                    "failure",
                    "/srv/acme/site.crt does not hold for a.b.app.example.com, admin.example.com (it holds for "
                    "app.example.com, *.app.example.com)",
                    "order a certificate with the names app.example.com, a.app.example.com, a.b.app.example.com, "
                    "admin.example.com",
                )
            ],
        ),
        (
            {"names": ("app.example.com",)},
            {"wildcard": True},
            [
                (
                    "failure",
                    "/srv/acme/site.crt does not hold for *.app.example.com (it holds for app.example.com)",
                    "order a certificate with the names app.example.com, *.app.example.com",
                )
            ],
        ),
        (
            {"not_after": NOW + timedelta(days=13)},
            {},
            [
                (
                    "warning",
                    "/srv/acme/site.crt ends in 13 days, on 2026-12-05",
                    "renew it, put it into /srv/acme/site.crt, then `moorage up`",
                )
            ],
        ),
        (
            {"not_after": NOW + timedelta(days=14)},
            {},
            [("ok", "the certificate is good for 14 more days, for app.example.com, *.app.example.com", "")],
        ),
        (
            {"not_after": NOW - timedelta(days=1)},
            {},
            [
                (
                    "failure",
                    "/srv/acme/site.crt has expired on 2026-11-21",
                    "put the renewed one into /srv/acme/site.crt, then `moorage up`",
                )
            ],
        ),
        (
            {"not_before": NOW + timedelta(days=1)},
            {},
            [
                (
                    "failure",
                    "/srv/acme/site.crt is not valid before 2026-11-23 01:30 UTC",
                    "compare `date` with the right time, or wait",
                )
            ],
        ),
        (
            {"key_position": -1},
            {},
            [
                (
                    "failure",
                    "/srv/acme/site.key is not the key of /srv/acme/site.crt",
                    "`openssl pkey -in /srv/acme/site.key -pubout` and `openssl x509 -in /srv/acme/site.crt -noout "
                    "-pubkey` must show the same",
                )
            ],
        ),
        (
            {"key_position": 1},
            {},
            [
                (
                    "failure",
                    "/srv/acme/site.crt does not begin with the site's own certificate (it stands 2. in the file)",
                    "put the site's certificate first, then the intermediate ones",
                )
            ],
        ),
        (
            {"key_mode": 0o644},
            {},
            [
                (
                    "warning",
                    "/srv/acme/site.key has mode 0644: others on this host can use the key",
                    "`chmod 600 /srv/acme/site.key`",
                )
            ],
        ),
        (
            {
                "certificate_problem": "does not exist",
                "key_problem": "does not exist",
                "not_before": None,
                "not_after": None,
            },
            {},
            [
                (
                    "failure",
                    "/srv/acme/site.crt does not exist",
                    "`openssl x509 -in /srv/acme/site.crt -noout -text` must show it; PEM with the chain behind it",
                ),
                (
                    "failure",
                    "/srv/acme/site.key does not exist",
                    "`openssl pkey -in /srv/acme/site.key -out NEW` writes it as plain PEM without a password",
                ),
            ],
        ),
    ],
)
def test_a_certificate(facts: dict[str, Any], stack: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert lines(certificates.judge(replace(CERTIFICATE_FACTS, **facts), needs(**stack), "files")) == expected


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("app.example.com", "APP.example.com", True),
        ("*.example.com", "app.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", "*.example.com", True),
        ("app.example.com", "*.app.example.com", False),
    ],
)
def test_covers(pattern: str, host: str, expected: bool) -> None:
    assert certificates.covers(pattern, host) is expected


def certificate(key: Any, *names: str, days: int = 90) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else "nobody")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
    )
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def private(key: Any, password: bytes = b"") -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))


def written(folder: Path, chain: bytes, key: bytes) -> certificates.CertificateFacts:
    (folder / "site.crt").write_bytes(chain)
    (folder / "site.key").write_bytes(key)
    (folder / "site.key").chmod(0o600)
    return certificates.gather(folder / "site.crt", folder / "site.key", NOW)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["ec", "rsa", "ed25519"],
)
def test_gather_parses_real_certificates(key: Any, tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    good = written(
        tmp_path, certificate(key, "app.example.com") + certificate(other, "authority.example"), private(key)
    )
    assert (good.certificate_problem, good.key_problem, good.key_position, good.key_mode) == ("", "", 0, 0o600)
    assert good.names == ("app.example.com",)
    assert lines(certificates.judge(good, needs(), "files")) == [
        ("ok", "the certificate is good for 90 more days, for app.example.com", "")
    ]
    turned = written(tmp_path, certificate(other, "authority.example") + certificate(key, "a.example"), private(key))
    assert turned.key_position == 1
    assert written(tmp_path, certificate(other, "app.example.com"), private(key)).key_position == -1


def test_gather_says_what_is_wrong_with_files(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = written(tmp_path, certificate(key), private(key, b"word"))
    assert locked.key_problem == "is locked with a password, which nobody types when the proxy starts"
    assert locked.names == ()
    rubbish = written(tmp_path, b"nothing", b"nothing")
    assert rubbish.certificate_problem == "is not a certificate in PEM form"
    assert rubbish.key_problem == "is not a private key in PEM form"
    missing = certificates.gather(tmp_path / "no.crt", tmp_path, NOW)
    assert missing.certificate_problem == "does not exist"
    assert missing.key_problem == "cannot be read: Is a directory"


def test_certificates_are_looked_at_in_files_mode_only(tmp_path: Path) -> None:
    folder = deployment(tmp_path)
    stack = needs(folder=folder, tls_mode="files", certificate_file="site.crt", key_file="site.key")
    found = files.gather(stack, NOW).certificate
    assert found is not None
    assert found.certificate_file == folder / "site.crt"
    assert files.gather(needs(folder=folder, certificate_file="site.crt"), NOW).certificate is None


def test_secrets_that_cannot_be_listed(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file where a folder should be")
    assert files.gather(needs(folder=tmp_path), NOW).unreadable == ("secrets",)
    (tmp_path / "secrets").unlink()
    assert files.gather(needs(folder=tmp_path), NOW).unreadable == ()
