"""Stack → the manifests of one cluster as Kustomize, and apart from them the Secrets. Pure."""

from __future__ import annotations

import json
from typing import Any

from moorage import __version__
from moorage.formats import dump_yaml
from moorage.parity.reasons import Allowed, nothing_left, only_right
from moorage.parity.rendered import PARITY_FILE
from moorage.stack.cluster import Cluster
from moorage.stack.model import Stack
from moorage.targets.base import Rendering
from moorage.targets.builds import BUILD_FILE, build_file
from moorage.targets.k8s import (
    accounts,
    backups,
    bounds,
    certificates,
    claims,
    components,
    configuration,
    fact_sheet,
    filling,
    ingress,
    jobs,
    kustomization,
    names,
    network,
    nodes,
    overlays,
    platform,
    rights,
    security,
    workloads,
)
from moorage.targets.k8s.parts import Part
from moorage.targets.parity_file import parity_file
from moorage.templating import render_template
from moorage.tree import MANIFEST, Tree

_HEADER = "Rendered by moorage; changes here are lost. Settings: moorage.yaml."


def render(stack: Stack, cluster: Cluster) -> Rendering:
    """The rendered folder of a stack and, apart from it, the files with secrets. Same stack, same bytes."""
    public, private = Tree(), Tree()
    parts = platform.add_parts(stack, cluster, public, private)
    generators = [generator for part in parts for generator in part.generators]
    for service in stack.services:
        generators += configuration.service_generators(public, names.BASE, service)
        configuration.service_secrets(private, service)
    certificates.add_certificate(private, stack, cluster)
    generators += filling.generators(stack, public)
    generators += backups.generators(stack, cluster, public)
    backups.add_secrets(stack, cluster, private)
    resources = [f"../platform/{part.name}" for part in parts]
    for name, objects in _objects(stack, cluster, parts).items():
        if objects:
            text = "---\n".join(dump_yaml(item) for item in objects)
            public.add(f"{names.BASE}/{name}.yaml", f"# {_HEADER}\n{text}")
            resources.append(f"{name}.yaml")
    patches = []
    for part in parts:
        for patch in part.patches:
            path = f"platform/{part.name}-{patch['kind'].lower()}.yaml"
            public.add(f"{names.BASE}/{path}", dump_yaml(patch, _HEADER))
            patches.append(path)
    images = {f"{names.PLACEHOLDER}{part.name}": part.image for part in parts}
    content = kustomization.base(stack, cluster, resources, generators, images, patches)
    public.add(f"{names.BASE}/kustomization.yaml", dump_yaml(content, _HEADER))
    overlays.add_overlays(stack, cluster, public, components.add_components(stack, cluster.namespace, public, private))
    nodes.add_node_files(stack, public)
    builds = build_file(stack)
    if builds["services"]:
        public.add(f"{names.K8S_FOLDER}/{BUILD_FILE}", dump_yaml(builds, _HEADER))
    facts = fact_sheet.facts(stack, cluster)
    public.add(names.FACTS_FILE, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    public.add("README.md", render_template("rendered/kubernetes.md.j2", _readme_view(stack, cluster, facts)))
    public.add(PARITY_FILE, parity_file(stack))
    _add_private(stack, cluster, private)
    for tree in (public, private):
        manifest = tree.manifest(moorage=__version__, environment=stack.environment, target=stack.target)
        tree.add(MANIFEST, manifest, 0o600 if tree is private else 0o644)
    return Rendering(public, private)


def _objects(stack: Stack, cluster: Cluster, parts: list[Part]) -> dict[str, list[dict[str, Any]]]:
    """File by file: what stands together is read together."""
    staying = [service for service in stack.services if names.leads(service) and not service.is_one_shot]
    found: dict[str, list[dict[str, Any]]] = {
        "namespace": [_namespace(stack, cluster), *bounds.priorities(stack, cluster), *bounds.quota(stack, cluster)],
        "accounts": [
            *accounts.service_accounts(stack, cluster),
            *rights.objects(stack, cluster),
            *accounts.team(stack, cluster),
        ],
        "volumes": claims.claims(stack, cluster),
        "network": [
            *network.services(stack),
            *(item for part in parts for item in part.objects),
            *network.policies(stack, cluster),
            *components.app_policies(stack),
        ],
        "routes": [*ingress.ingresses(stack, cluster), *certificates.objects(stack, cluster)],
        "jobs": jobs.objects(stack, cluster),
        "backups": backups.objects(stack, cluster),
    }
    for service in staying:
        found[f"service-{service.name}"] = [
            workloads.deployment(stack, cluster, service, jobs.secrets_digest(stack, service)),
            bounds.disruption_budget(stack, service),
            *([bounds.autoscaler(stack, service)] if bounds.scales(service) else []),
        ]
    return found


def _namespace(stack: Stack, cluster: Cluster) -> dict[str, Any]:
    level = security.level(stack.services, has_backups=stack.backups is not None)
    labels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit")}
    labels["pod-security.kubernetes.io/warn"] = "restricted"
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": cluster.namespace, "labels": {names.LABEL_MANAGED: names.FIELD_MANAGER, **labels}},
    }


def _readme_view(stack: Stack, cluster: Cluster, facts: dict[str, Any]) -> dict[str, Any]:
    before = [job["name"] for job in facts["jobs"] if job["run"] == "before-rollout"]
    return {
        "project": stack.project,
        "environment": stack.environment,
        "target_words": "minikube" if stack.target == "minikube" else "EKS",
        "namespace": cluster.namespace,
        "namespaces": [cluster.namespace, *(component.namespace for component in stack.components)],
        "components": [component.name for component in stack.components],
        "context": cluster.context or "CONTEXT",
        "overlay": cluster.overlay,
        "needs_kinds": ", ".join(facts["needs_kinds"]),
        "jobs": ", ".join(before),
        "has_backups": stack.backups is not None,
        "backup_service": stack.backups.service if stack.backups else "",
    }


def _add_private(stack: Stack, cluster: Cluster, private: Tree) -> None:
    """`kubectl apply -k` of the private folder makes the Secrets, once the namespace is there."""
    labels = {names.LABEL_INSTANCE: stack.project}
    content = kustomization.overlay(sorted(private.files), (), labels)
    # Secrets of components say themselves where they belong.
    content |= (
        kustomization.where_none_is_named(cluster.namespace) if stack.components else {"namespace": cluster.namespace}
    )
    private.add("kustomization.yaml", dump_yaml(content, "Written by moorage. Beside it: secrets."), 0o600)


_SNAPSHOTS = "snapshots of disks"

DIFFERENCES = (
    Allowed(
        "capability",
        _SNAPSHOTS,
        "Snapshots: in a cluster only. The disks of one server have none; its backups are its way back.",
        only_right("yes"),
        capability=True,
    ),
    Allowed(
        "capability",
        _SNAPSHOTS,
        "Snapshots: by a class that moorage.yaml names, which somebody else made.",
        only_right("yes"),
        between=("eks", "any"),
    ),
    Allowed("object *", "*", "Objects of a cluster that one server has no counterpart of.", nothing_left),
    Allowed("nodes", "minikube.*", "How minikube is started.", nothing_left, between=("any", "minikube")),
    Allowed(
        "volume backup-*",
        "*",
        "Backups of a cluster lie on a disk of it until they are carried away; on a server in the deployment's folder.",
        nothing_left,
    ),
    Allowed("volume *", "size", "A disk of a cluster has a size; on a server a volume grows.", nothing_left),
)
