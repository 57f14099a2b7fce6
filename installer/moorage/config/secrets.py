"""Secrets: made once, kept in files of mode 0600, never shown.

Each environment has a folder `secrets/<environment>/values/` with one file per secret, named after its
variable. One recovery key for the whole deployment stands beside them.
"""

from __future__ import annotations

import base64
import os
import secrets as random_source
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from moorage.backups.keys import derived_key
from moorage.config.password_entry import PasswordEntry
from moorage.durable import make_closed_folder, named_failure
from moorage.errors import MoorageError
from moorage.recovery_key import fingerprint, make_recovery_key, parse_recovery_key
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
    log_passphrase: Sensitive = field(default_factory=lambda: Sensitive(""))


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
        try:
            found = os.listdir(self.values_folder)  # noqa: PTH208 - names are all that is wanted
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except PermissionError:
            hint = "run the command as the owner of that folder, or with sudo"
            raise MoorageError(f"the secrets in {self.values_folder} may not be read by this user", hint) from None
        return tuple(sorted(name for name in found if not name.startswith(".")))

    def read(self, name: str) -> Sensitive | None:
        """One secret, or None when there is none of that name. Raises MoorageError when it can't be read as text."""
        text = _read_private(self.values_folder / name, f"the secret {name}")
        return self._given.get(name) if text is None else Sensitive(text.removesuffix("\n"))

    def replace(self, name: str, value: Sensitive) -> None:
        """Set one secret, whether it exists or not; the old value is gone after this."""
        self._close()
        _write_private(self.values_folder / name, value.reveal(), keep_existing=False)

    def resolve(self, needs: Sequence[SecretNeed], *, write: bool) -> SecretValues:
        """The values of all needs. Missing ones are generated and, if `write`, kept.

        Without `write` nothing is created: the values only serve to check and compare.
        """
        result = SecretValues()
        if write:
            self._close()
        made_of_others = [need for need in needs if need.generator == "bcrypt"]
        for need in needs:
            if need not in made_of_others:
                self._resolve(need, result, write=write)
        key = self.recovery_key(write=write)
        for need in made_of_others:
            self._resolve_hash(need, result, key, write=write)
        result.deployment_id = fingerprint(key)
        result.log_passphrase = derived_key(parse_recovery_key(key.reveal()), "pgbackrest")
        return result

    def _resolve(self, need: SecretNeed, result: SecretValues, *, write: bool) -> None:
        value = self.read(need.name)
        if value is None and need.generator:
            value = Sensitive(need.prefix + _GENERATORS[need.generator](self._random_bytes))
            result.generated.append(need.name)
            if write:
                _write_private(self.values_folder / need.name, value.reveal(), keep_existing=True)
                value = self.read(need.name) or value
        if value is None:
            result.missing.append(need)
        else:
            result.values[need.name] = value

    def _resolve_hash(self, need: SecretNeed, result: SecretValues, key: Sensitive, *, write: bool) -> None:
        """A password entry follows its password, as long as it is one of ours and not the operator's own."""
        value, password = self.read(need.name), result.values.get(need.source)
        if password is None:
            if value is None:
                result.missing.append(need)
            else:
                result.values[need.name] = value
            return
        entry = PasswordEntry(need.name, need.source, password, parse_recovery_key(key.reveal()))
        if value is None or entry.is_outdated(value):
            value = entry.make()
            result.generated.append(need.name)
            if write:
                _write_private(self.values_folder / need.name, value.reveal(), keep_existing=False)
        result.values[need.name] = value

    def recovery_key(self, *, write: bool) -> Sensitive:
        """The deployment's recovery key; made when there is none (and kept if `write`).

        Raises MoorageError when the file is damaged: it is never overwritten, because backups need the old one.
        """
        path = self.folder / RECOVERY_KEY_FILE
        text = _read_private(path, "the recovery key")
        if text is None:
            text = make_recovery_key(self._random_bytes(32))
            if write:
                _write_private(path, text, keep_existing=True)
                text = _read_private(path, "the recovery key") or text
        try:
            parse_recovery_key(text)
        except MoorageError:
            hint = "put your printed copy of the key into it; backups are encrypted with that key"
            raise MoorageError(f"{path} does not hold a recovery key", hint) from None
        return Sensitive(text.strip())

    def keep_recovery_key(self, raw: bytes) -> None:
        """Keep a key that is known already, where the folder has none."""
        self._close()
        _write_private(self.folder / RECOVERY_KEY_FILE, make_recovery_key(raw), keep_existing=True)

    def _close(self) -> None:
        """Take from all others what they may do with folders and files that existed before."""
        folders = (self.folder, self.values_folder.parent, self.values_folder)
        files = [self.values_folder / name for name in self.names()]
        for path in (*folders, *files, self.folder / RECOVERY_KEY_FILE):
            # Another owner's file is found by `moorage check`.
            with suppress(OSError):
                if path.stat().st_mode & 0o077:
                    path.chmod(0o700 if path.is_dir() else 0o600)


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


def _read_private(path: Path, what: str) -> str | None:
    """The text of a file, line ends included; None when there is none. Raises MoorageError naming it."""
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise MoorageError(f"{what} may not be read by this user", f"look at the owner of {path}") from None
    except UnicodeDecodeError:
        hint = f"{path} must hold UTF-8 text; encode other bytes, for instance with base64"
        raise MoorageError(f"{what} is not a text", hint) from None
    except OSError as error:
        raise MoorageError(f"{what} can't be read: {error.strerror}", f"look at {path}") from None


def _write_private(path: Path, text: str, *, keep_existing: bool) -> None:
    """Write a file of mode 0600 whole or not at all; with `keep_existing` the first writer wins."""
    with named_failure(path):
        _place_private(path, text, keep_existing=keep_existing)


def _place_private(path: Path, text: str, *, keep_existing: bool) -> None:
    make_closed_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(f"{text}\n".encode())
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
