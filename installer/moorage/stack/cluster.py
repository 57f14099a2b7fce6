"""What is true of the cluster that a stack runs in; there is none on a single server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from moorage.sensitive import Sensitive

Ingress = Literal["traefik", "nginx"]


@dataclass(frozen=True)
class ApiRule:
    """Rights to some kinds of objects, as Kubernetes' roles write them."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


@dataclass(frozen=True)
class ClusterRights:
    """What a service may do with Kubernetes' API: in its own namespace, and in all of them."""

    reason: str
    namespace: tuple[ApiRule, ...]
    cluster: tuple[ApiRule, ...]


@dataclass(frozen=True)
class Certificate:
    """The site's own certificate: the chain and its key, both PEM."""

    chain: str
    key: Sensitive


@dataclass(frozen=True)
class ClusterInputs:
    """What a cluster must be given because it sees no file of this host; empty for a server."""

    certificate: Certificate | None = None
    # The authority that signed a private ACME server's own certificate, PEM.
    acme_authority: str = ""
    folder: Mapping[str, Sensitive] = field(default_factory=dict)
    recovery_key: Sensitive = field(default_factory=lambda: Sensitive(""))


@dataclass(frozen=True)
class Team:
    """Groups of people by what they may do."""

    observer: tuple[str, ...] = ()
    debugger: tuple[str, ...] = ()
    deployer: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()


@dataclass(frozen=True)
class MinikubeProfile:
    """How minikube is started; sizes are 0 where minikube decides. `memory` in bytes."""

    name: str
    driver: str
    memory: int
    cpus: int


@dataclass(frozen=True)
class Cluster:
    """The cluster, the place in it, and what of it the stack uses.

    `context` is empty where nobody said which cluster: everything can be rendered then, nothing deployed.
    `volume_sizes` has every disk, in bytes, by the volume's name. A `certificate` is there for the modes that bring one.
    """

    context: str
    kubeconfig: str
    namespace: str
    version: str
    overlay: str
    ingress: Ingress
    ingress_class: str
    storage_class: str
    snapshot_class: str
    volume_sizes: Mapping[str, int]
    roles: Mapping[str, str]
    balancer_annotations: Mapping[str, str]
    source_ranges: tuple[str, ...]
    external_dns: bool
    # The labels of namespaces that the app makes, and the class of Ingresses in them that the proxy serves.
    created_labels: Mapping[str, str] = field(default_factory=dict)
    created_class: str = ""
    team: Team = field(default_factory=Team)
    minikube: MinikubeProfile | None = None
    certificate: Certificate | None = None
    acme_authority: str = ""
    # What every backup holds beside data: the deployment's own files by their paths, and what opens the backup.
    folder: Mapping[str, Sensitive] = field(default_factory=dict)
    recovery_key: Sensitive = field(default_factory=lambda: Sensitive(""))
