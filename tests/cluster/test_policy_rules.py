"""What follows from network policies, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest
from policy_rules import matches, table

NAMESPACES = [{"metadata": {"name": name, "labels": {"name": name}}} for name in ("shop", "edge")]


def _pod(name: str, address: str, namespace: str = "shop", **status: Any) -> Any:
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"containers": [{"ports": ports}]},
        "status": {"podIP": address, **status},
    }


PODS = [_pod("web", "10.0.0.1"), _pod("store", "10.0.0.2"), _pod("proxy", "10.0.0.3", "edge")]


def _rules(app: str, **spec: Any) -> list[str]:
    """Return the rules of the chain of one pod that a policy of its namespace chooses."""
    policy = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec}}
    lines = table([policy], PODS, NAMESPACES).splitlines()
    return [line.removeprefix("-A MOORAGE-0 ") for line in lines if line.startswith("-A MOORAGE-0 ")][1:]


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ({}, ["-j DROP"]),
        ({"ingress": [{}]}, ["-j RETURN", "-j DROP"]),
        ({"ingress": [{"from": [{"podSelector": {}}]}]}, ["-s 10.0.0.1 -j RETURN", "-s 10.0.0.2 -j RETURN", "-j DROP"]),
        (
            {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"name": "edge"}}}]}]},
            ["-s 10.0.0.3 -j RETURN", "-j DROP"],
        ),
        (
            {"ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "store"}}}]}]},
            ["-s 10.0.0.2 -j RETURN", "-j DROP"],
        ),
        (
            {"ingress": [{"from": [{"ipBlock": {"cidr": "10.1.0.0/30", "except": ["10.1.0.0/31"]}}]}]},
            ["-s 10.1.0.2/31 -j RETURN", "-j DROP"],
        ),
        (
            {"ingress": [{"ports": [{"port": "http"}, {"port": 53, "protocol": "UDP"}, {"port": 90, "endPort": 95}]}]},
            [
                "-p tcp --dport 8080 -j RETURN",
                "-p udp --dport 53 -j RETURN",
                "-p tcp --dport 90:95 -j RETURN",
                "-j DROP",
            ],
        ),
        (
            {"policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "store"}}}], "ports": [{"port": "http"}]}]},
            ["-d 10.0.0.2 -p tcp --dport 8080 -j RETURN", "-j DROP"],
        ),
    ],
)  # fmt: skip
def test_what_is_allowed_passes_and_the_rest_does_not(spec: Any, rules: list[str]) -> None:
    assert _rules("web", **spec) == rules


def test_a_policy_for_the_way_in_says_nothing_of_the_way_out() -> None:
    policy = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    rules = table([policy], PODS, NAMESPACES)
    jumps = [line for line in rules.splitlines() if line.startswith("-A MOORAGE-POLICIES -")]
    assert jumps[1:] == ["-A MOORAGE-POLICIES -d 10.0.0.1 -j MOORAGE-0", "-A MOORAGE-POLICIES -d 10.0.0.2 -j MOORAGE-1"]


def test_the_address_of_a_pod_that_is_over_may_be_another_ones() -> None:
    policy = {"metadata": {"namespace": "shop"}, "spec": {"podSelector": {}}}
    assert "10.0.0.9" not in table([policy], [_pod("once", "10.0.0.9", phase="Succeeded")], NAMESPACES)


@pytest.mark.parametrize(
    ("operator", "values", "is_chosen"),
    [
        ("In", ["web"], True),
        ("In", ["store"], False),
        ("NotIn", ["store"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ],
)
def test_expressions_choose_by_label(operator: str, values: list[str], is_chosen: bool) -> None:
    selector = {"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}
    assert matches(selector, {"app": "web"}) is is_chosen
