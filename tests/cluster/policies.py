"""Keeps network policies on the real node, because no controller that does is in reach of a package registry.

It is a small reading of the specification, tested beside; a policy holds a moment after it was applied, for connections that begin then.
"""

from __future__ import annotations

from kubernetes.dynamic import DynamicClient
from policy_rules import ENTRY, table
from real_node import RealNode

# Before the rules of kube-proxy, which accept; after its translation of services, so that the pod is seen that is meant.
# FORWARD is between pods and to the world; INPUT is from pods to the node. What the node itself sends is never stopped.
HOOKS = ("FORWARD", "INPUT")


class Policies:
    """Brings the policies of a cluster to its node; call `look` again and again."""

    def __init__(self, api: DynamicClient, node: RealNode) -> None:
        """Prepare for a cluster."""
        kinds = (("networking.k8s.io/v1", "NetworkPolicy"), ("v1", "Pod"), ("v1", "Namespace"))
        self._resources = [api.resources.get(api_version=version, kind=kind) for version, kind in kinds]
        self._node = node
        self._held = ""

    def register(self) -> None:
        """Let every packet pass through the policies, of which there are none yet."""
        self._hold(table([], [], []))
        for hook in HOOKS:
            self._node.run(["iptables", "--wait", "-t", "mangle", "-I", hook, "-j", ENTRY])

    def look(self) -> None:
        """Look at every policy, pod and namespace once, and change the rules if something else follows from them."""
        policies, pods, namespaces = (resource.get().to_dict()["items"] for resource in self._resources)
        wanted = table(policies, pods, namespaces)
        if wanted != self._held:
            self._hold(wanted)

    def _hold(self, rules: str) -> None:
        self._node.run(["iptables-restore", "--wait", "--noflush"], stdin=rules)
        self._held = rules
