"""`x-moorage.kubernetes_components`: static parts that an app has in clusters only, each switched on by the operator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from moorage.config import cluster_rules
from moorage.config.kinds import Model, Name, Port, Value, VariableName

Workload = Annotated[str, BeforeValidator(cluster_rules.class_name)]


class KubernetesComponent(Model):
    """A folder of plain manifests with a kustomization, in a namespace of its own, and what it is given."""

    describe: str = Field(min_length=1, description="What it is for, in one line.")
    namespace: Name = Field(description="Where all of it lives. The manifests themselves name no namespace.")
    pod_security: Literal["restricted", "baseline", "privileged"] = Field(
        "baseline", description="The level of Pod Security that its namespace takes."
    )
    images: dict[Name, str] = Field(
        default_factory=dict,
        description="By the name of an image in its manifests: the `build_only` service of this file that it is. It is "
        "built with the others while the component is on.",
    )
    requires: tuple[VariableName, ...] = Field((), description="Variables that the operator must give while it is on.")
    settings: dict[VariableName, Value] = Field(
        default_factory=dict,
        description="Variables of its pods: the ConfigMap `NAME-settings`; those that are secret the Secret `NAME-secrets`.",
    )
    environment: dict[str, dict[VariableName, Value | None]] = Field(
        default_factory=dict,
        description="What services of this file get while it is on, by service; null takes a variable away.",
    )
    reached_by: dict[Workload, dict[str, tuple[Port, ...]]] = Field(
        default_factory=dict,
        description="Ports by which services reach it: workload (`app.kubernetes.io/name`), service, ports.",
    )
    reaches: dict[Workload, dict[str, tuple[Port, ...]]] = Field(
        default_factory=dict, description="Ports of services that it reaches: workload, service, ports."
    )
    keeps: str = Field("", description="What stays on the nodes when it is gone; `moorage uninstall` tells it.")
