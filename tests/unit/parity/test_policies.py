"""NetworkPolicies are read as a cluster applies them."""

from __future__ import annotations

from typing import Any

from moorage.parity.kubernetes_objects import Pod
from moorage.parity.policies import EVERY, Policies, ports_text


def pod(name: str, *ports: tuple[str, int], **labels: str) -> Pod:
    found = [{"name": port, "containerPort": number} for port, number in ports]
    template = {"metadata": {"labels": {"name": name, **labels}}, "spec": {"containers": [{"ports": found}]}}
    return Pod(f"service {name}", {}, template)


def policies(*specs: dict[str, Any]) -> Policies:
    return Policies(tuple({"spec": spec} for spec in specs), {"kubernetes.io/metadata.name": "here"})


WEB, DATABASE = pod("web", ("http", 8000)), pod("database")
CLOSED = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def selecting(name: str) -> dict[str, Any]:
    return {"matchLabels": {"name": name}}


def test_without_any_policy_everything_is_open() -> None:
    assert policies().between(WEB, DATABASE) == EVERY
    assert policies().to_outside(WEB) == "everywhere"


def test_both_sides_must_agree() -> None:
    sends = {
        "podSelector": selecting("web"),
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": selecting("database")}]}],
    }
    receives = {
        "podSelector": selecting("database"),
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": selecting("web")}], "ports": [{"port": 5432}]}],
    }
    assert policies(CLOSED, sends).between(WEB, DATABASE) == frozenset()
    assert policies(CLOSED, receives).between(WEB, DATABASE) == frozenset()
    assert ports_text(policies(CLOSED, sends, receives).between(WEB, DATABASE)) == "5432"
    assert policies(CLOSED, sends, receives).between(DATABASE, WEB) == frozenset()


def test_a_port_by_its_name_is_that_of_the_pod_that_has_it() -> None:
    receives = {"podSelector": selecting("web"), "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": "http"}]}]}
    assert ports_text(policies(receives).between(DATABASE, WEB)) == "8000"
    assert ports_text(policies(receives).from_anywhere(WEB)) == "8000"


def test_addresses_are_outside_and_no_pods() -> None:
    block = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}
    out = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block]}]}
    assert policies(out).to_outside(WEB) == "0.0.0.0/0 but 10.0.0.0/8"
    assert policies(out).between(WEB, DATABASE) == frozenset()


def test_names_need_both_protocols() -> None:
    def asking(*protocols: str) -> dict[str, Any]:
        system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
        ports = [{"port": 53, "protocol": protocol} for protocol in protocols]
        return {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [system], "ports": ports}]}

    assert policies(asking("UDP", "TCP")).to_names(WEB)
    assert not policies(asking("UDP")).to_names(WEB)
    assert policies(asking("UDP", "TCP")).to_outside(WEB) == ""


def test_expressions_select_as_labels_do() -> None:
    others = {"matchExpressions": [{"key": "name", "operator": "NotIn", "values": ["web"]}]}
    closed = {"podSelector": others, "policyTypes": ["Egress"]}
    assert policies(closed).to_outside(WEB) == "everywhere"
    assert policies(closed).to_outside(DATABASE) == ""
