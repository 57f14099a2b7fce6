"""Network policies → rules of iptables: who may open a connection to whom. Pure; `policies.py` brings them to the node."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Words = tuple[str, ...]

ENTRY = "MOORAGE-POLICIES"
INGRESS, EGRESS = "Ingress", "Egress"


@dataclass(frozen=True)
class Side:
    """One direction: which types and keys a policy uses for it, and which ends of a packet are the pod's and the peer's."""

    policy_type: str
    rules: str
    peers: str
    own: str
    other: str


SIDES = (Side(INGRESS, "ingress", "from", "-d", "-s"), Side(EGRESS, "egress", "to", "-s", "-d"))


def table(policies: Sequence[Json], pods: Sequence[Json], namespaces: Sequence[Json]) -> str:
    """Return what `iptables-restore --noflush` reads, so that exactly these policies hold for exactly these pods."""
    labels = {each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in namespaces}
    living = [pod for pod in pods if _has_address_of_its_own(pod)]
    chains: list[str] = []
    lines = [_line(ENTRY, ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED"), "RETURN")]
    for side in SIDES:
        for pod in living:
            if chosen := [policy for policy in policies if _selects(policy, pod, side)]:
                chain = f"MOORAGE-{len(chains)}"
                chains.append(chain)
                lines.append(_line(ENTRY, (side.own, _address(pod)), chain))
                lines += _chain(chain, pod, chosen, side, living, labels)
    return "\n".join(["*mangle", *(f":{each} - [0:0]" for each in [ENTRY, *chains]), *lines, "COMMIT", ""])


def _chain(
    chain: str, pod: Json, policies: Sequence[Json], side: Side, pods: Sequence[Json], labels: dict[str, Json]
) -> Iterator[str]:
    """Give the lines of one pod: what any of its policies allows passes, everything else does not."""
    yield _line(chain, (side.other, _address(pod)), "RETURN")  # nobody is cut off from himself
    for policy in policies:
        for rule in policy["spec"].get(side.rules) or []:
            for peer, target in _peers(rule.get(side.peers), policy, side, pods, labels):
                destination = target if side.policy_type == EGRESS else pod
                for ports in _ports(rule.get("ports"), destination):
                    yield _line(chain, (*peer, *ports), "RETURN")
    yield _line(chain, (), "DROP")


def _peers(
    peers: Sequence[Json] | None, policy: Json, side: Side, pods: Sequence[Json], labels: dict[str, Json]
) -> Iterator[tuple[Words, Json | None]]:
    """Give each peer as words for a rule, with its pod where it is one; no peers at all means everybody."""
    if not peers:
        yield (), None
    for peer in peers or []:
        if "ipBlock" in peer:
            for network in _networks(peer["ipBlock"]):
                yield (side.other, network), None
            continue
        for pod in pods:
            if _is_peer(peer, pod, policy["metadata"]["namespace"], labels):
                yield (side.other, _address(pod)), pod


def _is_peer(peer: Json, pod: Json, own_namespace: str, labels: dict[str, Json]) -> bool:
    namespace = pod["metadata"]["namespace"]
    if "namespaceSelector" in peer:
        is_there = matches(peer["namespaceSelector"], labels.get(namespace, {}))
    else:
        is_there = namespace == own_namespace
    return is_there and matches(peer.get("podSelector") or {}, pod["metadata"].get("labels", {}))


def _networks(block: Json) -> list[str]:
    """Return a block without its exceptions, as networks."""
    networks = [ipaddress.ip_network(block["cidr"])]
    for text in block.get("except") or []:
        hole = ipaddress.ip_network(text)
        # Of two networks that touch, one contains the other; an exception lies within the block.
        networks = [
            part
            for each in networks
            for part in ([] if each == hole else each.address_exclude(hole) if hole.subnet_of(each) else [each])  # type: ignore[arg-type]
        ]
    return [str(each) for each in networks if each.version == 4]


def _ports(ports: Sequence[Json] | None, destination: Json | None) -> Iterator[Words]:
    """Give each port as words for a rule; no ports at all means every one. A name means what the destination calls so."""
    if not ports:
        yield ()
    for entry in ports or []:
        protocol = entry.get("protocol", "TCP")
        port = entry.get("port")
        numbers = [port] if not isinstance(port, str) else _named(port, protocol, destination)
        for number in numbers:
            words: Words = ("-p", protocol.lower())
            if number is not None:
                words += ("--dport", f"{number}:{entry['endPort']}" if "endPort" in entry else str(number))
            yield words


def _named(name: str, protocol: str, pod: Json | None) -> list[int]:
    containers = pod["spec"]["containers"] if pod else []
    ports = [port for container in containers for port in container.get("ports", [])]
    return [
        port["containerPort"] for port in ports if (port.get("name"), port.get("protocol", "TCP")) == (name, protocol)
    ]


def _selects(policy: Json, pod: Json, side: Side) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or [INGRESS, *([EGRESS] if spec.get("egress") else [])]
    is_here = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return (
        side.policy_type in types
        and is_here
        and matches(spec.get("podSelector") or {}, pod["metadata"].get("labels", {}))
    )


def matches(selector: Json, labels: Json) -> bool:
    """Tell whether a label selector chooses something with these labels; an empty one chooses everything."""
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(each, labels) for each in expressions
    )


def _holds(expression: Json, labels: Json) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    # What has no such label is not in any list.
    is_in = labels.get(key) in values
    return is_in if operator == "In" else not is_in


def _has_address_of_its_own(pod: Json) -> bool:
    is_over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not is_over and not pod["spec"].get("hostNetwork") and bool(pod.get("status", {}).get("podIP"))


def _address(pod: Json) -> str:
    return str(pod["status"]["podIP"])


def _line(chain: str, match: Words, target: str) -> str:
    return " ".join(["-A", chain, *match, "-j", target])
