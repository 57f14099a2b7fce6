"""NetworkPolicies as a cluster applies them: which ports one pod opens to another, and what of the world it reaches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moorage.parity.kubernetes_objects import Pod

Port = tuple[int, str]
# Every port: of a rule without any.
EVERY: frozenset[Port] = frozenset({(0, "every")})
_SYSTEM = {"kubernetes.io/metadata.name": "kube-system"}


@dataclass(frozen=True)
class Policies:
    """All policies of a namespace, with the labels that it has."""

    items: tuple[Mapping[str, Any], ...]
    namespace: Mapping[str, str]

    def between(self, source: Pod, target: Pod) -> frozenset[Port]:
        """The ports of `target` that `source` reaches: what one may send and the other may receive."""
        sent = self._open(source, "Egress", target, target)
        received = self._open(target, "Ingress", source, target)
        if sent >= EVERY:
            return received
        return sent if received >= EVERY else sent & received

    def from_anywhere(self, target: Pod) -> frozenset[Port]:
        """The ports that somebody outside of the cluster reaches."""
        rules = self._rules(target, "Ingress")
        if rules is None:
            return EVERY
        found: set[Port] = set()
        for rule in rules:
            peers = rule.get("from") or []
            if not peers or any((peer.get("ipBlock") or {}).get("cidr") == "0.0.0.0/0" for peer in peers):
                found |= _ports(rule, target)
        return EVERY if found >= EVERY else frozenset(found)

    def from_afar(self, target: Pod, source: Pod) -> frozenset[Port]:
        """The ports that a pod in a namespace of somebody else reaches, however that one is called."""
        rules = self._rules(target, "Ingress")
        if rules is None:
            return EVERY
        found: set[Port] = set()
        for rule in rules:
            peers = rule.get("from") or []
            if not peers or any(
                _selects(peer.get("namespaceSelector"), {}) and _selects(peer.get("podSelector") or {}, source.labels)
                for peer in peers
            ):
                found |= _ports(rule, target)
        return EVERY if found >= EVERY else frozenset(found)

    def to_outside(self, source: Pod) -> str:
        """The addresses outside of the namespace that a pod reaches, as a person would write them."""
        rules = self._rules(source, "Egress")
        if rules is None:
            return "everywhere"
        found = [text for rule in rules for text in _outside(rule, source)]
        return ", ".join(sorted(set(found)))

    def to_names(self, source: Pod) -> bool:
        """Whether it reaches the cluster's name service by both protocols."""
        rules = self._rules(source, "Egress")
        if rules is None:
            return True
        found: set[Port] = set()
        for rule in rules:
            peers = rule.get("to") or []
            if not peers or any(
                _selects(peer.get("namespaceSelector"), _SYSTEM) and "podSelector" not in peer for peer in peers
            ):
                found |= _ports(rule, source)
        return found >= EVERY or {(53, "UDP"), (53, "TCP")} <= found

    def _open(self, pod: Pod, direction: str, other: Pod, owner: Pod) -> frozenset[Port]:
        rules = self._rules(pod, direction)
        if rules is None:
            return EVERY
        found: set[Port] = set()
        for rule in rules:
            peers = rule.get("to" if direction == "Egress" else "from") or []
            if not peers or any(self._is_peer(peer, other) for peer in peers):
                found |= _ports(rule, owner)
        return EVERY if found >= EVERY else frozenset(found)

    def _rules(self, pod: Pod, direction: str) -> list[Mapping[str, Any]] | None:
        """The rules of all policies that close a pod in a direction; None when none does."""
        specs = [item.get("spec") or {} for item in self.items]
        closing = [
            spec
            for spec in specs
            if _selects(spec.get("podSelector") or {}, pod.labels) and direction in _directions(spec)
        ]
        if not closing:
            return None
        return [rule or {} for spec in closing for rule in spec.get(direction.lower()) or []]

    def _is_peer(self, peer: Mapping[str, Any], pod: Pod) -> bool:
        if "ipBlock" in peer:
            return False
        if "namespaceSelector" in peer and not _selects(peer["namespaceSelector"], self.namespace):
            return False
        return _selects(peer.get("podSelector") or {}, pod.labels)


def _directions(spec: Mapping[str, Any]) -> Sequence[str]:
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _expressed(item, labels) for item in selector.get("matchExpressions") or []
    )


def _expressed(item: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(str(item.get("key"))), item.get("values") or []
    kinds = {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return kinds.get(str(item.get("operator")), False)


def _ports(rule: Mapping[str, Any], owner: Pod) -> frozenset[Port]:
    """The ports of a rule; names are those of the pod that has them."""
    if not rule.get("ports"):
        return EVERY
    found: set[Port] = set()
    for item in rule["ports"]:
        protocol = str(item.get("protocol", "TCP"))
        if item.get("port") is None:
            found.add((0, protocol))
            continue
        first = owner.port(item["port"])
        found |= {(number, protocol) for number in range(first, int(item.get("endPort", first)) + 1) if number}
    return frozenset(found)


def _outside(rule: Mapping[str, Any], source: Pod) -> Iterator[str]:
    peers = rule.get("to") or []
    ports = "" if not rule.get("ports") else f" at {ports_text(_ports(rule, source))}"
    if not peers:
        yield f"everywhere{ports}"
    for peer in peers:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            but = " ".join(block.get("except") or [])
            yield f"{block.get('cidr')}{f' but {but}' if but else ''}{ports}"
        elif "namespaceSelector" in peer and not _is_name_service(peer, rule):
            yield f"other namespaces {peer['namespaceSelector']} {peer.get('podSelector', '')}{ports}"


def _is_name_service(peer: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    ports = {item.get("port") for item in rule.get("ports") or []}
    return (peer["namespaceSelector"].get("matchLabels") or {}) == _SYSTEM and ports <= {53} and bool(ports)


def ports_text(ports: frozenset[Port]) -> str:
    """Ports as a person writes them."""
    if ports >= EVERY:
        return "every port"
    shown = sorted(ports)
    return " ".join(f"{number or 'every'}{'' if protocol == 'TCP' else f'/{protocol}'}" for number, protocol in shown)
