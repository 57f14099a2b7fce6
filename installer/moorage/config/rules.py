"""What a value means, beyond its type: host names, addresses, schedules, names.

Each function takes a value as written and gives it back in its normal form, or raises ValueError
with the rule as a sentence that follows the key's name ("must be …").
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

# All of them are used with fullmatch: `$` would also match before a line end.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_NAME = 40
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# It is the name of a file too.
_LONGEST_VARIABLE = 200
_EMAIL = re.compile(r"[^@\s\"'<>(),;:\\]+@([^@\s]+)")
_DIGITS = re.compile(r"[0-9]{1,9}")
_TRAEFIK = re.compile(r"v3\.(?P<minor>[0-9]{1,9})(?:\.(?P<patch>[0-9]{1,9}))?")
# Docker takes the part before the first slash for a registry when it has a dot or a port or is localhost.
_IMAGE = re.compile(
    r"(?:(?:localhost|[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9.-]+(?=:))(?::[0-9]+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_PATH = re.compile(r"/[A-Za-z0-9._~!&'()*+,;=:@%/-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY_PREFIX = re.compile(r"[A-Za-z0-9._/-]{0,200}")
_URL = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*[^:]")

# Names that would collide with something that Docker, Compose or this program already uses.
RESERVED_NAMES = frozenset({"moorage", "default", "host", "bridge", "none", "docker", "localhost", "xn"})
_SEPARATOR = "--"


def name(value: object) -> str:
    """A deployment or environment name; it becomes part of container, volume and unit names."""
    text = _text(value)
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 40 small letters, digits and dashes, starting with a letter")
    return text


def service_name(value: object) -> str:
    """The name of a service in a Compose file; it is a host name between the containers."""
    text = _text(value)
    if not _SERVICE.fullmatch(text):
        raise ValueError("must be 1 to 63 small letters, digits, dashes and underscores, none of the signs at an end")
    return text


def deployment_name(value: object) -> str:
    """A name that is not taken by Docker or by this program."""
    text = name(value)
    if text in RESERVED_NAMES:
        raise ValueError("is a reserved name; choose another")
    # Names of international domains start with `xn--`.
    _no_separator(text.removeprefix("xn--"))
    return text


def environment_name(value: object) -> str:
    """The name of an environment, which follows the deployment's in the names of containers and volumes."""
    text = name(value)
    _no_separator(text)
    return text


def project_name(deployment: str, environment: str) -> str:
    """What Docker calls an environment that is not the default one; no two pairs have the same."""
    return f"{deployment}{_SEPARATOR}{environment}"


def _no_separator(text: str) -> None:
    if _SEPARATOR in text:
        raise ValueError(f"must not contain `{_SEPARATOR}`, which stands between the deployment and an environment")


def host_name(value: object) -> str:
    """A fully qualified host name without scheme, port or path, as RFC 1123 has it."""
    text = _text(value).lower().removesuffix(".")
    if "://" in text:
        raise ValueError("must be a bare host name, without http:// or https://")
    if "/" in text or ":" in text:
        raise ValueError("must be a bare host name, without port or path")
    if text.startswith("*."):
        raise ValueError("must be the name without `*.`; set `wildcard: true` for its subdomains")
    labels = text.split(".")
    if is_address(text):
        raise ValueError("must be a host name, not an address: certificates are issued for names")
    is_full = len(labels) > 1 or text == "localhost"
    if not is_full or len(text) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError("must be a full host name such as notes.example.com")
    return text


def route_host(value: object) -> str:
    """The host of a route: empty for the domain, `*` for every subdomain, one label below the domain, or a full name."""
    if value in ("", "*"):
        return str(value)
    text = _text(value)
    if text != text.lower():
        raise ValueError("must be in small letters")
    if text.startswith("*."):
        raise ValueError("must be `*` for every subdomain, or one full name")
    if _LABEL.fullmatch(text):
        return text
    if "." not in text:
        raise ValueError("must be a name below the domain such as admin, a full host name, or `*`")
    return host_name(text)


def server_host(value: object) -> str:
    """How another server is reached: a full or short host name, or an address."""
    text = _text(value)
    if _is_this_machine(text.lower()):
        raise ValueError(
            "is the container itself, seen from inside it: write this server's own address (`hostname -I`), "
            "and let the database listen on that"
        )
    if is_address(text) or _LABEL.fullmatch(text.lower()):
        return text
    if "." not in text:
        raise ValueError("must be a host name or an address, without scheme, port or path")
    return host_name(text)


def _is_this_machine(text: str) -> bool:
    if is_address(text):
        address = ipaddress.ip_address(text)
        return address.is_loopback or address.is_unspecified
    return text == "localhost" or text.startswith("localhost.") or text.endswith(".localhost")


