"""Secrets: made once, kept in files of mode 0600, never shown.

Each environment has a folder `secrets/<environment>/values/` with one file per secret, named after its
variable. One recovery key for the whole deployment stands beside them.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets as random_source
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from moorage.errors import MoorageError
from moorage.sensitive import Sensitive

FOLDER = "secrets"
RECOVERY_KEY_FILE = "recovery.key"
_ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
# Without 0, O, 1, l, I: it is read aloud and typed.
_READABLE = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True)
class SecretNeed:
    """One secret that the stack uses: who needs it and how it is made when it is missing.

    Without `generator` only the operator can give it. `source` names the secret that a bcrypt entry hashes.
    """

    name: str
    why: str
    generator: str = ""
    prefix: str = ""
    source: str = ""
    optional: bool = False


@dataclass
class SecretValues:
    """The secrets of one environment; `missing` are those that only the operator can give."""

    values: dict[str, Sensitive] = field(default_factory=dict)
    missing: list[SecretNeed] = field(default_factory=list)
    generated: list[str] = field(default_factory=list)
    deployment_id: str = ""


class SecretStore:
    """The secrets folder of a deployment, seen from one environment."""

    def __init__(
        self,
        folder: Path,
        environment: str,
        random_bytes: RandomBytes = random_source.token_bytes,
        given: Mapping[str, Sensitive] | None = None,
    ) -> None:
        self.folder = folder / FOLDER
        self.values_folder = self.folder / environment / "values"
        self._random_bytes = random_bytes
        self._given = given or {}

    def names(self) -> tuple[str, ...]:
        """The names of the secrets that exist, sorted."""
        if not self.values_folder.is_dir():
            return ()
        return tuple(sorted(found.name for found in self.values_folder.iterdir() if not found.name.startswith(".")))

    def read(self, name: str) -> Sensitive | None:
        """One secret, or None when there is none of that name."""
        try:
            return Sensitive((self.values_folder / name).read_text(encoding="utf-8").removesuffix("\n"))
        except FileNotFoundError:
            return self._given.get(name)
        except PermissionError:
            raise MoorageError(
                f"the secret {name} may not be read by this user", f"look at the owner of {self.values_folder}"
            ) from None

    def replace(self, name: str, value: Sensitive) -> None:
        """Set one secret, whether it exists or not; the old value is gone after this."""
        _write_private(self.values_folder / name, value.reveal(), keep_existing=False)

    def resolve(self, needs: Iterable[SecretNeed], *, write: bool) -> SecretValues:
        """The values of all needs. Missing ones are generated and, if `write`, kept.

        Without `write` nothing is created: the values only serve to check and compare.
        """
        result = SecretValues()
        ordered = sorted(needs, key=lambda need: need.generator == "bcrypt")
        for need in ordered:
            value = self.read(need.name)
            if value is None and need.generator:
                value = Sensitive(self._generate(need, result.values))
                result.generated.append(need.name)
                if write:
                    _write_private(self.values_folder / need.name, value.reveal(), keep_existing=True)
                    value = self.read(need.name) or value
            if value is None:
                result.missing.append(need)
                continue
            result.values[need.name] = value
        result.deployment_id = fingerprint(self.recovery_key(write=write))
        return result

    def recovery_key(self, *, write: bool) -> Sensitive:
        """The deployment's recovery key; made when there is none (and kept if `write`)."""
        path = self.folder / RECOVERY_KEY_FILE
        try:
            return Sensitive(path.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            key = make_recovery_key(self._random_bytes(32))
            if write:
                _write_private(path, key, keep_existing=True)
                return Sensitive(path.read_text(encoding="ascii").strip())
            return Sensitive(key)

    def _generate(self, need: SecretNeed, known: Mapping[str, Sensitive]) -> str:
        if need.generator == "bcrypt":
            return self._bcrypt_entry(known[need.source])
        return need.prefix + _GENERATORS[need.generator](self._random_bytes)

    def _bcrypt_entry(self, password: Sensitive) -> str:
        import bcrypt

        salt = b"$2b$12$" + _bcrypt_base64(self._random_bytes(16))
        return "admin:" + bcrypt.hashpw(password.reveal().encode(), salt).decode()


def _bcrypt_base64(raw: bytes) -> bytes:
    """22 characters of bcrypt's own base64 alphabet; the last one may only carry two bits."""
    standard = base64.b64encode(raw).rstrip(b"=")[:22]
    table = bytes.maketrans(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    )
    return standard.translate(table)


def _letters(alphabet: str, count: int) -> Callable[[RandomBytes], str]:
    def generate(random_bytes: RandomBytes) -> str:
        # Bytes beyond the largest multiple are thrown away, so that every letter is equally likely.
        limit = 256 - 256 % len(alphabet)
        text = ""
        while len(text) < count:
            text += "".join(alphabet[byte % len(alphabet)] for byte in random_bytes(count) if byte < limit)
        return text[:count]

    return generate


_GENERATORS: dict[str, Callable[[RandomBytes], str]] = {
    "hex32": lambda random_bytes: random_bytes(32).hex(),
    "hex16": lambda random_bytes: random_bytes(16).hex(),
    "urlsafe32": lambda random_bytes: base64.urlsafe_b64encode(random_bytes(32)).decode().rstrip("="),
    "fernet": lambda random_bytes: base64.urlsafe_b64encode(random_bytes(32)).decode(),
    "alphanumeric48": _letters(_ALPHANUMERIC, 48),
    "password": _letters(_READABLE, 20),
    "uuid4": lambda random_bytes: str(uuid.UUID(bytes=random_bytes(16), version=4)),
}


def make_recovery_key(raw: bytes) -> str:
    """32 random bytes as text to print: groups of four letters, the last group is a checksum."""
    body = base64.b32encode(raw).decode().rstrip("=")
    check = base64.b32encode(hashlib.sha256(raw).digest()).decode()[:4]
    text = body + check
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def parse_recovery_key(text: str) -> bytes:
    """The 32 bytes of a typed recovery key. Raises MoorageError when its checksum does not fit."""
    letters = "".join(text.split()).replace("-", "").upper().replace("0", "O").replace("1", "I").replace("8", "B")
    try:
        raw = base64.b32decode(letters[:52] + "====")
    except ValueError:
        raw = b""
    if (
        len(raw) != 32
        or len(letters) != 56
        or base64.b32encode(hashlib.sha256(raw).digest()).decode()[:4] != letters[52:]
    ):
        raise MoorageError(
            "this is not a recovery key", "a recovery key has 14 groups of four letters; look for a typing error"
        )
    return raw


def fingerprint(key: Sensitive) -> str:
    """Twelve digits that tell one deployment from another and say nothing of the key."""
    return hashlib.sha256(b"moorage deployment id\0" + parse_recovery_key(key.reveal())).hexdigest()[:12]


def _write_private(path: Path, text: str, *, keep_existing: bool) -> None:
    """Write a file of mode 0600 whole or not at all; with `keep_existing` the first writer wins."""
    for folder in reversed([path.parent, *path.parent.parents]):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        if keep_existing:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return
        else:
            Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
