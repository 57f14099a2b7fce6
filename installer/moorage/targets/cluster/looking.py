"""What of a cluster decides whether a deployment can run there, read and judged; nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from moorage.errors import MoorageError
from moorage.quantities import human_size, parse_size
from moorage.targets.cluster.client import Cluster
from moorage.targets.cluster.objects import Object, at, identity, instance_of, of_kind
from moorage.targets.cluster.pods import is_owned_by, is_ready, name_of, namespace_of
from moorage.targets.cluster.preview import together
from moorage.targets.cluster.workloads import ready
from moorage.targets.k8s.facts import ClusterFacts
from moorage.words import listed, plural

_CONTROLLERS = ("calico", "cilium", "aws-network-policy-agent", "kube-router", "antrea", "kindnet", "weave-net")
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_SHOWN_NODES = 3


@dataclass(frozen=True)
class Sight:
    """One thing that was looked at: `level` is ok, warning or failure; `fix` is the way out of the latter two."""

    check: str
    level: str
    text: str
    fix: str = ""


def sights(cluster: Cluster, facts: ClusterFacts, wanted: Sequence[Object]) -> Iterator[Sight]:
    """Everything, in the order of its weight. A question that may not be asked becomes a warning."""
    for name, look in (
        ("version", _version),
        ("kinds", _kinds),
        ("storage", _storage),
        ("rights", _rights),
        ("ingress", _ingress),
        ("metrics", _metrics),
        ("logs", _logs),
        ("network", _network),
        ("drivers", _drivers),
    ):
        try:
            yield from look(cluster, facts, wanted)
        except MoorageError as error:
            yield Sight(
                name, "warning", f"could not be found out: {error.message}", error.hint or "ask who runs the cluster"
            )


def _version(cluster: Cluster, facts: ClusterFacts, _: Sequence[Object]) -> Iterator[Sight]:
    there = cluster.version()
    if there.lstrip("v").startswith(f"{facts.version}."):
        yield Sight("version", "ok", f"Kubernetes {there}")
    else:
        yield Sight(
            "version",
            "warning",
            f"the cluster runs Kubernetes {there}, the manifests are for {facts.version}",
            "set `kubernetes.version` to what the cluster runs, and try it on a cluster that may break",
        )


def _kinds(cluster: Cluster, facts: ClusterFacts, _: Sequence[Object]) -> Iterator[Sight]:
    lacking = []
    for text in facts.needs_kinds:
        group, _slash, kind = text.rpartition("/")
        if not cluster.knows(group, kind):
            lacking.append(text)
    if lacking:
        yield Sight("kinds", "failure", f"the cluster does not know {listed(lacking, 'and')}", _bringer(lacking[0]))
    elif facts.needs_kinds:
        yield Sight("kinds", "ok", f"the cluster knows {listed(facts.needs_kinds, 'and')}")


def _bringer(kind: str) -> str:
    if kind.startswith("cert-manager.io"):
        return "install cert-manager: https://cert-manager.io/docs/installation/"
    return "install the snapshot controller and its kinds: https://github.com/kubernetes-csi/external-snapshotter"


def _storage(cluster: Cluster, facts: ClusterFacts, wanted: Sequence[Object]) -> Iterator[Sight]:
    present = cluster.list("storage.k8s.io/v1", "StorageClass")
    there = {name_of(item) for item in present} | {name_of(item) for item in of_kind(wanted, "StorageClass")}
    default = [
        name_of(item) for item in present if (at(item, "metadata", "annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]
    asked = {at(item, "spec", "storageClassName") for item in of_kind(wanted, "PersistentVolumeClaim")}
    for name in sorted(str(each) for each in asked if each):
        if name in there:
            yield Sight("storage", "ok", f"disks are of the class {name}")
        else:
            fix = "set `kubernetes.storage_class`" + (f" to one of {listed(sorted(there))}" if there else "")
            addon = "; on minikube: `minikube addons enable csi-hostpath-driver`" if facts.target == "minikube" else ""
            yield Sight("storage", "failure", f"there is no storage class {name}", fix + addon)
    if None in asked and not default:
        yield Sight(
            "storage",
            "failure",
            "disks of the default class are wanted, and no class is the default",
            "set `kubernetes.storage_class`",
        )


def _rights(cluster: Cluster, facts: ClusterFacts, wanted: Sequence[Object]) -> Iterator[Sight]:
    """Whether what will be applied may be, kind by kind."""
    kinds = {}
    for item in wanted:
        name = identity(item)
        try:
            kind = cluster.kind(item["apiVersion"], name.kind)
        except MoorageError:
            continue
        kinds[(name.group, kind.plural, name.namespace)] = name.kind
    asked = [(verb, *key) for key in sorted(kinds) for verb in ("get", "create", "patch", "delete")]
    asked += [("list", "", "pods", facts.namespace), ("get", "", "pods/log", facts.namespace)]
    asked += [("create", "", "pods/exec", facts.namespace)] if facts.postgres_superuser else []
    answers = together(lambda row: may(cluster, *row), asked)
    refused = [row for row, allowed in zip(asked, answers, strict=True) if not allowed]
    if refused:
        shown = sorted({f"{verb} {plural}{'.' + group if group else ''}" for verb, group, plural, _ in refused})
        yield Sight(
            "rights",
            "failure",
            f"not allowed to {listed(shown[:6])}" + (f" and {len(shown) - 6} more" if len(shown) > 6 else ""),
            "let an administrator of the cluster grant it, or use another context",
        )
    else:
        yield Sight("rights", "ok", f"everything that is applied may be ({len(asked)} rights asked)")


def may(cluster: Cluster, verb: str, group: str, resource: str, namespace: str) -> bool:
    """Whether we have a right, as the cluster itself says."""
    name, _, part = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": name, "namespace": namespace}
    attributes |= {"subresource": part} if part else {}
    answer = cluster.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        },
        verb="ask about",
        what="our rights",
    )
    return bool(at(answer, "status", "allowed"))


def _ingress(cluster: Cluster, facts: ClusterFacts, wanted: Sequence[Object]) -> Iterator[Sight]:
    if facts.ingress != "nginx":
        return
    there = {name_of(item) for item in cluster.list("networking.k8s.io/v1", "IngressClass")}
    for name in sorted({str(at(item, "spec", "ingressClassName")) for item in of_kind(wanted, "Ingress")}):
        if name in there:
            yield Sight("ingress", "ok", f"there is the ingress class {name}")
        else:
            yield Sight(
                "ingress",
                "failure",
                f"there is no ingress class {name}",
                "`kubernetes.ingress_class`, or `kubernetes.ingress: traefik`",
            )


def _metrics(cluster: Cluster, _: ClusterFacts, wanted: Sequence[Object]) -> Iterator[Sight]:
    scaled = [name_of(item) for item in of_kind(wanted, "HorizontalPodAutoscaler")]
    if scaled and not cluster.knows("metrics.k8s.io", "PodMetrics"):
        yield Sight(
            "metrics",
            "failure",
            f"{listed(scaled, 'and')} can't be scaled: the cluster measures nothing",
            "install metrics-server: https://kubernetes-sigs.github.io/metrics-server/",
        )
    elif scaled:
        yield Sight("metrics", "ok", "the cluster measures its pods")


def _logs(cluster: Cluster, facts: ClusterFacts, _: Sequence[Object]) -> Iterator[Sight]:
    """What each node keeps of a container's log is the node's to say."""
    other = []
    nodes = cluster.list("v1", "Node")
    for node in nodes:
        text = cluster.text(
            f"/api/v1/nodes/{name_of(node)}/proxy/configz", what=f"the settings of node {name_of(node)}"
        )
        try:
            found = json.loads(text)["kubeletconfig"]
            size, files = (
                parse_size(str(found.get("containerLogMaxSize", "10Mi"))),
                int(found.get("containerLogMaxFiles", 5)),
            )
        except (ValueError, KeyError, TypeError):
            continue
        if (size, files) != (facts.log_max_size, facts.log_max_files):
            other.append(f"{name_of(node)} keeps {files} of {human_size(size)}")
    wanted = f"{facts.log_max_files} files of {human_size(facts.log_max_size)}"
    if other:
        yield Sight(
            "logs",
            "warning",
            f"logs of containers are to be {wanted}, but {'; '.join(other[:_SHOWN_NODES])}",
            "set containerLogMaxSize and containerLogMaxFiles of the node group's kubelet (minikube: make the profile anew)",
        )
    elif nodes:
        yield Sight("logs", "ok", f"every node keeps {wanted} of a container")


def _network(cluster: Cluster, _: ClusterFacts, wanted: Sequence[Object]) -> Iterator[Sight]:
    if not of_kind(wanted, "NetworkPolicy"):
        return
    names = [name_of(pod) for pod in cluster.list("v1", "Pod", "kube-system")]
    containers = {
        str(each["name"])
        for pod in cluster.list("v1", "Pod", "kube-system")
        for each in at(pod, "spec", "containers") or ()
    }
    found = [each for each in _CONTROLLERS if each in containers or any(name.startswith(each) for name in names)]
    if found:
        yield Sight("network", "ok", f"network policies are enforced by {found[0]}")
    else:
        yield Sight(
            "network",
            "warning",
            "nothing that is known enforces network policies: every pod may reach every other one",
            "on EKS turn on the network policy agent of the VPC CNI, on minikube start with `--cni=calico`",
        )


def _drivers(cluster: Cluster, facts: ClusterFacts, wanted: Sequence[Object]) -> Iterator[Sight]:
    """What is to run on every node, as far as it was ever deployed: a warning, for `up` may be what mends it."""
    for item in of_kind(wanted, "DaemonSet"):
        found = cluster.read(identity(item), item["apiVersion"])
        if found is None or instance_of(found) != facts.project:
            continue
        name, number = name_of(item), int(at(found, "status", "desiredNumberScheduled") or 0)
        if number and ready(found) == number:
            yield Sight("drivers", "ok", f"{name} is up on each of {plural(number, 'node')}")
            continue
        where = f"-n {namespace_of(item)}"
        yield Sight(
            "drivers",
            "warning",
            f"{name} is up on {ready(found)} of {plural(number, 'node')}" + _where_not(cluster, found),
            f"`kubectl {where} describe pods -l app.kubernetes.io/name={name}`; `kubectl {where} logs daemonset/{name} --all-containers`",
        )


def _where_not(cluster: Cluster, owner: Object) -> str:
    pods = [pod for pod in cluster.list("v1", "Pod", namespace_of(owner)) if is_owned_by(pod, owner)]
    lacking = sorted(str(at(pod, "spec", "nodeName") or "no node yet") for pod in pods if not is_ready(pod))
    return f"; not on {', '.join(lacking[:_SHOWN_NODES])}" if lacking else ""
