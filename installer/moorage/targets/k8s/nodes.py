"""What the nodes themselves must be told, because no manifest can: how much of each container's log their kubelet keeps."""

from __future__ import annotations

from typing import Any

from moorage.formats import dump_yaml
from moorage.quantities import KIBIBYTE
from moorage.stack.model import Stack
from moorage.targets.k8s import names
from moorage.tree import Tree

_HEADER = "Rendered by moorage; changes here are lost. Settings: `logs` in moorage.yaml."


def log_limits(stack: Stack) -> tuple[int, int]:
    """Bytes of a log file, and number of files with the current one.

    One rule holds for all containers of a node, so it is that of the app's, of which there are most.
    """
    logs = stack.services[0].logs if stack.services else stack.edge.logs
    return logs.max_size, logs.max_files


def kubelet_settings(stack: Stack) -> dict[str, Any]:
    """As a kubelet's configuration has them."""
    size, files = log_limits(stack)
    return {"containerLogMaxSize": f"{size // KIBIBYTE}Ki", "containerLogMaxFiles": files}


def add_node_files(stack: Stack, public: Tree) -> None:
    """For node groups of EKS: what their user data hands to the kubelet."""
    if stack.target != "eks":
        return
    content = {
        "apiVersion": "node.eks.aws/v1alpha1",
        "kind": "NodeConfig",
        "spec": {"kubelet": {"config": kubelet_settings(stack)}},
    }
    public.add(f"{names.K8S_FOLDER}/nodes/node-config.yaml", dump_yaml(content, _HEADER))