def is_address(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def address(value: object) -> str:
    """An IP address of this host to listen on."""
    text = _text(value)
    if not is_address(text):
        raise ValueError("must be an IP address such as 0.0.0.0 or 127.0.0.1")
    return text


def email(value: object) -> str:
    """A mailbox that a certificate authority can write to."""
    text = _text(value)
    match = _EMAIL.fullmatch(text)
    if match is None or "." not in match[1] or not all(_LABEL.fullmatch(part) for part in match[1].lower().split(".")):
        raise ValueError("must be an e-mail address such as ops@example.com")
    return text


def network(value: object) -> str:
    """A CIDR block such as 10.0.0.0/8 whose host bits are zero."""
    text = _text(value)
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        if "host bits" in str(error):
            right = ipaddress.ip_network(text, strict=False)
            raise ValueError(f"must be a network; the one that holds this address is {right}") from None
        raise ValueError("must be a CIDR block such as 10.0.0.0/8") from None


def port(value: object) -> int:
    """A TCP port number."""
    text = str(value)
    if isinstance(value, (bool, float)) or not _DIGITS.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError("must be a port between 1 and 65535")
    return int(text)


def url(value: object) -> str:
    """An http or https address with a host and without credentials."""
    text = _text(value)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("must be an address such as https://example.com/path") from None
    # urlsplit() overlooks white space; and the address goes into files of other programs.
    if parts.scheme not in ("http", "https") or not parts.hostname or not _URL.fullmatch(text):
        raise ValueError("must be an address such as https://example.com/path")
    if parts.username or parts.password:
        raise ValueError("must not contain credentials: this file is not secret")
    return text


def route_path(value: object) -> str:
    """A URL path prefix."""
    text = _text(value)
    if not _PATH.fullmatch(text):
        raise ValueError("must be a URL path that starts with /, without query and spaces")
    return text


def directory(value: object) -> str:
    """The absolute path of a folder of the host, in its normal form."""
    text = _text(value)
    parts = PurePosixPath(text).parts
    if not text.startswith("/") or ".." in parts or _CONTROL.search(text):
        raise ValueError("must be an absolute path such as /mnt/backups, without `..`")
    normal = "/" + "/".join(parts[1:])
    if normal == "/":
        raise ValueError("must be a folder of its own, not the root of the file system")
    return normal


def bucket(value: object) -> str:
    """The name of a bucket, by the rules of S3."""
    text = _text(value)
    if not _BUCKET.fullmatch(text) or ".." in text:
        raise ValueError("must be the bare name of a bucket: 3 to 63 small letters, digits, dots and dashes")
    return text


def key_prefix(value: object) -> str:
    """A folder inside a bucket, without slashes at its ends; empty for the whole bucket."""
    text = value.strip("/") if isinstance(value, str) else None
    if text is None or not _KEY_PREFIX.fullmatch(text) or {"", ".", ".."} & set(text.split("/") if text else ()):
        raise ValueError("must be a path of letters, digits, `.`, `_`, `-` such as backups/acme")
    return text


def argument(value: object) -> str:
    """One word of a command line."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def variable_name(value: object) -> str:
    """A name that a shell and Compose accept for an environment variable."""
    text = _text(value)
    if not _VARIABLE.fullmatch(text):
        raise ValueError("must consist of letters, digits and underscores and not start with a digit")
    if len(text) > _LONGEST_VARIABLE:
        raise ValueError(f"must have at most {_LONGEST_VARIABLE} characters")
    return text


def image(value: object) -> str:
    """An image reference: [registry/]name[:tag][@digest]."""
    text = _text(value)
    if not _IMAGE.fullmatch(text):
        raise ValueError("must be an image name such as ghcr.io/acme/web:1.2.3")
    return text


def traefik_version(value: object) -> str:
    """The tag of a Traefik 3 that knows every word of our template, and keeps query strings out of its log."""
    text = _text(value)
    found = _TRAEFIK.fullmatch(text)
    if not found:
        raise ValueError("must be a version of Traefik 3 such as v3.7.15")
    minor, patch = int(found["minor"]), found["patch"]
    # Without the last number the tag means the newest of its kind.
    if minor < 7 or (minor == 7 and patch is not None and int(patch) < 12):
        raise ValueError("must be v3.7.12 or newer: older ones log the tokens of addresses and pass forged headers on")
    return text


_CRON_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


def cron(value: object) -> str:
    """A cron expression of five fields, as crontab(5) and Kubernetes read it."""
    text = " ".join(_text(value).lower().split())
    fields = text.split(" ")
    if len(fields) != 5:
        raise ValueError("must be a cron expression of five fields such as `30 3 * * *`")
    for written, (label, low, high, names) in zip(fields, _CRON_FIELDS, strict=True):
        for part in written.split(","):
            _cron_part(part, label, low, high, names)
    return text


def _cron_part(part: str, label: str, low: int, high: int, names: tuple[str, ...]) -> None:
    span, slash, step = part.partition("/")
    if slash and (not _DIGITS.fullmatch(step) or int(step) == 0):
        raise ValueError(f"has a wrong step `{step}` in the {label} field")
    if span == "*":
        return
    first, dash, last = span.partition("-")
    numbers = [_cron_number(item, label, low, high, names) for item in ((first, last) if dash else (first,))]
    if len(numbers) == 2 and numbers[0] > numbers[1]:
        raise ValueError(f"has a range `{span}` that runs backwards in the {label} field")


def _cron_number(text: str, label: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + (1 if label == "month" else 0)
    if not _DIGITS.fullmatch(text) or not low <= int(text) <= high:
        raise ValueError(f"has `{text}` in the {label} field, which takes {low} to {high}")
    return int(text)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()
