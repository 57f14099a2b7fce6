"""In what a cluster's network differs from Docker's on a server, and why: beside `network.py`, which causes it."""

from __future__ import annotations

import re

from moorage.parity.reasons import Allowed, Pair, nothing_right, only_left, only_right
from moorage.targets.k8s.network import INTERFACE_PORTS, PRIVATE, PRIVATE_6

_PUBLIC = (f"0.0.0.0/0 but {' '.join(PRIVATE)}", f"::/0 but {' '.join(PRIVATE_6)}")
_INTERFACE = "everywhere at " + " ".join(str(port) for port in INTERFACE_PORTS)
# The cluster's interface, the proxy's own ports in its pod: one of both is the same number.
_BY_CHANCE = "8443"
_OF_PROXY = "8000 8443"


def _parts(pair: Pair) -> list[str]:
    return [part for part in pair.right.split(", ") if part]


def _public_only(pair: Pair) -> bool:
    return pair.left == "everywhere" and tuple(_parts(pair)) == _PUBLIC


def _public_and_what_it_needs(pair: Pair) -> bool:
    """Whether it reaches more than public addresses, as those do that have a database outside or start pods."""
    more = [part for part in _parts(pair) if part not in _PUBLIC]
    known = (_INTERFACE, "other namespaces ")
    outside = re.compile(r"everywhere at \d+( \d+)*")
    return (
        pair.left == "everywhere"
        and bool(more)
        and all(part.startswith(known) or outside.fullmatch(part) for part in more)
    )


def _just_routed(pair: Pair) -> bool:
    """Whether the proxy reaches the very ports that its routes lead to."""
    service = pair.key.field.removeprefix("proxy → ")
    service = pair.right_facts.get(service, "network of") or service
    routed = {
        text.rpartition(":")[2]
        for key, text in pair.right_facts.values.items()
        if key.field == "to" and text.rpartition(":")[0] == service
    }
    return pair.left == "every port" and set(pair.right.split()) == routed


def _reaches_the_interface(pair: Pair) -> bool:
    name = pair.key.field.partition(" → ")[0]
    outside = pair.right_facts.get("network", f"{name} → outside")
    return pair.right == _BY_CHANCE and _INTERFACE in outside


def _reaches_everything(pair: Pair) -> bool:
    name = pair.key.field.partition(" → ")[0]
    return pair.right == _OF_PROXY and pair.right_facts.get("network", f"{name} → outside") == "everywhere"


def _shares_a_network(pair: Pair) -> bool:
    return not pair.left and pair.right == "yes" and bool(pair.beside("network of")[1])


DIFFERENCES = (
    Allowed(
        "network",
        "* → outside",
        "Pods reach public addresses only; on a server a container reaches the private networks around it as well.",
        _public_only,
    ),
    Allowed(
        "network",
        "* → outside",
        "Who has a database outside, or starts pods itself, reaches that as well; nobody else in the cluster.",
        _public_and_what_it_needs,
    ),
    Allowed(
        "network edge",
        "way out",
        "Who has a route is reached by the proxy's own policy; its ways out are those of its other networks.",
        only_left("yes"),
    ),
    Allowed("network", "proxy → *", "A policy opens just the ports that have a route.", _just_routed),
    Allowed(
        "network",
        "* → proxy",
        "Docker's network of the proxy works in both directions; in a cluster its members come to it as visitors do.",
        only_left("every port"),
    ),
    Allowed(
        "network",
        "* → proxy",
        "Who asks the cluster itself may use a port that the proxy's pod happens to have; what is there is open to everybody.",
        lambda pair: _reaches_the_interface(pair) or _reaches_everything(pair),
    ),
    Allowed(
        "network",
        "backup* → backup*",
        "Docker's network joins its members; a policy only lets each of them out.",
        only_left("every port"),
    ),
    Allowed(
        "network",
        "any other pod → names",
        "What is not of the deployment reaches nothing in it; it may ask for names.",
        only_right("yes"),
    ),
    Allowed("service *", "name.*", "Containers of one pod are found by each of their names.", _shares_a_network),
    Allowed("network", "Docker's proxy → *", "Nobody asks Docker for anything in a cluster.", nothing_right),
    Allowed("network", "* → Docker's proxy", "Nobody asks Docker for anything in a cluster.", nothing_right),
)
