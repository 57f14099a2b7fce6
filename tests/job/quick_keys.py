"""A key of a restic repository that is derived in no time.

restic makes one that takes half a second of processor time, for each of its calls; a night has a dozen, and these tests
have hundreds of nights. The password, the format and the program stay the real ones; only the cost of trying the
password is that of a weak one. See restic's design document, "Keys, Encryption and MAC" and its file `keys/…`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from moorage.backups.failures import BackupError
from moorage.backups.restic import Restic
from moorage.backups.stores.base import Store

_STRONG_MEMORY = 256 << 20
_FOLDER = "restic/keys/"
_PRIME = (1 << 130) - 5


@contextmanager
def quick_keys() -> Iterator[None]:
    """Repositories that are made meanwhile get such a key in the place of their own."""
    initialise = Restic._initialise

    def and_hurry(restic: Restic) -> None:
        initialise(restic)
        # A store that is to fail keeps its own key.
        with suppress(BackupError):
            _replace(restic._store, restic._password_file.read_text(encoding="utf-8"))

    Restic._initialise = and_hurry  # type: ignore[method-assign]
    try:
        yield
    finally:
        Restic._initialise = initialise  # type: ignore[method-assign]


def _replace(store: Store, password: str) -> None:
    (place,) = store.keys(_FOLDER)
    strong = store.get(place)
    assert strong is not None
    weak = _weak(json.loads(strong), password.encode())
    store.put(_FOLDER + hashlib.sha256(weak).hexdigest(), weak)
    store.delete(place)


def _weak(key: dict[str, object], password: bytes) -> bytes:
    """The same master key, sealed by another derivation of the same password."""
    data = base64.b64decode(str(key["data"]))
    nonce, sealed, tag = data[:16], data[16:-16], data[-16:]
    encryption, authentication = _derived(key, password)
    assert _tag(authentication, nonce, sealed) == tag
    master = _counter_mode(encryption, nonce, sealed)
    new = {**key, "N": 2, "r": 1, "p": 1, "salt": base64.b64encode(os.urandom(64)).decode()}
    encryption, authentication = _derived(new, password)
    nonce = os.urandom(16)
    sealed = _counter_mode(encryption, nonce, master)
    new["data"] = base64.b64encode(nonce + sealed + _tag(authentication, nonce, sealed)).decode()
    return json.dumps(new).encode()


def _derived(key: dict[str, object], password: bytes) -> tuple[bytes, bytes]:
    """32 bytes for AES-256, then 16 and 16 for Poly1305-AES."""
    cost, block, parallel = (int(str(key[name])) for name in ("N", "r", "p"))
    salt = base64.b64decode(str(key["salt"]))
    found = hashlib.scrypt(password, salt=salt, n=cost, r=block, p=parallel, maxmem=_STRONG_MEMORY, dklen=64)
    return found[:32], found[32:]


def _counter_mode(key: bytes, nonce: bytes, text: bytes) -> bytes:
    return _openssl("-aes-256-ctr", key, text, "-iv", nonce.hex())


def _tag(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """Poly1305 over the text, with the nonce under AES-128 added."""
    added = int.from_bytes(_openssl("-aes-128-ecb", key[:16], nonce), "little")
    factor = int.from_bytes(key[16:], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(text), 16):
        total = (total + int.from_bytes(text[start : start + 16] + b"\1", "little")) * factor % _PRIME
    return ((total + added) % (1 << 128)).to_bytes(16, "little")


def _openssl(cipher: str, key: bytes, text: bytes, *more: str) -> bytes:
    command = ["openssl", "enc", cipher, "-nopad", "-K", key.hex(), *more]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout
