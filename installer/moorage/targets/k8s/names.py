"""Names of Kubernetes objects, labels and places: one spelling for the renderer and the deployer."""

from __future__ import annotations

import re

from moorage.stack.model import Service, Stack

K8S_FOLDER = "k8s"
BASE = f"{K8S_FOLDER}/base"
OVERLAYS = f"{K8S_FOLDER}/overlays"
# What the deployer must know and manifests cannot say.
FACTS_FILE = f"{K8S_FOLDER}/cluster.json"

# A service may be reached by its name only if that is one that DNS knows.
_DNS_LABEL = re.compile(r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_JOB = "moorage/job"
# On everything that belongs to a component of the app, in whichever namespace.
LABEL_COMPONENT_OF_APP = "moorage/component"
# On pods of the backup job: which phase.
LABEL_PHASE = "moorage/phase"
# `moorage/network.NAME: member` on every pod that is in a network of the Compose file.
LABEL_NETWORK = "moorage/network."
# On every pod that uses a disk of one node: they all run where the disks are.
LABEL_DATA = "moorage/data"
ANNOTATION_REVISION = "moorage/secrets"
# On pods that steer what runs on the nodes: the fingerprint of that.
ANNOTATION_COMPONENT = "moorage/component-revision"
FIELD_MANAGER = "moorage"
# Before the names of images in the static files: an app may run a `postgres` of its own.
PLACEHOLDER = "platform-"


def is_dns_label(name: str) -> bool:
    """Whether Kubernetes takes it as the name of a Service."""
    return bool(_DNS_LABEL.match(name))


def labels(stack: Stack, name: str) -> dict[str, str]:
    """What every object of a service carries; the first two find its pods."""
    return {LABEL_NAME: name, LABEL_INSTANCE: stack.project, LABEL_MANAGED: FIELD_MANAGER}


def selector(stack: Stack, name: str) -> dict[str, str]:
    """The labels that find the pods of a service; they can't be changed later."""
    return {LABEL_NAME: name, LABEL_INSTANCE: stack.project}


def config_name(service: str) -> str:
    """The ConfigMap with a service's variables, before its hash."""
    return f"{service}-config"


def secret_name(service: str) -> str:
    """The Secret with a service's secret variables. Its name never changes: a new key reaches the pods by itself."""
    return f"{service}-secrets"


def files_name(service: str, mount: str) -> str:
    """The ConfigMap or Secret with the files of one mount."""
    return f"{service}-files-{as_label(mount)}"


def claim_name(volume: str) -> str:
    """The claim of a named volume."""
    return as_label(volume)


def volume_name(mount: str) -> str:
    """How a pod calls one of its volumes."""
    return as_label(mount)[:63].strip("-")


def sidecars_of(stack: Stack, service: Service) -> tuple[Service, ...]:
    """The services that share this one's network: containers of the same pod."""
    return tuple(other for other in stack.services if other.network_mode == f"service:{service.name}")


def leads(service: Service) -> bool:
    """Whether it has a pod of its own."""
    return not service.network_mode.startswith("service:")


def as_label(name: str) -> str:
    """The nearest name that Kubernetes takes for an object."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "x"
