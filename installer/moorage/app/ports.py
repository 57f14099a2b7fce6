"""`ports` and `expose` of a service, as Compose reads them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from moorage.app import subset
from moorage.app.model import PublishedPort
from moorage.app.reader import Reader
from moorage.config import rules
from moorage.formats import KeyPath

_SPAN = r"[0-9]+(?:-[0-9]+)?"
_SHORT = re.compile(
    # An empty address is every one: `${BIND:-}:80:80`.
    rf"^(?:(?:(?P<address>\[[^\]]*\]|[^:\[\]]*):)?(?P<host>{_SPAN})?:)?(?P<container>{_SPAN})(?:/(?P<protocol>\w+))?$"
)
_PROTOCOLS = ("tcp", "udp")


def read_ports(reader: Reader, value: Any, path: KeyPath) -> tuple[PublishedPort, ...]:
    """Every port on its own, ranges spread out; what is no port is reported at its index."""
    found: list[PublishedPort] = []
    for index, item in enumerate(reader.sequence(value, path)):
        here = (*path, index)
        found.extend(_long(reader, item, here) if isinstance(item, dict) else _short(reader, item, here))
    return tuple(found)


def read_exposed(reader: Reader, value: Any, path: KeyPath) -> tuple[int, ...]:
    """The ports of `expose`, a hint for the route's port; ranges tell nothing."""
    found: list[int] = []
    for index, item in enumerate(reader.sequence(value, path)):
        text = reader.text(item, (*path, index)).partition("/")[0]
        number = reader.parsed(text, (*path, index), rules.port) if "-" not in text else None
        if number:
            found.append(number)
    return tuple(found)


def port_spans(ports: Iterable[tuple[int, str]]) -> list[tuple[int, int, str]]:
    """Ports (number, protocol) as runs (first, last, protocol): a range is one line to a person."""
    spans: list[tuple[int, int, str]] = []
    for number, protocol in ports:
        if spans and spans[-1][1:] == (number - 1, protocol):
            spans[-1] = (spans[-1][0], number, protocol)
        else:
            spans.append((number, number, protocol))
    return spans


def is_https(port: int) -> bool:
    """Whether a port is one that programs use for HTTPS of their own: 443, 3443, 8443…"""
    return port % 1000 == 443


def _short(reader: Reader, item: Any, path: KeyPath) -> list[PublishedPort]:
    problems = len(reader.problems)
    text = reader.text(item, path)
    if len(reader.problems) > problems:
        return []
    match = _SHORT.match(text)
    if match is None:
        reader.report(path, "must be a port such as 8080:80 or 127.0.0.1:8080:80/tcp", value=text)
        return []
    return _spread(
        reader, match["address"] or "", match["host"] or "", match["container"], match["protocol"] or "tcp", path
    )


def _long(reader: Reader, item: Mapping[str, Any], path: KeyPath) -> list[PublishedPort]:
    problems = len(reader.problems)
    kept = reader.keys(item, path, subset.PORT, f"service {path[1]}, ports")
    target = reader.text(kept.get("target"), (*path, "target"))
    published = reader.text(kept.get("published"), (*path, "published"))
    protocol = reader.text(kept.get("protocol"), (*path, "protocol"), "tcp")
    address = reader.text(kept.get("host_ip"), (*path, "host_ip"))
    if len(reader.problems) > problems:
        return []
    if not re.fullmatch(r"[0-9]+", target):
        reader.report((*path, "target"), "must be the container's port", value=target)
        return []
    if published and not re.fullmatch(_SPAN, published):
        reader.report((*path, "published"), "must be a port or a range of ports", value=published)
        return []
    return _spread(reader, address, published, target, protocol, path)


def _spread(
    reader: Reader, address: str, host: str, container: str, protocol: str, path: KeyPath
) -> list[PublishedPort]:
    """One entry per container port; several host ports for one container port mean the first that is free."""
    bare = address.removeprefix("[").removesuffix("]")
    inside, outside = _span(container), _span(host) if host else None
    rule = ""
    if bare and not _is_address(bare):
        rule = f"has `{bare}` in the place of an IP address of the host"
    elif protocol.lower() not in _PROTOCOLS:
        rule = f"has the protocol `{protocol}`; only tcp and udp are supported"
    elif not inside or inside[0] < 1 or (outside is not None and not outside):
        rule = "must use ports between 1 and 65535"
    elif outside is not None and len(inside) > 1 and len(outside) != len(inside):
        rule = "has port ranges of different lengths"
    if rule:
        reader.report(path, rule, value=f"{host}:{container}" if host else container)
        return []
    # 0 asks for any free port, as if none had been named.
    outer = [number or None for number in outside] if outside is not None else [None] * len(inside)
    return [
        PublishedPort(inner, published, protocol.lower(), bare, path)
        for inner, published in zip(inside, outer, strict=False)
    ]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _span(text: str) -> range:
    """The numbers of `80` or `80-90`; none when they run backwards or above the last port."""
    first, _, last = text.partition("-")
    # Longer texts are no ports, and int() of a very long one takes its time.
    if max(len(first), len(last)) > 9 or max(int(first), int(last or first)) > 65535:
        return range(0)
    return range(int(first), int(last or first) + 1)
