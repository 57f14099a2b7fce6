"""The line with user name and hash that Traefik's dashboard asks for; it follows its password."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass

from moorage.errors import MoorageError
from moorage.sensitive import Sensitive


@dataclass(frozen=True)
class PasswordEntry:
    """A user name with the bcrypt hash of a password, as Traefik reads it.

    Its salt says whether it is one of ours (first half) and of this password (second half), without telling
    anything of it: both are keyed with the deployment's recovery key. `source` is the name of the password's secret.
    """

    name: str
    source: str
    password: Sensitive
    key: bytes

    def make(self) -> Sensitive:
        """The entry. Raises MoorageError when the password is too long for bcrypt."""
        import bcrypt

        raw = self.password.reveal().encode()
        if len(raw) > 72:
            raise MoorageError(
                f"the secret {self.source} has {len(raw)} bytes; the hash that Traefik reads takes 72",
                f"`moorage secrets set {self.source}` with a shorter one",
            )
        return Sensitive("admin:" + bcrypt.hashpw(raw, b"$2b$12$" + _bcrypt_base64(self._salt())).decode())

    def is_outdated(self, entry: Sensitive) -> bool:
        """Whether it is an entry of ours for an earlier password."""
        wanted, found = _bcrypt_base64(self._salt()), entry.reveal().removeprefix("admin:$2b$12$").encode()
        # Ten letters are sixty bits: those that only the first half of the salt decides.
        return found[:10] == wanted[:10] and found[:22] != wanted

    def _salt(self) -> bytes:
        ours = hmac.digest(self.key, f"bcrypt\0{self.name}".encode(), "sha256")
        password = hmac.digest(self.key, f"bcrypt\0{self.name}\0{self.password.reveal()}".encode(), "sha256")
        return ours[:8] + password[:8]


def _bcrypt_base64(raw: bytes) -> bytes:
    """22 characters of bcrypt's own base64 alphabet; the last one may only carry two bits."""
    standard = base64.b64encode(raw).rstrip(b"=")[:22]
    table = bytes.maketrans(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    )
    return standard.translate(table)
